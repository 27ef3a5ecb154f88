"""A run that is stopped goes on bit for bit, however it was stopped: full and LoRA, on the CPU."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from trained import Student, prepare

from distill import stage
from distill.errors import Incomplete
from distill.training import resume, sft, watch

pytestmark = pytest.mark.training
KILLED_AT = 4  # in the second epoch
KILL_ITSELF = f"""
import os, pickle, signal, sys
from distill.training import resume, watch
resume.EVERY_S = 0.0
note = watch.Watch.on_log
def on_log(self, args, state, control, **more):
    note(self, args, state, control, **more)
    if state.global_step > {KILLED_AT}:
        os.kill(os.getpid(), signal.SIGKILL)
watch.Watch.on_log = on_log
import torch
torch.set_num_threads(1)
pickle.load(open("student.pickle", "rb")).train()
"""


class Killed(Exception):
    """Stands for an interruption."""


def interrupt_after(step: int, how: Any) -> Any:
    """A `Watch.on_log` that takes in its step and then interrupts the run."""
    note = watch.Watch.on_log

    def on_log(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        note(self, args, state, control, **more)
        if state.global_step > step:
            how()

    return on_log


def require_equal(found: sft.Trained, expected: sft.Trained) -> None:
    assert found.metrics["loss"] == expected.metrics["loss"]
    weights, mine = expected.model.state_dict(), found.model.state_dict()
    assert all(torch.equal(weights[name], mine[name]) for name in weights)


def with_dropout(method: str, **changed: Any) -> Student:
    """Dropout draws at random, so a resumed run needs the state of the generator too."""
    lora = {"lora": {"rank": 8, "alpha": 16, "dropout": 0.1}} if method == "lora" else {}
    return prepare("qwen2", method, **lora, **changed)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("stop_at", [2, 4])  # in the first epoch, and in the second
@pytest.mark.parametrize("packing", ["none", "bfd"])
def test_a_resumed_run_is_bit_for_bit_the_same(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, method: str, stop_at: int, packing: str
) -> None:
    def fail() -> None:
        raise Killed

    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    student = with_dropout(method, packing=packing)
    whole = student.train()
    sft.finish(whole)
    with monkeypatch.context() as patched:
        patched.setattr(watch.Watch, "on_log", interrupt_after(stop_at, fail))
        with pytest.raises(Killed):
            student.train()
    torn = whole.work / f"checkpoint-{stop_at + 1}"  # what a kill in the middle of writing leaves
    torn.mkdir(exist_ok=True)
    (torn / "trainer_state.json").write_text("{")
    require_equal(student.train(), whole)
    assert (whole.work / f"broken-{torn.name}").exists()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_killed_by_sigkill_goes_on_bit_for_bit(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    import pickle

    student = with_dropout(method)
    whole = student.train()
    sft.finish(whole)
    Path("student.pickle").write_bytes(pickle.dumps(student))
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    done = subprocess.run([sys.executable, "-c", KILL_ITSELF], env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(whole.work.glob(f"checkpoint-{KILLED_AT}/whole"))
    require_equal(student.train(), whole)


def test_sigterm_leaves_a_run_that_goes_on(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage's handler raises `Incomplete` inside the run; nothing swallows it, and the rest is trained."""
    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
    student = prepare("qwen2")
    stage.stop_on_signals()
    try:
        with monkeypatch.context() as patched:
            terminate = interrupt_after(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
            patched.setattr(watch.Watch, "on_log", terminate)
            with pytest.raises(Incomplete, match="interrupted by SIGTERM"):
                student.train()
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    assert [step for step, _ in student.train().metrics["loss"]] == [1, 2, 3, 4, 5, 6]
