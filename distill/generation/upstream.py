"""The servers that a run asks: a vLLM of our own, started again when it dies, or URLs, each waited for when it is away.

A server that is down is asked nothing. Its requests go to the others where there are any, and wait for its return where
there are none; what a request lost with its server does not count against it.
"""

import asyncio
import logging
import re
import time

import aiohttp

from distill.errors import DistillError, Incomplete, ServerError
from distill.generation import client, endpoint
from distill.generation.endpoint import Endpoint, Serving
from distill.generation.server import Server
from distill.generation.stats import Stats
from distill.models import ModelRevision, url_variable
from distill.progress import waiting
from distill.records import content_id

MAX_RESTARTS = 5
FIRST_BACKOFF_S = 1.0
BUSY_S = 60.0  # how long a living server may be silent before it is taken for dead
PATIENCE_S = 600.0  # how long a URL may be away
STRIKES = 5  # failures in a row after which a server gets a pause from everybody
HUNG_S = 300.0  # how long a server may work on requests without writing a token
WATCH_S = 10.0
POLL_S = 0.5
WRITTEN = re.compile(r"^vllm:generation_tokens_total\b.*? ([0-9.e+]+)$", re.MULTILINE)
log = logging.getLogger(__name__)


class Upstream:
    """One server of a run. `generation` rises whenever it came back from the dead."""

    def __init__(
        self, model: ModelRevision, serving: Serving, seed: int, stats: Stats, url: Endpoint | None = None
    ) -> None:
        self.model, self.serving, self.seed, self.stats = model, serving, seed, stats
        self.generation = 0
        self.in_flight = 0
        self.away = False
        self.lock = asyncio.Lock()  # one looks after it at a time
        self.server: Server | None = None
        self._endpoint = url
        self._strikes = 0
        self._pause_until = 0.0
        self._answered = time.monotonic()
        self._written = -1.0

    @property
    def endpoint(self) -> Endpoint:
        """Where to ask. Only after `open`."""
        assert self._endpoint is not None
        return self._endpoint

    @property
    def pause_s(self) -> float:
        """Seconds for which this server is to be left alone."""
        return max(0.0, self._pause_until - time.monotonic())

    async def open(self) -> None:
        """Start the server, or see that the URL answers. Raises `ServerError`."""
        if self._endpoint is None:
            self.server = Server(self.model, self.serving)
            with waiting(f"starting vLLM for {self.model.model}"):
                await self._start()
        elif not await self._url_answers():
            raise ServerError(
                f"{url_variable(self.model.name)} is {self.endpoint.url}, which does not answer; "
                "start the server there, or unset the variable to start vLLM here"
            )

    def note_answer(self) -> None:
        """Take in that it answered."""
        self._strikes, self._answered = 0, time.monotonic()

    def note_failure(self, failure: client.Failure) -> None:
        """Take in that it failed. A throttle, or many failures in a row, closes it to everybody for a while."""
        self._strikes += 1
        throttled = isinstance(failure, client.Throttled) and failure.retry_after is not None
        if throttled or self._strikes >= STRIKES:
            self._pause_until = time.monotonic() + client.pause_after(max(1, self._strikes - STRIKES), failure)

    async def is_well(self) -> bool:
        """Whether the server answers; one of our own that lives but is too busy to say so gets time."""
        if self.server is None:
            return await self._url_answers()
        deadline = time.monotonic() + BUSY_S
        while self.server.alive() and time.monotonic() < deadline:
            if await asyncio.to_thread(self.server.healthy):
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def is_hung(self) -> bool:
        """Whether it has worked for `HUNG_S` without an answer or a token. Only vLLM says what it writes."""
        written = await self._tokens_written()
        if not self.in_flight or written is None or written != self._written:
            self._written, self._answered = -1.0 if written is None else written, time.monotonic()
        return time.monotonic() - self._answered > HUNG_S

    async def revive(self) -> None:
        """Bring it back. Raises `ServerError` when it dies again and again, `Incomplete` when a URL stays away."""
        log.warning("the server of %s is gone", self.model.name)
        await (self._restart() if self.server else self._wait_for_url())
        self.generation += 1
        self.note_answer()

    def close(self) -> None:
        """Stop the server, if it is our own."""
        if self.server is not None:
            self.server.stop()

    async def _restart(self) -> None:
        assert self.server is not None
        if self.stats.restarts >= MAX_RESTARTS:
            raise ServerError(f"vLLM died {MAX_RESTARTS + 1} times serving {self.model.model}; see {self.server.log}")
        await asyncio.sleep(FIRST_BACKOFF_S * 2**self.stats.restarts)
        self.stats.restarts += 1
        self.server.stop()
        await self._start()

    async def _start(self) -> None:
        """Start the server. Its own seed differs from start to start, else the same questions draw the same answers."""
        assert self.server is not None
        started = time.monotonic()
        seed = int(content_id("engine", self.seed, self.stats.restarts)[:8], 16) >> 1
        self._endpoint = await asyncio.to_thread(self.server.start, seed)
        self.stats.server_start_s += time.monotonic() - started

    async def _wait_for_url(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not await self._url_answers():
            if time.monotonic() > deadline:
                raise Incomplete(
                    f"{self.endpoint.url} has been away for {PATIENCE_S / 60:.0f} minutes; "
                    "what landed is kept, run again when it is back"
                )
            await asyncio.sleep(POLL_S)

    async def _url_answers(self) -> bool:
        """Whether anything but a proxy's error comes from the URL; many services have no /health, all have /models."""
        status, _ = await self._get(f"{self.endpoint.url}/models")
        return 0 < status < 500

    async def _tokens_written(self) -> float | None:
        """How many tokens a vLLM says it has written in its life."""
        status, text = await self._get(f"{self.endpoint.url.removesuffix('/v1')}/metrics")
        return sum(float(count) for count in WRITTEN.findall(text)) if status == 200 and WRITTEN.search(text) else None

    async def _get(self, url: str) -> tuple[int, str]:
        """Status and text; 0 where nothing comes."""
        timeout = aiohttp.ClientTimeout(total=10)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, headers=self.endpoint.headers) as response,
            ):
                return response.status, await response.text(errors="replace")
        except (TimeoutError, aiohttp.ClientError, OSError):
            return 0, ""


class Fleet:
    """All servers of a run: the one with the least in flight is asked next."""

    def __init__(self, model: ModelRevision, serving: Serving, seed: int, stats: Stats) -> None:
        urls: list[Endpoint | None] = [*endpoint.from_environment(model)]
        self.model = model
        self.upstreams = [Upstream(model, serving, seed, stats, url) for url in urls or [None]]
        self._returning: dict[Upstream, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start or reach every server. Raises `ServerError`."""
        await asyncio.gather(*(upstream.open() for upstream in self.upstreams))
        self._watcher = asyncio.create_task(self._watch())

    async def pick(self) -> Upstream:
        """The server to ask, once there is one to be had. Raises what keeps the last of them from coming back."""
        while True:
            here = [upstream for upstream in self.upstreams if not upstream.away]
            ready = [upstream for upstream in here if not upstream.pause_s]
            if ready:
                return min(ready, key=lambda upstream: upstream.in_flight)
            lost = [task.exception() for task in self._returning.values() if task.done() and not task.cancelled()]
            if len(lost) == len(self.upstreams) and lost[0] is not None:
                raise lost[0]
            self._changed.clear()
            pause = min((upstream.pause_s for upstream in here), default=None)
            await _first(self._changed, pause)

    async def is_down(self, upstream: Upstream, generation: int) -> bool:
        """Whether a server has died since `generation`. One that has is brought back meanwhile."""
        async with upstream.lock:
            if upstream.away or upstream.generation != generation:
                return True
            if await upstream.is_well():
                return False
            self._bring_back(upstream)
            return True

    def close(self) -> None:
        """Stop what is our own."""
        for task in (*self._returning.values(), *([self._watcher] if self._watcher else [])):
            task.cancel()
        for upstream in self.upstreams:
            upstream.close()

    def _bring_back(self, upstream: Upstream) -> None:
        if not upstream.away:
            upstream.away = True
            self._returning[upstream] = asyncio.create_task(self._return(upstream))

    async def _return(self, upstream: Upstream) -> None:
        try:
            await upstream.revive()
            upstream.away = False
            del self._returning[upstream]
        except DistillError:
            log.warning("the server of %s stays away", upstream.model.name)
            raise
        finally:
            self._changed.set()

    async def _watch(self) -> None:
        """Find a server of our own that hangs: it takes requests, and neither answers nor writes."""
        while True:
            await asyncio.sleep(WATCH_S)
            for upstream in self.upstreams:
                if upstream.server is not None and not upstream.away and await upstream.is_hung():
                    log.warning("the server of %s hangs", upstream.model.name)
                    self._bring_back(upstream)


async def _first(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, or so many seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
