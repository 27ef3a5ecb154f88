"""The proof, on the token ids on disk, of what a student is taught. Every row passes, or nothing is trained.

prompt     its ids are those a server builds from the same messages
mask       no id of the prompt is trained, every id of the reply is, its end included
length     nothing is longer than max_length
truncated  the reply is there to its last character
stop       the last trained id is one at which a server stops
chain      <think> is opened once and closed once, the chain first (the opening may be the template's)
reply      the trained ids decode to the reply, character by character
control    no id before the last ends a turn or pads
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from distill.dataset.chat import Chat
from distill.dataset.examples import Example
from distill.errors import DataError
from distill.prompting import THINK_CLOSE, THINK_OPEN, is_prefilled

BIN = 64  # tokens, of the histogram of lengths
FILE = "audit.json"
CURES = {
    "prompt": "the tokenizer in use is not the student's own; run `dvc repro models tokenize` again",
    "mask": "labels must be -100 on the prompt and the ids themselves from there on",
    "length": "leave it out, or raise max_length",
    "truncated": "cut nothing; leave rows that are too long out whole",
    "stop": "end every row with the token that ends a turn in the student's template",
    "chain": "a reply must be one <think>…</think> and an answer; look at the policy and at the template",
    "reply": "the tokenizer does not give the text back; it belongs to another model",
    "control": "a reply may spell no control token; leave the row out",
}


def prove(pairs: Iterable[tuple[dict[str, Any], Example]], chat: Chat, max_length: int, student: str) -> dict[str, Any]:
    """Check rows of the data set against their ids; return counts and the histogram of lengths.

    Raises `DataError` naming the first row that fails, the check and the cure.
    """
    lengths: Counter[int] = Counter()
    sources: Counter[str] = Counter()
    trained = 0
    for row, example in pairs:
        fault = next(faults(row, example, chat, max_length), None)
        if fault:
            name, what = fault
            raise DataError(f"audit of {student}: row {example.id} fails the check {name}: {what}; {CURES[name]}")
        lengths[example.n_tokens] += 1
        sources[example.source] += 1
        trained += example.n_tokens - example.n_prompt
    return {
        "rows": sum(lengths.values()),
        "tokens": sum(length * n for length, n in lengths.items()),
        "trained_tokens": trained,
        "sources": dict(sorted(sources.items())),
        "checks": list(CURES),
        "end_of_turn": chat.end_of_turn,
        "stop_ids": sorted(chat.stop_ids),
        "longest": max(lengths, default=0),
        "lengths": _histogram(lengths),
    }


def faults(row: dict[str, Any], example: Example, chat: Chat, max_length: int) -> Iterator[tuple[str, str]]:
    """Every check that a row fails, with what was found."""
    *asked, answer = row["messages"]
    prompt, n_prompt = chat.prompt(asked), example.n_prompt
    # Not `chat.ids(prompt)`, which made the row: the path that a server takes from messages to ids.
    served = chat.tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
    reply_ids, trained = example.input_ids[n_prompt:], example.labels[n_prompt:]
    if example.input_ids[:n_prompt] != list(served):
        yield "prompt", "a server builds other ids from its messages"
    if any(label >= 0 for label in example.labels[:n_prompt]):
        yield "mask", "its prompt is trained"
    if not trained or trained[-1] < 0:
        yield "mask", f"its last id {example.input_ids[-1]} is not trained"
    elif trained != reply_ids:
        yield "mask", "labels and ids of its reply differ"
    if example.n_tokens > max_length:
        yield "length", f"{example.n_tokens} tokens, max_length is {max_length}"
    yield from _text_faults(prompt, chat.reply(prompt, answer["content"]), reply_ids, chat)


def _text_faults(prompt: str, expected: str, reply_ids: list[int], chat: Chat) -> Iterator[tuple[str, str]]:
    stopped = bool(reply_ids) and reply_ids[-1] in chat.stop_ids
    body = reply_ids[:-1] if stopped else reply_ids
    text = chat.text(body)
    if len(text) < len(expected) and expected.startswith(text):
        yield "truncated", f"it ends after {len(text)} of {len(expected)} characters"
    if not stopped:
        yield "stop", f"its last id is {reply_ids[-1:]}, a server stops at {sorted(chat.stop_ids)}"
    if not one_chain(prompt, text):
        yield "chain", f"it opens {text.count(THINK_OPEN)} chains and closes {text.count(THINK_CLOSE)}"
    if text != expected:
        yield "reply", "its trained ids decode to another text"
    if chat.control_ids.intersection(body):
        yield "control", f"it holds the control ids {sorted(chat.control_ids.intersection(body))}"


def one_chain(prompt: str, reply: str) -> bool:
    """Whether a reply to a prompt is one chain of thought, closed, and what follows it."""
    whole = f"{THINK_OPEN}\n{reply}" if is_prefilled(prompt) else reply
    return whole.count(THINK_OPEN) == whole.count(THINK_CLOSE) == 1 and whole.startswith(THINK_OPEN)


def read_report(folder: Path) -> dict[str, Any]:
    """The audit of a student's rows. Raises `DataError` where there is none."""
    path = folder / FILE
    if not path.exists():
        raise DataError(f"{path} is missing, so nothing is proven of these rows; `dvc repro` writes it")
    return dict(json.loads(path.read_text()))


def _histogram(lengths: Counter[int]) -> dict[str, int]:
    bins: Counter[int] = Counter()
    for length, n in lengths.items():
        bins[length // BIN * BIN] += n
    return {str(start): bins[start] for start in sorted(bins)}
