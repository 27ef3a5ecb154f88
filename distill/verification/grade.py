r"""Every trace gets a verdict.

    grade(problems, traces, settings, "verify").verdicts[0]
    -> Verdict(trace_id="c07a…", verdict="correct", extracted="12", method="exact", evidence="equal as exact fractions")

What is asked of a trace, in this order: did it end by itself, is there an answer after its chain of thought, in the
form that was asked for, and is it the reference? What text alone cannot decide is work for an engine; equal work is
done once. A judge, where there is one, sees only what the rules abstained from.
"""

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from distill.errors import DataError
from distill.progress import track
from distill.records import Extraction, Method, Outcome, Problem, Verdict, Verifier
from distill.settings import VerifySettings
from distill.verification import choice, code, engines, gym, math, tasks
from distill.verification.cache import fingerprint
from distill.verification.engines import Work
from distill.verification.extraction import Extracted, ended, final_box
from distill.verification.findings import Finding, NeedsParser

MAX_EXTRACTED = 1_000  # characters of an answer kept in its verdict
N_SLOWEST = 5

# Where the rules say that they do not know. A judge is never asked about a limit: hostile text stays where it is.
ABSTAINED = frozenset({Outcome.UNPARSED_ANSWER, Outcome.UNPARSED_GOLD, Outcome.TIMEOUT, Outcome.UNAVAILABLE})
JUDGEABLE = frozenset({Verifier.MATH, Verifier.JUDGE})


class Answered(Protocol):
    """What grading needs of a trace; `records.Trace` has it, and so has `records.TraceAnswer`."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def problem_id(self) -> str: ...  # noqa: D102
    @property
    def finish_reason(self) -> str: ...  # noqa: D102
    @property
    def answer_text(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Case:
    """What a judge sees of a trace."""

    question: str
    gold: str
    answer: str


Judge = Callable[[Sequence[Case]], list[Finding]]


@dataclass(frozen=True, slots=True)
class Slow:
    """A comparison that took long, and the first trace that it was made for."""

    seconds: float
    trace_id: str
    engine: str


@dataclass(slots=True)
class Grading:
    """Verdicts sorted by trace id, how much work went to engines, how much of it the cache had, and the slowest."""

    verdicts: list[Verdict]
    n_engine: int = 0
    n_cached: int = 0
    n_judged: int = 0
    slowest: list[Slow] = field(default_factory=list)


def grade_traces(
    problems: Iterable[Problem], traces: Iterable[Answered], settings: VerifySettings, label: str
) -> list[Verdict]:
    """The verdicts of `grade` alone, by the rules alone."""
    return grade(problems, traces, settings, label).verdicts


def grade(
    problems: Iterable[Problem],
    traces: Iterable[Answered],
    settings: VerifySettings,
    label: str,
    total: int | None = None,
    judge: Judge | None = None,
    answer_line: bool = False,
) -> Grading:
    """Grade traces against their problems; `label` names the progress line, an empty one shows none.

    `traces` is read once, so it may come from a file, with its length in `total`. `answer_line` also takes an
    "Answer:" line where there is no box. Raises `DataError` for a trace without its problem, `DistillError` when the
    verifier fails its self-test.
    """
    rules = Rules({problem.id: problem for problem in problems}, answer_line)
    name = fingerprint()
    total = total if total is not None else len(traces)  # type: ignore[arg-type]
    found: dict[str, tuple[Finding, Extracted | None]] = {}
    waiting: dict[str, list[str]] = {}
    works: dict[str, Work] = {}
    problem_of: dict[str, str] = {}
    counts: Counter[str] = Counter()
    grading = Grading([])
    with track(label, total, "traces") as progress:

        def decide(finding: Finding, ids: Sequence[str]) -> None:
            counts[finding.outcome] += len(ids)
            progress.note(_counted(counts))
            progress.advance(len(ids))

        for trace in traces:
            verdict, extracted = rules.judge(trace)
            if judge is not None:
                problem_of[trace.id] = trace.problem_id
            if isinstance(verdict, Work):
                works[verdict.key] = verdict
                waiting.setdefault(verdict.key, []).append(trace.id)
                found[trace.id] = (_PENDING, extracted)
            else:
                found[trace.id] = (verdict, extracted)
                decide(verdict, [trace.id])
        for decided in engines.run(works.values(), settings):
            ids = waiting[decided.work.key]
            for trace_id in ids:
                found[trace_id] = (decided.finding, found[trace_id][1])
            grading.n_engine += 1
            grading.n_cached += decided.cached
            grading.slowest.append(Slow(round(decided.seconds, 3), ids[0], decided.work.engine))
            grading.slowest = heapq.nlargest(N_SLOWEST, grading.slowest, key=lambda slow: slow.seconds)
            decide(decided.finding, ids)
    if judge is not None:
        grading.n_judged = _ask_judge(judge, rules, found, problem_of)
    grading.verdicts = [_verdict(trace, name, *found[trace]) for trace in sorted(found)]
    return grading


def check_gold(problems: Sequence[Problem], settings: VerifySettings) -> dict[str, Outcome]:
    """What the verifier says of each reference answer when a model gives exactly that, by problem id.

    Problems whose references no rule can check (a judge's; tests without a program) are left out.
    """
    rules = Rules({})
    checked = [(problem.id, found) for problem in problems if (found := rules.check(problem)) is not None]
    return {name: finding.outcome for name, finding in engines.settle(checked, settings).items()}


class Rules:
    """The rules of every verifier over one set of problems."""

    def __init__(self, problems: dict[str, Problem], answer_line: bool = False) -> None:
        self.problems = problems
        self.answer_line = answer_line
        self._arguments: dict[str, dict[str, Any]] = {}
        self._tests: dict[str, code.Tests] = {}

    def judge(self, trace: Answered) -> tuple[Finding | Work, Extracted | None]:
        """The finding of one trace, or the work that will give it, and the answer that it is about."""
        problem = self.problems.get(trace.problem_id)
        if problem is None:
            raise DataError(f"trace {trace.id} answers problem {trace.problem_id}, which is not among the problems")
        text = ended(trace.finish_reason, trace.answer_text)
        if isinstance(text, Finding):
            return text, None
        extracted = self.extract(problem, text)
        if isinstance(extracted, Finding):
            return extracted, None
        return self.compare(problem, extracted.text), extracted

    def extract(self, problem: Problem, text: str) -> Extracted | Finding:
        """The answer in a text, in the form that the problem asks for."""
        if problem.verifier == Verifier.NONE:
            return Finding(Outcome.UNAVAILABLE, Method.NONE, "the problem has no verifier")
        if problem.verifier == Verifier.CODE:
            program = code.extract(text)
            return program if isinstance(program, Finding) else Extracted(program, Extraction.PROGRAM)
        if problem.verifier == Verifier.CHOICE:
            return choice.extract(text, self._arguments_of(problem)["options"])
        return final_box(text, math.same_text, self.answer_line)

    def compare(self, problem: Problem, answer: str) -> Finding | Work:
        """Compare an answer with the reference by the problem's verifier."""
        if problem.verifier == Verifier.MATH:
            try:
                return math.compare(problem.answer, answer)
            except NeedsParser:
                return engines.parse(problem.answer, answer)
        if problem.verifier == Verifier.GYM:
            return self._compare_gym(problem, answer)
        if problem.verifier == Verifier.CHOICE:
            return choice.compare(problem.answer, answer)
        if problem.verifier == Verifier.CODE:
            return engines.execute(answer, self._tests_of(problem))
        return Finding(Outcome.UNAVAILABLE, Method.NONE, "only a judge can say; name one as verify.judge in params")

    def check(self, problem: Problem) -> Finding | Work | None:
        """Whether a problem's reference can be graded; None where no rule can tell."""
        if problem.verifier == Verifier.JUDGE or (problem.verifier == Verifier.CODE and not problem.answer):
            return None
        if problem.verifier == Verifier.NONE:
            return Finding(Outcome.UNAVAILABLE, Method.NONE, "the problem has no verifier")
        if problem.verifier != Verifier.MATH:
            return self.compare(problem, problem.answer)
        try:
            return math.check(problem.answer)
        except NeedsParser:
            return engines.read_gold(problem.answer)

    def _compare_gym(self, problem: Problem, answer: str) -> Finding | Work:
        arguments = self._arguments_of(problem)
        if arguments.get("task") not in tasks.SCORED:
            return gym.compare(problem.answer, answer)
        item = gym.scoring(arguments, problem.answer, answer)
        return item if isinstance(item, Finding) else engines.score(item)

    def _arguments_of(self, problem: Problem) -> dict[str, Any]:
        if problem.id not in self._arguments:
            self._arguments[problem.id] = json.loads(problem.verifier_args)
        return self._arguments[problem.id]

    def _tests_of(self, problem: Problem) -> code.Tests:
        if problem.id not in self._tests:
            self._tests[problem.id] = code.Tests.parse(json.loads(problem.verifier_args), f"problem {problem.id}")
        return self._tests[problem.id]


_PENDING = Finding(Outcome.UNAVAILABLE, Method.NONE, "an engine has not answered")


def _ask_judge(
    judge: Judge, rules: Rules, found: dict[str, tuple[Finding, Extracted | None]], problem_of: dict[str, str]
) -> int:
    """Put what the rules abstained from before a judge. Returns how many traces that were."""
    cases: dict[Case, list[str]] = {}
    for trace, (finding, extracted) in found.items():
        problem = rules.problems[problem_of[trace]]
        if extracted and finding.outcome in ABSTAINED and problem.verifier in JUDGEABLE:
            cases.setdefault(Case(problem.prompt, problem.answer, extracted.text), []).append(trace)
    for traces, finding in zip(cases.values(), judge(list(cases)) if cases else [], strict=True):
        found |= {trace: (finding, found[trace][1]) for trace in traces}
    return sum(map(len, cases.values()))


def summarise(source_of: dict[str, str], trace_problem: dict[str, str], verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Counts per outcome, and the share correct with its n, overall and per source."""
    rows = [(source_of[trace_problem[verdict.trace_id]], verdict.verdict) for verdict in verdicts]
    sources = sorted({source for source, _ in rows})
    return {
        **_shares([outcome for _, outcome in rows]),
        "sources": {name: _shares([outcome for source, outcome in rows if source == name]) for name in sources},
    }


def describe(summary: dict[str, Any]) -> str:
    """`1,200 traces: 812 correct, 311 incorrect, 77 truncated (0 timeouts)`."""
    counts = Counter(summary["outcomes"])
    return f"{summary['n']:,} traces: {_counted(counts)} ({counts.get(Outcome.TIMEOUT, 0):,} timeouts)"


def _counted(counts: Counter[str]) -> str:
    """`812 correct, 311 incorrect, 77 truncated`."""
    first = [Outcome.CORRECT, Outcome.INCORRECT]
    others = sorted((outcome for outcome in counts if outcome not in first), key=lambda outcome: -counts[outcome])
    return ", ".join(f"{counts[outcome]:,} {outcome.replace('_', ' ')}" for outcome in [*first, *others])


def _shares(outcomes: list[str]) -> dict[str, Any]:
    counts = Counter(outcomes)
    return {
        "n": len(outcomes),
        "correct": round(counts[Outcome.CORRECT] / len(outcomes), 4) if outcomes else None,
        "outcomes": {outcome: counts[outcome] for outcome in sorted(counts)},
    }


def _verdict(trace_id: str, name: str, finding: Finding, extracted: Extracted | None) -> Verdict:
    return Verdict(
        trace_id=trace_id,
        fingerprint=name,
        verdict=finding.outcome,
        extracted=extracted.text[:MAX_EXTRACTED] if extracted else None,
        method=finding.method,
        evidence=finding.evidence,
        extraction=extracted.how if extracted else Extraction.NONE,
    )
