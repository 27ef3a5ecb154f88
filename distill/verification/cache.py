"""Comparisons that cost something, kept in `.distill/verdicts/`, one file per verifier fingerprint.

A line is a comparison, keyed by what was compared, so it holds for every trace with that answer:

    {"key": "5d0a…", "outcome": "correct", "method": "symbolic", "evidence": "equal as expressions"}

Exact comparisons are not kept (making them again is cheaper than reading them), nor are timeouts, crashes and
missing verifiers, which say nothing final.
"""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TextIO

from distill import layout
from distill.records import Method, Outcome, content_id
from distill.verification.findings import Finding

RULES = 5  # raise it when a rule of this package changes what a verdict is
LIBRARIES = ("math-verify", "latex2sympy2-extended", "sympy", "antlr4-python3-runtime", "reasoning-gym")
NOT_FINAL = {Outcome.TIMEOUT, Outcome.CRASH, Outcome.UNAVAILABLE}


def fingerprint() -> str:
    """The name of this verifier in this version: its rules and the libraries they lean on."""
    return content_id("verifier", RULES, {name: _version(name) for name in LIBRARIES})


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


class Cache:
    """The file of one fingerprint; a context manager. Each finding is on disk before the next one is made."""

    def __init__(self, name: str) -> None:
        self.path: Path = layout.state_dir() / "verdicts" / f"{name}.jsonl"
        self._known = dict(_read(self.path)) if self.path.exists() else {}
        self._file: TextIO | None = None

    def __enter__(self) -> "Cache":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._file:
            self._file.close()

    def get(self, key: str) -> Finding | None:
        """The finding of an earlier run, if there is one."""
        return self._known.get(key)

    def put(self, key: str, finding: Finding) -> None:
        """Keep a finding, unless it is one that says nothing final."""
        if finding.outcome in NOT_FINAL:
            return
        if self._file is None:
            self._file = self._open()
        row = {"key": key, "outcome": finding.outcome, "method": finding.method, "evidence": finding.evidence}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def _open(self) -> TextIO:
        """Open for appending, on a line of its own even after a torn one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        file = self.path.open("a", encoding="utf-8")
        if torn:
            file.write("\n")
        return file


def _read(path: Path) -> list[tuple[str, Finding]]:
    """Every whole line; one that a kill has torn is left out, and its comparison made again."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            finding = Finding(Outcome(row["outcome"]), Method(row["method"]), row["evidence"])
        except (ValueError, KeyError, TypeError):
            continue
        found.append((row["key"], finding))
    return found
