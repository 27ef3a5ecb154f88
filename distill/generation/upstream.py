"""The server that a run asks: a vLLM of our own, started again when it dies, or a URL, waited for when it is away.

While the server is down nobody asks: every worker waits at the same lock until it is back, and what a request lost
with its server does not count against it.
"""

import asyncio
import logging
import time

import aiohttp

from distill.errors import Incomplete, ServerError
from distill.generation import endpoint
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
POLL_S = 0.5
log = logging.getLogger(__name__)


class Upstream:
    """A model's server for one run. `generation` rises whenever it came back from the dead."""

    def __init__(self, model: ModelRevision, serving: Serving, seed: int, stats: Stats) -> None:
        self.model, self.serving, self.seed, self.stats = model, serving, seed, stats
        self.generation = 0
        self.server: Server | None = None
        self._endpoint = endpoint.from_environment(model)
        self._lock = asyncio.Lock()

    @property
    def endpoint(self) -> Endpoint:
        """Where to ask. Only after `open`."""
        assert self._endpoint is not None
        return self._endpoint

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

    async def revive(self, generation: int) -> bool:
        """See to the server after a failed request. Returns whether it had died since `generation`; then it is back.

        Raises `ServerError` when a server of our own dies again and again, `Incomplete` when a URL stays away.
        """
        async with self._lock:
            if self.generation != generation:
                return True
            if await self._is_well():
                return False
            log.warning("the server of %s is gone", self.model.name)
            await (self._restart() if self.server else self._wait_for_url())
            self.generation += 1
            return True

    def close(self) -> None:
        """Stop the server, if it is our own."""
        if self.server is not None:
            self.server.stop()

    async def _is_well(self) -> bool:
        """Whether the server answers; one of our own that lives but is too busy to say so gets time."""
        if self.server is None:
            return await self._url_answers()
        deadline = time.monotonic() + BUSY_S
        while self.server.alive() and time.monotonic() < deadline:
            if await asyncio.to_thread(self.server.healthy):
                return True
            await asyncio.sleep(POLL_S)
        return False

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
        timeout = aiohttp.ClientTimeout(total=10)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{self.endpoint.url}/models", headers=self.endpoint.headers) as response,
            ):
                return response.status < 500
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False
