"""Upkeep of the request cache as a whole: what is in it, fewer files, answers from elsewhere.

Compacting takes a folder to itself: it waits for no run and is refused while one uses it. Importing copies segments
under names made of their content, so the same import twice is one.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill import layout
from distill.errors import DataError
from distill.generation.cache import LOCK
from distill.records import FinishReason

KEY = re.compile(r"[0-9a-f]{20}")  # a content id: never a path


@dataclass(frozen=True, slots=True)
class Holding:
    """What the cache holds under one request key."""

    key: str
    answers: int
    cut: int
    failures: int
    torn_lines: int
    completion_tokens: int
    segments: int
    megabytes: float


def holdings() -> list[Holding]:
    """Every request key of the cache, the largest first."""
    found = [_hold(folder) for folder in sorted(_root().glob("*/"))]
    return sorted(found, key=lambda holding: -holding.megabytes)


def compact() -> tuple[int, int]:
    """Put the segments of each key into one and leave out torn lines. Returns how many files there were and are.

    Raises `DataError` while a run uses the cache.
    """
    before = after = 0
    for folder in sorted(_root().glob("*/")):
        segments = sorted(folder.glob("*.jsonl"))
        before, after = before + len(segments), after + min(1, len(segments))
        if len(segments) > 1:
            with (folder / LOCK).open("ab") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise DataError(f"{folder} is in use by a run; compact it when that has ended") from None
                _merge(segments, folder)
    return before, after


def import_from(source: Path) -> tuple[int, int]:
    """Copy the segments of another cache (`.distill/requests`, or one key's folder). Returns how many, and answers.

    Raises `DataError` for a folder that is no cache, or a segment that holds rows of another key.
    """
    segments = sorted(source.glob("*/*.jsonl")) or sorted(source.glob("*.jsonl"))
    segments = [segment for segment in segments if any(row is not None for _, row in _rows(segment))]
    if not segments:
        raise DataError(f"{source} holds no answers; give the .distill/requests of another checkout, or a folder of it")
    copied = answers = 0
    for segment in segments:
        rows = [row for _, row in _rows(segment) if row is not None]
        keys = {str(row.get("request_key")) for row in rows}
        key = next(iter(keys), "")
        if len(keys) != 1 or not KEY.fullmatch(key):
            raise DataError(f"{segment} is no segment of a request cache; nothing of it was imported")
        folder = _root() / key
        digest = hashlib.sha256(segment.read_bytes()).hexdigest()[:16]
        target = folder / f"imported-{digest}.jsonl"
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            shutil.copyfile(segment, partial)
            partial.replace(target)
            copied, answers = copied + 1, answers + sum(row.get("kind") == "answer" for row in rows)
    return copied, answers


def _merge(segments: list[Path], folder: Path) -> None:
    """One file in place of many; it is whole and on disk before the others go."""
    digest = hashlib.sha256("".join(segment.name for segment in segments).encode()).hexdigest()[:16]
    partial = folder / f"compact-{digest}.partial"
    with partial.open("wb") as merged:
        for segment in segments:
            merged.writelines(line for line, row in _rows(segment) if row is not None)
        merged.flush()
        os.fsync(merged.fileno())
    partial.replace(partial.with_suffix(".jsonl"))
    for segment in segments:
        segment.unlink()


def _hold(folder: Path) -> Holding:
    segments = sorted(folder.glob("*.jsonl"))
    counts: Counter[str] = Counter()
    for segment in segments:
        for _, row in _rows(segment):
            if row is None:
                counts["torn"] += 1
            elif row.get("kind") == "answer":
                counts["answers"] += 1
                counts["cut"] += row["finish_reason"] == FinishReason.LENGTH
                counts["tokens"] += row["completion_tokens"] - row.get("reused_tokens", 0)
            else:
                counts["failures"] += 1
    size = sum(segment.stat().st_size for segment in segments) / 1e6
    found = counts["answers"], counts["cut"], counts["failures"], counts["torn"], counts["tokens"]
    return Holding(folder.name, *found, segments=len(segments), megabytes=size)


def _rows(segment: Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Every line with its row; None for one that a kill tore."""
    with segment.open("rb") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            yield line.rstrip(b"\n") + b"\n", row if isinstance(row, dict) else None


def _root() -> Path:
    return layout.state_dir() / "requests"
