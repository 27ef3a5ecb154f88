"""Students that are trained in tests: a random base, 24 rows made for it, and the stages on them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from students import make_base

from distill import layout
from distill.dataset.tokenize import tokenize
from distill.models import ModelRevision, resolve_folder
from distill.students import StudentSettings
from distill.training import checkpoint, sft

SEED = 17


@dataclass(frozen=True)
class Student:
    """A student that is ready to be trained."""

    settings: StudentSettings
    base: ModelRevision
    audit: dict[str, Any]

    def train(self, **changed: Any) -> sft.Trained:
        """Train it, with settings changed after its rows were made."""
        chosen = self.settings.model_copy(update=changed)
        return sft.train("tiny", chosen, self.base, layout.TOKENIZED / "tiny", self.audit, SEED)

    def ship(self, trained: sft.Trained, **changed: Any) -> dict[str, Any]:
        """Write the folder that ships."""
        chosen = self.settings.model_copy(update=changed)
        return checkpoint.ship("tiny", chosen, self.base, trained, self.audit, layout.TOKENIZED / "tiny")


def settings(method: str = "full", **changed: Any) -> StudentSettings:
    """Settings under which 24 rows are 6 steps."""
    lora = {"rank": 8, "alpha": 16} if method == "lora" else None
    plain = {"base": "base", "method": method, "lora": lora, "learning_rate": 2e-2, "epochs": 2, "batch_size": 8}
    return StudentSettings.model_validate(plain | changed)


def prepare(architecture: str, method: str = "full", **changed: Any) -> Student:
    """A random base and its rows."""
    return prepare_on(make_base(Path("base"), architecture), method, **changed)


def prepare_on(folder: Path, method: str, **changed: Any) -> Student:
    """A base that is there, and its rows."""
    chosen = settings(method, **changed)
    base = resolve_folder("tiny_base", str(folder))
    return Student(chosen, base, tokenize("tiny", chosen, base, SEED))
