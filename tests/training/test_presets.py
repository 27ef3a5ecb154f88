"""What params leave out is resolved from the rows and the base, and says from where."""

import json
from pathlib import Path
from typing import Any

import pytest

from distill.models import ModelRevision
from distill.students import StudentSettings
from distill.training.presets import PRESETS, preset_for, resolve

OPENTHOUGHTS = "preset {}, OpenThoughts3"


def base(folder: Path, model_type: str = "qwen2", hidden: int = 896) -> ModelRevision:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "hidden_size": hidden}))
    return ModelRevision("base", "base", str(folder), "sha256:0")


def settings(method: str = "full", **changed: Any) -> StudentSettings:
    lora = {"rank": 16, "alpha": 32} if method == "lora" else None
    return StudentSettings.model_validate({"base": "base", "method": method, "lora": lora} | changed)


@pytest.mark.parametrize(
    ("n_rows", "preset"),
    [(1, "micro"), (3_000, "micro"), (3_001, "small"), (10_000, "small"), (30_000, "medium"), (99_999, "medium"),
     (100_000, "large"), (5_000_000, "large")],
)  # fmt: skip
def test_the_rows_choose_the_preset(n_rows: int, preset: str, tmp_path: Path) -> None:
    assert preset_for(n_rows) == preset
    recipe, row = resolve(settings(), base(tmp_path), n_rows), PRESETS[preset]
    found = (recipe.learning_rate, recipe.epochs, recipe.batch_size, recipe.warmup_ratio)
    assert found == (row.learning_rate, row.epochs, row.batch_size, row.warmup_ratio)
    assert set(recipe.sources.values()) == {OPENTHOUGHTS.format(preset)}


def test_a_value_of_params_wins_and_a_preset_may_be_named(tmp_path: Path) -> None:
    recipe = resolve(settings(preset="large", epochs=2), base(tmp_path), 10)
    assert (recipe.epochs, recipe.batch_size) == (2, 512)
    assert recipe.sources["epochs"] == "params"
    assert recipe.describe().startswith("learning_rate 8e-05 (preset large, OpenThoughts3), epochs 2 (params), ")


@pytest.mark.parametrize(
    ("family", "hidden", "rate"),
    [("qwen2", 896, 5.3e-4), ("qwen2", 3584, 4.8e-4), ("qwen3", 4096, 4.7e-4), ("llama", 4096, 2.9e-4),
     ("mistral", 4096, 2e-4)],  # a family without a formula: ten times the full rate of the preset
)  # fmt: skip
def test_lora_has_a_rate_of_its_own(family: str, hidden: int, rate: float, tmp_path: Path) -> None:
    recipe = resolve(settings("lora"), base(tmp_path, family, hidden), 10_000)
    assert recipe.learning_rate == pytest.approx(rate, rel=0.02)
    assert "LoRA" in recipe.sources["learning_rate"]
    assert resolve(settings("lora", learning_rate=1e-5), base(tmp_path, family, hidden), 10).learning_rate == 1e-5
