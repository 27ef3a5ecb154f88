"""One request to an OpenAI-compatible server, and what each way of failing means.

Refused   400, 401, 403, 404, 413, 422: this request will never be answered; the reason is the server's
Busy      408, 409, 425, 429, 5xx, a torn or empty reply: try again, after what Retry-After says or a growing pause
Gone      no connection, or one that broke: the server may be dead
"""

import random
import time
from typing import Any

import aiohttp

from distill.config import SamplingSettings
from distill.generation.cache import Answer, Slot
from distill.generation.endpoint import Endpoint
from distill.prompting import Message
from distill.records import FinishReason

REFUSED = frozenset({400, 401, 403, 404, 413, 422})
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
FINISH_REASONS = {reason.value: reason.value for reason in FinishReason}


class Refused(Exception):
    """The server will never answer this request."""


class Busy(Exception):
    """Try again, not before `retry_after` seconds where the server says so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Gone(Exception):
    """The connection failed or broke."""


def pause_before(attempt: int, retry_after: float | None) -> float:
    """Seconds to wait before the next attempt: the server's word, else doubling with full jitter."""
    if retry_after is not None:
        return retry_after
    return random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempt))


async def ask(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    messages: list[Message],
    sampling: SamplingSettings,
    slot: Slot,
    seed_label: int,
    attempt: int,
) -> Answer:
    """Ask once, for one message. Raises `Refused`, `Busy` or `Gone`."""
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": messages,
        "n": 1,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if endpoint.seeds:
        body["seed"] = seed_label
    started = time.time()
    reply = await _post(session, f"{endpoint.url}/chat/completions", body, endpoint.headers)
    try:
        choice, usage = reply["choices"][0], reply["usage"]
        message = choice["message"]
        reason = FINISH_REASONS[choice["finish_reason"]]
        return Answer(
            problem_id=slot[0],
            sample_index=slot[1],
            max_tokens=sampling.max_tokens,
            text=message.get("content") or "",
            reasoning=message.get("reasoning") or message.get("reasoning_content"),  # vLLM >= 0.16, and all before
            finish_reason=reason,
            prompt_tokens=int(usage["prompt_tokens"]),
            completion_tokens=int(usage["completion_tokens"]),
            seed_label=seed_label,
            engine=endpoint.engine,
            latency_s=time.time() - started,
            created_at=time.time(),
            attempt=attempt,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Busy(f"a reply without {error}") from error


async def _post(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any], headers: dict[str, str]
) -> dict[str, Any]:
    """POST and read JSON, with every failure turned into one of the three classes."""
    try:
        async with session.post(url, json=body, headers=headers) as response:
            if response.status in REFUSED:
                raise Refused(f"{response.status}: {(await response.text())[:300]}")
            if response.status != 200:
                raise Busy(f"status {response.status}", _retry_after(response.headers.get("Retry-After")))
            reply = await response.json(content_type=None)
    except (aiohttp.ClientConnectionError, ConnectionError, TimeoutError) as error:
        raise Gone(type(error).__name__) from error
    except (aiohttp.ClientPayloadError, ValueError) as error:
        raise Busy(f"a torn reply ({type(error).__name__})") from error
    if not isinstance(reply, dict):
        raise Busy("a reply that is no object")
    return reply


def _retry_after(value: str | None) -> float | None:
    """Retry-After in seconds; its date form is rare and left to the growing pause."""
    return float(value) if value and value.replace(".", "", 1).isdigit() else None
