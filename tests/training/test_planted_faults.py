"""Planted faults: each stops the stage where it matters, in one sentence that names the cure."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from trained import Student, prepare

from distill import config, layout
from distill.errors import ConfigError, DataError

ROWS = layout.TOKENIZED / "tiny"
ROOT = Path(__file__).parents[2]


def change_weights(_: Student) -> None:
    with Path("base/model.safetensors").open("ab") as file:
        file.write(b"x")


def lose_a_shard(_: Student) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    Path("base/model.safetensors.index.json").write_text(json.dumps(index))
    Path("base/model.safetensors").rename("base/model-00001-of-00002.safetensors")


def edit_json(path: str, **changed: Any) -> Callable[[Student], None]:
    def edit(student: Student) -> None:
        content = json.loads(Path(path).read_text()) | changed
        Path(path).write_text(json.dumps(content))
        student.audit["base"] = _revision()  # as if the rows had been made with it

    return edit


def _revision() -> str:
    from distill.models import resolve_folder

    return resolve_folder("tiny_base", "base").revision


def swap_rows(_: Student) -> None:
    part = next(ROWS.glob("*.parquet"))
    shutil.copyfile(next((layout.DATASET / "data").glob("*.parquet")), part)


FAULTS: list[tuple[Callable[[Student], object], str]] = [
    (lambda s: s.audit.update(base="sha256:other"),
     r"the rows of tiny were made for sha256:other but its base is sha256:\w+; `dvc repro models tokenize@tiny`"),
    (change_weights, r"the files of \S*base changed after its rows were made; `dvc repro models tokenize@tiny`"),
    (lose_a_shard, r"base lacks model-00002-of-00002.safetensors, a part of its weights; fetch the model again"),
    (lambda _: [part.unlink() for part in ROWS.glob("*.parquet")],
     r"tokenized/tiny holds no rows; `dvc repro tokenize@tiny` makes and proves them again"),
    (swap_rows, r"part-00000.parquet is not the file that was audited; `dvc repro tokenize@tiny`"),
    (lambda _: shutil.copyfile(ROWS / "part-00000.parquet", ROWS / "part-00001.parquet"),
     r"part-00001.parquet is not in its audit; `dvc repro tokenize@tiny`"),
    (lambda s: s.audit["files"].update({"part-00009.parquet": ""}), r"part-00009.parquet is missing; `dvc repro"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "sentence"), FAULTS)
def test_what_does_not_belong_together_is_not_trained(
    workspace: Path, plant: Callable[[Student], object], sentence: str
) -> None:
    student = prepare("qwen2")
    plant(student)
    with pytest.raises(DataError, match=sentence):
        student.train()


def at_its_base(plant: Callable[[Student], object]) -> Student:
    """A student whose base was spoilt before everything else, so that every hash agrees."""
    from dataclasses import replace

    student = prepare("llama")
    plant(student)
    revision = _revision()
    return replace(student, base=replace(student.base, revision=revision), audit=student.audit | {"base": revision})


def test_weights_of_another_vocabulary(workspace: Path) -> None:
    student = at_its_base(edit_json("base/config.json", vocab_size=100))
    with pytest.raises(
        DataError, match=r"tokenizer of \S*base has 26\d tokens but its weights know 100; they are of two"
    ):
        student.train()


@pytest.mark.training
def test_weights_that_are_not_there_are_not_drawn_at_random(workspace: Path) -> None:
    def drop(_: Student) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file("base/model.safetensors")
        del weights["model.layers.1.mlp.up_proj.weight"]
        save_file(weights, "base/model.safetensors", metadata={"format": "pt"})

    with pytest.raises(
        DataError, match=r"lacks 1 weights that its config.json names, model.layers.1.mlp.up_proj.weight"
    ):
        at_its_base(drop).train()


def test_rows_beyond_the_context(workspace: Path) -> None:
    student = at_its_base(edit_json("base/config.json", max_position_embeddings=64))
    cure = r"its context is 64; lower students.tiny.max_length, or set students.tiny.rope.max_position_embeddings"
    with pytest.raises(ConfigError, match=cure):
        student.train()


@pytest.mark.training
def test_a_loss_that_is_no_number(workspace: Path) -> None:
    with pytest.raises(DataError, match=r"loss of tiny is (nan|inf) at step \d+; lower students.tiny.learning_rate"):
        prepare("qwen2", learning_rate=1e30).train()


LORA = [
    ({"rank": 24}, "lora.rank must be 1, 8, 16, 32, 64, 128, 256, 320 or 512, got 24"),
    (
        {"target_modules": ["q_proj", "lm_head"]},
        "lora.target_modules: lm_head gets no adapter that trains and is served",
    ),
    ({"target_modules": ["embed_tokens"]}, "lora.target_modules: embed_tokens gets no adapter"),
    ({"modules_to_save": ["lm_head"]}, "lora: modules_to_save is refused by vLLM in an adapter; remove it, or train"),
    ({"use_dora": True}, "lora: use_dora is refused by vLLM; remove it"),
]


@pytest.mark.parametrize(("block", "sentence"), LORA)
def test_an_adapter_that_cannot_be_served_is_refused_at_load(block: dict[str, Any], sentence: str) -> None:
    tree = YAML(typ="safe").load(ROOT / "params.yaml")
    tree["students"]["smollm2_135m"]["lora"] = block
    with pytest.raises(ConfigError) as caught:
        config.parse(tree)
    assert f"students.smollm2_135m.{sentence}" in str(caught.value)
