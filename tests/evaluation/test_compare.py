"""Two evaluations side by side: pairing, words, where scores are found, and how often the words are wrong."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from typer.testing import CliRunner

from distill import layout, shards
from distill.cli import app
from distill.errors import DataError, DistillError
from distill.evaluation.compare import Comparison, compare, conclude, print_comparison, weigh
from distill.evaluation.experiments import Tallies
from distill.evaluation.statistics import holm
from distill.records import Score

K = 4


def skills(n: int = 500, seed: int = 0) -> np.ndarray:
    """How likely a model is right on each question: some it nearly always is, some nearly never."""
    return np.random.default_rng(seed).beta(0.6, 0.9, size=n)


def answered(skill: np.ndarray, seed: int, k: int = K) -> list[int]:
    return [int(right) for right in np.random.default_rng([7, seed]).binomial(k, skill)]


def tallies(right: Sequence[int], benchmark: str = "hard") -> Tallies:
    return {benchmark: {f"p{i:04d}": (r, K) for i, r in enumerate(right)}}


def write(
    folder: Path, model: str, right: Sequence[int], benchmark: str = "easy", first: int = 0, more: Sequence[Score] = ()
) -> list[Score]:
    """Scores of a model that has `right[i]` of K samples right on problem first + i."""
    rows = [
        Score(
            trace_id=f"{benchmark}-{first + i}-{sample}",
            model=model,
            benchmark=benchmark,
            problem_id=f"{benchmark}-{first + i}",
            sample_index=sample,
            verdict="correct" if sample < r else "incorrect",
            extracted=None,
            completion_tokens=20,
            finish_reason="stop",
        )
        for i, r in enumerate(right)
        for sample in range(K)
    ]
    shards.write_file(folder / model / "scores.parquet", [*more, *rows], Score)
    return [*more, *rows]


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(found: Comparison) -> str:
    out = io.StringIO()
    print_comparison(found, Console(file=out, width=80))
    return out.getvalue()


def test_two_students_of_equal_skill_are_not_told_apart(checkout: Path) -> None:
    for seed, name in ((2, "one"), (3, "two")):
        write(layout.SCORES, name, answered(skills(), seed))
    (row,) = compare("one", "two").rows
    assert row.verdict == "no difference shown"
    assert (row.n, row.k, row.only_a, row.only_b) == (500, (K, K), 0, 0)
    assert row.low < 0 < row.high


def test_ten_points_are_said_with_their_p(checkout: Path) -> None:
    before = skills()
    write(layout.SCORES, "one", answered(before, 1))
    write(layout.SCORES, "two", answered(np.minimum(before + 0.1 / np.mean(1 - before) * (1 - before), 1), 2))
    found = compare("one", "two")
    (row,) = found.rows
    assert row.difference == pytest.approx(0.1, abs=0.03)
    assert row.low < 0.1 < row.high
    assert row.verdict == f"B is {100 * row.difference:.1f} points better (p < 0.001)"
    assert row.verdict in shown(found)
    assert compare("two", "one").rows[0].verdict == row.verdict.replace("B is", "A is")


def test_every_number_comes_back(checkout: Path) -> None:
    a, b = [4, 2, 0, 1, 3, 0], [4, 4, 1, 1, 0, 2]
    write(layout.SCORES, "one", a)
    write(layout.SCORES, "two", b)
    (row,) = compare("one", "two").rows
    delta = (np.array(b) - np.array(a)) / K
    reference = stats.ttest_1samp(delta, 0).confidence_interval(0.95)
    assert (row.a, row.b) == pytest.approx((10 / 24, 12 / 24))
    assert (row.difference, row.low, row.high) == pytest.approx((delta.mean(), reference.low, reference.high))
    assert row.p == row.adjusted_p == 1 - 2 / 16  # quarters +2, +1, -3, +2: 2 of 16 signs sum to 0


def test_questions_pair_by_id_and_the_others_are_counted(checkout: Path) -> None:
    rows = write(layout.SCORES, "one", [4] * 10)
    write(layout.SCORES, "one", [0] * 5, "hard", more=rows)
    rows = write(layout.SCORES, "two", [0] * 7, first=4)
    write(layout.SCORES, "two", [4] * 3, "other", more=rows)
    found = compare("one", "two")
    counts = {row.benchmark: (row.n, row.only_a, row.only_b) for row in found.rows}
    assert counts == {"easy": (6, 4, 1), "hard": (0, 5, 0), "other": (0, 0, 3)}  # "all" would be easy again
    by_name = {row.benchmark: row for row in found.rows}
    assert (by_name["easy"].a, by_name["easy"].b) == (1.0, 0.0)
    assert by_name["hard"].verdict == "no question in common"
    assert by_name["easy"].adjusted_p == by_name["easy"].p
    assert "hard: no question in common (left out: 5 questions only in A, 0 only in B)" in shown(found)


def test_benchmarks_of_other_names_still_pair_together(checkout: Path) -> None:
    """And a problem of two benchmarks is one question."""
    a: Tallies = {"old": {"p": (1, 2), "q": (2, 2)}, "twice": {"p": (1, 2)}}
    b: Tallies = {"new": {"p": (4, 4), "q": (0, 4)}}
    rows = {row.benchmark: row for row in weigh("x", a, b)}
    assert (rows["all"].n, rows["all"].k, rows["all"].a, rows["all"].b) == (2, (2, 4), 0.75, 0.5)
    assert all(rows[name].n == 0 for name in ("old", "twice", "new"))


def test_holm_is_over_the_rows_of_the_comparison(checkout: Path) -> None:
    rows = write(layout.SCORES, "one", [0] * 7)
    write(layout.SCORES, "one", [2] * 9, "hard", more=rows)
    rows = write(layout.SCORES, "two", [4] * 6 + [0])
    write(layout.SCORES, "two", [2, 3] * 4 + [2], "hard", more=rows)
    found = compare("one", "two").rows
    assert [row.benchmark for row in found] == ["easy", "hard", "all"]
    assert [row.adjusted_p for row in found] == holm([row.p for row in found])
    easy = found[0]
    assert (easy.p, easy.adjusted_p) == (2 / 64, 2 * 2 / 64)  # below 0.05 alone, not among three
    assert easy.verdict == "no difference shown"


def test_false_alarms_are_as_rare_as_said() -> None:
    """Over 200 pairs of equal skill 5 % are called different: 2 to 9 % is four standard errors below and above."""
    skill = skills(200)
    pairs = [(answered(skill, 2 * seed), answered(skill, 2 * seed + 1)) for seed in range(200)]
    alarms = [conclude(weigh("x", tallies(a), tallies(b)))[0].verdict != "no difference shown" for a, b in pairs]
    assert 0.01 < np.mean(alarms) < 0.10


def test_false_alarms_of_a_family_are_as_rare_as_those_of_one() -> None:
    """Of three benchmarks and all together, some row is called different in at most 5 %; without Holm in far more."""
    skill = skills(30)
    alarms, naive = 0, 0
    for seed in range(200):
        sides: list[Tallies] = [
            {f"b{j}": {f"{j}-{i}": (r, K) for i, r in enumerate(answered(skill, 1000 * seed + 10 * j + side))}
             for j in range(3)} for side in range(2)
        ]  # fmt: skip
        rows = conclude(weigh("x", *sides))
        alarms += any("better" in row.verdict for row in rows)
        naive += any(row.p < 0.05 for row in rows)
    assert alarms / 200 < 0.09 < naive / 200


def test_two_folders_are_two_experiments(checkout: Path) -> None:
    for model in ("teacher", "tiny"):
        write(checkout / "here/data/scores", model, [2] * 12)
    write(checkout / "there/scores", "tiny", [4] * 12)
    write(checkout / "there/scores", "other", [4] * 12)
    for a, b in (("here", "there"), ("here/data", "there/scores"), ("here/data/scores", "there")):
        found = compare(a, b)
        assert [(row.pair, row.verdict) for row in found.rows] == [("tiny", "B is 50.0 points better (p < 0.001)")]
        assert (found.only_a, found.only_b) == (["teacher"], ["other"])
    assert "only in A, not compared: teacher" in shown(found)
    namesake = compare("there/scores/tiny", "here")  # a model and an experiment: the experiment's model of that name
    assert [row.verdict for row in namesake.rows] == ["A is 50.0 points better (p < 0.001)"]


def test_the_table_fits_80_columns_and_its_json_says_the_same(checkout: Path) -> None:
    name = "a_benchmark_of_a_very_long_name_[bold]\x1b[31m"
    rows = write(layout.SCORES, "one", [4, 0] * 1000, name)
    write(layout.SCORES, "one", [2], more=rows)
    rows = write(layout.SCORES, "two", [4, 1] * 1000, name)
    write(layout.SCORES, "two", [1], more=rows)
    text = shown(compare("one", "two"))
    table = [line for line in text.splitlines() if "points" not in line]
    assert max(map(len, table)) <= 80
    assert "…" not in text
    assert "\x1b" not in text
    assert "50.0" in text
    printed = CliRunner().invoke(app, ["compare", "one", "two", "--json"])
    found = json.loads(printed.output)
    assert [row["n"] for row in found["rows"]] == [2000, 1, 2001]
    assert found["rows"][1]["low"] is None  # one question has no interval


@pytest.mark.parametrize(("a", "b", "said"), [
    ("one", "nope", r"'nope' is no model of data/scores \(it holds far, one, two\), no folder, and no Git revision"),
    ("one", "empty", r"empty holds no scores: neither <model>/scores\.parquet nor scores/<model>/scores\.parquet"),
    ("one", "far", r"one and far share no question: 3 are only in the first and 5 only in the second"),
    ("one", "away", r"one and away have no model in common: A holds one, B holds elsewhere"),
    ("one", "torn", r"torn/scores\.parquet of torn/scores cannot be read as scores"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_one_sentence(checkout: Path, a: str, b: str, said: str) -> None:
    write(layout.SCORES, "one", [1] * 3)
    write(layout.SCORES, "two", [1] * 3)
    write(layout.SCORES, "far", [1] * 5, "other")
    write(checkout / "away", "elsewhere", [1] * 3)
    (checkout / "empty").mkdir()
    (checkout / "torn/scores/one").mkdir(parents=True)
    (checkout / "torn/scores/one/scores.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DistillError, match=said.replace("torn/scores\\.parquet of", "one/scores\\.parquet of")):
        compare(a, b)


def run(*command: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(command, check=True, capture_output=True, env=environment)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Git repository with DVC in it, whose tag `before` and experiment `try-more` hold other scores than the tree."""
    folder = tmp_path_factory.mktemp("committed")
    with contextlib.chdir(folder):
        run("git", "init", "-q")
        for key, value in (("user.email", "a@example.org"), ("user.name", "a"), ("commit.gpgsign", "false")):
            run("git", "config", key, value)
        run("dvc", "init", "-q")
        for commit, right in (("before", 1), ("after", 2)):
            write(layout.SCORES, "tiny", [right] * 12)
            run("dvc", "add", "-q", str(layout.SCORES / "tiny"))
            run("git", "add", "-A")
            run("git", "commit", "-qm", commit)
            run("git", "tag", commit)
        write(layout.SCORES, "tiny", [4] * 12)
        run("dvc", "exp", "save", "-q", "--name", "try-more")
        write(layout.SCORES, "tiny", [3] * 12)
    return folder


@pytest.fixture
def repository(committed: Path, checkout: Path) -> Path:
    """A copy of it, to be in and to break."""
    shutil.copytree(committed, checkout, dirs_exist_ok=True)
    return checkout


def test_revisions_and_experiments_are_read_through_dvc(repository: Path) -> None:
    for a, b, points in (("before", "after", 25), ("after", "try-more", 50), ("tiny", "try-more", 25)):
        (row,) = compare(a, b).rows
        assert (row.pair, row.n) == ("tiny", 12)
        assert row.verdict == f"B is {points}.0 points better (p < 0.001)"
    assert compare("before", "HEAD").b == "HEAD (data/scores at HEAD)"
    run("git", "rm", "-q", "--cached", "data/scores/tiny.dvc")
    run("git", "commit", "-qm", "none")
    with pytest.raises(DistillError, match=r"the revision HEAD holds no data/scores/<model>/scores\.parquet"):
        compare("before", "HEAD")


def test_scores_that_no_cache_holds_are_named(repository: Path) -> None:
    for file in (repository / ".dvc/cache/files").rglob("*"):
        if file.is_file() and not file.name.endswith(".dir"):
            file.chmod(0o644)
            file.unlink()
    with pytest.raises(DataError, match=r"data/scores/tiny/scores\.parquet of before is neither in DVC's cache nor"):
        compare("before", "after")
