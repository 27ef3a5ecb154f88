"""Copies: traces of one problem that say the same, and problems that ask the same.

    cluster(signatures, threshold=0.9)  ->  [(2, 0, 1.0), (5, 0, 0.94)]    text 2 and text 5 are copies of text 0

A cluster is a star: the first in the given order is kept, and what is as near to it as the threshold belongs to it.
Chains of pairs, each near the next, are not followed, so everything that is dropped is near to something that is kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from distill.curation.phrases import Phrases, Question, folded, key, numbers, words
from distill.curation.quality import PERMUTATIONS, signatures

BANDS = 16  # of 8 rows each: pairs of similarity 0.9 meet in one with 99.9 %, of 0.8 with 95 %, of 0.5 with 6 %
PROBLEM_SHINGLE = 3  # words; prompts are short
PROBLEM_SIMILARITY = 0.8


@dataclass(frozen=True, slots=True)
class Copy:
    """A row that is left out of its cluster, the one that is kept, and how similar they are."""

    id: str
    kept_id: str
    similarity: float
    exact: bool


def cluster(found: Any, threshold: float) -> list[tuple[int, int, float]]:
    """Members of clusters that are not kept, the member that is, and their similarity; rows in order of preference.

    `found` is (text, permutation). The estimate of a Jaccard similarity is the share of equal columns.
    """
    import numpy as np

    free = np.ones(len(found), dtype=bool)
    copies = []
    for kept in range(len(found) - 1):
        if not free[kept]:
            continue
        others = np.flatnonzero(free[kept + 1 :]) + kept + 1
        similarity = (found[others] == found[kept]).mean(axis=1)
        near = similarity >= threshold
        copies += [(int(i), kept, round(float(s), 3)) for i, s in zip(others[near], similarity[near], strict=True)]
        free[others[near]] = False
    return copies


def problem_copies(questions: Sequence[Question], common: int) -> list[Copy]:
    """Problems that ask what one before them asks: by key, or with the same numbers and nearly the same words.

    Words of phrases that more than `common` questions share are left out first, so a template makes no copies. Time
    grows with the number of questions: one that meets others in a band is compared with the first of them alone.
    """
    first: dict[str, Question] = {}
    copies = []
    for question in questions:
        kept = first.setdefault(key(question.text), question)
        if kept is not question:
            copies.append(Copy(question.id, kept.id, 1.0, exact=True))
    return copies + list(_near(list(first.values()), common))


def _near(questions: Sequence[Question], common: int) -> Iterator[Copy]:
    read = [words(folded(question.text)) for question in questions]
    phrases = Phrases(read, common)
    told = [[word for word, n in zip(of, phrases.spreads(of), strict=True) if not n] for of in read]
    rows = [index for index, of in enumerate(told) if len(of) > PROBLEM_SHINGLE]
    found = signatures([" ".join(told[index]) for index in rows], PROBLEM_SHINGLE)
    kept: dict[tuple[int, bytes, tuple[str, ...]], int] = {}  # the first row of each band's bucket
    for row, index in enumerate(rows):
        bands = _bands(found[row], numbers(read[index]))
        met = sorted({kept[band] for band in bands if band in kept})
        similar = [(float((found[row] == found[other]).mean()), other) for other in met]
        similarity, other = max(similar, key=lambda pair: pair[0], default=(0.0, row))
        if similarity >= PROBLEM_SIMILARITY:
            yield Copy(questions[index].id, questions[rows[other]].id, round(similarity, 3), exact=False)
        else:
            for band in bands:
                kept.setdefault(band, row)


def _bands(signature: Any, held: tuple[str, ...]) -> list[tuple[int, bytes, tuple[str, ...]]]:
    """Where a question meets others: in one of the bands of its signature, and only with the same numbers."""
    width = PERMUTATIONS // BANDS
    return [(band, signature[band * width :][:width].tobytes(), held) for band in range(BANDS)]
