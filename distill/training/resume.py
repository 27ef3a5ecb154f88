"""The checkpoints of a run, in `.distill/checkpoints/<hash of all that decides the run>/`.

    checkpoint-120/  adapter_model.safetensors  optimizer.pt  scheduler.pt  rng_state.pth  trainer_state.json  whole

A kill may leave a checkpoint half-written, so a file named `whole` is put there last: its existence is the flag. A
resumed run goes on bit for bit as if it had never stopped (on the CPU; GPU kernels differ between runs anyway).
"""

import logging
import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

MARKER = "whole"
EVERY_S = 60.0  # what an interruption may cost
log = logging.getLogger(__name__)


class Keeper(TrainerCallback):
    """Asks for a checkpoint every `EVERY_S` seconds of training, and marks each one that is whole."""

    def __init__(self) -> None:
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a checkpoint when it is time. After the last step the student itself is written instead."""
        due = time.monotonic() - self.saved >= EVERY_S
        control.should_save = _agreed(due, args) and state.global_step < state.max_steps

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark what was just written."""
        args.distributed_state.wait_for_everyone()  # every process writes a part
        self.saved = time.monotonic()
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / MARKER).touch()


def last_checkpoint(work: Path) -> str | None:
    """The newest whole checkpoint of a run, None without one. Those that are not whole are removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in found:
        if not (path / MARKER).exists():
            log.warning("%s is not whole: an interruption cut it short; it is removed", path.name)
            shutil.rmtree(path)
    whole = [path for path in found if path.exists()]
    return str(whole[-1]) if whole else None


def _agreed(due: bool, args: Any) -> bool:
    """The first process's word: clocks differ, and a checkpoint that only some processes write never ends."""
    if args.world_size == 1:
        return due
    from accelerate.utils import broadcast_object_list

    return bool(broadcast_object_list([due])[0])
