"""The checkpoints of a run, in `.distill/checkpoints/<hash of all that decides the run>/`.

    checkpoint-120/  adapter_model.safetensors  optimizer.pt  scheduler.pt  rng_state.pth  trainer_state.json  whole

`whole` is written last and holds the size and sha256 of every other file, so a checkpoint that a kill cut short, or
that a disk lost a part of, is known before it is used. Such a one is set aside as `broken-checkpoint-120` and the one
before it is taken. A resumed run goes on bit for bit as if it had never stopped (on the CPU; GPU kernels differ between
runs anyway).
"""

import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from distill.shards import sha256

MARKER = "whole"
STATE = "trainer_state.json"
EVERY_S = 60.0  # what an interruption may cost
CHEAP_S = 3.0  # a checkpoint that takes longer is taken as much less often: saving is a twentieth of the time at most
log = logging.getLogger(__name__)


class Keeper(TrainerCallback):
    """Asks for a checkpoint every `EVERY_S` seconds of training, and seals each one."""

    def __init__(self) -> None:
        self.saved = self.asked = time.monotonic()
        self.cost_s = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a checkpoint when it is time. After the last step the student itself is written instead."""
        self.asked = time.monotonic()
        due = self.asked - self.saved >= EVERY_S * max(1.0, self.cost_s / CHEAP_S)
        control.should_save = _agreed(due, args) and state.global_step < state.max_steps

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seal what was just written, once every process has written its part."""
        args.distributed_state.wait_for_everyone()
        if state.is_world_process_zero:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self.saved = time.monotonic()
        self.cost_s = self.saved - self.asked


def seal(folder: Path) -> None:
    """Write the manifest of a checkpoint's files; its existence says that nothing is missing."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {path.relative_to(folder).as_posix(): [path.stat().st_size, sha256(path)] for path in files}
    partial = folder / f".{MARKER}"
    partial.write_text(json.dumps(manifest, indent=1) + "\n")
    partial.replace(folder / MARKER)


def last_checkpoint(work: Path) -> str | None:
    """The newest checkpoint of a run that is whole, None without one. Those newer than it are set aside."""
    for path in sorted(work.glob("checkpoint-*"), key=_step, reverse=True):
        what = fault(path)
        if what is None:
            return str(path)
        aside = path.with_name(f"broken-{path.name}")
        log.warning("%s cannot be used: %s; it is set aside as %s", path.name, what, aside.name)
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    return None


def fault(folder: Path) -> str | None:
    """What is wrong with a checkpoint, if anything is."""
    try:
        manifest = json.loads((folder / MARKER).read_text())
    except OSError:
        return "an interruption cut it short"
    except ValueError:
        return "its manifest cannot be read"
    for name, (size, digest) in manifest.items():
        path = folder / name
        if not path.exists():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size:,} of {size:,} bytes"
        if sha256(path) != digest:
            return f"the bytes of {name} are not those that were written"
    return _state_fault(folder)


def _state_fault(folder: Path) -> str | None:
    """Whether the trainer's own state can be read and is of this step."""
    try:
        step = json.loads((folder / STATE).read_text())["global_step"]
    except (OSError, ValueError, KeyError):
        return f"{STATE} cannot be read"
    return None if step == _step(folder) else f"{STATE} is of step {step}"


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _agreed(due: bool, args: Any) -> bool:
    """The first process's word: clocks differ, and a checkpoint that only some processes write never ends."""
    if args.world_size == 1:
        return due
    from accelerate.utils import broadcast_object_list

    return bool(broadcast_object_list([due])[0])
