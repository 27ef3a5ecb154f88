"""All requests of a run at once: what is missing is asked, what lands is kept, and the traces come out in the order of their ids.

Every request is one sample, in a queue that a fixed number of workers empty; there are no batches and so no barriers
between them. A request that must wait goes back into the queue when its time comes and holds no worker. A server of
our own that dies is restarted, and the requests it took with it are asked again.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from distill.config import SamplingSettings
from distill.errors import ConfigError, DataError, Incomplete, ServerError
from distill.generation import client, endpoint, request
from distill.generation.cache import Answer, RequestCache
from distill.generation.endpoint import Endpoint, Serving
from distill.generation.server import Server
from distill.models import ModelRevision
from distill.progress import Tracker, track
from distill.prompting import Completion, split_completion
from distill.records import FinishReason, Problem, Trace, trace_id

MAX_ATTEMPTS = 8
MAX_RESTARTS = 5
REQUEST_TIMEOUT_S = 6 * 3600.0  # a long chain on a busy server
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stats:
    """What a run measured: counts, tokens, seconds."""

    requested: int = 0
    from_cache: int = 0
    sampled: int = 0
    completion_tokens: int = 0
    prompt_tokens: int = 0
    wall_s: float = 0.0
    server_start_s: float = 0.0
    restarts: int = 0
    torn_lines: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    finish_reasons: Counter[str] = field(default_factory=Counter)

    def metrics(self) -> dict[str, Any]:
        """As JSON, with the rate of the tokens that this run sampled."""
        values = {name: getattr(self, name) for name in self.__slots__}
        counts = {"failures": dict(self.failures), "finish_reasons": dict(self.finish_reasons)}
        return values | counts | {"tokens_per_second": self.completion_tokens / self.wall_s if self.wall_s else None}


@dataclass(frozen=True, slots=True)
class Sampled:
    """The traces that the parameters ask for, sorted by id, and what it took to have them."""

    traces: list[Trace]
    stats: Stats


@dataclass(order=True, slots=True)
class Job:
    """One sample to be asked."""

    problem: Problem = field(compare=False)
    sample_index: int = 0
    attempt: int = 1


def sample_problems(
    problems: Sequence[Problem], model: ModelRevision, sampling: SamplingSettings, serving: Serving, seed: int
) -> Sampled:
    """`sampling.samples` answers to every problem, from the cache where they are there.

    Raises `Incomplete` when attempts ran out, `DataError` when the server refuses a request for good, and
    `ServerError` when there is no server to be had. What landed before stays landed.
    """
    if sampling.temperature == 0 and sampling.samples > 1:
        raise ConfigError(f"temperature is 0 but samples is {sampling.samples}: all would be equal; set samples: 1")
    recipe = request.recipe(model, sampling, serving.dtype, seed)
    cache = RequestCache(recipe.key)
    jobs = [Job(problem, index) for problem in problems for index in range(sampling.samples)]
    missing = [job for job in jobs if not _answered(cache, job, sampling.max_tokens)]
    stats = Stats(requested=len(jobs), from_cache=len(jobs) - len(missing), torn_lines=cache.torn_lines)
    if missing:
        run = _Run(model, serving, recipe, cache, stats)
        try:
            asyncio.run(run.finish(missing, len(jobs)))
        finally:
            run.stop()
            cache.close()
    answers = [cache.answers[job.problem.id, job.sample_index] for job in jobs]
    stats.finish_reasons.update(answer.finish_reason for answer in answers)
    traces = [_trace(answer, model, recipe) for answer in answers]
    return Sampled(sorted(traces, key=lambda trace: trace.id), stats)


def _answered(cache: RequestCache, job: Job, max_tokens: int) -> bool:
    """Whether an answer is there that no longer budget would change."""
    answer = cache.answers.get((job.problem.id, job.sample_index))
    return answer is not None and (answer.finish_reason != FinishReason.LENGTH or answer.max_tokens >= max_tokens)


class _Run:
    """The state of one run: the queue, the server, the failures."""

    def __init__(
        self, model: ModelRevision, serving: Serving, recipe: request.Recipe, cache: RequestCache, stats: Stats
    ) -> None:
        self.model, self.serving, self.recipe, self.cache, self.stats = model, serving, recipe, cache, stats
        self.server: Server | None = None
        self.endpoint: Endpoint | None = endpoint.from_environment(model)
        self.undone: dict[str, str] = {}  # trace -> why its attempts ran out
        self.refused: dict[str, str] = {}
        self.generation = 0  # of the server: a restart raises it
        self.restarting = asyncio.Lock()

    async def finish(self, jobs: list[Job], total: int) -> None:
        """Ask every job until it is answered, refused, or out of attempts."""
        if self.endpoint is None:
            await self._start_server()
        queue: asyncio.Queue[Job] = asyncio.Queue()
        for job in jobs:
            queue.put_nowait(job)
        started = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, sock_connect=10)
        connector = aiohttp.TCPConnector(limit=0)
        with track(f"ask {self.model.name}", total, "answers") as progress:
            progress.skip(total - len(jobs))
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
                asyncio.TaskGroup() as workers,
            ):
                tasks = [
                    workers.create_task(self._work(queue, session, progress, started))
                    for _ in range(min(len(jobs), endpoint.concurrency(self.serving.server)))
                ]
                await queue.join()
                for task in tasks:
                    task.cancel()
        self.stats.wall_s = time.monotonic() - started
        self._raise_what_is_left()

    async def _work(
        self, queue: asyncio.Queue[Job], session: aiohttp.ClientSession, progress: Tracker, started: float
    ) -> None:
        """One worker: take a job, ask, land the answer or say what becomes of the job."""
        while True:
            job = await queue.get()
            generation = self.generation
            try:
                answer = await self._ask(job, session)
            except (client.Busy, client.Gone, client.Refused) as failure:
                await self._after(failure, job, queue, generation)
                continue
            self.cache.land(answer)
            self.stats.sampled += 1
            self.stats.completion_tokens += answer.completion_tokens
            self.stats.prompt_tokens += answer.prompt_tokens
            progress.advance()
            progress.note(f"{self.stats.completion_tokens / (time.monotonic() - started):,.0f} tokens/s")
            queue.task_done()

    async def _ask(self, job: Job, session: aiohttp.ClientSession) -> Answer:
        assert self.endpoint is not None  # set before the workers start
        slot = (job.problem.id, job.sample_index)
        label = self.recipe.seed_label(*slot)
        messages = self.recipe.messages(job.problem)
        return await client.ask(session, self.endpoint, messages, self.recipe.sampling, slot, label, job.attempt)

    async def _after(self, failure: Exception, job: Job, queue: asyncio.Queue[Job], generation: int) -> None:
        """Note a failed attempt; ask again later, or give the job up."""
        kind, slot = type(failure).__name__.lower(), (job.problem.id, job.sample_index)
        self.stats.failures[kind] += 1
        self.cache.note_failure(slot, kind, str(failure), job.attempt)
        if isinstance(failure, client.Refused):
            self.refused[job.problem.id] = str(failure)
            queue.task_done()
            return
        died = isinstance(failure, client.Gone) and await self._revive(generation)
        job.attempt += 0 if died else 1  # a request that went down with its server did nothing wrong
        if job.attempt > MAX_ATTEMPTS:
            self.undone[job.problem.id] = str(failure)
            queue.task_done()
            return
        pause = client.pause_before(job.attempt, getattr(failure, "retry_after", None))
        asyncio.get_running_loop().call_later(0 if died else pause, _again, queue, job)

    async def _revive(self, generation: int) -> bool:
        """Restart a server of our own that died. Returns whether it had died since `generation`."""
        async with self.restarting:
            if self.generation != generation:
                return True
            if self.server is None or await asyncio.to_thread(self.server.healthy):
                return False
            if self.stats.restarts >= MAX_RESTARTS:
                raise ServerError(
                    f"vLLM died {MAX_RESTARTS + 1} times serving {self.model.model}; see {self.server.log}"
                )
            log.warning("the server of %s died; starting it again", self.model.name)
            self.stats.restarts += 1
            self.server.stop()
            await self._start_server()
            self.generation += 1
            return True

    async def _start_server(self) -> None:
        started = time.monotonic()
        self.server = self.server or Server(self.model, self.serving)
        self.endpoint = await asyncio.to_thread(self.server.start)
        self.stats.server_start_s += time.monotonic() - started

    def stop(self) -> None:
        """Stop the server, if there is one of our own."""
        if self.server is not None:
            self.server.stop()

    def _raise_what_is_left(self) -> None:
        if self.refused:
            problem, reason = next(iter(self.refused.items()))
            raise DataError(f"{self.model.name} refuses {len(self.refused)} problems for good; {problem}: {reason}")
        if self.undone:
            problem, reason = next(iter(self.undone.items()))
            raise Incomplete(
                f"{len(self.undone)} problems have no answer after {MAX_ATTEMPTS} attempts ({problem}: {reason}); "
                "what landed is kept, run again to ask for the rest"
            )


def _again(queue: asyncio.Queue[Job], job: Job) -> None:
    """Put a job back. It is counted as new before its old place is given up, so that the queue is never thought empty."""
    queue.put_nowait(job)
    queue.task_done()


def _trace(answer: Answer, model: ModelRevision, recipe: request.Recipe) -> Trace:
    """The row of an answer. Where the server splits off the reasoning it is taken as it is, else the text is split."""
    split = Completion(answer.reasoning.strip(), answer.text.strip()) if answer.reasoning else None
    split = split or split_completion(answer.text, recipe.prefilled)
    return Trace(
        id=trace_id(answer.problem_id, answer.sample_index, recipe.key),
        problem_id=answer.problem_id,
        sample_index=answer.sample_index,
        request_key=recipe.key,
        model=model.model,
        model_revision=model.revision,
        text=answer.text,
        reasoning=split.reasoning,
        answer_text=split.answer,
        finish_reason=answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        max_tokens=answer.max_tokens,
        seed_label=answer.seed_label,
        engine=answer.engine,
    )
