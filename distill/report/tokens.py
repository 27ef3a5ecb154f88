"""The audit's page, `data/tokenized/<student>.html`: what was proven of a student's rows, and ten of them id by id.

It lies beside the rows and not among them, so that a page of other words or colours trains no student again. Model
text is hostile: every token is escaped, and characters that would act on the page are spelled out.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from distill import layout
from distill.dataset.audit import CHECKS
from distill.dataset.chat import Chat
from distill.dataset.examples import Example, draw_examples, read_batches
from distill.models import ModelRevision
from distill.report import charts
from distill.report.page import fill

SHOWN = 10
LONGEST_CHARACTER = 4  # tokens: of bytes, so many may share one character
MARKS = {"\n": "↵\n", "\t": "→\t"}


def write(student: str, base: ModelRevision, chat: Chat, report: dict[str, Any], seed: int) -> Path:
    """Write the page of a student's audit. The same rows give the same bytes."""
    folder = layout.TOKENIZED / student
    page = folder.with_suffix(".html")
    lengths = [row["n_tokens"] for row in read_batches(sorted(folder.glob("*.parquet")), ("n_tokens",))]
    text = fill(
        "tokens.html.jinja",
        student=student,
        base=base,
        report=report,
        checks=CHECKS,
        sources=_sources(report),
        name_of=lambda token: visible(chat.text([token])),
        length_chart=charts.histogram("student", lengths),
        rows=[(example, draw(example, chat)) for example in draw_examples(folder, SHOWN, seed)],
    )
    page.write_text(text, encoding="utf-8")
    return page


def draw(example: Example, chat: Chat) -> Markup:
    """A row as markup, an element a token: <b> where it is trained, <i> where not, class `c` for control tokens."""
    parts = []
    for ids, text, first in pieces(example.input_ids, chat):
        tag = "b" if example.labels[first] >= 0 else "i"
        kind = ' class="c"' if ids[0] in chat.tokenizer.added_tokens_decoder else ""
        parts.append(f'<{tag}{kind} title="{" ".join(map(str, ids))}">{escape(visible(text))}</{tag}>')
    return Markup("".join(parts))


def pieces(ids: Sequence[int], chat: Chat) -> Iterator[tuple[list[int], str, int]]:
    """Tokens with their texts and places. Those that hold a part of a character each are one piece.

    Each is decoded behind the one before it: some tokenizers drop a space at the start of a text.
    """
    before: list[int] = []
    start = 0
    while start < len(ids):
        end = start + 1
        text = _behind(before, ids[start:end], chat)
        while "\ufffd" in text and end < min(len(ids), start + LONGEST_CHARACTER):
            end += 1
            text = _behind(before, ids[start:end], chat)
        before = list(ids[start:end])
        yield before, text, start
        start = end


def visible(text: str) -> str:
    """Text in which nothing hides: line ends have a mark, what cannot be printed (or turns the line) is spelled."""
    return "".join(MARKS.get(c) or (c if c.isprintable() else c.encode("unicode_escape").decode()) for c in text)


def _behind(before: list[int], ids: Sequence[int], chat: Chat) -> str:
    return chat.text([*before, *ids])[len(chat.text(before)) if before else 0 :]


def _sources(report: dict[str, Any]) -> list[tuple[str, int, dict[str, int]]]:
    """Each source with the rows that are trained and those left out, by reason."""
    lost = report["left_out"]
    names = sorted({*report["sources"], *(source for sources in lost.values() for source in sources)})
    return [(name, report["sources"].get(name, 0), {why: lost[why].get(name, 0) for why in lost}) for name in names]
