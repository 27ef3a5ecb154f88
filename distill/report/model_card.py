"""A student's card with its results: `data/report/<student>.md`, to publish beside the weights.

The folder of a student is what was measured, so nothing is written into it afterwards; this is its README.md, with a
table for people and the `model-index` that the hub reads.
"""

from pathlib import Path
from typing import Any

from distill import layout
from distill.errors import DataError
from distill.evaluation.statistics import ALL
from distill.report.summary import Summary, p_value

PROMISE = "Evaluation, with standard errors, is in `data/report/`."  # the last line of the card that ships


def write(summary: Summary, student: str) -> Path:
    """Write one student's card with its results. Raises `DataError` where the student's folder has no card."""
    from huggingface_hub import ModelCard

    source = layout.STUDENTS / student / "README.md"
    if not source.exists():
        raise DataError(f"{source} is missing; `dvc repro -f train@{student}` writes it")
    card = ModelCard(source.read_text(encoding="utf-8"), ignore_metadata_errors=False)
    metadata: Any = card.data
    metadata.model_name, metadata.eval_results = student, _results(summary, student)
    card.text = card.text.replace(PROMISE, _section(summary, student))
    path = layout.REPORT / f"{student}.md"
    path.write_text(str(card), encoding="utf-8")
    return path


def _results(summary: Summary, student: str) -> list[Any]:
    """pass@1 on each benchmark, in percent, as the hub's model-index has it."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=row["benchmark"],
            dataset_name=row["benchmark"],
            metric_type="pass@1",
            metric_value=round(100 * row["mean"], 2),
        )
        for row in summary.tables["results"].find(model=student)
        if row["benchmark"] != ALL
    ]


def _section(summary: Summary, student: str) -> str:
    """The results for people: base, student and teacher, and what may be said of them."""
    models = [layout.base_name(student), student, layout.TEACHER]
    lines = [
        "## Results",
        "",
        summary.headline(student),
        "",
        f"| benchmark | n × k | {' | '.join(models)} | gain, 95 % interval | p |",
        f"|---|---:|{'---:|' * len(models)}---:|---:|",
    ]
    for benchmark in summary.benchmarks:
        rows = [summary.result(model, benchmark) for model in models]
        gain = summary.difference(student, benchmark)
        scores = " | ".join(f"{100 * row['mean']:.1f} ± {100 * row['se']:.1f}" for row in rows)
        interval = f"{100 * gain['mean']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
        asked = f"{rows[1]['n']} × {rows[1]['k']}"
        lines.append(f"| {benchmark} | {asked} | {scores} | {interval} | {p_value(gain['p'])} |")
    sampling = summary.params.evaluate
    return "\n".join(
        [
            *lines,
            "",
            "pass@1 in percent ± standard error, clustered by problem; n problems with k samples each, at "
            f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, at most {sampling.max_tokens:,} tokens, "
            "base, student and teacher in one harness. What the verifier abstained from counts as wrong.",
        ]
    )
