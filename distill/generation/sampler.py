"""What the parameters ask of a model, as traces: from the cache where they are there, from the model where not.

Each problem runs its course (`plan`) over the answers in the cache; what is missing there is asked for by `dispatch`.
At the end the courses are run again over what is on disk, so the same answers give the same rows, however often, in
whatever order and by however many processes they were asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from distill.errors import ConfigError, DataError, Incomplete, ServerError
from distill.generation import request
from distill.generation.cache import Entry, RequestCache, Slot
from distill.generation.dispatch import MAX_ATTEMPTS, Dispatcher, Landed
from distill.generation.endpoint import Serving
from distill.generation.plan import Course, Job, Rules, Stop
from distill.generation.rows import Grader, Tracer, Traces
from distill.generation.stats import Stats
from distill.generation.upstream import Fleet
from distill.models import ModelRevision
from distill.records import FinishReason, Problem, Sampling, Trace, content_id
from distill.settings import SamplingSettings

GRADED_AT_ONCE = 4096  # texts in memory
PROBES = 3  # answers that show whether chains of thought come


@dataclass(frozen=True, slots=True)
class Sampled:
    """The traces that the parameters ask for, sorted by id, what it took, and what became of each problem."""

    traces: Traces
    stats: Stats
    stops: dict[str, Stop] = field(default_factory=dict)  # problem id -> why no more was asked
    refusals: dict[str, str] = field(default_factory=dict)  # problem id -> why the server will never answer it

    def rows(self) -> list[Sampling]:
        """What became of each problem, by its id."""
        return [Sampling(problem_id=p, stop=s, detail=self.refusals.get(p, "")) for p, s in sorted(self.stops.items())]


class Courses:
    """Every problem's course over one cache. `advance` and `take_in` return what has to be asked."""

    def __init__(
        self,
        problems: Sequence[Problem],
        rules: Rules,
        cache: RequestCache,
        trace: Tracer,
        stats: Stats,
        refused: set[Slot],
        samples_of: Mapping[str, int],
    ) -> None:
        self.rules, self.cache, self.trace, self.stats, self.refused = rules, cache, trace, stats, refused
        self._probes: list[Trace] = []
        distinct = {problem.id: problem for problem in problems}  # two splits may share one
        self.of = {
            name: Course(problem, replace(rules, samples=samples_of[name]) if name in samples_of else rules)
            for name, problem in distinct.items()
        }

    def advance(self, courses: Iterable[Course]) -> list[Job]:
        """Open the next round of courses of which nothing is open, as far as the cache goes."""
        missing: list[Job] = []
        fresh = [job for course in courses for job in course.next_round()]
        while fresh:
            known: list[Landed] = []
            for job in fresh:
                answer = self.cache.find(job.slot, job.budget)
                if answer is not None or job.slot in self.refused:
                    known.append((job, answer))
                else:
                    missing.append(job)
            right = self._right(known) if self.rules.want else set()
            fresh = [job for course in self._settle(known, right) for job in course.next_round()]
        return missing

    def take_in(self, landed: Sequence[Landed]) -> list[Job]:
        """Settle what landed, and open the rounds that follow. Raises `ServerError` where no chain of thought comes."""
        if self.trace.must_reason and len(self._probes) < PROBES:
            self._probe([entry for _, entry in landed if entry is not None])
        right = self._right(landed)
        self.stats.graded += sum(entry is not None for _, entry in landed) if self.trace.grade else 0
        self.stats.verified += len(right)
        return self.advance(self._settle(landed, right))

    def answers(self) -> list[Entry]:
        """What the courses came to: the last answer of every sample."""
        return [answer for course in self.of.values() for answer in course.answers.values()]

    def _probe(self, entries: Sequence[Entry]) -> None:
        """See that the first answers hold what all the others are asked for."""
        ended = [entry for entry in entries if entry.finish_reason == FinishReason.STOP]
        self._probes += [self.trace.row(self.cache.read(entry)) for entry in ended[: PROBES - len(self._probes)]]
        if len(self._probes) == PROBES and not any(row.reasoning for row in self._probes):
            model = self.trace.model
            raise ServerError(
                f"the first {PROBES} answers of {model.model} hold no chain of thought; it is no reasoning model, or "
                "its server drops the chain: vLLM sends it with --reasoning-parser deepseek_r1, or inline with none"
            )

    def _right(self, landed: Sequence[Landed]) -> set[Slot]:
        """The slots of those that the grader finds right."""
        if self.trace.grade is None:
            return set()
        ended = [entry for _, entry in landed if entry is not None and entry.finish_reason == FinishReason.STOP]
        right: set[str] = set()
        for start in range(0, len(ended), GRADED_AT_ONCE):
            some = ended[start : start + GRADED_AT_ONCE]
            right |= self.trace.grade([self.trace.row(self.cache.read(entry)) for entry in some])
        return {entry.slot for entry in ended if self.trace.id_of(entry.slot) in right}

    def _settle(self, landed: Sequence[Landed], right: set[Slot]) -> list[Course]:
        """Settle jobs and return the courses of which nothing is open any more."""
        touched: dict[str, Course] = {}
        for job, answer in landed:
            course = touched[job.problem.id] = self.of[job.problem.id]
            if answer is None:
                course.refuse(job)
            else:
                course.settle(job, answer, answer.slot in right)
        return [course for course in touched.values() if not course.open]


def sample_problems(
    problems: Sequence[Problem],
    model: ModelRevision,
    sampling: SamplingSettings,
    serving: Serving,
    seed: int,
    grade: Grader | None = None,
    must_reason: bool = False,
    samples_of: Mapping[str, int] | None = None,
) -> Sampled:
    """What the rules in `sampling` ask for of every problem, from the cache where it is there.

    `samples_of` names, by their ids, problems that are asked for another number of samples. `grade` says which traces
    are right, where the rules want verified ones; with `must_reason` the first answers have to hold a chain of thought.
    A problem that the server refuses (its prompt does not fit, say) has no trace; it is in `refusals`. Raises
    `Incomplete` when attempts ran out, `DataError` when every request is refused, and `ServerError` when there is no
    server to be had. What landed stays landed.
    """
    samples_of = samples_of or {}
    _check(model, sampling, serving, max((samples_of.get(p.id, sampling.samples) for p in problems), default=1))
    recipe, rules = request.recipe(model, sampling, serving.dtype, seed), Rules.of(sampling)
    trace = Tracer(model, recipe, grade, must_reason)
    stats, refusals = Stats(), dict[Slot, str]()
    while True:
        # Read anew after asking, with what another process landed meanwhile: as every later run will see it.
        cache = RequestCache(recipe.key)
        courses = Courses(problems, rules, cache, trace, stats, set(refusals), samples_of)
        missing = courses.advance(courses.of.values())
        if not stats.sampled:
            stats.from_cache, stats.torn_lines = len(courses.answers()), cache.torn_lines
        if not missing:
            break
        refusals |= _ask(missing, courses, serving, stats)
    answers = courses.answers()
    if refusals and not answers:
        raise DataError(f"{model.name} refuses every request ({next(iter(refusals.values()))})")
    stops = {name: course.stop for name, course in courses.of.items() if course.stop is not None}
    stats.requested, stats.refused = len(answers) + len(refusals), len(refusals)
    stats.finish_reasons.update(answer.finish_reason for answer in answers)
    stats.stops.update(stops.values())
    reasons = {problem: reason for (problem, _), reason in refusals.items()}
    return Sampled(Traces(trace, cache, answers), stats, stops, reasons)


def _check(model: ModelRevision, sampling: SamplingSettings, serving: Serving, samples: int) -> None:
    if sampling.temperature == 0 and samples > 1:
        raise ConfigError(f"temperature is 0 but samples is {samples}: all would be equal; set samples: 1")
    context = request.context_of(model, serving.max_model_len)
    if sampling.max_tokens >= context:
        raise ConfigError(
            f"max_tokens is {sampling.max_tokens} but {model.model} is served with {context} tokens in all"
        )


def _ask(missing: list[Job], courses: Courses, serving: Serving, stats: Stats) -> dict[Slot, str]:
    """Ask for what is missing. Returns what the server refused; raises when anything else is left."""
    model, recipe, cache = courses.trace.model, courses.trace.recipe, courses.cache
    seed = int(content_id(recipe.key, [job.slot for job in missing])[:8], 16)
    dispatcher = Dispatcher(recipe, cache, Fleet(model, serving, seed, stats), stats, courses.take_in)
    try:
        dispatcher.run(missing, len(courses.answers()))
    finally:
        cache.close()
    if dispatcher.undone:
        reason = next(iter(dispatcher.undone.values()))
        raise Incomplete(
            f"{len(dispatcher.undone)} answers of {model.name} are missing after {MAX_ATTEMPTS} attempts ({reason}); "
            "what landed is kept, run again to ask for the rest"
        )
    return dispatcher.refused
