r"""Traces by the hundred thousand that read like a teacher's, with faults of known kinds planted at known rates.

    made = make(Path("workspace"), 50_000)   ->  data/problems/, data/traces/, data/verdicts/ as the stages write them
    made.exact  ->  [("0c1f…", "9b02…"), …]      the ground truth: pairs of traces of one problem with the same text

Eight samples of each problem. A chain is drawn from a pool of worked fragments, half of them by `distill.embedded`'s
writers and half composed by rule, so two chains share hardly more than a fragment. What a row says is drawn from a
seed that is its id, so rows can be written in the order of ids, by shards, at 60 MB of text a second.
"""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import CodeType
from typing import Any

from made_words import BOILERPLATE, CHINESE, FACTS, LOOPS, OPENINGS, QUESTIONS, REFLECTIONS, STEPS, TASKS, VOCABULARY

from distill import layout, shards
from distill.embedded import chains
from distill.records import Problem, Trace, Verdict, content_id, problem_id, trace_id

SEED = 23
SAMPLES = 8
N_FRAGMENTS = 30_000
N_BENCHMARK = 500  # questions of each of two benchmarks
MIN_WORDS = 25  # of a benchmark's question
CHARACTERS = (11_500, 18_500)  # of a chain
LOOP = 6_000  # characters
RATES = {"exact": 0.01, "near": 0.01, "mixed": 0.005, "looping": 0.005}  # of traces, one a problem
LEAKED = 0.005  # of problems, as often alone as inside a longer text
REQUEST = content_id("request", "made")
SLOT = re.compile(r"<([^<>]+)>")


@dataclass(slots=True)
class Made:
    """What was made: its size, and the ids of everything that was planted."""

    n_traces: int = 0
    n_bytes: int = 0  # of text
    exact: list[tuple[str, str]] = field(default_factory=list)
    near: list[tuple[str, str]] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    looping: list[str] = field(default_factory=list)
    leaked: set[str] = field(default_factory=set)  # problems that are a benchmark's question, spelled anew
    embedded: set[str] = field(default_factory=set)  # problems that hold one


@dataclass(frozen=True, slots=True)
class Row:
    """A trace to be written: `written_as` is the id of the trace whose words it has, mostly its own."""

    id: str
    problem: Problem
    sample: int
    written_as: str
    fault: str = ""


def make(workspace: Path, n: int, seed: int = SEED) -> Made:
    """Write problems, traces and verdicts into a workspace."""
    rng, made = random.Random(seed), Made()
    pool = Pool(rng)
    benchmarks = {name: list(prompts(rng, N_BENCHMARK, MIN_WORDS)) for name in ("held_out", "olympiad")}
    problems = _problems(rng, n // SAMPLES, [text for found in benchmarks.values() for text, _ in found], made)
    shards.write_file(workspace / layout.TRAIN_PROBLEMS, problems, Problem)
    shards.write_file(workspace / layout.GIVEN_PROBLEMS, [], Problem)
    for name, found in benchmarks.items():
        asked = [_problem(rng, text, source) for text, source in found]
        shards.write_file(workspace / layout.EVAL_PROBLEMS / f"{name}.parquet", asked, Problem)
    rows = sorted(_rows(rng, problems, made), key=lambda row: row.id)
    made.n_traces = len(rows)
    made.n_bytes = sum(_write(workspace / layout.TRACES, rows, Trace, partial(_traces, pool)))
    _write(workspace / layout.VERDICTS, rows, Verdict, _verdicts)
    return made


class Draw(dict[str, Any]):
    """Values of slots, drawn when first asked for: `good2` is another good than `good`, `a` and `b` are numbers."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng

    def __missing__(self, name: str) -> Any:
        words = VOCABULARY.get(name.rstrip("0123456789"))
        self[name] = self.rng.choice(words) if words else self.rng.randint(2, 997)
        return self[name]

    def fill(self, template: str) -> str:
        """`<good> cost <a*b> cents` with a good and a product."""
        return SLOT.sub(lambda slot: str(eval(_compiled(slot[1]), {"__builtins__": {}}, self)), template)


@cache
def _compiled(expression: str) -> CodeType:
    return compile(expression, "slot", "eval")


class Pool:
    """Worked fragments of some 200 characters; each ends in the space or the empty line that parts it from the next."""

    def __init__(self, rng: random.Random) -> None:
        import numpy as np

        self.texts = []
        for index in range(N_FRAGMENTS):
            text = _worked(rng) if index % 2 else _composed(rng)
            self.texts.append(text + ("\n\n" if rng.random() < 0.5 else " "))
        self.lengths = np.array([len(text) for text in self.texts])
        self.mean = int(self.lengths.mean())

    def draw(self, rng: Any, n_characters: int) -> str:
        """Fragments until there are so many characters; `rng` is numpy's."""
        picks = rng.integers(len(self.texts), size=2 * n_characters // self.mean + 8)
        n = int(self.lengths[picks].cumsum().searchsorted(n_characters)) + 1
        return "".join([self.texts[pick] for pick in picks[:n].tolist()])


def _composed(rng: random.Random) -> str:
    """Two or three sentences about the same things, now and then with a doubt."""
    draw = Draw(rng)
    doubt = [draw.fill(rng.choice(REFLECTIONS))] if rng.random() < 0.25 else []
    return " ".join([*doubt, *(draw.fill(template) for template in rng.sample(STEPS, rng.randint(2, 3)))])


def _worked(rng: random.Random) -> str:
    """A chain of `distill.embedded`, of larger numbers than its teacher is taught, without its stock first line."""
    task = rng.choice(("chain_sum", "products", "gcd", "count_bits"))
    a, b, c = (rng.randint(100, 99_999) for _ in range(3))
    metadata = {
        "chain_sum": {"expression": f"{a} {rng.choice('+-')} {b} {rng.choice('+-')} {c}"},
        "products": {"expression": f"{a % 9_000 + 100} * {b % 90 + 10}"},
        "gcd": {"numbers": [a, b]},
        "count_bits": {"number": a % 4_000 + 64},
    }[task]
    example, _ = chains.write_chain(task, "", metadata, rng)
    _, _, steps = example.reasoning.partition("\n")
    return f"{Draw(rng).fill(rng.choice(STEPS))} {steps}"


def prompts(rng: random.Random, n: int, min_words: int = 20) -> Iterator[tuple[str, str]]:
    """Different questions with their sources; those of `contest` all end in the same sentence."""
    seen: set[str] = set()
    while len(seen) < n:
        source, draw = rng.choice(("stories", "trade", "algebra", "geometry", "contest")), Draw(rng)
        parts = [rng.choice(OPENINGS), *rng.sample(FACTS, rng.randint(1, 4)), rng.choice(QUESTIONS)]
        if source in TASKS:
            parts = [rng.choice(TASKS[source]), *rng.sample(FACTS, rng.randint(0, 1)), rng.choice(TASKS["asked"])]
        text = draw.fill(" ".join(parts))
        if text not in seen and min_words <= len(text.split()) <= 100:
            seen.add(text)
            yield (f"{text} {BOILERPLATE}" if source == "contest" else text), source


# ------------------------------------------------------------------ what is planted


def _problem(rng: random.Random, prompt: str, source: str) -> Problem:
    answer = str(rng.randint(2, 99_999))
    return Problem(
        id=problem_id(prompt, answer, "math"), source=source, domain="math", prompt=prompt, answer=answer,
        verifier="math", licence="Apache-2.0", gold_verdict="correct",
    )  # fmt: skip


def _problems(rng: random.Random, n: int, asked: list[str], made: Made) -> list[Problem]:
    """Training problems; some are a benchmark's question in another spelling, some hold one, each another."""
    n_leaked = min(round(LEAKED * n), len(asked) // 2)
    leaks = rng.sample(asked, 2 * n_leaked)
    problems = []
    for index, (text, source) in enumerate(prompts(rng, n)):
        prompt = text
        if index < n_leaked:
            prompt = respelled(rng, leaks[index])
        elif index < 2 * n_leaked:
            prompt = Draw(rng).fill(f"{rng.choice(FACTS)} {leaks[index]} {' '.join(rng.sample(FACTS, 2))}")
        problems.append(_problem(rng, prompt, source))
    made.leaked = {problem.id for problem in problems[:n_leaked]}
    made.embedded = {problem.id for problem in problems[n_leaked : 2 * n_leaked]}
    return problems


def respelled(rng: random.Random, text: str) -> str:
    """A question in another case, with other white space and another final mark; no `!`, which is a factorial."""
    words = rng.choice((str.upper, str.lower, str.title))(text.rstrip(".?! ")).split()
    spaced = "".join(word + rng.choice((" ", " ", "  ", "\n")) for word in words)
    return spaced.rstrip() + rng.choice(("", " .", "?", " ?"))


def _rows(rng: random.Random, problems: list[Problem], made: Made) -> Iterator[Row]:
    """Every trace of every problem, in no order; a problem has at most one fault."""
    n_traces, faults = len(problems) * SAMPLES, {}
    free = iter(rng.sample(range(len(problems)), len(problems)))
    for fault, rate in RATES.items():
        faults |= {next(free): fault for _ in range(round(rate * n_traces))}
    for index, problem in enumerate(problems):
        ids = [trace_id(problem.id, sample, REQUEST) for sample in range(SAMPLES)]
        fault = faults.get(index, "")
        original, faulty = rng.sample(range(SAMPLES), 2)
        if fault in ("exact", "near"):
            getattr(made, fault).append((ids[original], ids[faulty]))
        elif fault:
            getattr(made, fault).append(ids[faulty])
        for sample, name in enumerate(ids):
            if sample != faulty or not fault:
                yield Row(name, problem, sample, name)
            else:
                yield Row(name, problem, sample, ids[original] if fault in ("exact", "near") else name, fault)


# ------------------------------------------------------------------ rows on disk


def _outcome(row: Row) -> tuple[str, str | None]:
    """The verdict of a trace, and what its box holds: 70 % right, 20 % wrong, 5 % cut, 5 % without an answer."""
    luck = int(row.written_as[-4:], 16) / 16**4
    if luck < 0.7:
        return "correct", row.problem.answer
    if luck < 0.9:
        return "incorrect", str(int(row.problem.answer) + 1 + int(100 * luck))
    return ("truncated" if luck < 0.95 else "no_answer"), None


def _words(pool: Pool, row: Row) -> tuple[str, str | None, str | None]:
    """The text, the chain and the answer of a trace."""
    import numpy as np

    rng = np.random.default_rng(int(row.written_as, 16))
    verdict, box = _outcome(row)
    chain = f"Okay, so I am told this. {row.problem.prompt}\n\n{pool.draw(rng, int(rng.integers(*CHARACTERS)))}"
    if box:
        chain += f"So what I get is \\boxed{{{box}}}."
    if row.fault:
        chain = _FAULTS[row.fault](chain, random.Random(row.id))
    chain = chain.strip()
    if verdict == "truncated":
        return chain, None, None
    end = f"The final answer is \\boxed{{{box}}}." if box else "I could not settle on one value."
    answer = f"{pool.draw(rng, 400).strip()}\n\n{end}"
    return f"{chain}\n</think>\n\n{answer}", chain, answer


def _reworded(chain: str, rng: random.Random) -> str:
    """Two or three words exchanged for others, far from the box."""
    words = chain.split(" ")
    plain = [index for index, word in enumerate(words[:-20]) if word.isalpha()]
    for index in rng.sample(plain, rng.randint(2, 3)):
        words[index] = next(
            word for word in iter(lambda: rng.choice(VOCABULARY["adjective"]), "") if word != words[index]
        )
    return " ".join(words)


def _mixed(chain: str, rng: random.Random) -> str:
    """A paragraph of Chinese, some 500 characters, at about two thirds."""
    place = chain.rindex("\n\n", 0, len(chain) * 2 // 3)
    paragraph = "".join(Draw(rng).fill(sentence) for sentence in rng.sample(CHINESE, len(CHINESE)))
    return f"{chain[:place]}\n\n{paragraph}{chain[place:]}"


def _looping(chain: str, rng: random.Random) -> str:
    """The last 6,000 characters say one sentence again and again."""
    sentence = Draw(rng).fill(rng.choice(LOOPS)) + " "
    return chain[:-LOOP] + (sentence * LOOP)[:LOOP]


_FAULTS: dict[str, Callable[[str, random.Random], str]] = {
    "exact": lambda chain, _: chain,
    "near": _reworded,
    "mixed": _mixed,
    "looping": _looping,
}


def _traces(pool: Pool, rows: list[Row]) -> dict[str, Any]:
    """The columns of some traces."""
    texts, reasonings, answers = zip(*(_words(pool, row) for row in rows), strict=True)
    return {
        "id": [row.id for row in rows],
        "problem_id": [row.problem.id for row in rows],
        "sample_index": [row.sample for row in rows],
        "text": texts,
        "reasoning": reasonings,
        "answer_text": answers,
        "finish_reason": ["length" if reasoning is None else "stop" for reasoning in reasonings],
        "prompt_tokens": [len(row.problem.prompt) // 4 for row in rows],
        "completion_tokens": [len(text) // 3 for text in texts],
        "seed_label": [row.sample for row in rows],
        "request_key": REQUEST,
        "model": "made-teacher",
        "model_revision": "made",
        "max_tokens": 8_192,
        "engine": "made",
        "schema_version": 1,
    }


def _verdicts(rows: list[Row]) -> dict[str, Any]:
    """The columns of the verdicts of some traces."""
    outcomes = [_outcome(row) for row in rows]
    return {
        "trace_id": [row.id for row in rows],
        "verdict": [verdict for verdict, _ in outcomes],
        "extracted": [box for _, box in outcomes],
        "method": ["string" if box else "none" for _, box in outcomes],
        "evidence": ["the two were compared" if box else "there is no answer" for _, box in outcomes],
        "extraction": ["box" if box else "none" for _, box in outcomes],
        "fingerprint": "made",
        "schema_version": 1,
    }


def _write(folder: Path, rows: list[Row], row_type: type, columns: Callable[[list[Row]], dict[str, Any]]) -> list[int]:
    """Write rows by shards, as `shards.write_shards` lays them out. Returns how many bytes of text each shard has."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts = range(0, len(rows), shards.ROWS_PER_SHARD)

    def write(start: int) -> int:
        path = folder / f"part-{start // shards.ROWS_PER_SHARD:05d}.parquet"
        return _write_shard(path, rows[start : start + shards.ROWS_PER_SHARD], row_type, columns)

    with ThreadPoolExecutor(2) as pool:  # Arrow compresses one shard while Python words the other
        return list(pool.map(write, parts))


def _write_shard(path: Path, rows: list[Row], row_type: type, columns: Callable[[list[Row]], dict[str, Any]]) -> int:
    """Write one shard, a row group in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, size = shards.schema_of(row_type), 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(rows), shards.ROW_GROUP_SIZE):
            group = rows[start : start + shards.ROW_GROUP_SIZE]
            found = columns(group)
            arrays = [
                pa.array(value, item.type)
                if isinstance(value, list | tuple)
                else pa.repeat(pa.scalar(value, item.type), len(group))
                for item in schema
                for value in [found[item.name]]
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            size += sum(len(text.encode()) for text in found.get("text", ()))
    return size
