"""What one comparison of two answers found; a `Verdict` is a finding with the trace it belongs to."""

from dataclasses import dataclass

from distill.records import Method, Outcome


@dataclass(frozen=True, slots=True)
class Finding:
    """An outcome, what decided it, and a sentence of evidence."""

    outcome: Outcome
    method: Method
    evidence: str


class NeedsParser(Exception):
    """The two answers can only be compared by the LaTeX parser, which runs in a worker."""
