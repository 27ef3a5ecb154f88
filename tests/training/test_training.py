"""The real trainer on random tiny models: loss falls, what ships is what was trained, and says how it was made."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from students import make_base
from trained import prepare

from distill import layout
from distill.errors import DataError
from distill.training import merge, sft

pytestmark = pytest.mark.training


def tensor_names(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())


# An adapter of a random base has little to work with, so its loss falls less.
@pytest.mark.parametrize(("architecture", "method", "fall"), [("qwen2", "full", 0.5), ("llama", "lora", 0.1)])
def test_a_student_from_rows_to_the_folder_that_ships(
    workspace: Path, architecture: str, method: str, fall: float, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    student = prepare(architecture, method)
    proof = student.audit
    capfd.readouterr()
    trained = student.train()
    metrics = student.ship(trained)
    sft.finish(trained)

    shown = capfd.readouterr()
    assert all(line.startswith("train tiny  ") for line in (shown.out + shown.err).splitlines()), "a library talks"
    first, last = metrics["loss"][0][1], metrics["loss"][-1][1]
    assert last < first - fall
    assert (metrics["rows"], metrics["steps"], len(metrics["loss"])) == (24, 6, 6)
    assert metrics["tokens"] == 2 * proof["tokens"]
    assert 0 < metrics["parity"]["mean_nats"] < 0.05
    assert f"24 rows x 2 epochs, 6 steps, loss {first:.2f} -> {last:.2f}" in sft.describe(metrics)

    folder = layout.STUDENTS / "tiny"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    adapter = {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"} if method == "lora" else set()
    assert names == adapter | {
        "README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == Path("base", name).read_bytes()
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == proof["end_of_turn"]
    for path in (path for path in folder.rglob("*") if path.suffix in {".md", ".json"}):
        assert str(workspace) not in path.read_text(), f"{path} holds a path of this machine"
    card = (folder / "README.md").read_text()
    assert "2 epochs (params), 6 steps of 8 rows (params); rows of like length together, padded; " in card
    assert "warm-up 0.1 (preset micro, OpenThoughts3)" in card
    assert metrics["recipe"]["sources"]["warmup_ratio"] == "preset micro, OpenThoughts3"
    assert 0.5 < metrics["useful_token_share"] <= 1
    assert metrics["documents_per_step"] == 8
    assert json.dumps(metrics)
    assert not list(Path(".distill/checkpoints").iterdir()), "checkpoints are left"

    assert tensor_names(folder) == tensor_names(Path("base")), "tied weights are written twice, or some are missing"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 2 + 2?"}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    )  # fmt: skip
    assert model.generate(**asked, max_new_tokens=3, do_sample=False).shape[1] > asked["input_ids"].shape[1]


def test_an_adapter_names_its_base_not_the_folder_it_was_read_from(workspace: Path) -> None:
    """A base of the hub lies in a cache of this machine, which an adapter that ships must not point to."""
    student = prepare("llama", "lora", epochs=1)
    student = replace(student, base=replace(student.base, model="owner/name"))
    student.audit["dataset"] |= {"policy": "verified", "sampling": {"temperature": 0.6, "max_tokens": 640}}
    student.ship(student.train())
    adapter = json.loads((layout.STUDENTS / "tiny" / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "owner/name"
    card = (layout.STUDENTS / "tiny" / "README.md").read_text()
    assert "\nbase_model: owner/name\ntags:" in card
    assert "| policy | `verified` |\n" in card
    assert "| teacher's sampling | temperature 0.6, max_tokens 640 |\n" in card


def test_a_context_of_its_own_is_trained_and_shipped(workspace: Path) -> None:
    """Were RoPE's theta changed in training alone, what is served would be another model."""
    student = prepare("qwen2", epochs=1, rope={"max_position_embeddings": 4096, "theta": 500.0})
    trained = student.train()
    parity = student.ship(trained)["parity"]
    shipped = json.loads((layout.STUDENTS / "tiny" / "config.json").read_text())
    assert (shipped["max_position_embeddings"], trained.model.config.max_position_embeddings) == (4096, 4096)
    assert shipped["rope_parameters"]["rope_theta"] == 500.0
    assert trained.model.config.rope_parameters["rope_theta"] == 500.0
    assert parity["mean_nats"] < 0.05


@pytest.mark.parametrize("method", ["full", "lora"])
def test_weights_that_ship_in_fp32_are_the_trained_ones(workspace: Path, method: str) -> None:
    student = prepare("llama", method, epochs=1)
    trained = student.train()
    rounded = student.ship(trained)["parity"]["mean_nats"]
    exact = student.ship(trained, ship_dtype="float32")["parity"]["mean_nats"]
    assert exact < 1e-5 < rounded
    assert json.loads((layout.STUDENTS / "tiny" / "config.json").read_text())["dtype"] == "float32"
    assert "| weights | fp32; log-probabilities" in (layout.STUDENTS / "tiny" / "README.md").read_text()


def test_weights_that_are_not_the_model_do_not_ship(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = prepare("qwen2", epochs=1)
    trained = student.train()
    write = merge.write_weights

    def write_noise(model: Any, *rest: Any) -> None:
        spoilt = copy.deepcopy(model)
        with torch.no_grad():
            for weight in spoilt.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.3)
        write(spoilt, *rest)

    monkeypatch.setattr(merge, "write_weights", write_noise)
    cure = (
        r"the checkpoint of tiny differs from the trained model .* set students.tiny.ship_dtype: float32 and run again"
    )
    with pytest.raises(DataError, match=cure):
        student.ship(trained)
    assert not (layout.STUDENTS / "tiny").exists()


def test_cpu_loss_is_trls_loss(workspace: Path) -> None:
    """The head on trained columns alone gives what the model's own loss gives."""
    from transformers import AutoModelForCausalLM

    from distill.training.trainer import masked_loss

    model = AutoModelForCausalLM.from_pretrained(make_base(Path("base"), "llama"), dtype=torch.float32)
    ids = torch.randint(0, 200, (3, 12))
    labels = ids.clone()
    labels[:, :4], labels[1, 9:] = -100, -100
    inputs = {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)}
    expected = model(**inputs).loss.detach()
    assert math.isclose(float(masked_loss(model, inputs).detach()), float(expected), rel_tol=1e-6)
    n_trained = int((labels[:, 1:] != -100).sum())
    half = float(masked_loss(model, inputs, torch.tensor(2 * n_trained)).detach())
    assert math.isclose(half, float(expected) / 2, rel_tol=1e-6)
