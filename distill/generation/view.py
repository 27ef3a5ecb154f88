"""What a run shows while it goes on: a few lines in the terminal, and the same as JSON for `distill status`.

.distill/status/<model>.json   {"model": "teacher", "pid": 4242, "done": 1204, "total": 2500, "verified": 871, …}
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from distill import layout
from distill.generation.stats import Stats
from distill.progress import Tracker
from distill.settings import PriceSettings

WRITE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Status:
    """One moment of a run. `verified` is None where nobody grades; times are in seconds."""

    model: str
    pid: int
    at: float
    line: str
    done: int
    total: int
    verified: int | None
    graded: int
    in_flight: int
    prompt_tokens: int
    completion_tokens: int
    wall_s: float
    left_s: float | None
    ended: bool = False


class View:
    """Shows a run and keeps its JSON up to date."""

    def __init__(self, model: str, stats: Stats, progress: Tracker) -> None:
        self.model, self.stats, self.progress = model, stats, progress
        self.in_flight = 0
        self._started, self._written = time.monotonic(), 0.0

    def update(self) -> None:
        """Show the present state; write it once a second."""
        self._note()
        if time.monotonic() - self._written > WRITE_EVERY_S:
            self._written = time.monotonic()
            self._write(ended=False)

    def close(self) -> None:
        """Show and write the last state, which answers may have changed since `update`."""
        self._note()
        self._write(ended=True)

    def _note(self) -> None:
        self.progress.note(*self._texts())

    def _texts(self) -> tuple[str, ...]:
        stats, wall_s = self.stats, max(time.monotonic() - self._started, 1e-9)
        pace = f"{self.in_flight:,} in flight, {stats.completion_tokens / wall_s:,.0f} tokens/s"
        if not stats.graded:
            return (pace,)
        each = f" at {stats.completion_tokens / stats.verified:,.0f} tokens each" if stats.verified else ""
        return (f"{stats.verified:,} verified ({100 * stats.verified / stats.graded:.0f} %){each}", pace)

    def _write(self, ended: bool) -> None:
        stats, left = self.stats, self.progress.left_s
        status = Status(
            model=self.model,
            pid=os.getpid(),
            at=time.time(),
            line=self.progress.line(),
            done=self.progress.done,
            total=self.progress.total,
            verified=stats.verified if stats.graded else None,
            graded=stats.graded,
            in_flight=self.in_flight,
            prompt_tokens=stats.prompt_tokens,
            completion_tokens=stats.completion_tokens,
            wall_s=time.monotonic() - self._started,
            left_s=left if left < float("inf") else None,
            ended=ended,
        )
        path = _folder() / f"{self.model}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(status)) + "\n")
        partial.replace(path)


def read_all() -> list[Status]:
    """What every run last said, the latest first."""
    found = [Status(**json.loads(path.read_text())) for path in _folder().glob("*.json")]
    return sorted(found, key=lambda status: -status.at)


def describe(status: Status, price: PriceSettings) -> str:
    """A status as one line, with what a verified trace costs where there are prices."""
    import psutil

    if status.ended:
        state = "ended"
    elif not psutil.pid_exists(status.pid):
        state = "not running any more; `dvc repro` goes on"
    else:
        state = f"last answer {time.time() - status.at:.0f} s ago"
    usd = price.usd(status.wall_s, status.prompt_tokens, status.completion_tokens)
    cost = f", ${usd / status.verified:.5f} a verified trace" if usd and status.verified else ""
    return f"{status.line}{cost}  [{state}]"


def _folder() -> Path:
    return layout.state_dir() / "status"
