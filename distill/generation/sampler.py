"""What the parameters ask of a model, as traces: from the cache where they are there, from the model where not.

The cache decides what is missing, `dispatch` asks for it, and the traces are read back from disk, sorted by id: the
same answers give the same rows, however often and by however many processes they were asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from distill.config import SamplingSettings
from distill.errors import ConfigError, DataError, Incomplete
from distill.generation import request
from distill.generation.cache import Answer, RequestCache
from distill.generation.dispatch import MAX_ATTEMPTS, Dispatcher, Job
from distill.generation.endpoint import Serving
from distill.generation.stats import Stats
from distill.generation.upstream import Upstream
from distill.models import ModelRevision
from distill.prompting import THINK_CLOSE, THINK_OPEN, split_completion
from distill.records import Problem, Trace, content_id, trace_id


@dataclass(frozen=True, slots=True)
class Sampled:
    """The traces that the parameters ask for, sorted by id, what it took to have them, and why some are not there."""

    traces: list[Trace]
    stats: Stats
    refusals: dict[str, str] = field(default_factory=dict)  # problem id -> why the server will never answer it


def sample_problems(
    problems: Sequence[Problem], model: ModelRevision, sampling: SamplingSettings, serving: Serving, seed: int
) -> Sampled:
    """`sampling.samples` answers to every problem, from the cache where they are there.

    A problem that the server refuses (its prompt does not fit, say) has no trace; it is in `refusals`. Raises
    `Incomplete` when attempts ran out, `DataError` when every request is refused, and `ServerError` when there is no
    server to be had. What landed before stays landed.
    """
    _check(model, sampling, serving)
    recipe = request.recipe(model, sampling, serving.dtype, seed)
    cache = RequestCache(recipe.key)
    jobs = [Job(problem, index) for problem in _distinct(problems) for index in range(sampling.samples)]
    missing = [job for job in jobs if cache.find(job.slot, sampling.max_tokens) is None]
    stats = Stats(requested=len(jobs), from_cache=len(jobs) - len(missing), torn_lines=cache.torn_lines)
    refusals: dict[str, str] = {}
    if missing:
        refusals = _sample(missing, recipe, cache, model, serving, stats)
        cache = RequestCache(recipe.key)  # with what another process landed meanwhile, as every later run will see it
    found = [cache.find(job.slot, sampling.max_tokens) for job in jobs]
    answers = [answer for answer in found if answer is not None]
    stats.finish_reasons.update(answer.finish_reason for answer in answers)
    traces = [_trace(answer, model, recipe) for answer in answers]
    return Sampled(sorted(traces, key=lambda trace: trace.id), stats, refusals)


def _check(model: ModelRevision, sampling: SamplingSettings, serving: Serving) -> None:
    if sampling.temperature == 0 and sampling.samples > 1:
        raise ConfigError(f"temperature is 0 but samples is {sampling.samples}: all would be equal; set samples: 1")
    context = request.context_of(model, serving.max_model_len)
    if sampling.max_tokens >= context:
        raise ConfigError(
            f"max_tokens is {sampling.max_tokens} but {model.model} is served with {context} tokens in all"
        )


def _distinct(problems: Sequence[Problem]) -> list[Problem]:
    """Every problem once: two splits may share one."""
    return list({problem.id: problem for problem in problems}.values())


def _sample(
    missing: list[Job],
    recipe: request.Recipe,
    cache: RequestCache,
    model: ModelRevision,
    serving: Serving,
    stats: Stats,
) -> dict[str, str]:
    """Ask for what is missing. Returns the refused problems; raises when anything else is left."""
    seed = int(content_id(recipe.key, [job.slot for job in missing])[:8], 16)
    dispatcher = Dispatcher(recipe, cache, Upstream(model, serving, seed, stats), stats)
    try:
        dispatcher.run(missing, stats.requested)
    finally:
        cache.close()
    if dispatcher.undone:
        reason = next(iter(dispatcher.undone.values()))
        raise Incomplete(
            f"{len(dispatcher.undone)} of {stats.requested} answers of {model.name} are missing after {MAX_ATTEMPTS} "
            f"attempts ({reason}); what landed is kept, run again to ask for the rest"
        )
    if len(dispatcher.refused) == stats.requested:
        raise DataError(f"{model.name} refuses every request ({next(iter(dispatcher.refused.values()))})")
    stats.refused = len(dispatcher.refused)
    return {problem: reason for (problem, _), reason in dispatcher.refused.items()}


def _trace(answer: Answer, model: ModelRevision, recipe: request.Recipe) -> Trace:
    """The row of an answer: its text with the chain in its place, and the split of it."""
    text = answer.text if answer.reasoning is None else _rejoin(answer)
    split = split_completion(text, recipe.prefilled)
    return Trace(
        id=trace_id(answer.problem_id, answer.sample_index, recipe.key),
        problem_id=answer.problem_id,
        sample_index=answer.sample_index,
        request_key=recipe.key,
        model=model.model,
        model_revision=model.revision,
        text=text,
        reasoning=split.reasoning,
        answer_text=split.answer,
        finish_reason=answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        max_tokens=answer.max_tokens,
        seed_label=answer.seed_label,
        engine=answer.engine,
    )


def _rejoin(answer: Answer) -> str:
    """The message of a server that splits off the chain, as one that does not would have sent it."""
    opened = f"{THINK_OPEN}\n{answer.reasoning}"
    return f"{opened}\n{THINK_CLOSE}\n\n{answer.text}" if answer.text else opened
