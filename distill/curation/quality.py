r"""What can be measured of a trace by reading it once: one row of `checks`, and the signature that finds its copies.

    measure(reasoning="98 = 58 * 1 + 40…", answer="The answer is \\boxed{2}.", text="98 = 58…")
    -> Checks(format="ok", characters=310, foreign_share=0.0, longest_paragraph=120, code_fences=0, tail_ratio=0.41,
              repeated_share=0.0, repeated_sentences=1, chain_answer="same", final_answer="2")

Nothing here decides: the numbers are columns, and `distill/curation/schema.sql` compares them with the settings. Model
text is hostile: every expression is linear in it.
"""

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from operator import eq
from typing import Any

from distill.curation.phrases import ngrams
from distill.prompting import THINK_CLOSE, THINK_OPEN, boxed_answers
from distill.verification.answers import MAX_CHARACTERS, normalise
from distill.verification.math import same_text

VERSION = 1  # raise it when a measure changes: what was measured before is then measured again
SHINGLE = 5  # words
PERMUTATIONS = 128  # of a signature: similarity is known to +- 0.04 (1 / sqrt(128) / 2)
SEED = 20
TEXTS_AT_ONCE = 64  # the shingles of a long text take 200 kB
TAIL = 4096  # characters
RUN = 20  # words
MAX_BOXES = 50

_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|\$\$?[^$\n]*\$\$?|\\[a-zA-Z]+|`[^`\n]*`", re.DOTALL)
# Kana and ideographs are one script here, since Japanese writes in both; Greek letters are mathematics.
_SCRIPTS = {"CJK": "HAN", "HIRAGANA": "HAN", "KATAKANA": "HAN", "BOPOMOFO": "HAN", "GREEK": ""}


@dataclass(frozen=True, slots=True)
class Checks:
    """The measures of one trace; shares are between 0 and 1."""

    format: str  # ok | no_chain | empty_chain | stray_tag | empty_answer
    characters: int
    foreign_share: float  # of letters, those outside the main script; LaTeX and code left out
    longest_paragraph: int  # characters
    code_fences: int  # in the chain
    tail_ratio: float  # zlib's size over the size, of the last 4,096 characters
    repeated_share: float  # of the tail's word 20-grams, those that stood in it before
    repeated_sentences: int  # the longest run of one sentence
    chain_answer: str  # same | other | none: the chain's last box against the answer's last box
    final_answer: str | None  # the answer's last box, normalised


def column_names() -> list[str]:
    """The measures, in the order of a row."""
    return [field.name for field in fields(Checks)]


def measure(reasoning: str | None, answer: str | None, text: str) -> Checks:
    """All measures of a trace: its chain and its answer where it was closed, its text where it was not."""
    whole = text if reasoning is None else f"{reasoning}\n\n{answer or ''}"
    final, agreement = _answers(reasoning, answer)
    tail = whole[-TAIL:]
    return Checks(
        format=_format(reasoning, answer),
        characters=len(whole),
        foreign_share=foreign_share(whole),
        longest_paragraph=max(map(len, whole.split("\n\n"))),
        code_fences=(reasoning or "").count("```") // 2,
        tail_ratio=tail_ratio(tail),
        repeated_share=repeated_share(tail),
        repeated_sentences=repeated_sentences(whole),
        chain_answer=agreement,
        final_answer=final,
    )


def _format(reasoning: str | None, answer: str | None) -> str:
    if reasoning is None:
        return "no_chain"
    if not reasoning:
        return "empty_chain"
    if any(tag in part for tag in (THINK_OPEN, THINK_CLOSE) for part in (reasoning, answer or "")):
        return "stray_tag"
    return "ok" if answer else "empty_answer"


def foreign_share(text: str) -> float:
    """The share of letters outside the script that most letters are in; 0 where there are none."""
    if text.isascii():
        return 0.0
    prose = _NOT_PROSE.sub(" ", text)
    latin = len(re.findall(r"[A-Za-z]", prose))
    scripts = Counter({"LATIN": latin})
    for letter, n in Counter(character for character in prose if character > "\x7f" and character.isalpha()).items():
        scripts[_script(letter)] += n
    del scripts[""]
    total = scripts.total()
    return round(1 - max(scripts.values()) / total, 4) if total else 0.0


def _script(letter: str) -> str:
    """The script of a letter by its Unicode name, as LATIN or HAN; nothing for the letters of mathematics."""
    first = unicodedata.name(letter, "").partition(" ")[0]
    return _SCRIPTS.get(first, "" if first in ("MATHEMATICAL", "DOUBLE-STRUCK", "SCRIPT", "MODIFIER") else first)


def tail_ratio(tail: str) -> float:
    """How far zlib shortens a text, as size over size: a loop goes below 0.1. Short texts count as unrepetitive."""
    raw = tail.encode(errors="surrogatepass")
    return round(len(zlib.compress(raw, 1)) / len(raw), 4) if len(raw) >= TAIL // 8 else 1.0


def repeated_share(tail: str) -> float:
    """Of the runs of twenty words, the share that stood there before."""
    of = tail.split()
    found = list(zip(*(of[start:] for start in range(RUN)), strict=False))
    return round(1 - len(set(found)) / len(found), 4) if found else 0.0


def repeated_sentences(text: str) -> int:
    """How often one sentence stands in a row, at most."""
    sentences = [sentence for sentence in _marked(text).split(". ") if sentence]
    if not any(map(eq, sentences, sentences[1:])):
        return min(1, len(sentences))
    return max(sum(1 for _ in run) for _, run in groupby(sentences))


def _marked(text: str) -> str:
    """A text in which every sentence ends in a point and a space."""
    for end in ("\n", "? ", "! ", "。", "！", "？"):
        if end in text:
            text = text.replace(end, ". ")
    return text


def _answers(reasoning: str | None, answer: str | None) -> tuple[str | None, str]:
    """The final answer, normalised, and whether the chain's last box holds the same."""
    final = _last_box(answer)
    before = _last_box(reasoning)
    shown = None if final is None or len(final) > MAX_CHARACTERS else normalise(final)
    if final is None or before is None:
        return shown, "none"
    return shown, "same" if same_text(before, final) else "other"


def _last_box(text: str | None) -> str | None:
    if text is None or "\\boxed{" not in text or text.count("\\boxed{") > MAX_BOXES:
        return None
    boxes = boxed_answers(text[text.rindex("\\boxed{") :])
    return boxes[0] if boxes else None


def signatures(texts: Sequence[str], shingle: int = SHINGLE) -> Any:
    """MinHash signatures of the texts' word n-grams, a uint32 array (text, permutation); of fewer words, the words."""
    import numpy as np
    from rensa import RMinHash

    found = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        split = (text.split() for text in texts[start : start + TEXTS_AT_ONCE])
        shingles = [ngrams(of, shingle) or of for of in split]
        rows = RMinHash.digest_matrix_from_token_sets(shingles, PERMUTATIONS, SEED).to_rows()
        found[start : start + TEXTS_AT_ONCE] = rows
    return found
