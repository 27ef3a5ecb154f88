"""How a stage runs: checked settings first, logs to a file, one clean line at its end, an exit code that DVC can trust.

    0   complete
    1   a fault that the printed sentence explains
    2   params.yaml is wrong; nothing was touched
    75  interrupted, or work is left: the same command goes on from there

A stage ends with its parent: DVC forwards no SIGTERM and leaves orphans, and an orphan would write beside the next run.
"""

import errno
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from distill import config, layout
from distill.errors import DataError, DistillError, Incomplete

POLL_S = 0.5
GRACE_S = 20.0  # between asking a stage to stop and ending it
log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # before the log file is open, the terminal gets one line and no more


@dataclass
class Result:
    """What a stage says when it is done: one line, and metrics for `data/metrics/<name>.json`."""

    line: str
    metrics: dict[str, Any] | None = None


def run(name: str, body: Callable[[config.Params], Result]) -> None:
    """Run a stage's body with checked params and end the process with the right exit code."""
    started = time.monotonic()
    try:
        params = config.load()
        log_to_file(name)
        stop_on_signals()
        end_with_parent()
        result = body(params)
    except DistillError as error:
        fail(name, error)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        fail(name, DataError(f"the disk is full{_at(error)}; free some and run the same command again: it goes on"))
    if result.metrics is not None:
        write_metrics(name, result.metrics)
    print(f"{name}  {result.line}  [{time.monotonic() - started:.0f} s]", flush=True)


def _at(error: OSError) -> str:
    return f" at {error.filename}" if error.filename else ""


def fail(name: str, error: DistillError) -> None:
    """Print an error as one sentence and exit with its code."""
    log.error("%s ended: %s", name, error)
    print(f"{name}  {error}", file=sys.stderr, flush=True)
    sys.exit(error.exit_code)


def write_metrics(name: str, metrics: dict[str, Any]) -> None:
    """Write what a stage measured, for `dvc metrics show` and the report."""
    path = layout.METRICS / f"{name.replace('@', '_')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n")


def log_to_file(name: str) -> Path:
    """Send this process's log to `.distill/logs/<name>.log`, so that the terminal stays readable."""
    path = layout.state_dir() / "logs" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=path, level=logging.INFO, force=True, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.captureWarnings(True)
    return path


def stop_on_signals() -> None:
    """Turn SIGTERM and Ctrl-C into `Incomplete`, raised in the main thread, so that every `finally` runs."""

    def interrupt(signum: int, _: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Incomplete(f"interrupted by {signal.Signals(signum).name}; the same command goes on from here")

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)


def end_with_parent() -> None:
    """Stop this process when the process that asked for it is gone, were it killed with -9."""
    ancestors = _ancestors()

    def watch() -> None:
        while all(_is_alive(process) for process in ancestors):
            time.sleep(POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(Incomplete.exit_code)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _is_alive(process: Any) -> bool:
    """Whether a process is there and not merely waiting to be reaped."""
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _ancestors() -> list[Any]:
    """The processes from this one's parent up to the `dvc` that runs it; the parent alone without DVC."""
    import psutil

    chain: list[Any] = psutil.Process().parents()
    for index, process in enumerate(chain):
        if any(Path(part).name == "dvc" for part in process.cmdline()[:3]):
            return chain[: index + 1]
    return chain[:1]
