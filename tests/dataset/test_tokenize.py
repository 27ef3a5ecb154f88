"""Token ids, golden, for three kinds of chat template; and every planted fault, stopped by the audit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from students import make_base, make_rows, make_tokenizer, write_dataset

from distill import layout
from distill.config import StudentSettings
from distill.dataset import audit
from distill.dataset.chat import Chat, chat_of
from distill.dataset.examples import read_examples
from distill.dataset.tokenize import choose, describe, encode, tokenize
from distill.errors import DataError
from distill.models import resolve_folder

MAX_LENGTH = 512
REPLY = "<think>\n2+2=4\n</think>\n\n\\boxed{4}"


def chat_for(style: str) -> Chat:
    tokenizer = make_tokenizer(style)
    return chat_of(tokenizer, [tokenizer.eos_token_id], style)


def row_of(reply: str = REPLY, question: str = "2+2?") -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    return {"id": "a" * 20, "source": "gcd", "messages": messages}


# ------------------------------------------------------------------ golden tokens

GOLDEN = {
    "chatml": ("<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n", REPLY, "<|im_end|>"),
    "r1": ("<|bos|><|User|>2+2?<|Assistant|><think>\n", REPLY.removeprefix("<think>\n"), "<|end_of_sentence|>"),
    "llama3": (
        "<|bos|><|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        REPLY,
        "<|eot_id|>",
    ),
}


@pytest.mark.parametrize("style", GOLDEN)
def test_golden_text_of_a_row(style: str) -> None:
    """The whole reply is trained, its chain and its end included, and nothing else."""
    prompt, reply, end = GOLDEN[style]
    chat = chat_for(style)
    example = encode(row_of(), chat)
    assert chat.text(example.input_ids[: example.n_prompt]) == prompt
    assert chat.text(example.input_ids[example.n_prompt :]) == reply + end
    assert example.labels == [-100] * example.n_prompt + example.input_ids[example.n_prompt :]
    assert next(audit.faults(row_of(), example, chat, MAX_LENGTH), None) is None


def test_golden_ids_of_a_row() -> None:
    """The ids themselves: bytes are ids of their own here, so they can be read."""
    chat = chat_for("chatml")
    example = encode(row_of("<think>\n1\n</think>\n\n2"), chat)
    word = chat.tokenizer.convert_tokens_to_ids
    newline, one, two = word("Ċ"), word("1"), word("2")
    opened, closed, end = word("<think>"), word("</think>"), word("<|im_end|>")
    assert example.input_ids[example.n_prompt :] == [opened, newline, one, newline, closed, newline, newline, two, end]


@pytest.mark.parametrize("style", GOLDEN)
def test_stop_is_the_end_of_turn(style: str) -> None:
    chat = chat_for(style)
    assert chat.end_of_turn == chat.tokenizer.eos_token_id
    assert chat.stop_ids == {chat.tokenizer.eos_token_id}


def test_a_base_that_stops_elsewhere_learns_its_template_end() -> None:
    """Qwen2.5's bases end turns with <|im_end|> and stop at <|endoftext|>: the student stops at both."""
    tokenizer = make_tokenizer("chatml")
    tokenizer.eos_token = "<|endoftext|>"
    chat = chat_of(tokenizer, [tokenizer.eos_token_id], "base")
    assert chat.end_of_turn == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert chat.stop_ids == {chat.end_of_turn, tokenizer.eos_token_id}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "has no chat template"),
        ("{{ strftime_now('%d') }}{% for m in messages %}{{ m.content }}{% endfor %}", "writes today's date"),
        ("{% for m in messages %}{{ m.content }} END {% endfor %}", "which is no control token"),
    ],
)
def test_a_template_that_cannot_be_trained_on(template: str | None, said: str) -> None:
    tokenizer = make_tokenizer("chatml")
    tokenizer.chat_template = template
    with pytest.raises(DataError, match=said):
        chat_of(tokenizer, [], "model")


# ------------------------------------------------------------------ planted faults


def without_stop(e: Any, _: Chat) -> Any:
    return replace(e, input_ids=e.input_ids[:-1], labels=e.labels[:-1])


def pad_masked(e: Any, chat: Chat) -> Any:
    """What a collator does that masks every pad id, where pad and end of turn share one."""
    pad = chat.tokenizer.pad_token_id
    return replace(e, labels=[-100 if i == pad else label for i, label in zip(e.input_ids, e.labels, strict=True)])


def rewritten(text: str) -> Any:
    def plant(e: Any, chat: Chat) -> Any:
        ids = [*chat.ids(text), chat.end_of_turn]
        return replace(e, input_ids=e.input_ids[: e.n_prompt] + ids, labels=[-100] * e.n_prompt + ids)

    return plant


def cut(e: Any, _: Chat) -> Any:
    return replace(e, input_ids=e.input_ids[:-6], labels=e.labels[:-6])


def prompt_trained(e: Any, _: Chat) -> Any:
    return replace(e, labels=list(e.input_ids))


def other_prompt(e: Any, chat: Chat) -> Any:
    return replace(e, input_ids=[chat.end_of_turn, *e.input_ids[1:]])


def too_long(e: Any, chat: Chat) -> Any:
    more = chat.ids("x" * MAX_LENGTH)
    return replace(e, input_ids=e.input_ids + more, labels=e.labels + more)


@pytest.mark.parametrize(
    ("plant", "check", "said"),
    [
        (without_stop, "stop", "its last id is"),
        (pad_masked, "mask", "is not trained"),
        (rewritten("\\boxed{4}"), "chain", "opens 0 chains and closes 0"),
        (rewritten("2+2=4\n</think>\n\n\\boxed{4}"), "chain", "opens 0 chains and closes 1"),
        (rewritten(REPLY + REPLY), "chain", "opens 2 chains and closes 2"),
        (rewritten(REPLY.replace("=4", "=5")), "reply", "decode to another text"),
        (cut, "truncated", "it ends after"),
        (prompt_trained, "mask", "its prompt is trained"),
        (other_prompt, "prompt", "a server builds other ids"),
        (too_long, "length", "max_length is 512"),
    ],
)
def test_planted_fault_is_stopped(plant: Any, check: str, said: str) -> None:
    chat = chat_for("chatml")
    example = plant(encode(row_of(), chat), chat)
    with pytest.raises(DataError) as caught:
        audit.prove([(row_of(), example)], chat, MAX_LENGTH, "tiny")
    sentence = str(caught.value)
    assert sentence.startswith(f"audit of tiny: row {'a' * 20} fails the check {check}: ")
    assert said in sentence
    assert sentence.endswith(audit.CURES[check])
    assert "\n" not in sentence


# ------------------------------------------------------------------ the stage


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_base(tmp_path / "base", "qwen2")
    return tmp_path


def settings(**changed: Any) -> StudentSettings:
    return StudentSettings(**({"base": "base", "method": "full", "learning_rate": 1e-3, "max_length": 512} | changed))


def hostile_rows() -> list[dict[str, Any]]:
    """Twelve good rows, and one of each kind that is left out."""
    bad = {
        "b1": "<think>\nI stop <|im_end|> here\n</think>\n\n1",
        "b2": "<think>\nAgain: <think>\n</think>\n\n1",
        "b3": f"<think>\n{'long ' * 400}\n</think>\n\n1",
    }
    base = make_rows(1)[0]
    rows = [base | row_of(text) | {"id": name.ljust(20, "0"), "source": "bad"} for name, text in bad.items()]
    return make_rows(12) + rows


def test_rows_that_cannot_be_trained_are_counted(workspace: Path) -> None:
    write_dataset(layout.DATASET, hostile_rows())
    report = tokenize("tiny", settings(), resolve_folder("base", "base"), 17)
    assert report["rows"] == 12
    assert report["left_out"] == {
        "too long": {"bad": 1}, "with a control token": {"bad": 1}, "without one chain": {"bad": 1}
    }  # fmt: skip
    assert describe(report).endswith("1 too long (1 bad), 1 with a control token (1 bad), 1 without one chain (1 bad)")
    assert audit.read_report(layout.TOKENIZED / "tiny") == report
    ids = [example.id for example in read_examples(layout.TOKENIZED / "tiny")]
    assert ids == sorted(ids)


def test_same_rows_give_the_same_bytes(workspace: Path) -> None:
    write_dataset(layout.DATASET, make_rows(30))
    base = resolve_folder("base", "base")
    found = []
    for _ in range(2):
        tokenize("tiny", settings(max_rows=10), base, 17)
        found.append({path.name: path.read_bytes() for path in (layout.TOKENIZED / "tiny").iterdir()})
    assert found[0] == found[1]
    assert str(workspace) not in json.dumps({name: str(data) for name, data in found[0].items()})


def test_choice_is_spread_seeded_and_stable(workspace: Path) -> None:
    few, more = write_dataset(workspace / "few", make_rows(30)), write_dataset(workspace / "more", make_rows(31))
    chosen = choose(few, 9, 17)
    assert chosen is not None
    assert sorted(int(name, 16) % 3 for name in chosen) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert chosen != choose(few, 9, 18)
    assert len(chosen & (choose(more, 9, 17) or set())) >= 8
    assert choose(few, 30, 17) is choose(few, None, 17) is None


def test_nothing_left_is_an_error(workspace: Path) -> None:
    write_dataset(layout.DATASET, make_rows(3))
    with pytest.raises(DataError, match=r"no row is left for tiny: .* 3 too long \(1 double, 1 sum, 1 twice\)"):
        tokenize("tiny", settings(max_length=8), resolve_folder("base", "base"), 17)
    assert not (layout.TOKENIZED / "tiny").exists()


def test_rows_without_a_proof_are_not_read(workspace: Path) -> None:
    with pytest.raises(DataError, match=r"audit\.json is missing, so nothing is proven"):
        audit.read_report(layout.TOKENIZED / "tiny")
