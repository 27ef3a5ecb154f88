"""The tables behind the report: each number of the page is a cell of a query, and each table is what Python counts."""

import csv
import json
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean

import pytest
import workspace
from known import Known

from distill import layout, shards
from distill.config import Params
from distill.curation import store
from distill.errors import DataError
from distill.records import Score
from distill.report import cells, numbers, page
from distill.report.summary import collect, open_summary

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A finished run of one student: easy and hard, four samples a problem."""
    monkeypatch.chdir(tmp_path)
    workspace.finished_with_one()
    for name, rate in (("teacher", 3), ("tiny_qwen_base", 1), ("tiny_qwen", 2)):
        rows = [row for i in range(24) for row in samples(name, i, rate)]
        shards.write_file(layout.SCORES / name / "scores.parquet", rows, Score)
    return workspace.params()


def samples(model: str, i: int, rate: int) -> list[Score]:
    """Four samples of problem i, of which up to `rate` are right, and the others end in all the ways there are."""
    words = ["incorrect", "truncated", "no_answer", "ambiguous", "timeout"]
    asked = workspace.problem(1000 + i)
    right = [sample < (rate + i) % 5 for sample in range(4)]
    return [
        Score(
            trace_id=f"{model}-{i}-{sample}",
            model=model,
            benchmark="hard" if i % 3 == 0 else "easy",
            problem_id=asked.id,
            sample_index=sample,
            verdict="correct" if ok else words[(i + sample) % 5],
            extracted=asked.answer if ok else str(sample),
            completion_tokens=10 + 7 * sample + i,
            finish_reason="stop",
            looped=not ok and sample == 3,
        )
        for sample, ok in enumerate(right)
    ]


class Page(HTMLParser):
    """The cells of a page, each with the query, row, column and shape it names, and the queries by name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[dict[str, str]] = []
        self.queries: dict[str, str] = defaultdict(str)
        self.links: set[str] = set()
        self._cell: dict[str, str] | None = None
        self._query = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.add(given["href"])
        if tag == "a" and given.get("class") == "q":
            self._cell = {**given, "text": ""}
            self.cells.append(self._cell)
        elif tag == "pre" and given.get("id", "").startswith("query-"):
            self._query = given["id"]

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell["text"] += data
        if self._query:
            self.queries[self._query] += data

    def handle_endtag(self, tag: str) -> None:
        self._cell = None if tag == "a" else self._cell
        self._query = "" if tag == "pre" else self._query


def test_every_number_is_a_cell_of_the_query_it_leads_to(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(known.folder)
    with open_summary(known.params) as (summary, connection):
        shown = Page(page.render(summary, connection))
    assert len(shown.cells) > 150
    with numbers.open_numbers(known.params) as connection:
        answers = {name: store.ask(connection, sql) for name, sql in shown.queries.items()}
    for found in shown.cells:
        columns, rows = answers[found["href"].removeprefix("#")]
        value = rows[int(found["data-row"])][columns.index(found["data-column"])]
        assert cells.show(value, found["data-shape"]) == found["text"], found
    assert {name.removeprefix("query-") for name in shown.queries} == set(numbers.names())
    assert {f"#{name}" for name in shown.queries} <= shown.links, "a query that no number needs"


def test_results_are_what_the_scores_say(params: Params) -> None:
    summary = collect(params)
    for model in ("teacher", "tiny_qwen_base", "tiny_qwen"):
        scores = shards.read_rows(layout.SCORES / model / "scores.parquet", Score)
        for benchmark in ("easy", "hard", "all"):
            asked = [row for row in scores if benchmark in (row.benchmark, "all")]
            by_problem = defaultdict(list)
            for row in asked:
                by_problem[row.problem_id].append(row.verdict == "correct")
            row = summary.result(model, benchmark)
            assert (row["n"], row["k"]) == (len(by_problem), 4)
            assert row["mean"] == pytest.approx(mean(mean(right) for right in by_problem.values()))
            unsure = mean(r.verdict in ("correct", "ambiguous", "timeout") for r in asked)
            assert row["at_most"] == pytest.approx(unsure)
            for column, word in (("no_answer", "no_answer"), ("truncated", "truncated")):
                assert row[column] == pytest.approx(mean(r.verdict == word for r in asked))
            assert row["looped"] == pytest.approx(mean(r.looped for r in asked))
            assert row["tokens"] == pytest.approx(mean(r.completion_tokens for r in asked))


def test_budget_cuts_the_samples_that_are_there(params: Params) -> None:
    summary = collect(params)
    for row in summary.tables["budget"].rows:
        scores = shards.read_rows(layout.SCORES / row["model"] / "scores.parquet", Score)
        asked = [score for score in scores if row["benchmark"] in (score.benchmark, "all")]
        right = [score.verdict == "correct" and score.completion_tokens <= row["budget"] for score in asked]
        assert row["mean"] == pytest.approx(mean(right))


def test_differences_pair_by_problem(params: Params) -> None:
    """A problem that only one of the two was asked is in neither rate."""
    kept = shards.read_rows(layout.SCORES / "tiny_qwen_base" / "scores.parquet", Score)[8:]
    shards.write_file(layout.SCORES / "tiny_qwen_base" / "scores.parquet", kept, Score)
    summary = collect(params)
    assert (summary.difference("tiny_qwen")["n"], summary.difference("tiny_qwen", versus="teacher")["n"]) == (22, 24)
    assert summary.difference("tiny_qwen")["p_holm"] is None
    easy, hard = (summary.difference("tiny_qwen", name) for name in ("easy", "hard"))
    assert min(easy["p_holm"], hard["p_holm"]) == pytest.approx(min(1, 2 * min(easy["p"], hard["p"])))


def test_k_beyond_the_samples_is_no_number(params: Params) -> None:
    summary = collect(params)
    assert {row["k"] for row in summary.tables["at_k"].rows} == {1, 2, 4}
    for row in summary.tables["at_k"].find(k=1):
        assert (
            row["pass"]
            == row["half"]
            == row["every"]
            == pytest.approx(summary.result(row["model"], row["benchmark"])["mean"])
        )


def test_tables_are_written_for_plots(params: Params, tmp_path: Path) -> None:
    summary = collect(params)
    numbers.write_tables(summary.tables, tmp_path / "tables")
    for name, table in summary.tables.items():
        with (tmp_path / "tables" / f"{name}.csv").open() as file:
            assert [list(row) for row in csv.DictReader(file)] == [table.columns] * len(table.rows)


def test_a_named_query_and_a_question_of_ones_own(params: Params) -> None:
    Path("params.yaml").write_text((ROOT / "pipelines/profiles/smoke.yaml").read_text())
    columns, rows = numbers.answer("results")
    assert columns[:3] == ["model", "role", "benchmark"]
    assert len(rows) == 9
    assert numbers.answer("SELECT count(*) FROM scores JOIN problems ON false")[1] == [(0,)]
    with pytest.raises(DataError, match="disabled by configuration"):
        numbers.answer("FROM read_csv('/etc/passwd')")


def test_a_question_leaves_nothing_behind(params: Params) -> None:
    """A process that has asked ends without a word, also about memory."""
    Path("params.yaml").write_text((ROOT / "pipelines/profiles/smoke.yaml").read_text())
    command = [sys.executable, "-m", "distill.cli", "sql", "results"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "400"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "tiny_qwen_base" in done.stdout
    assert done.stderr == ""


def test_missing_scores_are_named(params: Params) -> None:
    (layout.SCORES / "teacher" / "scores.parquet").unlink()
    with pytest.raises(DataError, match=r"data/scores/teacher/scores.parquet is missing; `dvc repro` writes it"):
        collect(params)


def test_headline_numbers_are_json(params: Params) -> None:
    summary = collect(params)
    told = json.loads(json.dumps(summary.headline_numbers()))
    assert told["models"]["tiny_qwen"]["all"]["n"] == 24
    assert told["gains"]["tiny_qwen"]["hard"]["mean"] == summary.difference("tiny_qwen", "hard")["mean"]
