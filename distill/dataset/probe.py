"""One question whose prompt is known id by id, so that whatever serves a student can be asked for the same.

    audit.json: "probe": {"messages": [{"role": "user", "content": "What is 2 + 2?…"}], "prompt_ids": [3, 5020, …]}

A template that drifts between training and serving shows in nothing but worse answers. The folder that ships is asked
when it is written (`require_folder`), a server behind a URL before its first request (`require_server`).
"""

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.errors import DataError
from distill.models import load_tokenizer, resolve_folder
from distill.prompting import Message, render_messages

QUESTION = "What is 2 + 2?"
TIMEOUT_S = 60.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy, as all other requests of ours


def make(tokenizer: Any) -> dict[str, Any]:
    """The probe of a tokenizer: messages, and the ids of the prompt that it makes of them."""
    messages = render_messages(QUESTION)
    return {"messages": messages, "prompt_ids": _ids(tokenizer, messages)}


def require_folder(folder: Path, report: dict[str, Any], student: str) -> None:
    """See that a student's folder makes the prompts that were proven; `report` is its audit. Raises `DataError`."""
    tokenizer = load_tokenizer(resolve_folder(student, str(folder)))
    asked = report["probe"]
    _require_same(_ids(tokenizer, asked["messages"]), asked["prompt_ids"], f"the folder {folder}", student)


def require_server(url: str, model: str, tokenizer: Any, student: str, headers: dict[str, str]) -> None:
    """See that a server makes the prompts that a student's own tokenizer makes. Raises `DataError`.

    `url` is the server's root, without /v1. One that cannot be asked, since it is no vLLM, passes.
    """
    asked = make(tokenizer)
    served = served_ids(url, model, asked["messages"], headers)
    if served is not None:
        _require_same(served, asked["prompt_ids"], f"the server at {url}", student)


def served_ids(url: str, model: str, messages: list[Message], headers: dict[str, str]) -> list[int] | None:
    """The ids that a vLLM server makes of messages, by its tokenize endpoint; None where it gives none."""
    body = {"model": model, "messages": messages, "add_generation_prompt": True}
    request = urllib.request.Request(
        f"{url}/tokenize", json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    )
    try:
        with DIRECT.open(request, timeout=TIMEOUT_S) as reply:
            return [int(token) for token in json.load(reply)["tokens"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _require_same(found: Sequence[int], proven: Sequence[int], who: str, student: str) -> None:
    if list(found) == list(proven):
        return
    pairs = enumerate(zip(found, proven, strict=False))
    first = next((place for place, (a, b) in pairs if a != b), min(len(found), len(proven)))
    raise DataError(
        f"{who} asks {student} in another way than it was trained, from token {first} of the prompt on; "
        "serve it with the tokenizer files and the chat_template.jinja of its own folder, and no --chat-template"
    )


def _ids(tokenizer: Any, messages: list[Message]) -> list[int]:
    rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    return list(rendered["input_ids"])
