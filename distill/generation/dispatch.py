"""Many requests at once: a fixed number of workers draw from one list of jobs until each is settled.

Every request is one sample; there are no batches and so no barriers between them. A worker that must wait, as the
server says or after a failure, holds its place while it waits: that is what takes load off a server that asks for it.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from distill.errors import Incomplete, ServerError
from distill.generation import client, endpoint
from distill.generation.cache import Answer, RequestCache, Slot
from distill.generation.request import Recipe
from distill.generation.stats import Stats
from distill.generation.upstream import Upstream
from distill.models import url_variable
from distill.progress import Tracker, track
from distill.records import Problem

MAX_ATTEMPTS = 8
MAX_EXCUSED = 100  # attempts that failed through no fault of the request: a throttle, a server that died
CONNECT_TIMEOUT_S = 30.0
REPLY_TIMEOUT_S = 600.0  # a busy server's queue
TOKEN_TIMEOUT_S = 0.5  # and two tokens a second, slower than any server that is worth waiting for


@dataclass(frozen=True, slots=True)
class Job:
    """One sample to be asked."""

    problem: Problem
    sample_index: int

    @property
    def slot(self) -> Slot:
        """Its place in the cache."""
        return self.problem.id, self.sample_index


class Dispatcher:
    """One run over jobs that have no answer yet. `refused` and `undone` name what stayed without one, and why."""

    def __init__(self, recipe: Recipe, cache: RequestCache, upstream: Upstream, stats: Stats) -> None:
        self.recipe, self.cache, self.upstream, self.stats = recipe, cache, upstream, stats
        self.refused: dict[Slot, str] = {}
        self.undone: dict[Slot, str] = {}
        self._started = 0.0

    def run(self, jobs: Sequence[Job], total: int) -> None:
        """Settle every job. Raises `Incomplete` on a signal, and `ServerError`; what landed stays landed."""
        asyncio.run(_until_signalled(self._run(jobs, total)))

    async def _run(self, jobs: Sequence[Job], total: int) -> None:
        try:
            await self.upstream.open()
            self._started = time.monotonic()
            with track(f"ask {self.upstream.model.name}", total, "answers") as progress:
                progress.skip(total - len(jobs))
                await self._settle_all(jobs, progress)
        finally:
            self.upstream.close()
            self.stats.wall_s = time.monotonic() - self._started if self._started else 0.0

    async def _settle_all(self, jobs: Sequence[Job], progress: Tracker) -> None:
        waiting = iter(jobs)
        n_workers = min(len(jobs), endpoint.concurrency(self.upstream.serving.server))
        reply_s = REPLY_TIMEOUT_S + TOKEN_TIMEOUT_S * self.recipe.sampling.max_tokens
        timeout = aiohttp.ClientTimeout(total=reply_s, sock_connect=CONNECT_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
            workers = [asyncio.create_task(self._work(waiting, session, progress)) for _ in range(n_workers)]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, waiting: Iterator[Job], session: aiohttp.ClientSession, progress: Tracker) -> None:
        for job in waiting:
            answer = await self._settle(job, session)
            if answer is not None:
                self._count(answer, progress)

    async def _settle(self, job: Job, session: aiohttp.ClientSession) -> Answer | None:
        """Ask until there is an answer, a refusal, or no attempt left."""
        attempt, excused, reason = 1, 0, ""
        while attempt <= MAX_ATTEMPTS and excused <= MAX_EXCUSED:
            generation = self.upstream.generation
            try:
                answer = await self._ask(job, session, attempt)
            except client.Refused as refusal:
                self._note(refusal, job, attempt)
                self.refused[job.slot] = str(refusal)
                return None
            except client.Failure as failure:
                self._note(failure, job, attempt)
                reason = str(failure)
                if isinstance(failure, client.Throttled) or await self.upstream.revive(generation):
                    excused += 1
                else:
                    attempt += 1
                if generation == self.upstream.generation:
                    await asyncio.sleep(client.pause_after(attempt, failure))
            else:
                self.cache.land(answer)
                return answer
        self.undone[job.slot] = reason
        return None

    async def _ask(self, job: Job, session: aiohttp.ClientSession, attempt: int) -> Answer:
        messages, label = self.recipe.messages(job.problem), self.recipe.seed_label(*job.slot)
        upstream = self.upstream.endpoint
        return await client.ask(session, upstream, messages, self.recipe.sampling, job.slot, label, attempt)

    def _note(self, failure: client.Failure, job: Job, attempt: int) -> None:
        """Keep a failed attempt. Raises `ServerError` for one that every other request would meet too."""
        kind = type(failure).__name__.lower()
        self.stats.failures[kind] += 1
        self.cache.note_failure(job.slot, kind, str(failure), attempt)
        if isinstance(failure, client.Denied):
            variable = url_variable(self.upstream.model.name)
            raise ServerError(
                f"{self.upstream.endpoint.url} denies {self.upstream.endpoint.model!r} ({failure}); "
                f"check {variable}, {variable.removesuffix('_URL')}_API_KEY and the model's name"
            )

    def _count(self, answer: Answer, progress: Tracker) -> None:
        self.stats.sampled += 1
        self.stats.prompt_tokens += answer.prompt_tokens
        self.stats.completion_tokens += answer.completion_tokens
        progress.advance()
        progress.note(f"{self.stats.completion_tokens / (time.monotonic() - self._started):,.0f} tokens/s")


async def _until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, or until SIGTERM or Ctrl-C; then clean up and raise `Incomplete`.

    A signal handler that raises, as a stage's does, may do so inside a callback of the event loop, which would log
    the exception and go on. So the loop takes the signals for as long as it runs.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not received:
            task.cancel()
        received.append(number)

    signals = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in signals}
    for number in signals:
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
        raise Incomplete(f"interrupted by {received[0].name}; the same command goes on from here") from None
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
