import random
import shutil
import subprocess
import sys
from contextlib import closing

import pytest
from stores import (
    HOSTILE,
    NAMES,
    SETTINGS,
    TRACES,
    A,
    build,
    everything,
    make_problem,
    make_store,
    make_trace,
    make_verdict,
    write_inputs,
)

from distill import shards
from distill.curation import build as building
from distill.curation import inspect, store
from distill.errors import DataError, Incomplete
from distill.records import Problem, Trace, Verdict


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store"))


def rows_of(path, query):
    return inspect.run_query(path, query)[1]


def test_reasons(small):
    found = {NAMES[trace]: reason for trace, reason in rows_of(small, "SELECT id, reason FROM judged")}
    assert found == {
        "a0": None, "a1": None, "a2": "duplicate", "b0": "incorrect", "b1": "truncated", "b2": "stray_tag",
        "c0": "no_answer", "c1": "no_chain",
    }  # fmt: skip
    assert rows_of(small, "SELECT duplicate_of FROM rejected WHERE reason = 'duplicate'") == [(TRACES["a0"].id,)]
    assert rows_of(small, "SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM rejected)") == [(2, 6)]


def test_format(tmp_path):
    cases = [
        ("think", "\\boxed{7}", "ok"),
        ("", "\\boxed{7}", "empty_chain"),
        ("think", "", "empty_answer"),
        ("a<think>b", "\\boxed{7}", "stray_tag"),
        ("a</think>b", "\\boxed{7}", "stray_tag"),
        ("think", "<think> \\boxed{7}", "stray_tag"),
        (None, "\\boxed{7}", "no_chain"),
        (None, None, "no_chain"),
    ]
    traces = [make_trace(A, index, chain, answer) for index, (chain, answer, _) in enumerate(cases)]
    path = make_store(tmp_path, [(trace, "correct") for trace in traces])
    found = rows_of(path, "SELECT format FROM judged ORDER BY sample_index")
    assert found == [(expected,) for _, _, expected in cases]


def test_the_original_of_a_duplicate_is_a_finished_one(tmp_path):
    cut, whole = make_trace(A, 0, "x", "y", finish_reason="length"), make_trace(A, 1, "x", "y")
    path = make_store(tmp_path, [(cut, "truncated"), (whole, "correct")])
    assert rows_of(path, "SELECT id FROM kept") == [(whole.id,)]


def test_equal_texts_of_two_problems_are_no_duplicates(tmp_path):
    other = make_problem("other")
    traces = [(make_trace(problem, 0, "x", "y"), "correct") for problem in (A, other)]
    path = make_store(tmp_path, traces, [A, other])
    assert rows_of(path, "SELECT count(*) FROM kept") == [(2,)]


def test_pass_rates(small):
    found = rows_of(small, "SELECT prompt, n, correct, round(pass_rate, 2) FROM pass_rates ORDER BY prompt")
    assert found == [("Problem a?", 3, 3, 1.0), ("Problem b?", 3, 1, 0.33), ("Problem c?", 2, 1, 0.5)]


def test_runs_and_provenance(small):
    assert rows_of(small, "SELECT model, traces, problems FROM runs") == [("data/models/tiny-r1", 8, 3)]
    made_by = dict(rows_of(small, "FROM provenance"))
    assert made_by["schema version"] == "1"
    assert {"distill", "duckdb", "problems sha256", "traces sha256", "verdicts sha256"} <= set(made_by)


def test_built_again_it_holds_the_same(small, tmp_path):
    write_inputs(tmp_path)
    two_threads = SETTINGS.model_copy(update={"threads": 2})
    assert everything(build(tmp_path, "again.duckdb", two_threads)) == everything(small)
    assert sorted(path.name for path in tmp_path.iterdir() if "duckdb" in path.name) == ["again.duckdb"]


def test_texts_go_in_by_ranges_of_ids(small, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "TEXTS_PER_SORT", 2)
    path = make_store(tmp_path)
    texts = rows_of(path, "FROM texts")
    assert texts == rows_of(small, "FROM texts")
    assert [text[0] for text in texts] == sorted(NAMES)


def test_a_folder_may_have_any_name(tmp_path):
    folder = tmp_path / "it's [a] *odd* {name}"
    folder.mkdir()
    assert rows_of(make_store(folder), "SELECT count(*) FROM traces") == [(8,)]


def test_hostile_text_survives(tmp_path):
    traces = [make_trace(A, index, text, text) for index, text in enumerate(HOSTILE)]
    path = make_store(tmp_path, [(trace, "correct") for trace in traces])
    found = dict(rows_of(path, "SELECT trace_id, reasoning FROM texts"))
    assert found == {trace.id: trace.reasoning for trace in traces}


# ------------------------------------------------------------------ faults


def empty_folder(folder):
    for file in (folder / "traces").iterdir():
        file.unlink()


def half_a_shard(folder):
    shard = folder / "traces" / "part-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-40])


def another_shape(folder):
    shards.write_file(folder / "traces" / "part-00000.parquet", [A], Problem)


def no_verdict(folder):
    shards.write_shards(folder / "verdicts", [make_verdict(TRACES["a0"], "correct")], Verdict)


def no_trace(folder):
    shards.write_shards(folder / "traces", [TRACES["a0"]], Trace)


def no_problem(folder):
    shards.write_file(folder / "train.parquet", [A], Problem)


def twice(folder):
    (folder / "traces" / "part-00001.parquet").write_bytes((folder / "traces" / "part-00000.parquet").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "easy.parquet").unlink(), "easy.parquet is missing; `dvc repro` writes it"),
        (empty_folder, "traces holds no Parquet file"),
        (half_a_shard, "traces/part-00000.parquet cannot be loaded: Invalid Input Error"),
        (another_shape, "part-00000.parquet cannot be loaded: Binder Error"),
        (no_verdict, "7 traces have no verdict, as"),
        (no_trace, "7 verdicts are of traces that are not there"),
        (no_problem, "5 traces belong to no training problem"),
        (twice, 'duplicate key "\\w+"; delete it'),
    ],
)
def test_bad_inputs_are_one_sentence(small, tmp_path, spoil, words):
    folder = tmp_path / "copy"
    shutil.copytree(small.parent, folder)
    before = (folder / small.name).read_bytes()
    spoil(folder)
    with pytest.raises(DataError, match=words.replace("(", "\\(")) as fault:
        build(folder)
    assert "\n" not in str(fault.value)
    assert (folder / small.name).read_bytes() == before, "the old store is as it was"
    assert not list(folder.glob(".store*")), "nothing half-built is left"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nobody may mount a tmpfs here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("full", ["store", "measures"])
def test_a_full_disk_is_one_sentence(tmp_path, small_disk, monkeypatch, full):
    text = random.Random(1)
    chains = (" ".join(f"{text.getrandbits(64):x}" for _ in range(1_500)) for _ in range(300))
    rows = [(make_trace(A, index, chain, "\\boxed{7}"), "correct") for index, chain in enumerate(chains)]
    write_inputs(tmp_path, rows)
    place = {"store": "small/store.duckdb", "measures": "store.duckdb"}[full]
    if full == "measures":
        monkeypatch.setenv("DVC_ROOT", str(small_disk))
        (small_disk / "ballast").write_bytes(b"x" * 3_100_000)
    with pytest.raises(DataError, match="the disk is full; free some and run the same command again") as fault:
        build(tmp_path, place)
    assert "\n" not in str(fault.value)
    assert not list(tmp_path.rglob("*.duckdb*")), "nothing half-built is left"
    (small_disk / "ballast").unlink(missing_ok=True)
    assert rows_of(build(tmp_path, "whole.duckdb"), "SELECT count(*) FROM kept") == [(300,)]


def test_opening_what_is_no_store(tmp_path):
    import duckdb

    with pytest.raises(DataError, match="is missing; `dvc repro curate` writes it"):
        store.open_store(tmp_path / "none.duckdb")
    (tmp_path / "text.duckdb").write_text("hello" * 999)
    with pytest.raises(DataError, match=r"cannot be opened: .* not a valid DuckDB database file"):
        store.open_store(tmp_path / "text.duckdb")
    duckdb.connect(str(tmp_path / "foreign.duckdb")).close()
    with pytest.raises(DataError, match="is no store of this version"):
        store.open_store(tmp_path / "foreign.duckdb")


def test_opening_what_another_program_writes(small, tmp_path):
    path = shutil.copy(small, tmp_path / "held.duckdb")
    code = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with writer:
        writer.stdout.readline()
        with pytest.raises(DataError, match="is open for writing in another program; close it there"):
            store.open_store(path)
        writer.communicate("")
    assert rows_of(path, "SELECT count(*) FROM traces") == [(8,)]


def test_an_interrupted_load_is_work_left():
    with pytest.raises(Incomplete, match="interrupted; the same command starts it again"), store.one_sentence("load"):
        raise RuntimeError("Query interrupted")  # what DuckDB makes of an exception in a signal's handler


# ------------------------------------------------------------------ questions


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM traces", "read-only"),
        ("CREATE TABLE mine (x INTEGER)", "read-only"),
        ("FROM read_text('/etc/hostname')", "disabled by configuration"),
        ("COPY traces TO 'out.csv'", "disabled by configuration"),
        ("ATTACH 'other.duckdb'", "disabled by configuration"),
        ("SET enable_external_access = true", "locked"),
        ("FROM nothing", "does not exist"),
        ("SELEC 1", "syntax error"),
        ("  ", "no question"),
    ],
)
def test_questions_only_read(small, sql, words):
    with pytest.raises(DataError, match=words) as fault:
        inspect.run_query(small, sql)
    assert "\n" not in str(fault.value)


def test_answers_come_with_columns(small):
    assert inspect.run_query(small, "SELECT 1 AS one, 'x' AS letter") == (["one", "letter"], [(1, "x")])


def test_a_connection_is_closed_by_its_block(small):
    with store.open_store(small) as connection:
        connection.execute("FROM runs")
    with closing(store.open_store(small)) as again:
        assert again.execute("SELECT 1").fetchone() == (1,)


def test_show_a_trace(small):
    shown = inspect.show_trace(small, TRACES["a1"].id[:8])
    assert (shown["chain"], shown["answer"], shown["reference"]) == ("count", "\\boxed{7}", "a is 7")
    assert (shown["verdict"], shown["evidence"]) == ("correct", "7 is 7")
    assert shown["text"] is None
    assert inspect.show_trace(small, TRACES["b1"].id)["text"] == "and so on"
    with pytest.raises(DataError, match="no trace begins with 'zz'"):
        inspect.show_trace(small, "zz")
    with pytest.raises(DataError, match="more than one trace begins with ''"):
        inspect.show_trace(small, "")


def test_printed_text_commands_no_terminal(tmp_path, capsys):
    trace = make_trace(A, 0, "\x1b[2J [red]x[/red] \x07\x9b", "[/] <b>")
    path = make_store(tmp_path, [(trace, "correct")])
    inspect.print_trace(path, trace.id)
    inspect.print_answer(*inspect.run_query(path, "SELECT reasoning, 1234 AS n, NULL AS nothing FROM texts"))
    printed = capsys.readouterr().out
    assert "\x1b[2J" not in printed
    assert not set("\x07\x9b") & set(printed)
    assert printed.count("\\x1b[2J [red]x[/red]") == 2
    assert "1,234" in printed
