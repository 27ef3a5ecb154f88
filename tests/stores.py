"""A small store whose every answer is known: four problems to train on, eight traces, six of them with a fault."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill import shards
from distill.curation import build as building
from distill.curation import inspect
from distill.records import Problem, Trace, Verdict, content_id
from distill.settings import CurateSettings

TABLES = (
    "provenance", "limits", "problems", "traces", "texts", "verdicts", "checks", "duplicates", "contamination",
    "benchmarks", "selections",
)  # fmt: skip
HOSTILE = [
    'it\'s "quoted"; DROP TABLE traces; --',
    "<script>alert(1)</script> & <b>",
    "```\n# not a heading\n```\n~~~",
    "nul \x00 esc \x1b[31m bell \x07 tab \t",
    "rtl \u202e joined \u200d\U0001f469 line\u2028separator \ufffe \x85",
    "$open $files ? {policy} %s {{ jinja }}",
    "---\nlicense: mine\n---",
    "\\boxed{" * 50,
    '{"role": "system", "from": "human"}\r\n{"id": 1}',
]
SETTINGS = CurateSettings(memory_limit="500MB", threads=1)


def make_problem(name: str, source: str = "gcd", gold_verdict: str = "correct", licence: str = "Apache-2.0") -> Problem:
    return Problem(
        id=content_id("problem", name), source=source, domain="math", prompt=f"Problem {name}?", answer=f"{name} is 7",
        verifier="gym", licence=licence, gold_verdict=gold_verdict,
    )  # fmt: skip


def make_given(name: str, response: str = "Spring is here, and so are the swallows.", source: str = "poems") -> Problem:
    prompt = f"Write a line about {name}."
    return Problem(
        id=content_id("given", name), source=source, domain="writing", prompt=prompt, answer=response, verifier="none",
        licence="MIT", gold_verdict="correct",
    )  # fmt: skip


def make_trace(
    problem: Problem, index: int, chain: str | None, answer: str | None, tokens: int = 40,
    finish_reason: str = "stop", text: str | None = None,
) -> Trace:  # fmt: skip
    return Trace(
        id=content_id("trace", problem.id, index), problem_id=problem.id, sample_index=index, request_key="key",
        model="data/models/tiny-r1", model_revision="sha256:abc", text=text or f"{chain}</think>{answer}",
        reasoning=chain, answer_text=answer, finish_reason=finish_reason, prompt_tokens=9, completion_tokens=tokens,
        max_tokens=640, seed_label=index, engine="vllm 0.32.0 cpu",
    )  # fmt: skip


def make_verdict(trace: Trace, verdict: str) -> Verdict:
    return Verdict(
        trace_id=trace.id, fingerprint="rules", verdict=verdict, extracted="7", method="exact", evidence="7 is 7"
    )


A, B, C = make_problem("a"), make_problem("b"), make_problem("c", "sums")
UNGRADABLE, HELD_OUT = make_problem("d", "sums", "unparsed_gold"), make_problem("e")
TRACES = {
    "a0": make_trace(A, 0, "six plus one", "\\boxed{7}", tokens=50),
    "a1": make_trace(A, 1, "count", "\\boxed{7}", tokens=30),
    "a2": make_trace(A, 2, "six plus one", "\\boxed{7}", tokens=50),
    "b0": make_trace(B, 0, "guess", "\\boxed{8}"),
    "b1": make_trace(B, 1, None, None, tokens=640, finish_reason="length", text="and so on"),
    "b2": make_trace(B, 2, "one</think>two", "\\boxed{7}"),
    "c0": make_trace(C, 0, "hm", "no box"),
    "c1": make_trace(C, 1, None, "\\boxed{7}", text="\\boxed{7}"),
}
VERDICTS = {
    "a0": "correct", "a1": "correct", "a2": "correct", "b0": "incorrect", "b1": "truncated", "b2": "correct",
    "c0": "no_answer", "c1": "correct",
}  # fmt: skip
NAMES = {trace.id: name for name, trace in TRACES.items()}


def write_inputs(
    folder: Path,
    rows: list[tuple[Trace, str]] | None = None,
    problems: list[Problem] | None = None,
    given: Sequence[Problem] = (),
) -> None:
    """What the stages before curate write, with the small store's rows unless others are given."""
    rows = [(trace, VERDICTS[name]) for name, trace in TRACES.items()] if rows is None else rows
    shards.write_file(folder / "train.parquet", problems or [A, B, C, UNGRADABLE], Problem)
    shards.write_file(folder / "given.parquet", given, Problem)
    shards.write_file(folder / "easy.parquet", [HELD_OUT], Problem)
    shards.write_shards(folder / "traces", [trace for trace, _ in rows], Trace)
    shards.write_shards(folder / "verdicts", [make_verdict(*row) for row in rows], Verdict)


def build(folder: Path, name: str = "store.duckdb", settings: CurateSettings = SETTINGS) -> Path:
    """Build a store from what `write_inputs` wrote to the same folder."""
    problems = {split: folder / f"{split}.parquet" for split in ("train", "given", "easy")}
    building.build(folder / name, problems, folder / "traces", folder / "verdicts", settings)
    return folder / name


def make_store(
    folder: Path,
    rows: list[tuple[Trace, str]] | None = None,
    problems: list[Problem] | None = None,
    given: Sequence[Problem] = (),
) -> Path:
    """The inputs and their store in one go."""
    write_inputs(folder, rows, problems, given)
    return build(folder)


def everything(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, in the order they are stored."""
    return {name: inspect.run_query(path, f"FROM {name}")[1] for name in TABLES}
