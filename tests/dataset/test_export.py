import hashlib
import json

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML
from stores import NAMES, A, B, C, make_problem, make_store, make_trace

from distill.config import ExportSettings, SamplingSettings
from distill.dataset import card, export
from distill.errors import DataError

SAMPLING = SamplingSettings(samples=3, temperature=0.8, top_p=0.95, max_tokens=640)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store"))


def write(store, folder, policy="verified", **settings):
    return export.export(store, folder, ExportSettings(policy=policy, **settings), SAMPLING, seed=17)


def read(folder):
    return [row for file in sorted((folder / "data").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rows(small, tmp_path):
    write(small, tmp_path / "set")
    rows = {NAMES[row["id"]]: row for row in read(tmp_path / "set")}
    assert set(rows) == {"a0", "a1"}
    row = rows["a1"]
    assert list(row) == export.schema().names
    assert row["messages"] == [
        {
            "role": "user",
            "content": "Problem a?\n\nPlease reason step by step, and put your final answer within \\boxed{}.",
        },
        {"role": "assistant", "content": "<think>\ncount\n</think>\n\n\\boxed{7}"},
    ]
    assert (row["problem_id"], row["prompt"], row["answer"]) == (A.id, A.prompt, A.answer)
    assert (row["reasoning"], row["response"], row["verdict"]) == ("count", "\\boxed{7}", "correct")
    assert (row["teacher"], row["teacher_revision"], row["completion_tokens"]) == (
        "data/models/tiny-r1", "sha256:abc", 30,
    )  # fmt: skip
    assert (row["licence"], row["schema_version"]) == ("Apache-2.0", 1)


def test_twice_is_equal_bytes(small, tmp_path):
    write(small, tmp_path / "one")
    write(small, tmp_path / "two")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert set(files_of(tmp_path / "one")) == {"README.md", "manifest.json", "data/train-00000-of-00001.parquet"}


def test_rows_go_to_files_in_the_order_of_ids(small, tmp_path, monkeypatch):
    write(small, tmp_path / "one", policy="all")
    monkeypatch.setattr(export, "ROWS_PER_FILE", 3)
    monkeypatch.setattr(export, "ROWS_PER_GROUP", 2)
    manifest = write(small, tmp_path / "two", policy="all")
    assert read(tmp_path / "two") == read(tmp_path / "one")
    assert [row["id"] for row in read(tmp_path / "two")] == sorted(row["id"] for row in read(tmp_path / "one"))
    names = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    assert [name for name in manifest["files"] if name.startswith("data")] == names


def test_an_export_replaces_the_one_before(small, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ROWS_PER_FILE", 1)
    write(small, tmp_path / "set", policy="all")
    write(small, tmp_path / "set", policy="shortest_correct")
    assert len(read(tmp_path / "set")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_manifest(small, tmp_path):
    manifest = write(small, tmp_path / "set", max_per_problem=2)
    assert json.loads((tmp_path / "set" / "manifest.json").read_text()) == manifest
    counts = {name: manifest[name] for name in ("rows", "problems", "tokens", "policy", "sources", "max_per_problem")}
    assert counts == {
        "rows": 2, "problems": 1, "tokens": 80, "policy": "verified", "sources": {"gcd": 2}, "max_per_problem": 2,
    }  # fmt: skip
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((tmp_path / "set" / name).read_bytes()).hexdigest() == digest


def test_datasets_loads_it(small, tmp_path):
    import datasets

    write(small, tmp_path / "set", policy="all")
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    assert loaded["train"].num_rows == 4
    assert loaded["train"][0]["messages"][0]["role"] == "user"


# ------------------------------------------------------------------ the card


def test_the_card_holds_the_numbers(small, tmp_path):
    write(small, tmp_path / "set", max_per_problem=2)
    text = (tmp_path / "set" / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    facts = YAML(typ="safe").load(front)
    assert facts["license"] == ["apache-2.0"]
    assert facts["size_categories"] == ["n<1K"]
    assert facts["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    for words in (
        "2 chains of thought for 1 problems (80 tokens)",
        "| traces |  | 8 | 930 |",
        "| answered | incorrect | -1 | -40 |",
        "| gcd | math | Apache-2.0 | 2 | 1 | 80 |",
        "| teacher | `data/models/tiny-r1` at `sha256:abc` |",
        "| engine | vllm 0.32.0 cpu, at most 640 tokens |",
        "| sampling | temperature 0.8, top-p 0.95, 3 samples per problem |",
        "| verifier | rules `rules` (math-verify 0.9",
        "at most 2 per problem, drawn with seed 17",
        "SELECT id FROM kept",
        "    assistant: <think>\n    count\n    </think>\n\n    \\boxed{7}",
        "a stand-in of a few million parameters",
    ):
        assert words in body


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["MIT", "Apache-2.0"], ["apache-2.0", "mit"]),
        (["unknown"], ["unknown"]),
        (["a: b] | licence\n---"], ["other"]),
    ],
)
def test_licences(tmp_path, licences, expected):
    problems = [make_problem(name, licence=licence) for name, licence in zip("xyz", licences, strict=False)]
    store = make_store(tmp_path, [(make_trace(p, 0, "c", "a"), "correct") for p in problems], problems)
    write(store, tmp_path / "set")
    text = (tmp_path / "set" / "README.md").read_text()
    assert YAML(typ="safe").load(text.split("---\n", 2)[1])["license"] == expected


def test_model_text_cannot_leave_its_block(tmp_path):
    hostile = "```\n# Heading\n---\n<script>x</script>\n\x1b[2J\x00 {{ 7 * 7 }} | cell\u2028    end"
    store = make_store(tmp_path, [(make_trace(A, 0, hostile, hostile), "correct")])
    write(store, tmp_path / "set")
    text = (tmp_path / "set" / "README.md").read_text()
    example = text.split("as a chat:\n")[1].split("## Limits")[0]
    assert all(line.startswith("    ") for line in example.splitlines() if line)
    assert "{{ 7 * 7 }}" in example
    assert not set("\x1b\x00") & set(text)
    assert read(tmp_path / "set")[0]["reasoning"] == hostile


def test_hostile_names_stay_in_their_cells(tmp_path):
    problem = make_problem("p", source="a | b\n# c <i>`")
    write(make_store(tmp_path, [(make_trace(problem, 0, "c", "a"), "correct")], [problem]), tmp_path / "set")
    assert "| a \\| b # c &lt;i>' | math |" in (tmp_path / "set" / "README.md").read_text()


@pytest.mark.parametrize(
    ("model", "public"),
    [("data/models/tiny-r1", "data/models/tiny-r1"), ("Qwen/QwQ-32B", "Qwen/QwQ-32B"), ("/mnt/disk/QwQ", "QwQ")],
)
def test_no_place_on_a_machine_is_told(model, public):
    assert card.public_name(model) == public


def test_a_policy_that_picks_nothing_says_what_the_verdicts_were(tmp_path):
    rows = [(make_trace(problem, 0, "c", "a"), "incorrect") for problem in (A, B)]
    store = make_store(tmp_path, [*rows, (make_trace(C, 0, "c", "a"), "timeout")])
    with pytest.raises(DataError, match="verified picks no trace; the verdicts are 2 incorrect, 1 timeout"):
        write(store, tmp_path / "set")
    assert not (tmp_path / "set").exists()
