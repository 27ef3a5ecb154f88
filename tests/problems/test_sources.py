import json
import subprocess
import sys
from pathlib import Path

import pytest

from distill.errors import ConfigError, DataError
from distill.problems.sources import load_source
from distill.records import Verifier, problem_id
from distill.settings import Columns, DatasetSource, FileSource, GymSource

HASH_SENSITIVE = ("gsm_symbolic", "simple_equations", "leg_counting")  # they lean on sets, dicts and SymPy


def gym(task: str = "gcd", n: int = 20, **config) -> GymSource:
    return GymSource(kind="gym", task=task, n=n, config=config)


def write_jsonl(path: Path, *rows: object) -> str:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return str(path)


def test_gym_rows_say_where_they_come_from():
    row = load_source("mine", gym(), "train", seed=17)[0]
    assert row.id == problem_id(row.prompt, row.answer, Verifier.GYM)
    assert (row.source, row.verifier, row.licence) == ("mine", "gym", "Apache-2.0")
    assert json.loads(row.verifier_args) == {"task": "gcd"}
    assert json.loads(row.difficulty)["num_terms"]
    assert set(json.loads(row.origin)) == {"package", "version", "task", "seed", "index", "config"}


def test_streams_differ_by_seed_split_and_source():
    streams = {
        tuple(row.prompt for row in load_source(name, gym(), split, seed))
        for name, split, seed in [("a", "train", 1), ("b", "train", 1), ("a", "easy", 1), ("a", "train", 2)]
    }
    assert len(streams) == 4


def test_same_rows_in_every_process():
    code = (
        "from distill.settings import GymSource; from distill.problems.sources import load_source\n"
        f"for task in {HASH_SENSITIVE}:\n"
        "    for row in load_source('s', GymSource(kind='gym', task=task, n=20), 'train', 5): print(row)\n"
    )
    other = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "1"}, capture_output=True, check=True)
    here = [row for task in HASH_SENSITIVE for row in load_source("s", gym(task), "train", 5)]
    assert other.stdout.decode().splitlines() == [str(row) for row in here]


def test_prompts_are_distinct_and_a_small_task_draws_more():
    rows = load_source("s", gym("gcd", 40, min_value=1, max_value=12), "train", seed=1)
    assert len({row.prompt for row in rows}) == 40


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        (gym("gcd", 50, min_value=1, max_value=2), DataError, r"wants 50 distinct problems, but gcd .* gave \d+ "),
        (gym("puzzle24"), ConfigError, "'puzzle24' is refused: its scorer runs the answer as code"),
        (
            gym("rubiks_cube"),
            ConfigError,
            "is refused: it gives no reference answer; distill/verification/tasks",
        ),
        (gym("gdc"), ConfigError, "'gdc' is refused: it was never shown to be graded soundly; did you mean gcd?"),
        (gym("gcd", min_vale=1), ConfigError, r"problems.train.s.config is refused by gcd: .*min_vale"),
        (gym("gcd", min_value=9, max_value=3), ConfigError, "problems.train.s.config is refused by gcd"),
        (gym("gcd", seed=3), ConfigError, "may not set seed"),
        (FileSource(kind="file", path="nowhere.jsonl"), ConfigError, "problems.train.s.path: nowhere.jsonl is not a"),
        (FileSource(kind="file", path="params.yaml"), ConfigError, "must be a .jsonl or .parquet file"),
        (DatasetSource(kind="dataset", path="./nowhere"), DataError, "datasets cannot open ./nowhere split 'train'"),
    ],
)
def test_settings_that_cannot_be_used(source, error, says):
    with pytest.raises(error, match=says):
        load_source("s", source, "train", seed=1)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"prompt": "two"}, r"f.jsonl line 2 has no column 'answer' \(it has prompt\); set problems.train.s.columns"),
        ({"prompt": " ", "answer": "2"}, r"f.jsonl line 2: column 'prompt' must hold text, got ' '"),
        ({"prompt": "two", "answer": None}, r"line 2: column 'answer' must hold text, got None"),
        ({"prompt": "two", "answer": 0.1}, r"line 2: column 'answer' must hold text, got 0.1"),
        ('{"prompt": "tw', r"f.jsonl line 2 is not JSON"),
        ("[1, 2]", r"f.jsonl line 2 is not a JSON object"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, bad, says):
    path = write_jsonl(tmp_path / "f.jsonl", {"prompt": "one", "answer": "1"}, bad)
    with pytest.raises(DataError, match=says):
        load_source("s", FileSource(kind="file", path=path), "train", seed=1)


def test_a_file_gives_its_first_distinct_rows(tmp_path):
    rows = [{"q": " One? ", "a": 1}, {"q": "one?", "a": 1}, {"q": "Two?", "a": " 2 "}, {"q": "Three?", "a": "3"}]
    path = write_jsonl(tmp_path / "f.jsonl", *rows)
    source = FileSource(kind="file", path=path, columns=Columns(prompt="q", answer="a"), n=2)
    found = load_source("s", source, "train", seed=1)
    assert [(row.prompt, row.answer) for row in found] == [("One?", "1"), ("Two?", "2")]
    assert json.loads(found[1].origin) == {"file": "f.jsonl", "line": 3}


def test_parquet_and_dataset_folders_give_the_same_rows(tmp_path, monkeypatch):
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    pq.write_table(pa.table({"prompt": ["One?", "Two?"], "answer": ["1", "2"]}), folder / "train.parquet")
    from_file = load_source("s", FileSource(kind="file", path=str(folder / "train.parquet")), "train", 1)
    from_set = load_source("s", DatasetSource(kind="dataset", path=str(folder)), "train", 1)
    assert [row.id for row in from_file] == [row.id for row in from_set]
    with pytest.raises(DataError, match="split 'test'"):
        load_source("s", DatasetSource(kind="dataset", path=str(folder), split="test"), "train", 1)
