"""The proof, on the token ids on disk, of what a student is taught. Every row passes, or nothing is trained.

`CHECKS` names the checks, what each proves and the cure where one fails. What was proven, of which format, is
`audit.json`:

    {"rows": 1020, "tokens": 236000, "trained_tokens": 161000, "checks": ["prompt", "date", …], "end_of_turn": 1,
     "stop_ids": [1], "pad": 0, "template": "5a0c…", "probe": {"prompt_ids": [0, 3, …]}, "lengths": {"128": 75, …}, …}
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.dataset import probe
from distill.dataset.chat import Chat, opening
from distill.dataset.examples import Example
from distill.dataset.template_checks import CLOCKS, render_at
from distill.errors import DataError
from distill.prompting import THINK_CLOSE, THINK_OPEN, Message, is_prefilled, template_hash

BIN = 64  # tokens, of the histogram of lengths
FILE = "audit.json"


@dataclass(frozen=True, slots=True)
class Check:
    """What a check proves of a row, and what to do where it fails."""

    proves: str
    cure: str


CHECKS = {
    "prompt": Check(
        "the prompt's ids are those a server builds from the same messages",
        "the tokenizer in use is not the student's own; run `dvc repro models tokenize` again",
    ),
    "date": Check(
        "a server builds the same ids on another day",
        "give the student a chat_template that writes no date",
    ),
    "vocabulary": Check(
        "the model has an embedding for every id",
        "the tokenizer belongs to another model; copy the base's own tokenizer files into its folder",
    ),
    "mask": Check(
        "no id of the prompt is trained, every id of the reply is, its end included",
        "labels must be -100 on the prompt and the ids themselves from there on",
    ),
    "pad": Check(
        "padding has an id of its own, so no mask of it can hide the end of a turn",
        "pad with a token that ends no turn: set pad_token in the base's tokenizer_config.json",
    ),
    "length": Check("no row is longer than max_length", "leave it out, or raise max_length"),
    "truncated": Check(
        "the reply is there to its last character",
        "cut nothing; leave rows that are too long out whole",
    ),
    "stop": Check(
        "the last trained id is one at which a server stops",
        "end every row with the token that ends a turn in the student's template",
    ),
    "chain": Check(
        "one chain of thought is opened, by the reply or by the template, and closed, before the answer",
        "a reply must be one <think>…</think> and an answer; look at the policy and at the template",
    ),
    "reply": Check(
        "the trained ids decode to the reply, character by character",
        "the tokenizer does not give the text back; it belongs to another model",
    ),
    "control": Check(
        "no id before the last ends a turn, pads or opens one",
        "a reply may spell no control token; leave the row out",
    ),
}


def prove(pairs: Iterable[tuple[dict[str, Any], Example]], chat: Chat, max_length: int, student: str) -> dict[str, Any]:
    """Check rows of the data set against their ids; return counts, format and the histogram of lengths.

    Raises `DataError` naming the first row that fails, the check and the cure.
    """
    lengths: Counter[int] = Counter()
    sources: Counter[str] = Counter()
    trained = 0
    for row, example in pairs:
        fault = next(faults(row, example, chat, max_length), None)
        if fault:
            name, what = fault
            cure = CHECKS[name].cure
            raise DataError(f"audit of {student}: row {example.id} fails the check {name}: {what}; {cure}")
        lengths[example.n_tokens] += 1
        sources[example.source] += 1
        trained += example.n_tokens - example.n_prompt
    counts = {
        "rows": sum(lengths.values()),
        "tokens": sum(length * n for length, n in lengths.items()),
        "trained_tokens": trained,
        "sources": dict(sorted(sources.items())),
    }
    return counts | _format(chat) | {"longest": max(lengths, default=0), "lengths": _histogram(lengths)}


def faults(row: dict[str, Any], example: Example, chat: Chat, max_length: int) -> Iterator[tuple[str, str]]:
    """The checks that a row fails, with what was found."""
    *asked, answer = row["messages"]
    prompt, reply_ids = chat.prompt(asked), example.input_ids[example.n_prompt :]
    yield from _prompt_faults(asked, example, chat)
    if (largest := max(example.input_ids, default=0)) >= chat.vocabulary:
        yield "vocabulary", f"it holds id {largest}, and the model has {chat.vocabulary:,}"
    yield from _mask_faults(example, reply_ids)
    if reply_ids[-1:] == [chat.pad]:
        yield "pad", f"the id that ends its turn, {chat.pad}, also pads"
    if example.n_tokens > max_length:
        yield "length", f"{example.n_tokens} tokens, max_length is {max_length}"
    yield from _text_faults(opening(prompt, asked), chat.reply(prompt, answer["content"]), reply_ids, chat)


def _prompt_faults(asked: list[Message], example: Example, chat: Chat) -> Iterator[tuple[str, str]]:
    """The prompt against the path that a server takes from messages to ids, walked on another day."""
    ours = example.input_ids[: example.n_prompt]
    if ours == render_at(chat.tokenizer, asked, CLOCKS[0], tokenize=True):
        return
    today = chat.tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
    if ours == list(today):
        yield "date", "a server builds other ids on another day"
    else:
        yield "prompt", "a server builds other ids from its messages"


def _mask_faults(example: Example, reply_ids: list[int]) -> Iterator[tuple[str, str]]:
    trained = example.labels[example.n_prompt :]
    if any(label >= 0 for label in example.labels[: example.n_prompt]):
        yield "mask", "its prompt is trained"
    if not trained or trained[-1] < 0:
        yield "mask", f"its last id {example.input_ids[-1]} is not trained"
    elif trained != reply_ids:
        yield "mask", "labels and ids of its reply differ"


def _text_faults(before: str, expected: str, reply_ids: list[int], chat: Chat) -> Iterator[tuple[str, str]]:
    stopped = bool(reply_ids) and reply_ids[-1] in chat.stop_ids
    body = reply_ids[:-1] if stopped else reply_ids
    text = chat.text(body)
    if len(text) < len(expected) and expected.startswith(text):
        yield "truncated", f"it ends after {len(text)} of {len(expected)} characters"
    if not stopped:
        yield "stop", f"its last id is {reply_ids[-1:]}, a server stops at {sorted(chat.stop_ids)}"
    if not one_chain(before, text):
        yield "chain", f"it opens {(before + text).count(THINK_OPEN)} chains and closes {text.count(THINK_CLOSE)}"
    if text != expected:
        yield "reply", "its trained ids decode to another text"
    if chat.control_ids.intersection(body):
        yield "control", f"it holds the control ids {sorted(chat.control_ids.intersection(body))}"


def one_chain(before: str, reply: str) -> bool:
    """Whether a reply is one chain of thought, closed, and what follows it; `before` may have opened it."""
    whole = before + reply
    begun = is_prefilled(before) or reply.startswith(THINK_OPEN)
    return begun and whole.count(THINK_OPEN) == whole.count(THINK_CLOSE) == 1


def read_report(folder: Path) -> dict[str, Any]:
    """The audit of a student's rows. Raises `DataError` where there is none."""
    path = folder / FILE
    if not path.exists():
        raise DataError(f"{path} is missing, so nothing is proven of these rows; `dvc repro` writes it")
    return dict(json.loads(path.read_text()))


def _format(chat: Chat) -> dict[str, Any]:
    """What the rows were proven against, by which the student that ships is known again."""
    return {
        "checks": list(CHECKS),
        "end_of_turn": chat.end_of_turn,
        "stop_ids": sorted(chat.stop_ids),
        "pad": chat.pad,
        "template": template_hash(str(chat.tokenizer.chat_template)),
        "probe": probe.make(chat.tokenizer),
    }


def _histogram(lengths: Counter[int]) -> dict[str, int]:
    bins: Counter[int] = Counter()
    for length, n in lengths.items():
        bins[length // BIN * BIN] += n
    return {str(start): bins[start] for start in sorted(bins)}
