"""What a run does where `params.yaml` is silent, by the number of rows and the kind of student.

    Recipe(preset="small", learning_rate=2e-05, epochs=7, batch_size=96, warmup_ratio=0.1,
           sources={"learning_rate": "preset small (OpenThoughts3)", "epochs": "params", …})

The presets are OpenThoughts3's settings for Qwen2.5-7B-Instruct, found in more than a thousand runs (arXiv 2506.04178).
A LoRA run needs about ten times the learning rate of a full one ("LoRA Without Regret"); its formula is
tinker-cookbook's. Everything follows from params, the rows and the base's config.json, so equal inputs give equal runs.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.models import ModelRevision
from distill.students import StudentSettings

RESOLVED = ("learning_rate", "epochs", "batch_size", "warmup_ratio")
LORA_EXPONENTS = {"qwen": 0.0775, "llama": 0.781}  # by the start of model_type
LORA_FACTOR = 10.0  # over the full rate, where the family has no exponent


@dataclass(frozen=True, slots=True)
class Preset:
    """One row of OpenThoughts3's table; `rows` is where it begins."""

    rows: int
    learning_rate: float
    epochs: int
    batch_size: int
    warmup_ratio: float = 0.1


PRESETS = {
    "micro": Preset(0, 1e-5, 13, 32),
    "small": Preset(3_001, 2e-5, 7, 96),
    "medium": Preset(30_000, 4e-5, 5, 128),
    "large": Preset(100_000, 8e-5, 5, 512),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The values of a run, and where each came from."""

    preset: str
    learning_rate: float
    epochs: int
    batch_size: int
    warmup_ratio: float
    sources: dict[str, str]

    def describe(self) -> str:
        """As one line: `learning_rate 2e-05 (preset small, OpenThoughts3), epochs 3 (params), …`."""
        return ", ".join(f"{name} {getattr(self, name):g} ({self.sources[name]})" for name in RESOLVED)


def resolve(settings: StudentSettings, base: ModelRevision, n_rows: int) -> Recipe:
    """Fill in what params leave out, for a training on `n_rows` rows."""
    name = preset_for(n_rows) if settings.preset == "auto" else settings.preset
    found: dict[str, tuple[Any, str]] = {
        key: (getattr(PRESETS[name], key), f"preset {name}, OpenThoughts3") for key in RESOLVED
    }
    if settings.method == "lora":
        found["learning_rate"] = lora_learning_rate(Path(str(base.path)), PRESETS[name].learning_rate)
    found |= {key: (given, "params") for key in RESOLVED if (given := getattr(settings, key)) is not None}
    return Recipe(
        preset=name,
        sources={key: source for key, (_, source) in found.items()},
        **{key: value for key, (value, _) in found.items()},
    )


def preset_for(n_rows: int) -> str:
    """The largest preset that begins at or below so many rows."""
    return max((preset.rows, name) for name, preset in PRESETS.items() if preset.rows <= n_rows)[1]


def lora_learning_rate(base: Path, full: float) -> tuple[float, str]:
    """LoRA's rate and its source: 5e-5 x 10 x (2000 / hidden size)^P, else ten times the full rate.

    Qwen2.5-0.5B gets 5.3e-4, Qwen2.5-7B 4.8e-4, Llama-3.1-8B 2.9e-4.
    """
    config = json.loads((base / "config.json").read_text())
    family, hidden = str(config["model_type"]), int(config["hidden_size"])
    for start, exponent in LORA_EXPONENTS.items():
        if family.startswith(start):
            rate = 5e-5 * 10 * (2000 / hidden) ** exponent
            return float(f"{rate:.3g}"), f"LoRA formula of tinker-cookbook, {start}, hidden {hidden}"
    return LORA_FACTOR * full, f"ten times the full rate, LoRA Without Regret; no formula for {family}"
