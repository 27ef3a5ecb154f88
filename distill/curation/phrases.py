r"""Questions as they are compared with each other: their words, their key, their numbers, and what is a template's.

    words(folded("Find  $\\dfrac{1}{2}$ of 3.5!"))   ->  ["find", "frac", "1", "2", "of", "3.5"]
    key("What is 12+7 ?") == key("what is  12 + 7")
    key("What is 12+7 ?") != key("what is  12 - 7")

A phrase of eight words that more than a few training problems share is a template's. It says nothing about two
problems that both have it, so the words in it are not distinctive.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sys import intern

PHRASE = 8  # words; open-r1 and s1 take an 8-gram in common for contamination (arXiv 2501.19393)

_LAYOUT = re.compile(
    r"\\(?:left|right|[bB]igg?[lr]?|(?:display|text)style|text|mathrm|mathbf|q?quad)(?![a-zA-Z])|\\[,;:! ()\[\]]|[$~]"
)
_SPELLINGS = [
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\([lg]e)q(?:slant)?(?![a-zA-Z])"), r"\\\1"),
]
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
# Operators decide what is asked, so they stay in a key; punctuation does not.
_PUNCTUATION = " \t\n\r\f\v?:;\"'`’‘“”«»–—…{}"
_BUT_POINTS, _ALL = str.maketrans("", "", _PUNCTUATION), str.maketrans("", "", f"{_PUNCTUATION}.,!")
_TELLING_POINT = re.compile(r"\d[.,]\d|[\d)}]!")  # a decimal, a factorial
_HYPHEN_OR_STAR = re.compile(r"(?<=[^\W\d_])\s+-+\s+(?=[^\W\d_])|(?<!\w)\*+(?=\w)|(?<=[\w.?!])\*+(?![\w\s(\\])")
_POINT = re.compile(r"(?<!\d)[.,]|[.,](?!\d)|(?<![\d)}])!")
_OPERATORS = re.compile(r"[+*/^=<>|]|(?<![^\W\d_])-|\\(?:cdot|times|div|le|ge|pm|sqrt|frac)(?![a-zA-Z])")


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and the name that it is stored under."""

    id: str
    text: str


def folded(text: str) -> str:
    r"""A text in one case and one spelling: Unicode folded, LaTeX's layout commands gone, `\dfrac` as `\frac`."""
    text = unicodedata.normalize("NFKC", text).casefold() if not text.isascii() else text.lower()
    if "\\" in text or "$" in text or "~" in text:
        text = _LAYOUT.sub(" ", text)
        for pattern, spelling in _SPELLINGS:
            text = pattern.sub(spelling, text)
    return text


def words(text: str) -> list[str]:
    """The words and numbers of a folded text, in order; a thousands comma or a decimal point stays in its number."""
    return list(map(intern, _WORD.findall(text)))  # one copy of a word for all questions


def key(text: str) -> str:
    """What is left of a question when case, white space and punctuation are not: equal keys are the same question."""
    return key_of(folded(text))


def key_of(text: str) -> str:
    """The key of a folded text."""
    if "-" in text or "*" in text:
        text = _HYPHEN_OR_STAR.sub("", text)
    if "," in text:
        text = _THOUSANDS.sub("", text)
    if _TELLING_POINT.search(text):
        return _POINT.sub("", text).translate(_BUT_POINTS)
    return text.translate(_ALL)


def numbers(of: Sequence[str]) -> tuple[str, ...]:
    """The numbers among some words, sorted, thousands commas left out."""
    return tuple(sorted([word.replace(",", "") for word in of if word < ":"]))  # digits sort before ":", letters after


def operators(text: str) -> tuple[str, ...]:
    """The operators in a folded text, sorted. A hyphen within words is none."""
    return tuple(sorted(_OPERATORS.findall(text)))


def ngrams(of: Sequence[str], n: int) -> list[str]:
    """Every run of n words, joined; shorter texts have none."""
    return list(map(" ".join, zip(*(of[start:] for start in range(n)), strict=False)))


class Phrases:
    """Which phrases of eight words more than `common` of some questions hold, and how many do."""

    def __init__(self, questions: Iterable[Sequence[str]], common: int) -> None:
        import numpy as np

        codes = array("q")  # hashes: the phrases themselves would take gigabytes
        for of in questions:
            codes.extend(map(hash, set(ngrams(of, PHRASE))))
        found, counts = np.unique(np.frombuffer(codes, dtype=np.int64), return_counts=True)
        frequent = counts > common
        self._common = dict(zip(found[frequent].tolist(), counts[frequent].tolist(), strict=True))

    def spreads(self, of: Sequence[str]) -> list[int]:
        """For each word, how many questions hold the most common phrase that it stands in; 0 where none is common."""
        spread = [0] * len(of)
        if self._common:
            for start, phrase in enumerate(ngrams(of, PHRASE)):
                if n := self._common.get(hash(phrase)):
                    spread[start : start + PHRASE] = [max(n, old) for old in spread[start : start + PHRASE]]
        return spread
