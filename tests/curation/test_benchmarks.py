import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import SETTINGS, A, build, make_problem, make_trace, write_inputs

from distill.curation import inspect
from distill.curation.benchmarks import read_questions
from distill.errors import ConfigError, DataError
from distill.settings import BenchmarkFile, ContaminationSettings

QUESTION = "Problem a?"


def write(path, *rows):
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return str(path)


def test_files_are_compared_like_evaluation_splits(tmp_path):
    lines = write(tmp_path / "aime.jsonl", {"problem": "Something else?"}, {"problem": "problem  A"})
    pq.write_table(pa.table({"question": [QUESTION]}), tmp_path / "other.parquet")
    files = {
        "aime": BenchmarkFile(path=lines),
        "other": BenchmarkFile(path=str(tmp_path / "other.parquet"), column="question"),
    }
    rows = [(make_trace(problem, 0, "think", "\\boxed{7}"), "correct") for problem in (A, make_problem("b"))]
    write_inputs(tmp_path, rows)
    settings = SETTINGS.model_copy(update={"contamination": ContaminationSettings(benchmarks=files)})
    store = build(tmp_path, settings=settings)
    columns = "problem_id, benchmark, rule, benchmark_problem, score, decides"
    assert inspect.run_query(store, f"SELECT {columns} FROM contamination ORDER BY benchmark")[1] == [
        (A.id, "aime", "exact", "line 2", 1.0, True), (A.id, "other", "exact", "line 1", 1.0, True),
    ]  # fmt: skip
    assert inspect.run_query(store, "SELECT problem_id, reason FROM rejected")[1] == [(A.id, "contaminated")]
    assert "aime line 2 by exact" in inspect.show_trace(store, rows[0][0].id)["asked by"]


@pytest.mark.parametrize(
    ("rows", "fault", "words"),
    [
        (
            [{"question": QUESTION}],
            ConfigError,
            r"line 1 has no column 'problem' \(it has question\); set .*aime.column",
        ),
        ([{"problem": QUESTION}, {"problem": 7}], DataError, "line 2: column 'problem' must hold text, got 7"),
        ([{"problem": " "}], DataError, "line 1: column 'problem' must hold text"),
        (["{"], DataError, "line 1 is not JSON"),
        ([], DataError, "curate.contamination.benchmarks.aime.path: .* holds no question"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path, rows, fault, words):
    path = write(tmp_path / "aime.jsonl", *rows)
    with pytest.raises(fault, match=words):
        read_questions("aime", BenchmarkFile(path=path))


def test_a_bad_file_is_found_before_anything_that_takes_long(tmp_path):
    for name, file in {"easy": BenchmarkFile(path="x.jsonl"), "aime": BenchmarkFile(path="none.jsonl")}.items():
        settings = SETTINGS.model_copy(update={"contamination": ContaminationSettings(benchmarks={name: file})})
        with pytest.raises(ConfigError, match=rf"curate.contamination.benchmarks.{name}"):
            build(tmp_path / "nothing is here", settings=settings)


def test_a_file_that_is_not_there(tmp_path):
    for path in ("none.jsonl", "none.csv"):
        (tmp_path / "none.csv").touch()
        with pytest.raises(ConfigError, match=r"curate.contamination.benchmarks.aime.path: .*none"):
            read_questions("aime", BenchmarkFile(path=str(tmp_path / path)))
