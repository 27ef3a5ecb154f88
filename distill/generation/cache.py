"""Every answer on disk before anything parses it: append-only JSONL, one segment per process.

    .distill/requests/<request key>/<time>-<pid>-<random>.jsonl
    {"kind": "answer", "request_key": "39b0…", "problem_id": "9f31…", "sample_index": 0, "text": "98 = 58…", …}
    {"kind": "failure", "request_key": "39b0…", "problem_id": "9f31…", "sample_index": 1, "failure": "gone", …}

A line is flushed when it is written and fsynced within a second; a last line torn by a kill is skipped and counted.
Failures are attempts, kept beside the answers and never taken for one. Processes append to segments of their own, so
two at once may repeat work but corrupt nothing: of several answers to one question the first to land counts.
"""

import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill import layout
from distill.errors import DataError
from distill.records import FinishReason

FSYNC_EVERY_S = 1.0
Slot = tuple[str, int]  # (problem id, sample index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One message of a model as it came, with what was measured of it.

    `reasoning` is set where the server splits the chain off `text`. `max_tokens` is the budget that was asked for.
    An answer that goes on from a cut one holds all of its text; `reused_tokens` of them were paid for before.
    """

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
    reused_tokens: int = 0

    @property
    def slot(self) -> Slot:
        """Which question, and which sample of it."""
        return self.problem_id, self.sample_index

    def fits(self, max_tokens: int) -> bool:
        """Whether this budget would have given this very answer: it was asked with it, or ended by itself within it."""
        ended = self.finish_reason != FinishReason.LENGTH
        return self.max_tokens == max_tokens or (ended and self.completion_tokens <= max_tokens)


class RequestCache:
    """The answers of one request key. Reading is a scan at the start; writing appends."""

    def __init__(self, request_key: str) -> None:
        self.request_key = request_key
        self.folder = layout.state_dir() / "requests" / request_key
        self.torn_lines = 0
        self._answers: dict[Slot, list[Answer]] = {}
        for segment in sorted(self.folder.glob("*.jsonl")):
            self._read(segment)
        self._segment: Any = None
        self._synced = 0.0

    def find(self, slot: Slot, max_tokens: int) -> Answer | None:
        """The answer to a question under a budget: the first that landed, whichever process asked for it."""
        fitting = [answer for answer in self._answers.get(slot, []) if answer.fits(max_tokens)]
        return min(fitting, key=lambda answer: (answer.created_at, answer.text), default=None)

    def find_partial(self, slot: Slot, max_tokens: int) -> Answer | None:
        """The longest cut answer that a larger budget can go on from."""
        cut = [
            answer
            for answer in self._answers.get(slot, [])
            if answer.finish_reason == FinishReason.LENGTH and answer.completion_tokens < max_tokens
        ]
        return max(cut, key=lambda answer: (answer.completion_tokens, -answer.created_at), default=None)

    def land(self, answer: Answer) -> None:
        """Put an answer on disk, then take it in."""
        self._append("answer", asdict(answer))
        self._keep(answer)

    def note_failure(self, slot: Slot, failure: str, detail: str, attempt: int) -> None:
        """Put a failed attempt on disk, with its class."""
        row = {"problem_id": slot[0], "sample_index": slot[1], "failure": failure, "detail": detail[:500]}
        self._append("failure", row | {"attempt": attempt, "created_at": time.time()})

    def close(self) -> None:
        """Make everything durable and let the segment go."""
        if self._segment is not None:
            os.fsync(self._segment.fileno())
            self._segment.close()
            self._segment = None

    def _read(self, segment: Path) -> None:
        with segment.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                except ValueError:
                    self.torn_lines += 1
                    continue
                if row.pop("kind") == "answer":
                    self._keep(_answer(row, f"{segment}:{number}"))

    def _keep(self, answer: Answer) -> None:
        self._answers.setdefault(answer.slot, []).append(answer)

    def _append(self, kind: str, row: dict[str, Any]) -> None:
        if self._segment is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{time.time_ns()}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
            self._segment = (self.folder / name).open("xb")
        self._segment.write(json.dumps({"kind": kind, "request_key": self.request_key, **row}).encode() + b"\n")
        self._segment.flush()
        if time.monotonic() - self._synced > FSYNC_EVERY_S:
            os.fsync(self._segment.fileno())
            self._synced = time.monotonic()


def _answer(row: dict[str, Any], where: str) -> Answer:
    del row["request_key"]
    try:
        return Answer(**row)
    except TypeError as error:
        raise DataError(f"{where} is no answer of this version of distill ({error}); move its folder away") from error
