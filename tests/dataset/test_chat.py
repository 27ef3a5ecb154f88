"""Golden token ids for the logic of every real template, the traps of each, and templates that are refused.

One id per byte: those of a golden text are computed here without the tokenizer.
"""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML
from students import STYLES, make_tokenizer

from distill import config
from distill.dataset import audit
from distill.dataset import chat as chats
from distill.dataset.chat import Chat, chat_of, load_chat, opening
from distill.dataset.tokenize import encode
from distill.errors import ConfigError, DataError
from distill.models import ModelRevision, load_tokenizer, resolve
from distill.prompting import render_messages, render_student_turn

REPLY = "<think>\n2+2=4\n</think>\n\n\\boxed{4}"
QUESTION = {"role": "user", "content": "2+2?"}
MODELS = Path(__file__).parents[2] / "data" / "models"
LLAMA_SYSTEM = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: 26 Jul 2024\n\n{}<|eot_id|>"
)
LLAMA_TURN = (
    "<|start_header_id|>user<|end_header_id|>\n\n2+2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)
CHATML_TURN = "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
# style -> prompt, reply, the end of its turn
GOLDEN = {
    "plain_chatml": (CHATML_TURN, REPLY, "<|im_end|>"),
    "qwen25": (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        + CHATML_TURN,
        REPLY,
        "<|im_end|>",
    ),
    "qwen3": (CHATML_TURN, REPLY, "<|im_end|>"),
    "smollm2": (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        + CHATML_TURN,
        REPLY,
        "<|im_end|>",
    ),
    "llama31": (LLAMA_SYSTEM.format("") + LLAMA_TURN, REPLY, "<|eot_id|>"),
    "r1_distill": (
        "<|begin_of_sentence|><|User|>2+2?<|Assistant|><think>\n",
        REPLY.removeprefix("<think>\n"),
        "<|end_of_sentence|>",
    ),
}


def chat_for(style: str, template: str | None = None) -> Chat:
    tokenizer = make_tokenizer(style)
    tokenizer.chat_template = template or tokenizer.chat_template
    return chat_of(tokenizer, [tokenizer.eos_token_id], style)


def row_of(*messages: dict[str, str], reply: str = REPLY) -> dict[str, Any]:
    asked = list(messages) or [QUESTION]
    return {"id": "a" * 20, "source": "gcd", "messages": [*asked, {"role": "assistant", "content": reply}]}


def golden_ids(text: str, style: str) -> list[int]:
    """Ids by the definition of a byte-level vocabulary: bytes in the order of their letters, then the added tokens."""
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    rest = [b for b in range(256) if b not in plain]
    letters = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}
    of_byte = {b: i for i, b in enumerate(sorted(letters, key=letters.__getitem__))}
    added = [*STYLES[style][1], "<think>", "</think>"]

    def ids() -> Iterator[int]:
        for part in re.split("(" + "|".join(map(re.escape, added)) + ")", text):
            yield from [256 + added.index(part)] if part in added else [of_byte[b] for b in part.encode()]

    return list(ids())


@pytest.mark.parametrize("style", GOLDEN)
def test_golden_ids_of_a_row(style: str) -> None:
    """The prompt as the template writes it, masked; the reply with its chain and its end, trained; nothing else."""
    prompt, reply, end = GOLDEN[style]
    chat = chat_for(style)
    example = encode(row_of(), chat)
    prompt_ids, trained = golden_ids(prompt, style), golden_ids(reply + end, style)
    assert example.input_ids == prompt_ids + trained
    assert example.labels == [-100] * len(prompt_ids) + trained
    assert (example.n_prompt, chat.end_of_turn) == (len(prompt_ids), trained[-1])
    assert next(audit.faults(row_of(), example, chat, 4096), None) is None


@pytest.mark.parametrize("style", GOLDEN)
def test_every_stop_ends_and_no_padding_does(style: str) -> None:
    chat = chat_for(style)
    assert chat.end_of_turn in chat.stop_ids
    assert chat.pad != chat.end_of_turn
    assert chat.pad in chat.control_ids


def test_qwen25_takes_a_given_system_prompt() -> None:
    example = encode(row_of({"role": "system", "content": "Be brief."}, QUESTION), chat := chat_for("qwen25"))
    prompt = chat.text(example.input_ids[: example.n_prompt])
    assert prompt == "<|im_start|>system\nBe brief.<|im_end|>\n" + CHATML_TURN


def test_llama_puts_a_system_prompt_behind_its_dates_and_trims() -> None:
    chat = chat_for("llama31")
    row = row_of(
        {"role": "system", "content": " Be brief. \n"}, {"role": "user", "content": "\n2+2? "}, reply=REPLY + " \n"
    )
    example = encode(row, chat)
    assert chat.text(example.input_ids[: example.n_prompt]) == LLAMA_SYSTEM.format("Be brief.") + LLAMA_TURN
    assert chat.text(example.input_ids[example.n_prompt :]) == REPLY + " \n<|eot_id|>"  # a reply is never trimmed
    assert next(audit.faults(row, example, chat, 4096), None) is None


@pytest.mark.parametrize(("style", "kept"), [("qwen3", "\\boxed{4}"), ("r1_distill", "\n\n\\boxed{4}")])
def test_chains_of_earlier_turns_are_dropped_and_the_last_is_trained(style: str, kept: str) -> None:
    chat = chat_for(style)
    row = row_of(QUESTION, {"role": "assistant", "content": REPLY}, {"role": "user", "content": "3+3?"})
    example = encode(row, chat)
    prompt = chat.text(example.input_ids[: example.n_prompt])
    assert "2+2=4" not in prompt
    assert kept + STYLES[style][2] in prompt
    assert chat.text(example.input_ids[example.n_prompt :]).endswith("2+2=4\n</think>\n\n\\boxed{4}" + STYLES[style][2])
    assert next(audit.faults(row, example, chat, 4096), None) is None


@pytest.mark.parametrize(
    ("style", "reply", "whole"),
    [
        ("qwen3", "4", "<think>\n\n</think>\n\n4<|im_end|>"),  # an empty chain is put in
        ("r1_distill", REPLY, "<|Assistant|>\n\n\\boxed{4}<|end_of_sentence|>"),  # the chain is taken out
        ("llama31", " 4 ", "\n\n4<|eot_id|>"),
    ],
)
def test_what_a_template_would_do_to_a_reply_is_not_done(style: str, reply: str, whole: str) -> None:
    chat = chat_for(style)
    messages = row_of(reply=reply)["messages"]
    assert whole in chat.tokenizer.apply_chat_template(messages, tokenize=False)
    example = encode(row_of(reply=reply), chat)
    assert chat.text(example.input_ids[example.n_prompt : -1]) == chat.reply(chat.prompt([QUESTION]), reply)


@pytest.mark.parametrize("opened", ["<think>", "<think>\n"])
def test_a_chain_opened_by_the_template_is_not_opened_again(opened: str) -> None:
    template = STYLES["r1_distill"][0].replace("<think>\\n", opened.replace("\n", "\\n"))
    chat = chat_for("r1_distill", template)
    example = encode(row_of(), chat)
    text = chat.text(example.input_ids)
    assert text.endswith(f"<|Assistant|>{REPLY}<|end_of_sentence|>")
    assert next(audit.faults(row_of(), example, chat, 4096), None) is None


def test_a_base_that_stops_elsewhere_learns_its_template_end() -> None:
    """Qwen2.5's bases end turns with <|im_end|> and stop at <|endoftext|>: the student stops at both."""
    tokenizer = make_tokenizer("qwen25")
    tokenizer.eos_token = "<|endoftext|>"
    chat = chat_of(tokenizer, [tokenizer.eos_token_id], "base")
    assert chat.end_of_turn == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert chat.stop_ids == {chat.end_of_turn, tokenizer.eos_token_id}


# ------------------------------------------------------------------ real ones


@pytest.mark.parametrize(
    ("name", "begins", "end"),
    [
        ("tiny-qwen", "<|im_start|>user\n2+2?\n\nPlease", "<|im_end|>"),
        ("tiny-r1", "<|begin_of_sentence|><|User|>2+2?\n\nPlease", "<|end_of_sentence|>"),
        ("smollm2-135m-instruct", "<|im_start|>system\nYou are a helpful AI assistant named SmolLM", "<|im_end|>"),
    ],
)
def test_real_models(name: str, begins: str, end: str) -> None:
    folder = MODELS / name
    if not (folder / "config.json").exists():
        pytest.skip(f"{folder} is not here; `make models` makes it")
    chat = load_chat(ModelRevision("base", name, str(folder), "sha256:0"))
    row = row_of(*render_messages("2+2?"), reply=render_student_turn("It is 4.", "\\boxed{4}"))
    example = encode(row, chat)
    text = chat.text(example.input_ids)
    assert text.startswith(begins)
    assert text.endswith("<think>\nIt is 4.\n</think>\n\n\\boxed{4}" + end)
    assert next(audit.faults(row, example, chat, 4096), None) is None
    assert chat.pad != chat.end_of_turn


# ------------------------------------------------------------------ templates that are refused, and the cure of each


def test_a_template_with_a_date_of_its_own_is_trained_on() -> None:
    """Llama 3.1 knows a clock's variable and writes a fixed date."""
    assert "Today Date: 26 Jul 2024" in chat_for("llama31").prompt([QUESTION])


def test_a_template_that_asks_the_clock_is_refused_and_its_cure_works() -> None:
    with pytest.raises(DataError) as caught:
        chat_for("llama32")
    sentence = str(caught.value)
    assert "writes today's date" in sentence
    pin = re.search(r"begins with (\{%- set .*? %\}), in pipelines/templates", sentence)
    assert pin is not None
    chat = chat_for("llama32", pin[1] + STYLES["llama32"][0])
    assert chat.prompt([QUESTION]) == chat_for("llama31").prompt([QUESTION])


def test_a_clock_that_is_not_read_is_no_fault() -> None:
    template = STYLES["plain_chatml"][0] + "{%- if tools -%}{{- strftime_now('%Y') -}}{%- endif -%}"
    assert str(date.today().year) not in chat_for("plain_chatml", template).prompt([QUESTION])


@pytest.mark.parametrize(
    ("style", "template", "said"),
    [
        (
            "qwen25",
            "{{ strftime_now('%A') }}{% for m in messages %}{{ m.content }}{% endfor %}",
            "a copy that holds a fixed date",
        ),
        ("qwen25", "{% for m in messages %}{{ m.content }} END {% endfor %}", "which is no control token"),
        ("qwen25", "{% for m in messages %}{{ m.text + 'x' }}{% endfor %}", "cannot be rendered"),
        ("qwen25", "{{ raise_exception('only in pairs') }}", r"cannot be rendered \(only in pairs\)"),
        ("qwen3", "{%- set enable_thinking = false -%}" + STYLES["qwen3"][0], "would be taught two"),
    ],
)
def test_a_template_that_cannot_be_trained_on(style: str, template: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        chat_for(style, template)
    assert "\n" not in str(caught.value)


def test_a_base_without_a_template_takes_one_from_the_folder(root: Path) -> None:
    tokenizer = make_tokenizer("llama31")
    tokenizer.chat_template = None
    with pytest.raises(DataError, match=r"has no chat template; name one .* \(pipelines/templates holds some\)"):
        chat_of(tokenizer, [tokenizer.eos_token_id], "base")
    chat = chat_for("llama31", (root / "pipelines/templates/llama3.jinja").read_text())
    assert chat.prompt([QUESTION]) == "<|begin_of_text|>" + LLAMA_TURN


@pytest.mark.parametrize(("style", "name"), [("qwen25", "chatml"), ("llama31", "llama3")])
def test_the_templates_that_come_along_can_be_trained_on(root: Path, style: str, name: str) -> None:
    chat = chat_for(style, (root / f"pipelines/templates/{name}.jinja").read_text())
    assert next(audit.faults(row_of(), encode(row_of(), chat), chat, 4096), None) is None


def test_a_model_that_stops_at_a_token_of_another_tokenizer_is_refused() -> None:
    with pytest.raises(DataError, match="stops at id 65, which is no control token of its tokenizer"):
        chat_of(make_tokenizer("qwen25"), [65], "base")


def test_a_tokenizer_with_nothing_to_pad_with_is_refused() -> None:
    with pytest.raises(DataError, match="no token to pad with but the one that ends a turn"):
        chats._pad(SimpleNamespace(pad_token_id=2, unk_token_id=None), frozenset(), "base")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory; put the file there"),
        (b"{% for m in messages %}{{ m.content }}", "is no valid jinja: line 1, Unexpected end of template"),
        (b"\xff\xfe{{ messages }}", "is no text in UTF-8"),
    ],
)
def test_a_template_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, said: str) -> None:
    """It is read by the models stage, before a teacher is asked for anything."""
    path = tmp_path / "own.jinja"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path} {said}") as caught:
        resolve("tiny_base", str(MODELS / "tiny-qwen"), None, str(path))
    assert "\n" not in str(caught.value)


def test_a_template_file_may_mark_what_a_model_wrote(tmp_path: Path) -> None:
    path = tmp_path / "own.jinja"
    path.write_text(
        "{% for m in messages %}{%- generation -%}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    )
    assert resolve("tiny_base", str(MODELS / "tiny-qwen"), None, str(path)).chat_template == path.read_text()


@pytest.mark.parametrize("path", ["own.jinja", "pipelines/templates/own.txt", "pipelines/templates/../own.jinja"])
def test_a_template_that_dvc_does_not_watch_is_refused(path: str, root: Path) -> None:
    tree = YAML(typ="safe").load(root / "pipelines/profiles/smoke.yaml")
    tree["students"]["tiny_qwen"]["chat_template"] = path
    with pytest.raises(
        ConfigError, match=r"students\.tiny_qwen\.chat_template: it must be a \.jinja in pipelines/templates"
    ):
        config.parse(tree)


def test_a_base_behind_a_url_has_no_tokenizer() -> None:
    with pytest.raises(DataError, match="is behind a URL, and its tokenizer with it; unset DISTILL_TINY_BASE_URL"):
        load_chat(ModelRevision("tiny_base", "served", None, "unpinned"))


def test_a_given_template_stands_in_for_the_model_s_own() -> None:
    base = ModelRevision("tiny_base", "tiny-qwen", str(MODELS / "tiny-qwen"), "sha256:0", STYLES["smollm2"][0])
    assert load_tokenizer(base).chat_template == STYLES["smollm2"][0]
    assert "named SmolLM" in load_chat(base).prompt([QUESTION])


def test_the_opening_is_what_follows_the_question() -> None:
    assert opening(chat_for("r1_distill").prompt([QUESTION]), [QUESTION]) == "<|Assistant|><think>\n"
    spelled = {"role": "user", "content": "What is <think>?"}
    assert opening(chat_for("qwen3").prompt([spelled]), [spelled]) == "<|im_end|>\n<|im_start|>assistant\n"
