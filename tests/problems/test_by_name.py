"""Evaluation splits that params give by the name of a file: what is read, what is refused, what a change re-runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import known
import pytest
from ruamel.yaml import YAML

from distill import config, layout
from distill.errors import ConfigError, DataError
from distill.problems import hub, splits
from distill.problems.sources import load_source
from distill.records import Outcome, Problem
from distill.settings import BenchmarkUse, FileSource, ProblemSettings

GYM = {"kind": "gym", "task": "gcd", "n": 5}
LEAST = {"what": "w", "licence": "MIT", "sources": {"gcd": GYM}}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a benchmark's file into a workspace of the test's own."""
    monkeypatch.chdir(tmp_path)
    config.BENCHMARKS.mkdir(parents=True)

    def write(name: str, **content: Any) -> None:
        YAML().dump(LEAST | content, config.BENCHMARKS / f"{name}.yaml")

    return write


def by_name(split: Any) -> ProblemSettings:
    return ProblemSettings.model_validate({"train": {"gcd": GYM}, "eval": {"it": split}})


def test_a_run_may_want_less_of_a_file(files: Callable[..., None]) -> None:
    files("mine", samples=64, answer_line=True)
    whole = config.benchmarks(by_name("mine"))["it"]
    assert (whole.samples, whole.answer_line, whole.sources["gcd"].n) == (64, True, 5)
    part = config.benchmarks(by_name({"benchmark": "mine", "samples": 16, "n": 3}))["it"]
    assert (part.samples, part.answer_line, part.sources["gcd"].n) == (16, True, 3)
    assert len(splits.build(by_name({"benchmark": "mine", "n": 3}), 1, correct).eval["it"]) == 3
    here = config.benchmarks(by_name({"gcd": GYM}))["it"]
    assert (here.samples, here.answer_line) == (None, None)


def correct(problems: Any) -> dict[str, Outcome]:
    return {problem.id: Outcome.CORRECT for problem in problems}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"sample": 4}, r"^pipelines/benchmarks/mine\.yaml: sample is not a known key; did you mean samples\?$"),
        ({"samples": 0}, r"mine\.yaml: samples must be greater than 0, got 0$"),
        ({"licence": ""}, r"mine\.yaml: licence .*at least 1 character"),
        ({"sources": {}}, r"mine\.yaml: sources .*at least 1 item"),
        ({"sources": {"a": {"kind": "gym", "task": "gcd"}}}, r"mine\.yaml: sources\.a\.n is missing$"),
        ({"prompt": "Solve it."}, r"mine\.yaml: prompt: the wording 'Solve it\.' lacks \{problem\}"),
    ],
)
def test_a_fault_of_a_file_is_one_sentence(files: Callable[..., None], content: dict[str, Any], says: str) -> None:
    files("mine", **content)
    with pytest.raises(ConfigError, match=says):
        config.benchmarks(by_name("mine"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "aime42",
            r"params\.yaml: problems\.eval\.it names 'aime42', but pipelines/benchmarks has no such file; did you mean",
        ),
        ("zzz", r"has no such file; it holds aime24$"),
        ("../aime24", r"has no such file; did you mean aime24\?"),
    ],
)
def test_a_name_without_a_file_is_named(files: Callable[..., None], name: str, says: str) -> None:
    files("aime24")
    with pytest.raises(ConfigError, match=says):
        config.benchmarks(by_name(name))


def test_params_with_a_wrong_name_are_refused_at_load(files: Callable[..., None], root: Path) -> None:
    files("aime24")
    yaml = YAML(typ="safe")
    tree = yaml.load(root / "params.yaml")
    tree["problems"]["eval"]["aime24"] = "aime2"
    YAML().dump(tree, Path("params.yaml"))
    with pytest.raises(ConfigError, match=r"^params\.yaml: problems\.eval\.aime24 names 'aime2'"):
        config.load()


def test_a_broken_row_names_the_file_of_its_benchmark(files: Callable[..., None]) -> None:
    Path("rows.jsonl").write_text('{"question": "One?", "answer": "it is 1"}\n')
    source = {"kind": "file", "path": "rows.jsonl"}
    files("mine", sources={"rows": source})
    with pytest.raises(DataError, match=r"set pipelines/benchmarks/mine\.yaml: sources\.rows\.columns\.prompt"):
        splits.build(by_name("mine"), 1, correct)
    files("mine", sources={"rows": source | {"columns": {"prompt": "question", "answer_after": "####"}}})
    with pytest.raises(
        DataError, match=r"rows\.jsonl line 1: column 'answer' has nothing after '####'; set pipelines/"
    ):
        splits.build(by_name("mine"), 1, correct)


def test_the_wording_is_asked_and_hides_no_copy(files: Callable[..., None]) -> None:
    """Ids and caches go by the whole prompt; what is the same question goes by the question."""
    for name in ("mine", "train"):
        Path(f"{name}.jsonl").write_text(
            '{"prompt": "What is 1 + 1?", "answer": "2"}\n{"prompt": "Q: what is 1 + 1?", "answer": "2"}\n'
            f'{{"prompt": "What is {len(name)}?", "answer": "3"}}\n'
        )
    files("mine", prompt="Q: {problem}", sources={"rows": {"kind": "file", "path": "mine.jsonl", "n": 1}})
    train = {"rows": {"kind": "file", "path": "train.jsonl"}}
    built = splits.build(ProblemSettings.model_validate({"train": train, "eval": {"it": "mine"}}), 1, correct)
    assert [row.prompt for row in built.eval["it"]] == ["Q: What is 1 + 1?"]
    assert [row.prompt for row in built.train] == ["What is 5?"]
    plain: list[Problem] = load_source("rows", FileSource(kind="file", path="mine.jsonl", n=1), "it", 1)
    assert plain[0].id != built.eval["it"][0].id
    assert isinstance(by_name("mine").eval["it"], BenchmarkUse)


# ------------------------------------------------------------------ what a change re-runs


def test_samples_change_nothing_but_what_evaluate_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a benchmark's file with another number of samples generates, verifies and curates nothing again."""
    known.prepare(tmp_path, monkeypatch)

    def outputs() -> dict[str, bytes]:
        known.run("problems", config.load())
        files = [*(tmp_path / layout.DATA).rglob("*.parquet"), tmp_path / layout.BENCHMARKS]
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in files}

    before = outputs()
    file = config.BENCHMARKS / "sums.yaml"
    file.write_text(file.read_text().replace("samples: 4", "samples: 16"))
    changed = {name for name, content in outputs().items() if before[name] != content}
    assert changed == {"data/benchmarks.json"}
    assert json.loads(layout.BENCHMARKS.read_text())["sums"] == {"samples": 16, "answer_line": True}
    file.write_text(file.read_text().replace("Here is a sum.", "Here is one."))
    changed = {name for name, content in outputs().items() if before[name] != content}
    assert changed == {"data/benchmarks.json", "data/problems/eval/sums.parquet"}


def test_dvc_watches_the_files_and_what_comes_of_them(root: Path) -> None:
    stages = YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    assert str(config.BENCHMARKS) in stages["problems"]["deps"]
    assert str(layout.BENCHMARKS) in stages["problems"]["outs"]
    for name in ("evaluate_teacher", "evaluate_base", "evaluate"):
        stage = stages[name].get("do", stages[name])
        assert {str(layout.BENCHMARKS), str(layout.EVAL_PROBLEMS)} <= set(stage["deps"])
        assert not any(parameter.startswith("serving") for parameter in stage["params"])


def test_the_stage_says_how_to_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known.prepare(tmp_path, monkeypatch)
    monkeypatch.setattr(hub, "commit_of", lambda *_: "c" * 40)
    monkeypatch.setattr(hub, "open_dataset", lambda *_: [{"prompt": "What is 1 + 1?", "answer": "2"}])
    tree = YAML(typ="safe").load(Path("params.yaml"))
    tree["problems"]["train"]["more"] = {"kind": "dataset", "path": "me/sums"}
    YAML().dump(tree, Path("params.yaml"))
    known.run("problems", config.load())
    assert f"to keep these rows, pin them: problems.train.more.revision: {'c' * 40}\n" in capsys.readouterr().out
