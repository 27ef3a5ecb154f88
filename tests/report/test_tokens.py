"""The audit's page: every token shown, hostile ones too, nothing run, the same bytes from run to run."""

import re
from pathlib import Path
from typing import Any

import pytest
from students import make_base, make_rows, make_tokenizer, write_dataset

from distill import layout
from distill.dataset.audit import CHECKS
from distill.dataset.chat import chat_of, load_chat
from distill.dataset.examples import Example, draw_examples
from distill.dataset.tokenize import encode, tokenize
from distill.models import resolve_folder
from distill.report import tokens
from distill.students import StudentSettings

SETTINGS = StudentSettings(base="base", method="full", learning_rate=1e-3, max_length=400)
ATTACK = "<script>alert(1)</script> é 数 𝔸 \u202egnp.exe \x07 \"'><img src=x onerror=alert(1)>"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_base(tmp_path / "base", "qwen2")
    return tmp_path


def page_of(rows: list[dict[str, Any]]) -> str:
    write_dataset(layout.DATASET, rows)
    base = resolve_folder("tiny_base", "base")
    report = tokenize("tiny", SETTINGS, base, 17)
    return tokens.write("tiny", base, load_chat(base), report, 17).read_text()


def hostile(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        row["source"] = "<b>sum</b>"
        row["messages"][1]["content"] = f"<think>\n{ATTACK}\n</think>\n\n4"
    return rows


def test_the_page_says_what_is_proven_and_what_was_left_out(workspace: Path) -> None:
    rows = make_rows(12)
    rows[0]["messages"][1]["content"] = f"<think>\n{'long ' * 100}\n</think>\n\n4"
    html = page_of(rows)
    assert "11 rows passed every check" in html
    for name, check in CHECKS.items():
        assert f"<td>{name}</td><td>{check.proves}</td>".replace("'", "&#39;") in html
    assert re.search(
        r'<th class="n">too long</th>.*\n<tr><td>double</td><td class="n">3</td><td class="n">1</td>', html
    )
    assert html.count("<details") == tokens.SHOWN
    assert "<svg" in html
    assert str(workspace) not in html


def test_every_token_of_a_row_is_shown_once(workspace: Path) -> None:
    page_of(hostile(make_rows(12)))
    base = resolve_folder("tiny_base", "base")
    chat = load_chat(base)
    for example in draw_examples(layout.TOKENIZED / "tiny", 3, 17):
        markup = str(tokens.draw(example, chat))
        drawn = [
            (tag, int(i)) for tag, ids in re.findall(r'<([bi])[^>]*? title="([\d ]+)">', markup) for i in ids.split()
        ]
        assert [i for _, i in drawn] == example.input_ids
        assert [tag == "b" for tag, _ in drawn] == [label >= 0 for label in example.labels]
        assert markup.count('class="c"') == 6  # <|im_start|> twice, <|im_end|> twice, <think>, </think>
        for shown in ("é", "数", "𝔸", "\\u202e", "\\x07", "↵\n"):
            assert f">{shown}</" in markup


def test_model_text_is_shown_and_never_run(workspace: Path) -> None:
    html = page_of(hostile(make_rows(12)))
    body = html.split("</style>")[1]
    assert "default-src 'none'" in html
    assert set(re.findall(r"<(\w+)", body)) <= {
        "body", "h1", "h2", "p", "div", "table", "tr", "th", "td", "dl", "dt", "dd", "code", "span", "b", "i", "svg",
        "rect", "text", "details", "summary", "pre", "br",
    }  # fmt: skip
    assert not re.findall(r"""(?:src|href|on\w+)\s*=|<b>sum""", body)
    assert "\u202e" not in html
    assert "&lt;b&gt;sum&lt;/b&gt;" in html


def test_the_same_rows_give_the_same_page(workspace: Path) -> None:
    first = page_of(make_rows(30))
    base = resolve_folder("tiny_base", "base")
    report = tokenize("tiny", SETTINGS, base, 17)
    assert tokens.write("tiny", base, load_chat(base), report, 17).read_text() == first


def test_bytes_of_one_character_are_one_piece_and_torn_ones_are_shown() -> None:
    tokenizer = make_tokenizer("chatml")
    chat = chat_of(tokenizer, [tokenizer.eos_token_id], "tiny")
    ids = chat.ids("a数b")
    assert [text for _, text, _ in tokens.pieces(ids, chat)] == ["a", "数", "b"]
    torn = [*ids[:2], ids[-1]]
    assert [i for piece, _, _ in tokens.pieces(torn, chat) for i in piece] == torn


def test_a_long_row_is_drawn_in_linear_time() -> None:
    tokenizer = make_tokenizer("chatml")
    chat = chat_of(tokenizer, [tokenizer.eos_token_id], "tiny")
    row = make_rows(1)[0]
    row["messages"][1]["content"] = "<think>\n" + "step by step, " * 2_000 + "\n</think>\n\n4"
    example: Example = encode(row, chat)
    assert str(tokens.draw(example, chat)).count("title=") == example.n_tokens
