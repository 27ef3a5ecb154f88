"""One student's stages as `dvc repro` runs them, in which a test plants a fault before one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from students import make_base, make_rows, write_dataset

from distill import config, layout
from distill.dataset import tokenize as tokenizing
from distill.models import ModelRevision, resolve_folder
from distill.training import checkpoint, sft

STAGES = ("load", "tokenize", "train", "ship")
ROWS = layout.TOKENIZED / "tiny"
SMOKE = Path(__file__).parents[1] / "pipelines" / "profiles" / "smoke.yaml"
SETTINGS = {"base": "base", "method": "full", "learning_rate": 2e-2, "epochs": 2, "batch_size": 8, "max_length": 512}


@dataclass
class Pipeline:
    """The stages for one student, and how far they came."""

    patch: pytest.MonkeyPatch
    tree: Any
    reached: list[str] = field(default_factory=list)
    audit: dict[str, Any] = field(default_factory=dict)
    base: ModelRevision | None = None
    before: set[Path] = field(default_factory=set)

    @property
    def student(self) -> dict[str, Any]:
        """The student's block of params.yaml."""
        block: dict[str, Any] = self.tree["students"]["tiny"]
        return block

    def run(self, before: str, plant: Callable[["Pipeline"], object]) -> None:
        """All stages in order, with a fault planted before one."""
        trained: Any = None
        for stage in STAGES:
            if stage == before:
                plant(self)
            self.before = written()
            if stage == "load":
                settings = config.parse(self.tree).student("tiny")
            elif stage == "tokenize":
                self.base = resolve_folder("tiny_base", "base")
                self.audit = tokenizing.tokenize("tiny", settings, self.base, 17)
            elif stage == "train":
                assert self.base
                trained = sft.train("tiny", settings, self.base, ROWS, self.audit, 17)
            else:
                assert self.base
                checkpoint.ship("tiny", settings, self.base, trained, self.audit, ROWS)
            self.reached.append(stage)


def prepare(patch: pytest.MonkeyPatch) -> Pipeline:
    """A student called tiny, its base and 24 exported rows, in the working directory."""
    make_base(Path("base"), "qwen2")
    write_dataset(layout.DATASET, make_rows(24))
    tree = YAML(typ="safe").load(SMOKE)
    tree["students"] = {"tiny": dict(SETTINGS)}
    return Pipeline(patch, tree)


def written() -> set[Path]:
    """What later stages take up: rows, students, checkpoints."""
    found = {*layout.TOKENIZED.glob("*"), *layout.STUDENTS.glob("*"), *Path(".distill").glob("*/*/checkpoint-*")}
    return {path for path in found if not path.name.startswith(".")}
