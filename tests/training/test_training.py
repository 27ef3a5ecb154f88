"""The real trainer on random tiny models: loss falls, runs resume bit for bit, what ships is what was trained."""

import copy
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from students import make_base, make_rows, write_dataset

from distill import layout, stage
from distill.config import StudentSettings
from distill.dataset.tokenize import tokenize
from distill.errors import DataError, Incomplete
from distill.models import ModelRevision, resolve_folder
from distill.training import checkpoint, sft

pytestmark = pytest.mark.training
SEED = 17


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    torch.set_num_threads(1)  # a model this small is slower on more
    write_dataset(layout.DATASET, make_rows(24))
    return tmp_path


def settings(method: str, **changed: Any) -> StudentSettings:
    lora = {"rank": 8, "alpha": 16} if method == "lora" else None
    plain = {"base": "base", "method": method, "lora": lora, "learning_rate": 2e-2, "epochs": 2, "batch_size": 8}
    return StudentSettings.model_validate(plain | changed)


def prepare(architecture: str, chosen: StudentSettings) -> tuple[ModelRevision, dict[str, Any]]:
    base = resolve_folder("tiny_base", str(make_base(Path("base"), architecture)))
    return base, tokenize("tiny", chosen, base, SEED)


def train(base: ModelRevision, proof: dict[str, Any], chosen: StudentSettings) -> sft.Trained:
    return sft.train("tiny", chosen, base, layout.TOKENIZED / "tiny", proof, SEED)


def ship(base: ModelRevision, proof: dict[str, Any], chosen: StudentSettings, trained: sft.Trained) -> dict[str, Any]:
    return checkpoint.ship("tiny", chosen, base, trained, proof, layout.TOKENIZED / "tiny")


def tensor_names(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())


# An adapter of a random base has little to work with, so its loss falls less.
@pytest.mark.parametrize(("architecture", "method", "fall"), [("qwen2", "full", 0.5), ("llama", "lora", 0.1)])
def test_a_student_from_rows_to_the_folder_that_ships(
    workspace: Path, architecture: str, method: str, fall: float, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    chosen = settings(method)
    base, proof = prepare(architecture, chosen)
    capfd.readouterr()
    trained = train(base, proof, chosen)
    metrics = ship(base, proof, chosen, trained)
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
    assert "base" in (folder / "README.md").read_text()
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
    chosen = settings("lora", epochs=1)
    base, proof = prepare("llama", chosen)
    hub = replace(base, model="owner/name")
    ship(hub, proof, chosen, train(hub, proof, chosen))
    adapter = json.loads((layout.STUDENTS / "tiny" / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "owner/name"
    assert "\nbase_model: owner/name\ntags:" in (layout.STUDENTS / "tiny" / "README.md").read_text()


class Killed(Exception):
    """Stands for an interruption."""


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("stop_at", [2, 4])  # in the first epoch, and in the second
def test_a_resumed_run_is_bit_for_bit_the_same(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, method: str, stop_at: int
) -> None:
    from distill.training import resume, watch

    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    chosen = settings(method, lora={"rank": 8, "alpha": 16, "dropout": 0.1} if method == "lora" else None)
    base, proof = prepare("qwen2", chosen)
    whole = train(base, proof, chosen)
    sft.finish(whole)

    note = watch.Watch.on_log

    def interrupt(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        note(self, args, state, control, **more)
        if state.global_step > stop_at:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(watch.Watch, "on_log", interrupt)
        with pytest.raises(Killed):
            train(base, proof, chosen)
    torn = whole.work / f"checkpoint-{stop_at + 1}"  # what a kill in the middle of writing leaves
    torn.mkdir(exist_ok=True)
    (torn / "trainer_state.json").write_text("{")
    resumed = train(base, proof, chosen)

    assert not torn.exists() or (torn / resume.MARKER).exists()
    assert resumed.metrics["loss"] == whole.metrics["loss"]
    expected, found = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_loss_that_is_no_number_stops_the_run(workspace: Path) -> None:
    chosen = settings("full", learning_rate=1e30)
    base, proof = prepare("qwen2", chosen)
    with pytest.raises(DataError, match=r"loss of tiny is (nan|inf) at step \d+; lower students.tiny.learning_rate"):
        train(base, proof, chosen)


def test_weights_that_are_not_the_model_do_not_ship(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distill.training import merge

    chosen = settings("full", epochs=1)
    base, proof = prepare("qwen2", chosen)
    trained = train(base, proof, chosen)
    write = merge.write_weights

    def write_noise(model: Any, *rest: Any) -> None:
        spoilt = copy.deepcopy(model)
        with torch.no_grad():
            for weight in spoilt.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.3)
        write(spoilt, *rest)

    monkeypatch.setattr(merge, "write_weights", write_noise)
    with pytest.raises(DataError, match="the checkpoint of tiny differs from the trained model"):
        ship(base, proof, chosen, trained)
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


def test_sigterm_leaves_a_run_that_goes_on(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage's handler raises `Incomplete` inside the run; nothing swallows it, and the rest is trained."""
    from distill.training import resume, watch

    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    chosen = settings("full")
    base, proof = prepare("qwen2", chosen)
    note = watch.Watch.on_log

    def terminate(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        note(self, args, state, control, **more)
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    stage.stop_on_signals()
    try:
        monkeypatch.setattr(watch.Watch, "on_log", terminate)
        with pytest.raises(Incomplete, match="interrupted by SIGTERM"):
            train(base, proof, chosen)
    finally:
        monkeypatch.setattr(watch.Watch, "on_log", note)
        for name, handler in before.items():
            signal.signal(name, handler)
    assert [step for step, _ in train(base, proof, chosen).metrics["loss"]] == [1, 2, 3, 4, 5, 6]
