r"""Every trace gets a verdict.

    grade(problems, traces, settings, "verify").verdicts[0]
    -> Verdict(trace_id="c07a…", verdict="correct", extracted="12", method="exact", evidence="equal as exact fractions")

What is asked of a trace, in this order: did it end by itself, is there an answer after its chain of thought, is there
one final box, and is that box the reference? Equal pairs of reference and answer are compared once. Only pairs that
need the parser go to the pool, and only their findings are cached.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from distill.config import VerifySettings
from distill.errors import DataError, DistillError
from distill.progress import track
from distill.prompting import boxed_answers
from distill.records import FinishReason, Method, Outcome, Problem, Trace, Verdict, Verifier, content_id
from distill.verification import gym, math, pool, symbolic
from distill.verification.cache import Cache, fingerprint
from distill.verification.findings import Finding, NeedsParser

MAX_BOXES = 50
MAX_EXTRACTED = 1_000  # characters of an answer kept in its verdict
PRELOAD = ("distill.verification.preload",)

# `none` has nothing to compare with, so its traces have no verdict to be had; a policy may still keep them.
COMPARE: dict[str, Callable[[str, str], Finding]] = {Verifier.MATH: math.compare, Verifier.GYM: gym.compare}

Pair = tuple[str, str]  # reference, answer
Item = TypeVar("Item", str, Pair)


@dataclass(frozen=True, slots=True)
class Grading:
    """Verdicts sorted by trace id; how many comparisons needed the parser, and how many of those were in the cache."""

    verdicts: list[Verdict]
    n_parsed: int
    n_cached: int


def grade_traces(
    problems: Iterable[Problem], traces: Sequence[Trace], settings: VerifySettings, label: str
) -> list[Verdict]:
    """The verdicts of `grade` alone."""
    return grade(problems, traces, settings, label).verdicts


def grade(problems: Iterable[Problem], traces: Sequence[Trace], settings: VerifySettings, label: str) -> Grading:
    """Grade traces against their problems; `label` names the progress line, an empty one shows none.

    Raises `DataError` for a trace without its problem, `DistillError` when the verifier fails its self-test.
    """
    by_id = {problem.id: problem for problem in problems}
    name = fingerprint()
    decided: dict[str, tuple[Finding, str | None]] = {}
    waiting: dict[Pair, list[str]] = {}
    with track(label, len(traces), "traces") as progress:
        for trace in traces:
            problem = _problem_of(trace, by_id)
            try:
                decided[trace.id] = _judge(problem, trace)
                progress.advance()
            except NeedsParser:
                waiting.setdefault((problem.answer, _final_box(trace)), []).append(trace.id)
        n_cached = 0
        for pair, finding, cached in _in_pool(symbolic.compare, list(waiting), settings):
            n_cached += cached
            decided |= {trace: (finding, pair[1]) for trace in waiting[pair]}
            progress.advance(len(waiting[pair]))
    verdicts = [_verdict(trace, name, *decided[trace]) for trace in sorted(decided)]
    return Grading(verdicts, len(waiting), n_cached)


def check_gold(problems: Sequence[Problem], settings: VerifySettings) -> dict[str, Outcome]:
    """What the verifier says of each reference answer when a model gives exactly that, by problem id."""
    outcomes: dict[str, Outcome] = {}
    waiting: dict[str, list[str]] = {}
    for problem in problems:
        try:
            outcomes[problem.id] = _check(problem).outcome
        except NeedsParser:
            waiting.setdefault(problem.answer, []).append(problem.id)
    for gold, finding, _ in _in_pool(symbolic.check, list(waiting), settings):
        outcomes |= dict.fromkeys(waiting[gold], finding.outcome)
    return outcomes


def summarise(problems: Iterable[Problem], traces: Iterable[Trace], verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Counts per outcome, and the share correct with its n, overall and per source."""
    source_of = {problem.id: problem.source for problem in problems}
    trace_source = {trace.id: source_of[trace.problem_id] for trace in traces}
    rows = [(trace_source[verdict.trace_id], verdict.verdict) for verdict in verdicts]
    sources = sorted({source for source, _ in rows})
    return {
        **_shares([outcome for _, outcome in rows]),
        "sources": {name: _shares([outcome for source, outcome in rows if source == name]) for name in sources},
    }


def describe(summary: dict[str, Any]) -> str:
    """`1,200 traces: 812 correct, 311 incorrect, 77 truncated (0 timeouts)`."""
    counts = summary["outcomes"]
    first = [Outcome.CORRECT, Outcome.INCORRECT]
    others = sorted((outcome for outcome in counts if outcome not in first), key=lambda outcome: -counts[outcome])
    shown = [f"{counts.get(outcome, 0):,} {outcome.replace('_', ' ')}" for outcome in [*first, *others]]
    return f"{summary['n']:,} traces: {', '.join(shown)} ({counts.get(Outcome.TIMEOUT, 0):,} timeouts)"


def _shares(outcomes: list[str]) -> dict[str, Any]:
    counts = Counter(outcomes)
    return {
        "n": len(outcomes),
        "correct": round(counts[Outcome.CORRECT] / len(outcomes), 4) if outcomes else None,
        "outcomes": {outcome: counts[outcome] for outcome in sorted(counts)},
    }


def _problem_of(trace: Trace, by_id: dict[str, Problem]) -> Problem:
    if trace.problem_id not in by_id:
        raise DataError(f"trace {trace.id} answers problem {trace.problem_id}, which is not among the problems")
    return by_id[trace.problem_id]


def _judge(problem: Problem, trace: Trace) -> tuple[Finding, str | None]:
    """The finding of one trace and the answer it is about. Raises `NeedsParser`."""
    if trace.finish_reason != FinishReason.STOP:
        return Finding(Outcome.TRUNCATED, Method.NONE, f"the server stopped it: {trace.finish_reason}"), None
    if trace.answer_text is None:
        return Finding(Outcome.NO_ANSWER, Method.NONE, "the chain of thought was never closed"), None
    if problem.verifier == Verifier.NONE:
        return _compare(problem, ""), None
    if trace.answer_text.count("\\boxed{") > MAX_BOXES:
        return Finding(Outcome.AMBIGUOUS, Method.NONE, f"more than {MAX_BOXES} boxed answers"), None
    boxes = boxed_answers(trace.answer_text)
    if not boxes:
        return Finding(Outcome.NO_ANSWER, Method.NONE, "no boxed answer after the chain of thought"), None
    if any(not math.same_text(box, boxes[-1]) for box in boxes[:-1]):
        return Finding(Outcome.AMBIGUOUS, Method.NONE, "boxed answers that differ"), boxes[-1]
    return _compare(problem, boxes[-1]), boxes[-1]


def _final_box(trace: Trace) -> str:
    return boxed_answers(trace.answer_text or "")[-1]


def _compare(problem: Problem, answer: str) -> Finding:
    """Compare by the problem's verifier. Raises `NeedsParser` where the pool has to."""
    if problem.verifier in COMPARE:
        return COMPARE[problem.verifier](problem.answer, answer)
    evidence = "the problem has no verifier" if problem.verifier == Verifier.NONE else "no grader of this kind is here"
    return Finding(Outcome.UNAVAILABLE, Method.NONE, f"{evidence} (verifier {problem.verifier})")


def _check(problem: Problem) -> Finding:
    """Whether a problem's reference can be graded. Raises `NeedsParser`."""
    return math.check(problem.answer) if problem.verifier == Verifier.MATH else _compare(problem, problem.answer)


def _in_pool(
    function: Callable[[Item], Finding], items: list[Item], settings: VerifySettings
) -> Iterator[tuple[Item, Finding, bool]]:
    """Yield every item with its finding and whether an earlier run had made it."""
    if not items:
        return
    keys = {item: content_id(function.__name__, item) for item in items}
    missing = []
    with Cache(fingerprint()) as cache:
        for item in items:
            if known := cache.get(keys[item]):
                yield item, known, True
            else:
                missing.append(item)
        if missing:
            _prove_parser(settings)
        for index, answer in pool.run(function, missing, settings.timeout_s, PRELOAD):
            finding = answer if isinstance(answer, Finding) else Finding(answer.outcome, Method.NONE, answer.evidence)
            cache.put(keys[missing[index]], finding)
            yield missing[index], finding, False


_proven = False


def _prove_parser(settings: VerifySettings) -> None:
    """Grade a table of known pairs, once per process, and refuse to go on when one comes out wrong."""
    global _proven
    if _proven:
        return
    pairs = [(gold, answer) for gold, answer, _ in symbolic.SELF_TEST]
    for index, found in pool.run(symbolic.compare, pairs, settings.timeout_s * 4, PRELOAD):
        gold, answer, equal = symbolic.SELF_TEST[index]
        if (found.outcome is Outcome.CORRECT) != equal:
            raise DistillError(
                f"the verifier fails its self-test: {gold} against {answer} came out as {found.outcome} "
                f"({found.evidence}); install the versions in requirements/ again (make setup)"
            )
    _proven = True


def _verdict(trace_id: str, name: str, finding: Finding, extracted: str | None) -> Verdict:
    return Verdict(
        trace_id=trace_id,
        fingerprint=name,
        verdict=finding.outcome,
        extracted=None if extracted is None else extracted[:MAX_EXTRACTED],
        method=finding.method,
        evidence=finding.evidence,
    )
