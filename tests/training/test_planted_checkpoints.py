"""A checkpoint that is not whole, or of another run, is not gone on from."""

import re
from pathlib import Path
from typing import Any

import pytest
from planted import STAGES, Pipeline

from distill.training import resume
from distill.training.watch import Watch

pytestmark = pytest.mark.training


class Killed(Exception):
    """Stands for an interruption."""


def interrupt(pipeline: Pipeline, after: int) -> Path:
    """Train until a checkpoint is there, and stop. Returns the folder of the run's checkpoints."""
    note = Watch.on_log

    def on_log(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        note(self, args, state, control, **more)
        if state.global_step > after:
            raise Killed

    pipeline.patch.setattr(resume, "EVERY_S", 0.0)
    pipeline.patch.setattr(Watch, "on_log", on_log)
    with pytest.raises(Killed):
        pipeline.run("load", lambda _: None)
    pipeline.patch.setattr(Watch, "on_log", note)
    pipeline.reached.clear()
    return next(Path(".distill/checkpoints").iterdir())


def test_a_half_written_checkpoint_is_set_aside(pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    newest = interrupt(pipeline, 3) / "checkpoint-3"
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    pipeline.run("load", lambda _: None)
    assert pipeline.reached == list(STAGES)
    assert re.search(
        r"checkpoint-3 cannot be used: model.safetensors has [\d,]+ of [\d,]+ bytes; it is set aside as broken-",
        caplog.text,
    )


@pytest.mark.parametrize("changed", [{"learning_rate": 1e-2}, {"batch_size": 12}, {"max_length": 400}])
def test_a_checkpoint_of_other_settings_is_not_gone_on_from(pipeline: Pipeline, changed: dict[str, Any]) -> None:
    old = interrupt(pipeline, 3)
    began_at: list[int] = []
    begin = Watch.on_train_begin

    def on_train_begin(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        began_at.append(state.global_step)
        begin(self, args, state, control, **more)

    pipeline.patch.setattr(Watch, "on_train_begin", on_train_begin)
    pipeline.run("load", lambda p: p.student.update(changed))
    assert began_at == [0]
    assert (old / "checkpoint-3").exists(), "the other run could go on no more"
