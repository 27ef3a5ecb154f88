"""The benchmarks that ship: each file is complete, and reads rows laid out as its data set is on the hub."""

import base64
import csv
import json
import pickle
import re
import runpy
import zlib
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
from distill.settings import (
    Benchmark,
    BenchmarkUse,
    DatasetSource,
    FileSource,
    GymSource,
    ProblemSettings,
    VerifySettings,
)
from distill.verification import grade, tasks

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / config.BENCHMARKS).glob("*.yaml"))
GYM = {"kind": "gym", "task": "gcd", "n": 5}
LEAST = {"what": "w", "licence": "MIT", "sources": {"gcd": GYM}}

# What the hub has: the columns, in order, and two rows. Ours: the numbers of samples, and the reference answers.
AIME = [
    {
        "id": 60,
        "problem": "Find $x$ with $x^2 = 41616$.",
        "solution": r"\boxed{204}",
        "answer": "204",
        "url": "u",
        "year": "2024",
    },
    {
        "id": 61,
        "problem": "How many are there?",
        "solution": r"\boxed{025}",
        "answer": "025",
        "url": "u",
        "year": "2024",
    },
]
AIME_25 = [
    {"id": str(i), "problem": f"Sum of all bases {i}?", "answer": answer, "solution": "s", "url": "u", "year": 2025}
    for i, answer in enumerate(("70", "588"))
]
MATH = [
    {
        "problem": f"Simplify {i}.",
        "solution": "s",
        "answer": answer,
        "subject": "Algebra",
        "level": 2,
        "unique_id": f"t/{i}.json",
    }
    for i, answer in enumerate((r"\left( 3, \frac{\pi}{2} \right)", r"\frac{14}{3}"))
]
GSM8K = [
    {"question": "Janet has 16 eggs. How many dollars?", "answer": "She sells 16 - 7 = <<16-7=9>>9.\nSo $18.\n#### 18"},
    {"question": "How much profit?", "answer": "The house cost 80,000.\n#### 70,000"},
]
GPQA = [
    {
        "Pre-Revision Question": "an older wording",
        "Question": f"Which particle is number {i}?",
        "Correct Answer": "the muon ",
        "Incorrect Answer 1": "the pion",
        "Incorrect Answer 2": "the kaon",
        "Incorrect Answer 3": "the tau",
        "Record ID": f"rec{i}",
        "Subdomain": "High-energy particle physics",
    }
    for i in range(2)
]
HUB: dict[str, tuple[int, list[dict[str, Any]], str, list[str]]] = {
    "aime24": (64, AIME, "data/train.parquet", ["204", "025"]),
    "aime25": (64, AIME_25, "data/train.parquet", ["70", "588"]),
    "math500": (4, MATH, "test.jsonl", [r"\left( 3, \frac{\pi}{2} \right)", r"\frac{14}{3}"]),
    "gsm8k": (1, GSM8K, "main/test.parquet", ["18", "70,000"]),
    "gpqa_diamond": (8, GPQA, "gpqa_diamond.csv", []),
}


def read(name: str) -> Benchmark:
    """A shipped benchmark, as a run gets it."""
    settings = ProblemSettings.model_validate({"train": {"gcd": GYM}, "eval": {"it": name}})
    return config.benchmarks(settings)["it"]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_file_is_complete(root: Path, name: str) -> None:
    text = (root / config.BENCHMARKS / f"{name}.yaml").read_text()
    comment = text.partition("\nwhat:")[0]
    assert all(line.startswith("#") for line in comment.splitlines())
    assert re.search(r"arXiv \d{4}\.\d{5}|open-r1|lighteval|distill/", comment), "its settings have no source"
    benchmark = read(name)
    for source in benchmark.sources.values():
        if isinstance(source, GymSource):
            assert source.task in tasks.NUMERIC
            continue
        assert source.licence == benchmark.licence
        assert benchmark.samples
        if isinstance(source, DatasetSource):
            assert re.fullmatch(r"[0-9a-f]{40}", source.revision or ""), "a floating data set"


def test_the_gym_files_are_the_laptops_splits_and_one_more(root: Path) -> None:
    """`gym_ood` has no task that the laptop trains on, and every reference can be graded."""
    laptop = config.load(root / "pipelines/profiles/laptop.yaml").problems
    assert read("gym_easy").sources == laptop.eval["easy"]
    assert read("gym_hard").sources == laptop.eval["hard"]
    assert not set(read("gym_ood").sources) & set(laptop.train)
    built = splits.build(by_name("gym_ood"), 17, lambda rows: grade.check_gold(rows, VerifySettings()))
    assert {row.gold_verdict for row in built.eval["it"]} == {Outcome.CORRECT}
    assert len(built.eval["it"]) == 40


def test_every_data_set_of_the_hub_has_a_layout_here() -> None:
    found = {name for name in NAMES for source in read(name).sources.values() if isinstance(source, DatasetSource)}
    assert found == set(HUB)


@pytest.mark.parametrize("name", list(HUB))
def test_a_file_reads_the_layout_of_its_data_set(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    samples, rows, file, answers = HUB[name]
    benchmark = read(name)
    assert benchmark.samples == samples
    ((key, source),) = benchmark.sources.items()
    folder = lay_out(tmp_path / "set", file, rows, source)
    drawn = load_source(key, source.model_copy(update={"path": str(folder)}), name, seed=17)
    assert len(drawn) == 2
    assert {row.verifier for row in drawn} == {source.verifier}
    assert {row.licence for row in drawn} == {benchmark.licence}
    if name == "gpqa_diamond":
        for row in drawn:
            options = json.loads(row.verifier_args)["options"]
            assert options["ABCD".index(row.answer)] == "the muon"
            assert sorted(options) == ["the kaon", "the muon", "the pion", "the tau"]
        assert all(row.prompt.startswith("Which particle") for row in drawn)
    else:
        assert [row.answer for row in drawn] == answers
    assert set(grade.check_gold(drawn, VerifySettings()).values()) == {Outcome.CORRECT}


def lay_out(folder: Path, file: str, rows: list[dict[str, Any]], source: DatasetSource) -> Path:
    """A data set's folder as the hub has it: one file, and a card that names its configuration and split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / file
    path.parent.mkdir(parents=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    files = [{"split": source.split, "path": file}]
    card = {"configs": [{"config_name": source.name or "default", "data_files": files}]}
    (folder / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n")
    return folder


# ------------------------------------------------------------------ LiveCodeBench


def pack(cases: list[dict[str, str]]) -> str:
    """Hidden tests as the hub's files hold them."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


def contest(private: str, starter: str = "", metadata: str = "{}") -> dict[str, str]:
    """One row of LiveCodeBench, its columns in order."""
    return {
        "question_title": "t",
        "question_content": "Print the sum of two numbers.",
        "platform": "atcoder",
        "question_id": "abc301_a",
        "contest_id": "abc301",
        "contest_date": "2023-05-13T00:00:00",
        "starter_code": starter,
        "difficulty": "easy",
        "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
        "private_test_cases": private,
        "metadata": metadata,
    }


def converter(root: Path) -> Callable[[dict[str, str]], dict[str, Any]]:
    """The script beside the benchmark's file."""
    return runpy.run_path(str(root / config.BENCHMARKS / "livecodebench.py"))["convert"]


def test_livecodebench_is_converted_and_read(root: Path, tmp_path: Path) -> None:
    convert = converter(root)
    hidden = [{"input": "40 2\n", "output": "42\n", "testtype": "stdin"}]
    rows = [convert(contest(pack(hidden))), convert(contest(json.dumps(hidden)) | {"question_content": "Again."})]
    assert rows[0]["tests"] == {"inputs": ["1 2\n", "40 2\n"], "outputs": ["3\n", "42\n"]}
    assert "standard input" in rows[0]["prompt"]
    path = tmp_path / "livecodebench.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    source = read("livecodebench").sources["livecodebench"]
    assert isinstance(source, FileSource)
    drawn = load_source("lcb", source.model_copy(update={"path": str(path)}), "lcb", seed=17)
    assert [row.verifier for row in drawn] == ["code", "code"]
    assert json.loads(drawn[0].verifier_args)["inputs"] == ["1 2\n", "40 2\n"]


def test_a_function_of_livecodebench_is_called_by_its_name(root: Path) -> None:
    convert = converter(root)
    starter = "class Solution:\n    def add(self, a: int, b: int) -> int:\n        "
    row = convert(contest(pack([]), starter, '{"func_name": "add"}'))
    assert row["tests"]["fn_name"] == "add"
    assert "```python\nclass Solution:\n    def add(self, a: int, b: int) -> int:\n```" in row["prompt"]


class Attack:
    """An object whose pickle runs a command."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        import os

        return os.system, ("touch owned",)


def test_a_pickle_that_runs_code_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert = converter(root)
    monkeypatch.chdir(tmp_path)
    packed = base64.b64encode(zlib.compress(pickle.dumps(Attack()))).decode()
    with pytest.raises(pickle.UnpicklingError, match="not a string; this is no file of LiveCodeBench"):
        convert(contest(packed))
    assert not (tmp_path / "owned").exists()


def test_tests_without_a_program_are_no_failed_reference(tmp_path: Path) -> None:
    """Their prompts stay, and stay gradable: nothing is known against them."""
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps({"prompt": "Add.", "tests": {"inputs": ["1"], "outputs": ["1"]}}))
    source = {"kind": "file", "path": str(path), "verifier": "code", "columns": {"tests": "tests"}}
    settings = ProblemSettings.model_validate({"train": {"gcd": GYM}, "eval": {"code": {"f": source}}})
    built = splits.build(settings, 17, lambda problems: grade.check_gold(problems, VerifySettings()))
    (row,) = built.eval["code"]
    assert row.gold_verdict == ""
    assert built.counts["code"]["f"]["not_gradable"] == 0


# ------------------------------------------------------------------ by name


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
