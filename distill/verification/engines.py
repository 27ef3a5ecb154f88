"""The engines that decide what text alone cannot, each in processes that are killed when they overstay.

    parser     two mathematical answers      `pool`, `symbolic`
    gold       one reference answer          `pool`, `symbolic`
    program    a program and its tests       `sandbox`, `code`
    scorer     an answer and its task        `sandbox`, `gym`

A piece of work is keyed by its content, done once, and its finding kept in the cache, whoever asks for it again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache as once
from typing import Any

from distill.errors import DistillError
from distill.records import Method, Outcome, content_id
from distill.settings import VerifySettings
from distill.verification import code, gym, pool, symbolic
from distill.verification.cache import Cache, fingerprint
from distill.verification.findings import Finding

PRELOAD = ("distill.verification.preload",)


class Engine(StrEnum):
    """What does a piece of work."""

    PARSER = "parser"
    GOLD = "gold"
    PROGRAM = "program"
    SCORER = "scorer"


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work for an engine; equal ones have equal keys."""

    engine: Engine
    key: str
    item: Any


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of a piece of work, whether an earlier run had done it, and the seconds it took."""

    work: Work
    finding: Finding
    cached: bool
    seconds: float


def parse(gold: str, answer: str) -> Work:
    """Compare two mathematical answers by the parser."""
    return Work(Engine.PARSER, content_id(Engine.PARSER, gold, answer), (gold, answer))


def read_gold(gold: str) -> Work:
    """See whether the parser reads a reference."""
    return Work(Engine.GOLD, content_id(Engine.GOLD, gold), gold)


def execute(program: str, tests: code.Tests) -> Work:
    """Run a program on its tests."""
    return Work(Engine.PROGRAM, content_id(Engine.PROGRAM, program, tests.key), (program, tests))


def score(item: gym.Scoring) -> Work:
    """Score an answer by its task."""
    parts = (item.task, item.config, item.seed, item.size, item.index, item.gold, item.answer)
    return Work(Engine.SCORER, content_id(Engine.SCORER, *parts), item)


def run(works: Iterable[Work], settings: VerifySettings) -> Iterator[Decided]:
    """Yield every distinct piece of work with what came of it: first what is known, then engine by engine."""
    distinct = {work.key: work for work in works}
    if not distinct:
        return
    missing: dict[Engine, list[Work]] = {}
    with Cache(fingerprint()) as cache:
        for key, work in distinct.items():
            if known := cache.get(key):
                yield Decided(work, known, True, 0.0)
            else:
                missing.setdefault(work.engine, []).append(work)
        for engine, waiting in missing.items():
            for index, finding, seconds in _RUN[engine]([work.item for work in waiting], settings):
                cache.put(waiting[index].key, finding)
                yield Decided(waiting[index], finding, False, seconds)


def settle(asked: Iterable[tuple[str, Finding | Work]], settings: VerifySettings) -> dict[str, Finding]:
    """The finding of everything that was asked, by the name it was asked under; equal work is done once."""
    findings: dict[str, Finding] = {}
    waiting: dict[str, list[str]] = {}
    works: list[Work] = []
    for name, found in asked:
        if isinstance(found, Work):
            waiting.setdefault(found.key, []).append(name)
            works.append(found)
        else:
            findings[name] = found
    for decided in run(works, settings):
        findings |= dict.fromkeys(waiting[decided.work.key], decided.finding)
    return findings


Found = Iterator[tuple[int, Finding, float]]


def _parse(pairs: Sequence[tuple[str, str]], settings: VerifySettings) -> Found:
    prove_parser(settings.timeout_s)
    return _in_pool(symbolic.compare, pairs, settings)


def _read_gold(golds: Sequence[str], settings: VerifySettings) -> Found:
    prove_parser(settings.timeout_s)
    return _in_pool(symbolic.check, golds, settings)


def _in_pool(function: Callable[[Any], Finding], items: Sequence[Any], settings: VerifySettings) -> Found:
    for done in pool.run(function, items, settings.timeout_s, PRELOAD):
        answer = done.answer
        if isinstance(answer, pool.Failure):
            answer = Finding(answer.outcome, Method.NONE, answer.evidence)
        yield done.index, answer, done.seconds


def _execute(items: Sequence[tuple[str, code.Tests]], settings: VerifySettings) -> Found:
    return code.run([code.Submission(program, tests, settings.program_cpu_s) for program, tests in items])


def _score(items: Sequence[gym.Scoring], settings: VerifySettings) -> Found:
    return gym.run(items)


_RUN: dict[Engine, Callable[[Any, VerifySettings], Found]] = {
    Engine.PARSER: _parse,
    Engine.GOLD: _read_gold,
    Engine.PROGRAM: _execute,
    Engine.SCORER: _score,
}


@once
def prove_parser(cpu_s: float) -> None:
    """Grade a table of known pairs, once per process, and refuse to go on when one comes out wrong."""
    pairs = [(gold, answer) for gold, answer, _ in symbolic.SELF_TEST]
    for done in pool.run(symbolic.compare, pairs, cpu_s * 4, PRELOAD):
        gold, answer, equal = symbolic.SELF_TEST[done.index]
        found = done.answer
        if (found.outcome is Outcome.CORRECT) != equal:
            raise DistillError(
                f"the verifier fails its self-test: {gold} against {answer} came out as {found.outcome} "
                f"({found.evidence}); install the versions in requirements/ again (make setup)"
            )
