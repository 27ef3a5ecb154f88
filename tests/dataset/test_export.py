import hashlib
import json
import re

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML
from stores import NAMES, A, B, C, make_given, make_problem, make_store, make_trace

from distill.curation import policies
from distill.dataset import card, export, formats
from distill.errors import DataError
from distill.settings import ExportSettings, SamplingSettings

ALL = ["prompt_completion", "sharegpt", "alpaca"]
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
    assert list(row) == formats.row_schema().names
    assert row["messages"] == [
        {
            "role": "user",
            "content": "Problem a?\n\nPlease reason step by step, and put your final answer within \\boxed{}.",
        },
        {"role": "assistant", "content": "<think>\ncount\n</think>\n\n\\boxed{7}"},
    ]
    assert (row["problem_id"], row["problem"], row["answer"]) == (A.id, A.prompt, A.answer)
    assert (row["source"], row["domain"], row["verifier"]) == ("gcd", "math", "gym")
    assert (row["verdict"], row["method"]) == ("correct", "exact")
    assert (row["teacher"], row["teacher_revision"], row["completion_tokens"]) == (
        "data/models/tiny-r1", "sha256:abc", 30,
    )  # fmt: skip
    assert (row["licence"], row["schema_version"]) == ("Apache-2.0", 1)


def test_rows_that_came_with_their_responses(tmp_path):
    poem = make_given("spring", " Here it is. ")
    store = make_store(tmp_path, given=[poem])
    manifest = write(store, tmp_path / "set")
    assert (manifest["rows"], manifest["given_rows"], manifest["tokens"]) == (3, 1, 80)
    assert manifest["sources"] == {"gcd": 2, "poems": 1}
    row = next(row for row in read(tmp_path / "set") if row["problem_id"] == poem.id)
    assert row["messages"] == [
        {"role": "user", "content": "Write a line about spring."},
        {"role": "assistant", "content": "<think>\n\n</think>\n\nHere it is."},
    ]
    assert (row["answer"], row["verifier"], row["teacher"], row["completion_tokens"]) == ("", "none", "given", 0)


def test_twice_is_equal_bytes(small, tmp_path):
    write(small, tmp_path / "one", formats=ALL)
    write(small, tmp_path / "two", formats=ALL[::-1])
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    name = "train-00000-of-00001"
    assert set(files_of(tmp_path / "one")) == {
        "README.md", "dataset_info.json", "manifest.json", f"data/{name}.parquet",
        f"prompt_completion/{name}.parquet", f"sharegpt/{name}.jsonl", f"alpaca/{name}.jsonl",
    }  # fmt: skip


def test_rows_go_to_files_in_the_order_of_ids(small, tmp_path, monkeypatch):
    write(small, tmp_path / "one", policy="all", formats=ALL)
    monkeypatch.setattr(export, "ROWS_PER_FILE", 3)
    monkeypatch.setattr(export, "ROWS_PER_GROUP", 2)
    manifest = write(small, tmp_path / "two", policy="all", formats=ALL)
    assert read(tmp_path / "two") == read(tmp_path / "one")
    assert [row["id"] for row in read(tmp_path / "two")] == sorted(row["id"] for row in read(tmp_path / "one"))
    for folder, suffix in (("data", "parquet"), ("alpaca", "jsonl")):
        names = [f"{folder}/train-{index:05d}-of-00002.{suffix}" for index in range(2)]
        assert [name for name in manifest["files"] if name.startswith(f"{folder}/")] == names
    lines = [(tmp_path / "two" / name).read_bytes() for name in names]
    assert b"".join(lines) == next((tmp_path / "one" / "alpaca").iterdir()).read_bytes()


def test_only_picked_rows_are_read_from_between_others(small, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ROWS_PER_GROUP", 1)
    assert write(small, tmp_path / "set", policy="all", max_per_problem=1)["rows"] == len(read(tmp_path / "set")) == 3


def test_an_export_replaces_the_one_before(small, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ROWS_PER_FILE", 1)
    write(small, tmp_path / "set", policy="all", formats=ALL)
    write(small, tmp_path / "set", policy="shortest_correct")
    assert len(read(tmp_path / "set")) == 1
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "README.md", "data", "dataset_info.json", "manifest.json",
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_an_export_that_fails_leaves_the_one_before(small, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    write(small, tmp_path / "set")
    before = files_of(tmp_path / "set")
    monkeypatch.setattr(formats, "render_turns", full)
    with pytest.raises(DataError, match="set cannot be written: the disk is full; free some"):
        write(small, tmp_path / "set", policy="all")
    assert files_of(tmp_path / "set") == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"], "nothing half-written is left"


def test_progress_is_shown(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("distill.progress.SECONDS_BETWEEN_LINES", 0.0)
    write(small, tmp_path / "set", policy="all")
    assert "export  4/4 rows" in capsys.readouterr().err


def test_manifest(small, tmp_path):
    manifest = write(small, tmp_path / "set", max_per_problem=2, formats=["alpaca"])
    assert json.loads((tmp_path / "set" / "manifest.json").read_text()) == manifest
    decided = ("policy", "given_policy", "max_per_problem", "max_per_source", "seed")
    assert [manifest[name] for name in decided] == ["verified", "given", 2, None, 17]
    counts = {name: manifest[name] for name in ("rows", "given_rows", "problems", "tokens", "sources")}
    assert counts == {"rows": 2, "given_rows": 0, "problems": 1, "tokens": 80, "sources": {"gcd": 2}}
    assert {name: (held["rows"], held["files"]) for name, held in manifest["formats"].items()} == {
        "default": (2, 1), "alpaca": (2, 1),
    }  # fmt: skip
    assert set(manifest["inputs"]) == {"problems", "traces", "verdicts"}
    assert set(manifest["files"]) == set(files_of(tmp_path / "set")) - {"manifest.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((tmp_path / "set" / name).read_bytes()).hexdigest() == digest


# ------------------------------------------------------------------ the card


def test_the_card_holds_the_numbers(small, tmp_path):
    write(small, tmp_path / "set", max_per_problem=2, max_per_source=9)
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
        "at most 2 per problem, at most 9 per source, drawn with seed 17",
        "The 4 problems that rows could come from were searched for the questions of easy (1). There was no hit.",
        "SELECT id FROM kept",
        "    assistant: <think>\n    count\n    </think>\n\n    \\boxed{7}",
        "a stand-in of a few million parameters",
    ):
        assert words in body


def test_the_card_of_responses_that_came_with_their_problems(tmp_path):
    write(make_store(tmp_path, given=[make_given("spring")]), tmp_path / "set")
    body = (tmp_path / "set" / "README.md").read_text()
    for words in (
        "3 rows for 2 problems: 2 chains of thought (80 tokens)",
        "and 1 responses that came with their problems, which nothing graded, picked by `given`.",
        "| poems (given) | writing | MIT | 1 | 1 |  |",
        "SELECT id FROM given",
        "The 5 problems that rows could come from",
        "    assistant: <think>\n    count\n",
    ):
        assert words in body
    assert "| teacher | `given` " not in body


def test_the_card_reports_contamination(tmp_path, monkeypatch):
    """The evaluation asks `Problem e?`; a policy of one's own may take the problem all the same."""
    monkeypatch.setattr(policies, "OWN", tmp_path)
    (tmp_path / "whatever.sql").write_text("SELECT id FROM judged WHERE format = 'ok'")
    leaked = make_problem("E")
    rows = [(make_trace(problem, 0, "c", "a"), "correct") for problem in (A, leaked)]
    store = make_store(tmp_path, rows, [A, leaked])
    assert write(store, tmp_path / "set")["rows"] == 1
    body = (tmp_path / "set" / "README.md").read_text()
    assert "| benchmark | rule | problems hit | of them decisive | in this data set |" in body
    assert "| easy | exact | 1 | 1 | 0 |" in body
    write(store, tmp_path / "own", policy="whatever")
    assert "| easy | exact | 1 | 1 | 1 |" in (tmp_path / "own" / "README.md").read_text()


def test_the_card_tells_of_near_duplicates(tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "OWN", tmp_path)
    (tmp_path / "whatever.sql").write_text("SELECT id FROM judged WHERE format = 'ok'")
    store = make_store(tmp_path, [(make_trace(A, index, "one two three", "\\boxed{7}"), "correct") for index in (0, 1)])
    write(store, tmp_path / "set")
    assert re.search(r"- Near-duplicates of a chain .*are in it once", (tmp_path / "set" / "README.md").read_text())
    write(store, tmp_path / "own", policy="whatever")
    assert "are in it too: 1 rows say what another says" in (tmp_path / "own" / "README.md").read_text()


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
    example = text.split("as a chat:\n")[1].split("## For other trainers")[0]
    assert all(line.startswith("    ") for line in example.splitlines() if line)
    assert "{{ 7 * 7 }}" in example
    assert not set("\x1b\x00") & set(text)
    assert read(tmp_path / "set")[0]["messages"][1]["content"] == f"<think>\n{hostile}\n</think>\n\n{hostile}"


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
