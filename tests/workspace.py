"""A finished pipeline's data/ in small, with known numbers: for the tests of evaluate and report."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from distill import config, layout, shards
from distill.generation import client, dispatch, upstream
from distill.models import ModelRevision, write_revision
from distill.records import FinishReason, Problem, Score, Trace, Verdict, problem_id, trace_id

ROOT = Path(__file__).parents[1]


def params() -> config.Params:
    """The smoke profile's settings."""
    return config.load(ROOT / "pipelines/profiles/smoke.yaml")


def short_pauses(folder: Path, patch: pytest.MonkeyPatch, in_flight: int, reply_timeout_s: float) -> None:
    """What a sampling run waits for takes moments, and its state goes to this folder."""
    patch.setenv("DVC_ROOT", str(folder))
    patch.setenv("DISTILL_CONCURRENCY", str(in_flight))
    patch.setattr(client, "FIRST_PAUSE_S", 0.005)
    patch.setattr(upstream, "POLL_S", 0.02)
    patch.setattr(dispatch, "REPLY_TIMEOUT_S", reply_timeout_s)
    patch.setattr(dispatch, "TOKEN_TIMEOUT_S", 0.0)


def problem(number: int, prompt: str = "What is {}?", source: str = "sums") -> Problem:
    """A problem whose answer is its number."""
    text, answer = prompt.format(number), str(number)
    return Problem(
        id=problem_id(text, answer, "gym"),
        source=source,
        domain="math",
        prompt=text,
        answer=answer,
        verifier="gym",
        verifier_args='{"task": "gcd"}',
        licence="Apache-2.0",
        gold_verdict="correct",
    )


def trace(of: Problem, answer: str | None, sample: int = 0, model: str = "teacher", chain: str = "I think.") -> Trace:
    """A trace that ends in `\\boxed{answer}`, or one that the budget cut when the answer is None."""
    closed = answer is not None
    return Trace(
        id=trace_id(of.id, sample, model),
        problem_id=of.id,
        sample_index=sample,
        request_key=model,
        model=model,
        model_revision="sha256:0",
        text=f"{chain}</think>\\boxed{{{answer}}}" if closed else chain,
        reasoning=chain if closed else None,
        answer_text=f"\\boxed{{{answer}}}" if closed else None,
        finish_reason=FinishReason.STOP if closed else FinishReason.LENGTH,
        prompt_tokens=10,
        completion_tokens=20,
        max_tokens=64,
        seed_label=1,
        engine="stand-in 1.0",
    )


def verdict(of: Trace, word: str, extracted: str | None = "1") -> Verdict:
    """A verdict of a given word."""
    return Verdict(
        trace_id=of.id, fingerprint="f", verdict=word, extracted=extracted, method="exact", evidence="as it was made"
    )


def write_scores(name: str, problems: Sequence[Problem], right: Sequence[int], wrong: str = "incorrect") -> None:
    """What evaluate writes of a model that has `right[i]` in {0, 1} on problem i, and the verdict `wrong` on others."""
    words = ["correct" if ok else wrong for ok in right]
    answers = {"correct": "{}", "truncated": None}
    rows = [
        (trace(p, answer and answer.format(p.answer), model=name), word)
        for p, word in zip(problems, words, strict=True)
        for answer in [answers.get(word, "0")]
    ]
    write_answers(name, [(row, verdict(row, word)) for row, word in rows])


def write_answers(name: str, rows: Sequence[tuple[Trace, Verdict]], benchmark: str = "easy") -> None:
    """What evaluate writes of a model: its answers, their verdicts, the scores of both."""
    scores = [
        Score(
            trace_id=answer.id,
            model=name,
            benchmark=benchmark,
            problem_id=answer.problem_id,
            sample_index=answer.sample_index,
            verdict=said.verdict,
            extracted=said.extracted,
            completion_tokens=answer.completion_tokens,
            finish_reason=answer.finish_reason,
        )
        for answer, said in rows
    ]
    shards.write_shards(layout.SCORES / name / "traces", [answer for answer, _ in rows], Trace)
    shards.write_file(layout.SCORES / name / "verdicts.parquet", [said for _, said in rows], Verdict)
    shards.write_file(layout.SCORES / name / "scores.parquet", scores, Score)


GENERATED = {"wall_s": 10.0, "tokens_per_second": 100.0, "sampled": 2, "prompt_tokens": 20, "completion_tokens": 40}


def write_json(path: Path, content: Any) -> None:
    """A JSON file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_store(
    problems: Sequence[Problem],
    traces: Sequence[Trace],
    verdicts: Sequence[Verdict],
    asked: Sequence[Problem] = (),
    benchmark: str = "easy",
) -> None:
    """The store of these rows, built as curate builds it, and its funnel; `asked` are the evaluation's problems."""
    from distill.curation import build, funnel, store

    shards.write_file(layout.TRAIN_PROBLEMS, problems, Problem)
    shards.write_file(layout.EVAL_PROBLEMS / "easy.parquet", asked, Problem)
    shards.write_shards(layout.TRACES, traces, Trace)
    shards.write_shards(layout.VERDICTS, verdicts, Verdict)
    files = {"train": layout.TRAIN_PROBLEMS, benchmark: layout.EVAL_PROBLEMS / "easy.parquet"}
    build.build(layout.STORE, files, layout.TRACES, layout.VERDICTS, params().curate)
    with store.open_store(layout.STORE) as connection:
        write_json(layout.FUNNEL, funnel.measure(connection))


def finished_with_one() -> None:
    """The same of one training problem, with one trace that is right."""
    one = problem(1)
    answer = trace(one, "1")
    finished([one], [answer], [verdict(answer, "correct")])


def finished(problems: Sequence[Problem], traces: Sequence[Trace], verdicts: Sequence[Verdict]) -> None:
    """Everything that the report reads, for one student that gained 50 points on 40 problems."""
    asked = [problem(1000 + i) for i in range(40)]
    write_scores("teacher", asked, [1] * 30 + [0] * 10, wrong="truncated")
    write_scores("tiny_qwen_base", asked, [0] * 40, wrong="no_answer")
    write_scores("tiny_qwen", asked, [1] * 20 + [0] * 20)
    write_store(problems, traces, verdicts, asked)
    write_json(layout.METRICS / "generate.json", GENERATED)
    write_json(layout.METRICS / "train_tiny_qwen.json", {"rows": 3, "steps": 2, "loss": [[1, 2.0], [2, 1.0]]})
    for name in ("teacher", "tiny_qwen_base"):
        write_revision(ModelRevision(name, f"data/models/{name}", None, "sha256:0"))
