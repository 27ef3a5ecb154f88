"""Every answer on disk before anything parses it: append-only JSONL, one segment per process.

    .distill/requests/<request key>/<time>-<pid>.jsonl
    {"problem_id": "9f31…", "sample_index": 0, "max_tokens": 640, "text": "98 = 58…", "finish_reason": "stop", …}
    {"problem_id": "9f31…", "sample_index": 1, "failure": "connection", "detail": "server disconnected", …}

A line is flushed when it is written and fsynced within a second; a last line torn by a kill is skipped and counted.
Failures are attempts, kept beside the answers and never taken for one. Processes append to segments of their own, so
two at once may repeat work but corrupt nothing.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill import layout

FSYNC_EVERY_S = 1.0
Slot = tuple[str, int]  # (problem id, sample index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One message of a model as it came, with what was measured of it. `reasoning` is set where the server splits it off."""

    problem_id: str
    sample_index: int
    max_tokens: int
    text: str
    reasoning: str | None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seed_label: int
    engine: str
    latency_s: float
    created_at: float
    attempt: int

    @property
    def slot(self) -> Slot:
        """Which question, and which sample of it."""
        return self.problem_id, self.sample_index

    def rank(self) -> tuple[bool, int, float]:
        """Of two answers to one slot the lower rank counts: a finished one, then the longer budget, then the first to land."""
        return self.finish_reason == "length", -self.max_tokens, self.created_at


class RequestCache:
    """The answers of one request key. Reading is a scan at the start; writing appends."""

    def __init__(self, request_key: str) -> None:
        self.folder = layout.state_dir() / "requests" / request_key
        self.torn_lines = 0
        self.answers: dict[Slot, Answer] = {}
        for segment in sorted(self.folder.glob("*.jsonl")):
            self._read(segment)
        self._segment: Any = None
        self._synced = 0.0

    def _read(self, segment: Path) -> None:
        with segment.open("rb") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except ValueError:
                    self.torn_lines += 1
                    continue
                if "failure" not in row:
                    self._keep(Answer(**row))

    def _keep(self, answer: Answer) -> None:
        known = self.answers.get(answer.slot)
        if known is None or answer.rank() < known.rank():
            self.answers[answer.slot] = answer

    def land(self, answer: Answer) -> None:
        """Put an answer on disk, then take it in."""
        self._append(asdict(answer))
        self._keep(answer)

    def note_failure(self, slot: Slot, failure: str, detail: str, attempt: int) -> None:
        """Put a failed attempt on disk, with its class."""
        row = {
            "problem_id": slot[0],
            "sample_index": slot[1],
            "failure": failure,
            "detail": detail[:500],
            "attempt": attempt,
        }
        self._append(row | {"created_at": time.time()})

    def _append(self, row: dict[str, Any]) -> None:
        if self._segment is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._segment = (self.folder / f"{time.time_ns()}-{os.getpid()}.jsonl").open("xb")
        self._segment.write(json.dumps(row).encode() + b"\n")
        self._segment.flush()
        if time.monotonic() - self._synced > FSYNC_EVERY_S:
            os.fsync(self._segment.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Make everything durable and let the segment go."""
        if self._segment is not None:
            os.fsync(self._segment.fileno())
            self._segment.close()
            self._segment = None
