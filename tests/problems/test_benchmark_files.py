"""The benchmarks that ship: each file is complete, and reads rows laid out as its data set is on the hub."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from distill import config
from distill.problems import splits
from distill.problems.sources import load_source
from distill.records import Outcome
from distill.settings import (
    Benchmark,
    DatasetSource,
    GymSource,
    ProblemSettings,
    VerifySettings,
)
from distill.verification import grade, tasks

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / config.BENCHMARKS).glob("*.yaml"))
GYM = {"kind": "gym", "task": "gcd", "n": 5}

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
    settings = ProblemSettings.model_validate({"train": {"gcd": GYM}, "eval": {"it": "gym_ood"}})
    built = splits.build(settings, 17, lambda rows: grade.check_gold(rows, VerifySettings()))
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
