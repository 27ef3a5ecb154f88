"""A stage in several processes, one a GPU: it starts itself anew by accelerate's launcher, and stays one command.

    DISTILL_LAUNCH=pipelines/profiles/accelerate/fsdp2.yaml   how; ddp.yaml without it
    DISTILL_PROCESSES=4                                       how many; as many as there are GPUs without it

Both are placement, so they come from the environment: another machine re-runs nothing, and a step sees the same rows.
`accelerate launch` runs inside the stage's process, since as a command it turns every exit code into 1. Signals reach
all processes through it; the first one that fails ends the others, and its sentence and exit code are the stage's.
Process 0 alone writes to the terminal, the others to `.distill/logs/<stage>.process<i>.log`.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill import layout
from distill.config import Params
from distill.errors import ConfigError, DataError, DistillError, Incomplete
from distill.stage import Result
from distill.training import processes

PLAIN = Path("pipelines/profiles/accelerate/ddp.yaml")
REPORTED: dict[str, type[DistillError]] = {kind.__name__: kind for kind in (ConfigError, DataError, Incomplete)}
Body = Callable[[Params], Result]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """How many processes, and the accelerate config that says what they share."""

    n_processes: int
    config: Path


def several(stage: str, body: Body, command: list[str]) -> Body:
    """The body of a stage that `python -m <command>` runs, in as many processes as `plan` says."""
    if "LOCAL_RANK" in os.environ:
        return _as_process(stage, body)

    def begin(params: Params) -> Result:
        launch = plan()
        if launch is None:
            return body(params)
        start(launch, command)
        sys.exit(0)  # process 0 has said how it went

    return begin


def plan() -> Launch | None:
    """What the machine and the environment ask for; None where this process is enough.

    Raises `ConfigError` at what cannot be had.
    """
    chosen, gpus = os.environ.get("DISTILL_LAUNCH"), _count_gpus()
    n_processes = _read_count(os.environ.get("DISTILL_PROCESSES"), gpus)
    if n_processes == 1 and not chosen:
        return None
    launch = Launch(n_processes, Path(chosen) if chosen else PLAIN)
    _require(launch, gpus)
    return launch


def start(launch: Launch, command: list[str]) -> None:
    """Run `python -m <command>` in every process and wait for all.

    Raises the error of the process that failed first, and `Incomplete` when this one was asked to stop.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    _quiet()
    options = ["--config_file", str(launch.config), "--num_processes", str(launch.n_processes), "--module", *command]
    try:
        launch_command(launch_command_parser().parse_args(options))
    except SignalException as signalled:
        name = signalled.sigval.name
        raise Incomplete(f"interrupted by {name}; the same command goes on from here") from signalled
    except ChildFailedError as failed:
        raise root_cause(failed.failures, launch.n_processes) from failed


def root_cause(failures: Mapping[int, Any], n_processes: int) -> DistillError:
    """The error to show: the others merely lost their peer, or were stopped for it."""

    def order(rank: int) -> tuple[bool, float]:
        # In whole seconds; and a kill is noticed after its peer has recorded the lost connection.
        failure = failures[rank]
        return isinstance(_reported(failure), Incomplete), failure.timestamp - 2 * (failure.exitcode < 0)

    rank = min(failures, key=order)
    failure = failures[rank]
    if error := _reported(failure):
        return error
    how = _said(failure).splitlines()[0] if _said(failure) else f"by {failure.signal_name()}"
    return DataError(
        f"process {rank} of {n_processes} ended: {how}; {layout.state_dir() / 'logs'} has the rest, "
        "and the same command goes on from the last checkpoint"
    )


def _as_process(stage: str, body: Body) -> Body:
    """The body in one of the processes: its error goes to the launcher, which shows the one that matters."""
    from torch.distributed.elastic.multiprocessing.errors import record

    if os.environ["RANK"] != "0":
        _write_to(layout.state_dir() / "logs" / f"{stage}.process{os.environ['RANK']}.log")

    def run(params: Params) -> Result:
        try:
            result = record(body)(params)
        except DistillError as error:
            log.error("process %s ended: %s", os.environ["RANK"], error)
            sys.exit(error.exit_code)
        processes.leave()
        return result or Result("")

    return run


def _quiet() -> None:
    """What torch's launcher says of its processes goes to the log: the terminal gets one sentence."""
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "torch"]:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def _write_to(log: Path) -> None:
    """Send what this process and its libraries print to a file, whoever prints it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())


def _reported(failure: Any) -> DistillError | None:
    """The error that a process recorded, if it is one of ours."""
    kind, _, sentence = _said(failure).partition(": ")
    return REPORTED[kind](sentence) if kind in REPORTED else None


def _said(failure: Any) -> str:
    """What a process recorded, as `DataError: the loss of …`; nothing where it was killed."""
    return str(failure.message["message"]) if isinstance(failure.message, dict) else ""


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _read_count(asked: str | None, gpus: int) -> int:
    if asked is None:
        return max(gpus, 1)
    if not asked.isdecimal() or int(asked) < 1:
        raise ConfigError(f"DISTILL_PROCESSES must be a count of at least 1, got {asked!r}")
    return int(asked)


def _require(launch: Launch, gpus: int) -> None:
    """Raise `ConfigError` at a config that is missing, or that this machine cannot follow."""
    from ruamel.yaml import YAML

    if not launch.config.is_file():
        raise ConfigError(f"DISTILL_LAUNCH is {launch.config}, which is no file; {PLAIN.parent} holds complete ones")
    kind = YAML(typ="safe").load(launch.config).get("distributed_type")
    if kind == "DEEPSPEED" and importlib.util.find_spec("deepspeed") is None:
        raise ConfigError(
            f"{launch.config} needs DeepSpeed, which is not installed: pip install deepspeed, "
            f"or DISTILL_LAUNCH={PLAIN.with_name('fsdp2.yaml')}, which needs nothing more"
        )
    if kind in ("DEEPSPEED", "FSDP") and not gpus:
        raise ConfigError(f"{launch.config} shares a model between GPUs and there is none; {PLAIN} runs on CPUs")
    if gpus and launch.n_processes > gpus:
        raise ConfigError(f"DISTILL_PROCESSES is {launch.n_processes} but this machine has {gpus} GPUs; lower it")
