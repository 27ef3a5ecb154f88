"""Many requests at once: a fixed number of slots, filled from one queue until every job is settled.

Every request is one sample; there are no batches and so no barriers between them. A job that must wait, as the server
says or after a failure, gives its slot to another and comes back to the queue. What lands is on disk first, then taken
in, and what it makes necessary joins the queue.
"""

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import aiohttp

from distill.errors import Incomplete, ServerError
from distill.generation import client, endpoint
from distill.generation.cache import Answer, Entry, RequestCache, Slot
from distill.generation.plan import Job
from distill.generation.request import Recipe
from distill.generation.stats import Stats
from distill.generation.upstream import Fleet, Upstream
from distill.generation.view import View
from distill.models import url_variable
from distill.progress import Tracker, track

MAX_ATTEMPTS = 8
MAX_EXCUSED = 100  # attempts that failed through no fault of the request: a throttle, a server that died
CONNECT_TIMEOUT_S = 30.0
REPLY_TIMEOUT_S = 600.0  # a busy server's queue
TOKEN_TIMEOUT_S = 0.5  # and two tokens a second, slower than any server that is worth waiting for
TAKE_IN = 1024  # landed answers taken in at once

Landed = tuple[Job, Entry | None]  # None where the server refused
TakeIn = Callable[[Sequence[Landed]], list[Job]]


class Dispatcher:
    """One run over jobs that have no answer yet. `refused` and `undone` name what stayed without one, and why.

    `take_in` is called with what landed, in order, in a thread of its own, and returns the jobs that follow from it.
    """

    def __init__(self, recipe: Recipe, cache: RequestCache, fleet: Fleet, stats: Stats, take_in: TakeIn) -> None:
        self.recipe, self.cache, self.fleet, self.stats, self.take_in = recipe, cache, fleet, stats, take_in
        self.refused: dict[Slot, str] = {}
        self.undone: dict[Slot, str] = {}
        self._attempts: Counter[Slot] = Counter()
        self._excused: Counter[Slot] = Counter()
        self._started = 0.0

    def run(self, jobs: Sequence[Job], done: int) -> None:
        """Settle every job and all that follow. Raises `Incomplete` on a signal, and `ServerError`.

        What landed stays landed. `done` counts the answers that were there before.
        """
        asyncio.run(_until_signalled(self._run(jobs, done)))

    async def _run(self, jobs: Sequence[Job], done: int) -> None:
        try:
            await self.fleet.open()
            self._started = time.monotonic()
            with track(f"ask {self.fleet.model.name}", done + len(jobs), "answers") as progress:
                progress.skip(done)
                self._view = View(self.fleet.model.name, self.stats, progress)
                await self._settle_all(jobs, progress)
                self._view.close()
        finally:
            self.fleet.close()
            self.stats.wall_s += time.monotonic() - self._started if self._started else 0.0

    async def _settle_all(self, jobs: Sequence[Job], progress: Tracker) -> None:
        self._waiting: asyncio.Queue[Job | None] = asyncio.Queue()
        self._landed: asyncio.Queue[Landed] = asyncio.Queue()
        for job in jobs:
            self._waiting.put_nowait(job)
        n_slots = endpoint.concurrency(self.fleet.upstreams[0].serving.server)
        reply_s = REPLY_TIMEOUT_S + TOKEN_TIMEOUT_S * self.recipe.sampling.max_tokens
        timeout = aiohttp.ClientTimeout(total=reply_s, sock_connect=CONNECT_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
            tasks = [asyncio.create_task(self._work(session, progress)) for _ in range(n_slots)]
            tasks.append(asyncio.create_task(self._take_in_all(len(jobs), n_slots, progress)))
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, session: aiohttp.ClientSession, progress: Tracker) -> None:
        """One slot: a job at a time until there is none."""
        while (job := await self._waiting.get()) is not None:
            upstream = await self.fleet.pick()
            generation = upstream.generation
            upstream.in_flight += 1
            try:
                answer = await self._ask(job, session, upstream)
            except client.Failure as failure:
                upstream.in_flight -= 1
                await self._fail(job, failure, upstream, generation)
                continue
            upstream.in_flight -= 1
            upstream.note_answer()
            self._landed.put_nowait((job, self.cache.land(answer)))
            self._count(answer, progress)

    async def _ask(self, job: Job, session: aiohttp.ClientSession, upstream: Upstream) -> Answer:
        """Ask for a job's answer, gone on from a cut one where there is one. Raises a `client.Failure`."""
        cut = self.cache.find_partial(job.slot, job.budget) if self.recipe.can_continue else None
        partial = self.cache.read(cut) if cut else None
        question, label = self.recipe.question(job.problem, job.budget, partial), self.recipe.seed_label(*job.slot)
        reply = await client.ask(session, upstream.endpoint, question, label)
        reused = partial.completion_tokens if partial else 0
        return Answer(
            problem_id=job.problem.id,
            sample_index=job.sample_index,
            max_tokens=job.budget,
            text=question.before + reply.text,
            reasoning=reply.reasoning,
            finish_reason=reply.finish_reason,
            prompt_tokens=partial.prompt_tokens if partial else reply.prompt_tokens,
            completion_tokens=reused + reply.completion_tokens,
            seed_label=label,
            engine=upstream.endpoint.engine,
            latency_s=reply.latency_s,
            created_at=time.time(),
            attempt=self._attempts[job.slot] + 1,
            reused_tokens=reused,
        )

    async def _fail(self, job: Job, failure: client.Failure, upstream: Upstream, generation: int) -> None:
        """Keep a failed attempt and see what is to be done: ask again, now or later, or never."""
        self._note(failure, job, upstream)
        if isinstance(failure, client.Refused):
            self.refused[job.slot] = str(failure)
            self._landed.put_nowait((job, None))
            return
        upstream.note_failure(failure)
        down = not isinstance(failure, client.Throttled) and await self.fleet.is_down(upstream, generation)
        excused = down or isinstance(failure, client.Throttled)
        (self._excused if excused else self._attempts)[job.slot] += 1
        if self._attempts[job.slot] >= MAX_ATTEMPTS or self._excused[job.slot] > MAX_EXCUSED:
            self.undone[job.slot] = str(failure)
            self._landed.put_nowait((job, None))
        elif down:
            self._waiting.put_nowait(job)
        else:
            pause = client.pause_after(self._attempts[job.slot] + 1, failure)
            asyncio.get_running_loop().call_later(pause, self._waiting.put_nowait, job)

    def _note(self, failure: client.Failure, job: Job, upstream: Upstream) -> None:
        """Put a failed attempt on disk. Raises `ServerError` for one that every other request would meet too."""
        kind = type(failure).__name__.lower()
        self.stats.failures[kind] += 1
        self.cache.note_failure(job.slot, kind, str(failure), self._attempts[job.slot] + 1)
        if isinstance(failure, client.Denied):
            variable = url_variable(self.fleet.model.name)
            raise ServerError(
                f"{upstream.endpoint.url} denies {upstream.endpoint.model!r} ({failure}); "
                f"check {variable}, {variable.removesuffix('_URL')}_API_KEY and the model's name"
            )

    async def _take_in_all(self, n_open: int, n_slots: int, progress: Tracker) -> None:
        """Take in what lands, in the order it lands, queue what follows from it, and close the slots at the end."""
        while n_open:
            landed = [await self._landed.get()]
            while not self._landed.empty() and len(landed) < TAKE_IN:
                landed.append(self._landed.get_nowait())
            jobs = await asyncio.to_thread(self.take_in, [pair for pair in landed if pair[0].slot not in self.undone])
            for job in jobs:
                self._waiting.put_nowait(job)
            progress.expect(len(jobs))
            n_open += len(jobs) - len(landed)
        for _ in range(n_slots):
            self._waiting.put_nowait(None)

    def _count(self, answer: Answer, progress: Tracker) -> None:
        self.stats.sampled += 1
        self.stats.continued += answer.reused_tokens > 0
        self.stats.prompt_tokens += answer.prompt_tokens
        self.stats.completion_tokens += answer.completion_tokens - answer.reused_tokens
        progress.advance()
        self._view.in_flight = sum(upstream.in_flight for upstream in self.fleet.upstreams)
        self._view.update()


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
