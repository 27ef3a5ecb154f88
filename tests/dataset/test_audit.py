"""Each planted fault is stopped, by the audit or by the probe of what serves, with one sentence that names the cure."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from students import STYLES, make_base, make_tokenizer

from distill.dataset import audit, probe
from distill.dataset.chat import Chat, chat_of, load_chat
from distill.dataset.examples import Example
from distill.dataset.tokenize import encode
from distill.errors import DataError
from distill.evaluation.evaluate import require_own_template
from distill.models import ModelRevision, resolve_folder

MAX_LENGTH = 512
REPLY = "<think>\n2+2=4\n</think>\n\n\\boxed{4}"


def chat_for(style: str) -> Chat:
    tokenizer = make_tokenizer(style)
    return chat_of(tokenizer, [tokenizer.eos_token_id], style)


def row_of(reply: str = REPLY, question: str = "2+2?") -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    return {"id": "a" * 20, "source": "gcd", "messages": messages}


def without_stop(e: Any, _: Chat) -> Any:
    return replace(e, input_ids=e.input_ids[:-1], labels=e.labels[:-1])


def pad_masked(e: Any, chat: Chat) -> Any:
    """What a collator does that masks every pad id, where pad and end of turn share one."""
    pad = chat.tokenizer.pad_token_id  # <|im_end|>
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


def another_vocabulary(e: Any, chat: Chat) -> Any:
    """An id that the model has no embedding for, as a tokenizer of a larger model gives."""
    return replace(e, input_ids=[*e.input_ids[:-1], chat.vocabulary], labels=[*e.labels[:-1], chat.vocabulary])


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
        (another_vocabulary, "vocabulary", "and the model has 261"),
    ],
)
def test_planted_fault_is_stopped(plant: Any, check: str, said: str) -> None:
    chat = chat_for("chatml")
    refused(plant(encode(row_of(), chat), chat), chat, check, said)


def refused(example: Example, chat: Chat, check: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        audit.prove([(row_of(), example)], chat, MAX_LENGTH, "tiny")
    sentence = str(caught.value)
    assert sentence.startswith(f"audit of tiny: row {'a' * 20} fails the check {check}: ")
    assert said in sentence
    assert sentence.endswith(audit.CHECKS[check].cure)
    assert "\n" not in sentence


def test_padding_that_ends_a_turn_is_stopped() -> None:
    chat = chat_for("chatml")
    refused(encode(row_of(), chat), replace(chat, pad=chat.end_of_turn), "pad", "also pads")


def test_a_second_chain_is_stopped_where_the_template_opened_the_first() -> None:
    """R1's template ends in <think>: a reply that opens one too would be taught two."""
    chat = chat_for("r1")
    example = rewritten(REPLY)(encode(row_of(), chat), chat)
    refused(example, chat, "chain", "opens 2 chains and closes 1")


def test_a_date_that_a_template_writes_for_some_rows_is_stopped() -> None:
    """Its probe holds no system prompt, so only the row shows it."""
    dated = "{% if messages[0].role == 'system' %}{{ strftime_now('%d %b %Y') }}{% endif %}"
    tokenizer = make_tokenizer("chatml")
    tokenizer.chat_template = dated + STYLES["chatml"][0]
    chat = chat_of(tokenizer, [tokenizer.eos_token_id], "tiny")
    row = row_of() | {"messages": [{"role": "system", "content": "Count."}, *row_of()["messages"]]}
    with pytest.raises(DataError, match="fails the check date: a server builds other ids on another day"):
        audit.prove([(row, encode(row, chat))], chat, MAX_LENGTH, "tiny")


def test_what_was_proven_is_written_down() -> None:
    chat = chat_for("r1")
    report = audit.prove([(row_of(), encode(row_of(), chat))], chat, MAX_LENGTH, "tiny")
    assert report["checks"] == list(audit.CHECKS)
    assert (report["end_of_turn"], report["pad"]) == (chat.end_of_turn, chat.tokenizer.pad_token_id)
    text = chat.text(report["probe"]["prompt_ids"])
    assert text.startswith("<|bos|><|User|>What is 2 + 2?")
    assert text.endswith("<|Assistant|><think>\n")


# ------------------------------------------------------------------ drift between what is trained and what serves


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRevision:
    monkeypatch.chdir(tmp_path)
    return resolve_folder("tiny_base", str(make_base(Path("base"), "qwen2")))


def drift(folder: Path) -> None:
    """The template of the folder asks in another way, as a later version of it might."""
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("assistant\n", "assistant\n<think>\n"))


def test_a_folder_whose_template_drifted_is_stopped(base: ModelRevision) -> None:
    chat = load_chat(base)
    report = audit.prove([(row_of(), encode(row_of(), chat))], chat, MAX_LENGTH, "tiny")
    probe.require_folder(Path("base"), report, "tiny")
    drift(Path("base"))
    n = len(report["probe"]["prompt_ids"])
    with pytest.raises(
        DataError, match=f"the folder base asks tiny in another way .* from token {n} of the prompt on; serve"
    ):
        probe.require_folder(Path("base"), report, "tiny")


@contextmanager
def served(chat: Chat | None) -> Iterator[str]:
    """A server that has vLLM's tokenize endpoint, with the template of a chat; without one it answers 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert body["add_generation_prompt"]
            self.send_response(200 if chat and self.path == "/tokenize" else 404)
            self.end_headers()
            if chat:
                self.wfile.write(json.dumps({"tokens": chat.ids(chat.prompt(body["messages"]))}).encode())

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_with_another_template_is_stopped(base: ModelRevision, monkeypatch: pytest.MonkeyPatch) -> None:
    student = ModelRevision("tiny", "base", "base", "sha256:0")
    with served(load_chat(base)) as own, served(None) as other_software:
        monkeypatch.setenv("DISTILL_TINY_URL", f"{own}/v1,{other_software}/v1")
        require_own_template(student)
    with served(chat_for("qwen25")) as drifted:
        monkeypatch.setenv("DISTILL_TINY_URL", f"{drifted}/v1")
        with pytest.raises(
            DataError, match=f"the server at {drifted} asks tiny in another way than it was trained"
        ) as caught:
            require_own_template(student)
    assert "no --chat-template" in str(caught.value)
    require_own_template(student)  # one that is away says so when it is asked


def test_the_page_on_training_names_every_check(root: Path) -> None:
    page = (root / "docs" / "training.md").read_text().split("## What is proven before training")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(name, check.proves) for name, check in audit.CHECKS.items()]
