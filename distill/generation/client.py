"""One request to an OpenAI-compatible server, and what each way of failing means.

Refused    400, 413, 422, a content filter: this question will never be answered; the reason is the server's
Denied     401, 403, 404: the key, the address or the model's name is wrong, so no question will be answered
Throttled  429: the server asks for patience; it says how long in Retry-After or in its x-ratelimit headers
Busy       408, 409, 425, 5xx, a torn or empty reply: try again, after what Retry-After says or a growing pause
Gone       no connection, or one that broke or fell silent: the server may be dead
"""

import json
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from distill.generation.endpoint import Endpoint
from distill.generation.request import Question
from distill.records import FinishReason

REFUSED = frozenset({400, 413, 422})
DENIED = frozenset({401, 403, 404})
THROTTLED = 429
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
LONGEST_RETRY_AFTER_S = 600.0
DURATION = re.compile(r"([0-9.]+)(ms|s|m|h)")  # as 6m0.5s
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
COMPLETE = frozenset({FinishReason.STOP, FinishReason.LENGTH, FinishReason.REPETITION})


class Failure(Exception):
    """A request that brought no answer. `retry_after` is in seconds, where the server names a time."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Refused(Failure):
    """The server will never answer this question."""


class Denied(Failure):
    """The server will answer no question of ours."""


class Throttled(Failure):
    """We ask too fast."""


class Busy(Failure):
    """The server cannot answer now."""


class Gone(Failure):
    """The connection failed, broke or fell silent."""


def pause_after(attempt: int, failure: Failure) -> float:
    """Seconds to wait after a failed attempt: the server's word with some jitter, else doubling with full jitter."""
    if failure.retry_after is not None:
        return failure.retry_after * random.uniform(1.0, 1.1)
    return random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempt))


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered. `reasoning` is set where it splits the chain off `text`."""

    text: str
    reasoning: str | None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency_s: float


async def ask(session: aiohttp.ClientSession, endpoint: Endpoint, question: Question, seed_label: int) -> Reply:
    """Ask once, for one reply. Raises a `Failure`."""
    body = {"model": endpoint.model, **question.body, **({"seed": seed_label} if endpoint.seeds else {})}
    started = time.monotonic()
    reply = await _post(session, f"{endpoint.url}/{question.path}", body, endpoint.headers)
    try:
        choice, usage = reply["choices"][0], reply["usage"]
        message = choice["message"] if "message" in choice else {"content": choice["text"]}
        return Reply(
            text=message.get("content") or "",
            reasoning=message.get("reasoning") or message.get("reasoning_content"),  # vLLM >= 0.16, and all before
            finish_reason=_finish_reason(choice["finish_reason"]),
            prompt_tokens=int(usage["prompt_tokens"]),
            completion_tokens=int(usage["completion_tokens"]),
            latency_s=time.monotonic() - started,
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise Busy(f"a reply of another shape ({type(error).__name__}: {error})") from error


async def _post(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any], headers: dict[str, str]
) -> dict[str, Any]:
    """POST and read a JSON object, with every failure turned into one of the classes above."""
    try:
        async with session.post(url, json=body, headers=headers, allow_redirects=False) as response:
            text = await response.text(errors="replace")
            _raise_for_status(response.status, text, response.headers)
        reply = json.loads(text)
    except (aiohttp.ClientPayloadError, ValueError) as error:
        raise Busy(f"a torn reply ({type(error).__name__})") from error
    except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
        raise Gone(type(error).__name__) from error
    if not isinstance(reply, dict):
        raise Busy("a reply that is no object")
    return reply


def _raise_for_status(status: int, text: str, headers: Mapping[str, str]) -> None:
    if status == 200:
        return
    reason = f"status {status}: {_one_line(text)}"
    if status in REFUSED:
        raise Refused(reason)
    if status in DENIED or 300 <= status < 400:
        raise Denied(reason)
    raise (Throttled if status == THROTTLED else Busy)(reason, _retry_after(headers))


def _finish_reason(reason: str | None) -> str:
    """The reason as we store it. Only an answer that the model or its budget ended is one."""
    if reason == "content_filter":
        raise Refused("the server's content filter")
    if reason not in COMPLETE:
        raise Busy(f"the server broke the answer off ({reason})")
    return reason


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The time that a server asks for: in Retry-After, or until the limit that is used up is reset, in seconds."""
    named = _seconds(headers.get("Retry-After"))
    resets = [
        sum(
            float(number) * UNITS_S[unit]
            for number, unit in DURATION.findall(headers.get(f"x-ratelimit-reset-{limit}", ""))
        )
        for limit in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{limit}") == "0"
    ]
    return named if named is not None or not resets else min(max(resets), LONGEST_RETRY_AFTER_S)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After, given in seconds or as a date, in seconds."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_S)  # in this order NaN is 0


def _one_line(text: str) -> str:
    """What a server says of an error: the message of its JSON, or the start of its text."""
    try:
        reply = json.loads(text)
        text = reply.get("message") or reply["error"]["message"]
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return " ".join(str(text).split())[:300]
