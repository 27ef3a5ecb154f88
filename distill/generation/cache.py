"""Every answer on disk before anything parses it: append-only JSONL, one segment per process.

    .distill/requests/<request key>/<time>-<pid>-<random>.jsonl
    {"kind": "answer", "request_key": "39b0…", "problem_id": "9f31…", "sample_index": 0, "text": "98 = 58…", …}
    {"kind": "failure", "request_key": "39b0…", "problem_id": "9f31…", "sample_index": 1, "failure": "gone", …}

A line is flushed when it is written and fsynced within a second; a last line torn by a kill is skipped and counted.
Failures are attempts, kept beside the answers and never taken for one. Processes append to segments of their own, so
two at once may repeat work but corrupt nothing: of several answers to one question the first to land counts.

Memory holds an `Entry` for each answer, some 300 bytes; the text stays on disk until it is read.
"""

import fcntl
import json
import os
import secrets
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill import layout
from distill.errors import DataError
from distill.records import FinishReason

FSYNC_EVERY_S = 1.0
LOCK = ".lock"  # shared by everybody who reads or writes a key's folder; whoever moves its files takes it alone
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


@dataclass(frozen=True, slots=True)
class Entry:
    """What decides about an answer, and where the rest of it is: `length` bytes from `offset` of a segment."""

    slot: Slot
    max_tokens: int
    finish_reason: str
    completion_tokens: int
    created_at: float
    segment: Path
    offset: int
    length: int

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
        self._entries: dict[Slot, list[Entry]] = {}
        self._lock = self._share() if self.folder.exists() else None
        for segment in sorted(self.folder.glob("*.jsonl")):
            self._scan(segment)
        self._segment: Any = None
        self._path = self.folder / f"{time.time_ns()}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
        self._end = 0
        self._synced = 0.0

    def find(self, slot: Slot, max_tokens: int) -> Entry | None:
        """The answer to a question under a budget: the first that landed, whichever process asked for it."""
        fitting = [entry for entry in self._entries.get(slot, []) if entry.fits(max_tokens)]
        return min(fitting, key=lambda entry: (entry.created_at, entry.segment.name, entry.offset), default=None)

    def find_partial(self, slot: Slot, max_tokens: int) -> Entry | None:
        """The longest cut answer that a larger budget can go on from."""
        cut = [
            entry
            for entry in self._entries.get(slot, [])
            if entry.finish_reason == FinishReason.LENGTH and entry.completion_tokens < max_tokens
        ]
        return max(cut, key=lambda entry: (entry.completion_tokens, -entry.created_at), default=None)

    def read(self, entry: Entry) -> Answer:
        """The whole answer, from disk."""
        with entry.segment.open("rb") as segment:
            line = os.pread(segment.fileno(), entry.length, entry.offset)
        return _answer(json.loads(line), f"{entry.segment} at byte {entry.offset}")

    def land(self, answer: Answer) -> Entry:
        """Put an answer on disk, then take it in."""
        offset, length = self._append("answer", {name: getattr(answer, name) for name in Answer.__slots__})
        return self._keep(answer, self._path, offset, length)

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

    def _share(self) -> Any:
        """Hold the folder's lock for as long as this object lives. It is not inherited by other programs."""
        lock = (self.folder / LOCK).open("ab")
        fcntl.flock(lock, fcntl.LOCK_SH)
        weakref.finalize(self, lock.close)
        return lock

    def _scan(self, segment: Path) -> None:
        offset = 0
        with segment.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                except ValueError:
                    self.torn_lines += 1
                else:
                    if row["kind"] == "answer":
                        self._keep(_answer(row, f"{segment}:{number}"), segment, offset, len(line))
                offset += len(line)

    def _keep(self, answer: Answer, segment: Path, offset: int, length: int) -> Entry:
        slot = answer.problem_id, answer.sample_index
        known = answer.max_tokens, answer.finish_reason, answer.completion_tokens, answer.created_at
        entry = Entry(slot, *known, segment, offset, length)
        self._entries.setdefault(slot, []).append(entry)
        return entry

    def _append(self, kind: str, row: dict[str, Any]) -> tuple[int, int]:
        """Write one line. Returns where it is: offset and length in bytes."""
        if self._segment is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = self._lock or self._share()
            self._segment = self._path.open("ab")
        line = json.dumps({"kind": kind, "request_key": self.request_key, **row}).encode() + b"\n"
        offset, self._end = self._end, self._end + len(line)
        self._segment.write(line)
        self._segment.flush()
        if time.monotonic() - self._synced > FSYNC_EVERY_S:
            os.fsync(self._segment.fileno())
            self._synced = time.monotonic()
        return offset, len(line)


def _answer(row: dict[str, Any], where: str) -> Answer:
    del row["kind"], row["request_key"]
    try:
        return Answer(**row)
    except TypeError as error:
        raise DataError(f"{where} is no answer of this version of distill ({error}); move its folder away") from error
