"""The train stage in several processes: what is asked for, who is to blame, the same losses, and no orphan."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file
from students import make_base, make_rows, write_dataset

from distill import config, layout
from distill.dataset.tokenize import tokenize
from distill.errors import ConfigError, DataError, Incomplete
from distill.models import ModelRevision, resolve_folder, write_revision
from distill.students import StudentSettings
from distill.training import checkpoint, launch, sft
from distill.training.processes import fill
from distill.training.shapes import read_shapes, require_shapes

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "pipelines" / "profiles" / "accelerate"
SEED = 17
PATIENCE_S = 120
pytestmark = pytest.mark.timeout(300)  # three processes import torch and TRL, on two cores

# ------------------------------------------------------------------ what is asked for


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine with so many GPUs, and this in its environment."""

    def be(gpus: int, **environment: str) -> None:
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(launch, "_count_gpus", lambda: gpus)
        for name in ("DISTILL_LAUNCH", "DISTILL_PROCESSES"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(f"DISTILL_{name}", value)

    return be


FSDP2 = "pipelines/profiles/accelerate/fsdp2.yaml"
ZERO3 = "pipelines/profiles/accelerate/zero3.yaml"


@pytest.mark.parametrize(
    ("gpus", "environment", "expected"),
    [
        (0, {}, None),
        (1, {}, None),
        (8, {}, launch.Launch(8, launch.PLAIN)),
        (8, {"PROCESSES": "1"}, None),
        (8, {"PROCESSES": "4"}, launch.Launch(4, launch.PLAIN)),
        (0, {"PROCESSES": "2"}, launch.Launch(2, launch.PLAIN)),
        (8, {"LAUNCH": FSDP2}, launch.Launch(8, Path(FSDP2))),
        (1, {"LAUNCH": FSDP2}, launch.Launch(1, Path(FSDP2))),  # asked for by name: with offloading it makes sense
    ],
)
def test_plan(machine: Any, gpus: int, environment: dict[str, str], expected: launch.Launch | None) -> None:
    machine(gpus, **environment)
    assert launch.plan() == expected


@pytest.mark.parametrize(
    ("gpus", "environment", "sentence"),
    [
        (8, {"PROCESSES": "many"}, "DISTILL_PROCESSES must be a count of at least 1, got 'many'"),
        (8, {"PROCESSES": "0"}, "DISTILL_PROCESSES must be a count of at least 1, got '0'"),
        (4, {"PROCESSES": "8"}, "DISTILL_PROCESSES is 8 but this machine has 4 GPUs; lower it"),
        (8, {"LAUNCH": "fsdp.yaml"}, "DISTILL_LAUNCH is fsdp.yaml, which is no file; pipelines/profiles/accelerate"),
        (0, {"LAUNCH": FSDP2}, "fsdp2.yaml shares a model between GPUs and there is none; .*/ddp.yaml runs on CPUs"),
    ],
)
def test_what_cannot_be_had_is_refused(machine: Any, gpus: int, environment: dict[str, str], sentence: str) -> None:
    machine(gpus, **environment)
    with pytest.raises(ConfigError, match=sentence):
        launch.plan()


def test_a_missing_deepspeed_is_named_with_its_cure(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(8, LAUNCH=ZERO3)
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"not installed: pip install deepspeed, or DISTILL_LAUNCH=.*fsdp2.yaml"):
        launch.plan()
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda _: object())
    assert launch.plan() == launch.Launch(8, Path(ZERO3))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_the_configs(path: Path) -> None:
    """accelerate knows every key and takes each as its launcher's option; shared weights are gathered whole."""
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    config = load_config_from_file(str(path))
    options = ["--config_file", str(path), "--num_processes", "2", "--module", "pipelines.train", "tiny"]
    found, *_ = _validate_launch_command(launch_command_parser().parse_args(options))
    assert (found.mixed_precision, found.num_processes, found.num_machines) == ("bf16", 2, 1)
    assert (found.multi_gpu, found.use_fsdp, found.use_deepspeed) == tuple(
        path.stem == name for name in ("ddp", "fsdp2", "zero3")
    )
    unknown = {*config.fsdp_config, *config.deepspeed_config} - vars(found).keys()
    assert not unknown
    if found.use_fsdp:
        assert (found.fsdp_version, found.fsdp_state_dict_type) == (2, "FULL_STATE_DICT")
    if found.use_deepspeed:
        assert (found.zero_stage, found.zero3_save_16bit_model) == (3, True)


# ------------------------------------------------------------------ who is to blame


def failure(exitcode: int, said: str = "", at: int = 0) -> Any:
    """What torch's launcher knows of a process that ended."""
    name = signal.Signals(-exitcode).name if exitcode < 0 else "n/a"
    message: Any = {"message": said} if said else "no error file"
    return SimpleNamespace(exitcode=exitcode, message=message, timestamp=at, signal_name=lambda: name)


@pytest.mark.parametrize(
    ("failures", "kind", "sentence"),
    [
        (
            {0: failure(2, "ConfigError: batch_size 7"), 1: failure(2, "ConfigError: batch_size 7")},
            ConfigError,
            "^batch",
        ),
        (
            {0: failure(75, "Incomplete: SIGTERM", 3), 1: failure(1, "DataError: loss: nan", 4)},
            DataError,
            "^loss: nan$",
        ),
        (
            {0: failure(1, "RuntimeError: peer gone\nat x", 3), 1: failure(-9, at=4)},
            DataError,
            "process 1 of 2.*SIGKILL",
        ),
        ({0: failure(1, "OutOfMemoryError: full", 3), 1: failure(-9, at=33)}, DataError, "process 0 of 2.*full; "),
        ({0: failure(75, "Incomplete: SIGTERM", 3), 1: failure(-9, at=4)}, DataError, "process 1 of 2.*SIGKILL"),
        ({1: failure(75, "Incomplete: interrupted")}, Incomplete, "^interrupted$"),
    ],
)
def test_root_cause(failures: dict[int, Any], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        raise launch.root_cause(failures, 2)


# ------------------------------------------------------------------ whole weights


def test_a_gathered_model_is_whole_or_refused() -> None:
    from transformers import AutoModelForCausalLM, Qwen2Config

    shape = {"vocab_size": 32, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    chosen = Qwen2Config(**shape, num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True)
    trained, plain = (AutoModelForCausalLM.from_config(chosen) for _ in range(2))
    weights = trained.state_dict()
    del weights["lm_head.weight"]  # the embedding's own tensor, which a gather names once
    filled = fill(plain, weights).state_dict()
    assert all(torch.equal(tensor, filled[name]) for name, tensor in trained.state_dict().items())
    lost = weights.pop("model.norm.weight")
    with pytest.raises(DataError, match=r"model.norm.weight did not come back .*1 weights missing, 0 unknown"):
        fill(plain, weights)
    with pytest.raises(DataError, match="0 weights missing, 1 unknown"):
        fill(plain, weights | {"model.norm.weight": lost, "module.norm": lost})


@pytest.mark.parametrize(
    ("written", "tied", "sentence"),
    [
        ({"norm": (4,), "embed": (8, 4), "lm_head.weight": (8, 4)}, False, None),
        ({"norm": (4,), "embed": (8, 4)}, True, None),
        (
            {"norm": (4,), "embed": (8, 4)},
            False,
            r"lm_head.weight is missing in the checkpoint and \(8, 4\) in its base",
        ),
        ({"norm": (0,), "embed": (8, 4)}, True, r"norm is \(0,\) in the checkpoint and \(4,\) in its base"),
        ({"norm": (4,), "embed": (4, 4)}, True, r"embed is \(4, 4\) in the checkpoint and \(8, 4\)"),
        ({"norm": (4,), "embed": (8, 4), "extra": (1,)}, True, r"extra is \(1,\) in the checkpoint and missing"),
    ],
)
def test_sizes_are_checked(
    tmp_path: Path, written: dict[str, tuple[int, ...]], tied: bool, sentence: str | None
) -> None:
    folders = []
    for name, shapes in (("base", {"norm": (4,), "embed": (8, 4), "lm_head.weight": (8, 4)}), ("student", written)):
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        (folders[-1] / "config.json").write_text(json.dumps({"tie_word_embeddings": tied}))
        save_file({key: torch.zeros(shape) for key, shape in shapes.items()}, folders[-1] / "model.safetensors")
    if sentence is None:
        return require_shapes(*folders)
    with pytest.raises(DataError, match=sentence):
        require_shapes(*folders)


# ------------------------------------------------------------------ two processes on the CPU


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    torch.set_num_threads(1)
    write_dataset(layout.DATASET, make_rows(24))
    yield tmp_path
    for process in trainers(tmp_path):
        process.kill()


def prepare(architecture: str, **changed: Any) -> tuple[StudentSettings, ModelRevision, dict[str, Any]]:
    """All that the stages before train leave, for a student called tiny."""
    plain = {"base": "base", "method": "full", "learning_rate": 2e-2, "epochs": 2, "batch_size": 8}
    chosen = StudentSettings.model_validate(plain | changed)
    base = resolve_folder("tiny_base", str(make_base(Path("base"), architecture)))
    write_revision(base)
    tree = config.load(ROOT / "pipelines/profiles/smoke.yaml").model_dump(mode="json", exclude_unset=True)
    tree |= {"seed": SEED, "students": {"tiny": chosen.model_dump(exclude_unset=True)}}
    Path("params.yaml").write_text(json.dumps(tree))  # JSON is YAML
    return chosen, base, tokenize("tiny", chosen, base, SEED)


def stage(folder: Path, module: str = "pipelines.train", shared: str = "ddp") -> subprocess.Popen[str]:
    """The stage as DVC runs it, on two CPUs."""
    environment = os.environ | {
        "DISTILL_PROCESSES": "2", "DISTILL_LAUNCH": str(CONFIGS / f"{shared}.yaml"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }  # fmt: skip
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        command = [sys.executable, "-m", module, "tiny"]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err, text=True)


def trainers(folder: Path, rank: str | None = None) -> list[psutil.Process]:
    """Living processes of the stage in a folder; of one rank, or all of them and their launcher."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.cwd() == str(folder) and "pipelines.train" in process.cmdline()
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found += [process] if rank is None or process.environ().get("RANK") == rank else []
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"no {what} after {PATIENCE_S} s"
        time.sleep(0.2)


# bf16 keeps 8 bits of a gradient, and two processes round two halves of it where one rounds the whole. Seen: 2e-4; by
# FSDP, which rounds weights where autocast rounds products, 2e-3.
TOLERANCE_NATS = 2e-3
FSDP_TOLERANCE_NATS = 1e-2


LORA = {"method": "lora", "lora": {"rank": 8, "alpha": 16}}


@pytest.mark.training
@pytest.mark.parametrize(
    ("architecture", "changed"),
    [
        ("qwen2", {}),
        ("llama", LORA),
        # Steps of 22 and of 2 rows, of which 11 a process are dealt at once: one process trains 2, the other none.
        ("qwen2", {"batch_size": 22}),
        ("llama", {"batch_size": 22, "packing": "bfd"}),
    ],
    ids=["full", "lora", "uneven", "uneven-packed"],
)
def test_two_processes_learn_what_one_learns(workspace: Path, architecture: str, changed: dict[str, Any]) -> None:
    from transformers import AutoModelForCausalLM

    chosen, base, proof = prepare(architecture, **changed)
    alone = sft.train("tiny", chosen, base, layout.TOKENIZED / "tiny", proof, SEED)
    sft.finish(alone)
    process = stage(workspace)
    assert process.wait(PATIENCE_S) == 0, Path("err").read_text()

    metrics = json.loads((layout.METRICS / "train_tiny.json").read_text())
    assert [step for step, _ in metrics["loss"]] == [step for step, _ in alone.metrics["loss"]]
    gaps = [abs(a - b) for (_, a), (_, b) in zip(metrics["loss"], alone.metrics["loss"], strict=True)]
    fall = alone.metrics["loss"][0][1] - alone.metrics["loss"][-1][1]
    assert max(gaps) < TOLERANCE_NATS < fall / 50
    assert gaps[0] < 1e-5  # before any update
    for name in ("tokens", "tokens_per_step", "documents_per_step"):
        assert metrics[name] == alone.metrics[name], "a row is trained twice, or not at all"
    assert len(Path("out").read_text().splitlines()) == 1, "a process talks, or two say the same"

    folder = layout.STUDENTS / "tiny"
    AutoModelForCausalLM.from_pretrained(folder)
    assert read_shapes(folder) == read_shapes(Path("base"))
    examples = checkpoint.read_examples(layout.TOKENIZED / "tiny")
    apart = checkpoint.merge.measure_parity(alone.model, folder, [next(examples)])
    assert apart["mean_nats"] < 0.1
    assert not list(Path(".distill/checkpoints").iterdir()), "checkpoints are left"
    assert not trainers(workspace)


@pytest.mark.training
@pytest.mark.parametrize(("architecture", "changed"), [("qwen2", {}), ("llama", LORA)], ids=["full-tied", "lora"])
def test_fsdp2_learns_and_ships_what_one_process_does(
    workspace: Path, architecture: str, changed: dict[str, Any]
) -> None:
    chosen, base, proof = prepare(architecture, **changed)
    alone = sft.train("tiny", chosen, base, layout.TOKENIZED / "tiny", proof, SEED)
    sft.finish(alone)
    assert stage(workspace, "fsdp_on_cpu", "fsdp2").wait(PATIENCE_S) == 0, Path("err").read_text()
    metrics = json.loads((layout.METRICS / "train_tiny.json").read_text())
    gaps = [abs(a - b) for (_, a), (_, b) in zip(metrics["loss"], alone.metrics["loss"], strict=True)]
    fall = alone.metrics["loss"][0][1] - alone.metrics["loss"][-1][1]
    assert max(gaps) < FSDP_TOLERANCE_NATS < fall / 5
    assert read_shapes(layout.STUDENTS / "tiny") == read_shapes(Path("base"))
    examples = checkpoint.read_examples(layout.TOKENIZED / "tiny")
    apart = checkpoint.merge.measure_parity(alone.model, layout.STUDENTS / "tiny", [next(examples)])
    assert apart["mean_nats"] < 0.05
    assert not list(Path(".distill/checkpoints").iterdir()), "checkpoints are left"


@pytest.mark.training
@pytest.mark.parametrize(
    ("victim", "signum", "code", "sentence"),
    [
        ("1", signal.SIGKILL, 1, "process 1 of 2 ended: by SIGKILL"),
        ("launcher", signal.SIGTERM, 75, "interrupted by SIGTERM; the same command goes on from here"),
        ("launcher", signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_one_process_gone_ends_all(workspace: Path, victim: str, signum: int, code: int, sentence: str) -> None:
    prepare("qwen2", epochs=100_000)
    process = stage(workspace)
    wait_for(lambda: "steps" in Path("err").read_text(), "step")
    target = process.pid if victim == "launcher" else trainers(workspace, victim)[0].pid
    os.kill(target, signum)
    assert process.wait(PATIENCE_S) == code, Path("err").read_text()
    wait_for(lambda: not trainers(workspace), "end of every process")
    said = [line for line in Path("err").read_text().splitlines() if line.startswith("train_tiny  ")]
    assert len(said) == (1 if sentence else 0)
    assert sentence in "".join(said)
    assert not (layout.STUDENTS / "tiny").exists()


@pytest.mark.training
def test_a_batch_that_cannot_be_dealt_ends_as_one_sentence(workspace: Path) -> None:
    prepare("qwen2", batch_size=7)
    assert stage(workspace).wait(PATIENCE_S) == ConfigError.exit_code
    sentence = "batch_size 7 is no multiple of the 2 processes launched; set batch_size to one, or DISTILL_PROCESSES"
    assert Path("err").read_text() == f"train_tiny  {sentence} to a divisor of it\n"
