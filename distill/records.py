"""The rows that every stage speaks: `Problem`, `Trace`, `Verdict`, `Score`.

Ids are content hashes, never positions: running a stage again adds nothing twice, and an edited input
re-does only what it changes. A row of each, shortened:

    Problem  id=9f31… source=gcd prompt="Find the Greatest…" answer="12" verifier=gym
    Trace    id=c07a… problem_id=9f31… sample_index=0 reasoning="98 = 58 * 1 + 40…" finish_reason=stop
    Verdict  trace_id=c07a… verdict=correct extracted="12" method=exact
    Score    trace_id=c07a… model=tiny_qwen benchmark=easy problem_id=9f31… verdict=correct extracted="12" answer="12"

Rows hold nothing that differs between two runs over the same answers (no clock, no latency), so their
Parquet exports are byte-identical; what was measured of a run is in `data/metrics/`.
"""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 1
ID_LENGTH = 20  # hex digits: 80 bits, so 10^9 rows collide with probability 4e-7


class Verifier(StrEnum):
    """How an answer is compared with the reference."""

    MATH = "math"
    GYM = "gym"
    CODE = "code"
    CHOICE = "choice"
    JUDGE = "judge"
    NONE = "none"


class FinishReason(StrEnum):
    """Why the server stopped writing."""

    STOP = "stop"
    LENGTH = "length"
    REPETITION = "repetition"
    ABORT = "abort"


class Outcome(StrEnum):
    """What a verifier says of a trace. `incorrect` is said only when both sides were understood."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    NO_ANSWER = "no_answer"
    TRUNCATED = "truncated"
    AMBIGUOUS = "ambiguous"
    UNPARSED_ANSWER = "unparsed_answer"
    UNPARSED_GOLD = "unparsed_gold"
    LIMIT = "limit"
    TIMEOUT = "timeout"
    CRASH = "crash"
    UNAVAILABLE = "unavailable"
    JUDGE_UNCERTAIN = "judge_uncertain"


class Method(StrEnum):
    """What decided a verdict; `none` where no comparison took place."""

    NONE = "none"
    STRING = "string"
    EXACT = "exact"
    SYMBOLIC = "symbolic"
    EXECUTION = "execution"
    JUDGE = "judge"


class Extraction(StrEnum):
    """The form in which the graded answer was found; `none` where no answer was."""

    NONE = "none"
    BOX = "box"
    ANSWER_LINE = "answer_line"
    PROGRAM = "program"
    OPTION = "option"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A prompt with its reference answer.

    `verifier_args`, `difficulty` and `origin` are JSON objects: inputs of the verifier (a task, options, tests),
    what the source says of the difficulty, and where the row came from (package, version, seed, index; or file and
    line). `gold_verdict` is what the verifier says of the reference answer itself: anything but `correct` marks a
    problem that cannot be graded.
    """

    id: str
    source: str
    domain: str
    prompt: str
    answer: str
    verifier: str
    verifier_args: str = "{}"
    difficulty: str = "{}"
    licence: str = "unknown"
    origin: str = "{}"
    gold_verdict: str = ""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One answer of a model to one problem.

    `text` is the message exactly as it came; `reasoning` is the chain of thought (None when the model wrote none or
    did not close it), `answer_text` what follows it (None when the chain was never closed). `max_tokens` is the
    budget it was written under; `engine` names the server, its version and precision.
    """

    id: str
    problem_id: str
    sample_index: int
    request_key: str
    model: str
    model_revision: str
    text: str
    reasoning: str | None
    answer_text: str | None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    max_tokens: int
    seed_label: int
    engine: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceAnswer:
    """The columns of a trace that grading reads: all but the long ones."""

    id: str
    problem_id: str
    finish_reason: str
    answer_text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Why no more traces were asked of a problem; `detail` is the server's word where it refused."""

    problem_id: str
    stop: str
    detail: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one verifier, in one version (`fingerprint`), says of one trace, with a sentence of evidence."""

    trace_id: str
    fingerprint: str
    verdict: str
    extracted: str | None
    method: str
    evidence: str
    extraction: str = Extraction.NONE
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One graded sample of one model on one benchmark, with all that its report is computed from.

    `extracted` is the answer as the model spelled it, `answer` the reference; of multiple choice both are letters.
    `looped` says that the text repeats itself: the server ended it for that, or its end is found to.
    """

    trace_id: str
    model: str
    benchmark: str
    problem_id: str
    sample_index: int
    verdict: str
    extracted: str | None
    completion_tokens: int
    finish_reason: str
    extraction: str = Extraction.NONE
    source: str = ""
    domain: str = ""
    answer: str = ""
    method: str = Method.NONE
    prompt_tokens: int = 0
    looped: bool = False
    schema_version: int = SCHEMA_VERSION


def content_id(*parts: Any) -> str:
    """The first 80 bits of the sha256 of the parts' canonical JSON, as hex."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:ID_LENGTH]


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def problem_id(prompt: str, answer: str, verifier: str) -> str:
    """The id of a problem: its prompt, its reference answer and how it is graded."""
    return content_id("problem", prompt, answer, verifier)


def trace_id(problem: str, sample_index: int, request_key: str) -> str:
    """The id of a trace: the problem, which sample of it, and how the model was asked."""
    return content_id("trace", problem, sample_index, request_key)
