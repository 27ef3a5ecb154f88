"""Contamination: training questions that an evaluation asks too, each with the evidence.

    find(train, {"aime24": questions}, ContaminationSettings())
    -> [Hit(problem_id="9f31…", benchmark="aime24", rule="ngram_13", benchmark_problem="1c0e…",
            matched="every morning aya goes for a 9 kilometer long walk and stops at a coffee shop afterwards",
            score=0.81, spread=1, same_numbers=True), …]

exact       equal but for case, white space and punctuation, however short
ngram_8     eight words in a row in common, as open-r1 and s1 look for them (arXiv 2501.19393)
ngram_13    thirteen, as GPT-3's authors did (arXiv 2005.14165, appendix C)
fuzzy       the same numbers and operators, and an edit similarity of their distinctive words of at least `fuzzy_ratio`

Every hit is stored, once for each problem, benchmark and rule; `decides` says which of them drop a problem. `spread`
is in how many training questions the matched words stand: those of a template stand in many, and prove nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from distill.curation.phrases import Phrases, Question, folded, key_of, ngrams, numbers, operators, words
from distill.settings import ContaminationSettings

LENGTHS = {"ngram_8": 8, "ngram_13": 13}
BLOCK = 3  # words in a row that two questions must share before their edit distance is taken
MIN_DISTINCTIVE = 5  # words; what is shorter, edit distance cannot tell apart


@dataclass(frozen=True, slots=True)
class Hit:
    """One training problem that one rule finds in one benchmark.

    `score` is the share of the benchmark's question that matched, of `fuzzy` the similarity. `same_numbers`: all the
    numbers of one question are in the other.
    """

    problem_id: str
    benchmark: str
    rule: str
    benchmark_problem: str
    matched: str
    score: float
    spread: int
    same_numbers: bool


def find(
    train: Sequence[Question], benchmarks: Mapping[str, Sequence[Question]], settings: ContaminationSettings
) -> list[Hit]:
    """Every hit of every rule, sorted. Its time grows with the two sides' lengths, not with their product."""
    trained = [_Read(question) for question in train]
    asked = [_Read(question, name) for name, questions in benchmarks.items() for question in questions]
    phrases = Phrases({question.key: question.words for question in trained}.values(), settings.common)
    for found in asked:
        found.spread = phrases.spreads(found.words)
    hits = list(_exact(trained, asked)) if "exact" in settings.rules else []
    if "fuzzy" in settings.rules:
        hits += _fuzzy(trained, asked, phrases, settings.fuzzy_ratio)
    near: Sequence[_Read] = trained
    for rule in (rule for rule in LENGTHS if rule in settings.rules):  # who shares no eight words shares no thirteen
        n = LENGTHS[rule]
        index = _Index(asked, n)
        shared = [(question, runs) for question in near if (runs := index.known(question))]
        hits += _shared_runs(shared, index, rule, settings.common)
        near = [question for question, _ in shared]
    return sorted(hits, key=lambda hit: (hit.problem_id, hit.benchmark, hit.rule))


def decides(hit: Hit, settings: ContaminationSettings) -> bool:
    """Whether a hit drops its problem: by a rule that counts, not by a template's words, not with other numbers."""
    return hit.rule in settings.drop_by and (
        hit.rule not in LENGTHS or (hit.spread <= settings.common and hit.same_numbers)
    )


class _Read:
    """A question, read once for all rules; of an evaluation, with the name of its benchmark."""

    __slots__ = ("benchmark", "id", "key", "numbers", "spread", "text", "words")

    def __init__(self, question: Question, benchmark: str = "") -> None:
        self.id, self.benchmark = question.id, benchmark
        self.text = folded(question.text)
        self.key = key_of(self.text)
        self.words = words(self.text)
        self.numbers = numbers(self.words)
        self.spread: list[int] = []  # of an evaluation's words, see `Phrases.spreads`


class _Index:
    """The n-grams of all benchmarks: in which questions each stands, and its least spread."""

    def __init__(self, asked: Sequence[_Read], n: int) -> None:
        self.asked, self.n = asked, n
        self.places: dict[str, list[int]] = {}
        self.least: dict[str, int] = {}
        for index, found in enumerate(asked):
            templated = any(found.spread)
            for start, run in enumerate(ngrams(found.words, n)):
                self.places.setdefault(run, []).append(index)
                spread = max(found.spread[start : start + n]) if templated else 0
                self.least[run] = min(self.least.get(run, spread), spread)

    def known(self, question: _Read) -> set[str]:
        """The n-grams of a question that a benchmark has too."""
        return self.places.keys() & ngrams(question.words, self.n)

    def firsts(self, run: str) -> dict[str, _Read]:
        """The first question of each benchmark that has an n-gram."""
        return {self.asked[index].benchmark: self.asked[index] for index in reversed(self.places[run])}

    def most_shared(self, runs: Sequence[str]) -> dict[str, _Read]:
        """Of each benchmark the question that has most of these n-grams; the first of equals."""
        counts = Counter(index for run in runs for index in self.places[run])
        best: dict[str, _Read] = {}
        for index, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            best.setdefault(self.asked[index].benchmark, self.asked[index])
        return best


def _hit(question: _Read, found: _Read, rule: str, matched: str, score: float, spread: int) -> Hit:
    same = _within(question.numbers, found.numbers)
    return Hit(question.id, found.benchmark, rule, found.id, matched, round(score, 3), spread, same)


def _within(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether all numbers of one question are in the other, as often."""
    if len(one) == len(other):
        return one == other
    return Counter(one) <= Counter(other) or Counter(other) <= Counter(one)


def _exact(trained: Sequence[_Read], asked: Sequence[_Read]) -> Iterator[Hit]:
    places: dict[str, dict[str, _Read]] = {}
    for found in reversed(asked):
        places.setdefault(found.key, {})[found.benchmark] = found
    spread = Counter(question.key for question in trained)
    for question in trained:
        for found in places.get(question.key, {}).values():
            yield _hit(question, found, "exact", " ".join(found.words), 1.0, spread[question.key])


def _shared_runs(shared: Sequence[tuple[_Read, set[str]]], index: _Index, rule: str, common: int) -> Iterator[Hit]:
    """n-grams in common. Those of templates make a hit too, but only where there are no others."""
    counts = Counter(chain.from_iterable(runs for _, runs in shared))
    spreads = {run: max(count, index.least[run]) for run, count in counts.items()}
    firsts = {run: index.firsts(run) for run in counts}
    for question, runs in shared:
        telling = [run for run in runs if spreads[run] <= common and len(index.places[run]) <= common]
        best = index.most_shared(telling)
        for found in best.values():
            matched, score = _stretch(question, found, index.n)
            yield _hit(question, found, rule, matched, score, min(spreads[run] for run in telling))
        for run in sorted(runs, key=lambda run: (spreads[run], run)):
            for benchmark in firsts[run].keys() - best.keys():
                found = best[benchmark] = firsts[run][benchmark]
                yield _hit(question, found, rule, run, index.n / len(found.words), max(spreads[run], common + 1))


def _stretch(question: _Read, found: _Read, n: int) -> tuple[str, float]:
    """The longest stretch that two questions share, and how much of the benchmark's n-grams is shared."""
    theirs = ngrams(found.words, n)
    common = set(theirs) & set(ngrams(question.words, n))
    longest = first = start = 0
    for index, run in enumerate([*theirs, ""]):
        if run not in common:
            if index - start > longest:
                longest, first = index - start, start
            start = index + 1
    matched = " ".join(found.words[first : first + longest + n - 1])
    return matched, sum(run in common for run in theirs) / len(theirs)


def _fuzzy(trained: Sequence[_Read], asked: Sequence[_Read], phrases: Phrases, least: float) -> Iterator[Hit]:
    """Questions with the same numbers and operators whose distinctive words are nearly the same."""
    from rapidfuzz.fuzz import ratio

    blocks: dict[tuple[str, ...], dict[str, list[tuple[_Read, str]]]] = {}
    for found in asked:
        told = _distinctive(found.words, found.spread)
        for run in set(ngrams(told, BLOCK)) if len(told) >= MIN_DISTINCTIVE else ():
            blocks.setdefault(found.numbers, {}).setdefault(run, []).append((found, " ".join(told)))
    for question in trained:
        block = blocks.get(question.numbers, {})
        told = _distinctive(question.words, phrases.spreads(question.words)) if block else []
        near = {id(found): (found, text) for run in ngrams(told, BLOCK) for found, text in block.get(run, ())}
        best: dict[str, Hit] = {}
        for found, text in near.values() if len(told) >= MIN_DISTINCTIVE else ():
            score = ratio(" ".join(told), text, score_cutoff=100 * least) / 100
            before = best[found.benchmark].score if found.benchmark in best else 0.0
            if score > before and operators(question.text) == operators(found.text):
                best[found.benchmark] = _hit(question, found, "fuzzy", text, score, 1)
        yield from best.values()


def _distinctive(words_of: Sequence[str], spread: Sequence[int]) -> list[str]:
    """The words of a question that stand in no common phrase."""
    return [word for word, n in zip(words_of, spread, strict=True) if not n]
