"""Reading every trace once: what was read is kept, found again, and gives the same store."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from stores import A, B, build, everything, make_trace, write_inputs

from distill import shards
from distill.curation import scan
from distill.curation.quality import measure
from distill.errors import DataError
from distill.records import Trace


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """A state directory of this test alone."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "state"))
    return tmp_path / "state"


def kept() -> dict[str, float]:
    """The files of the cache with the time of their last change."""
    return {path.name: path.stat().st_mtime_ns for path in scan.cache_folder().glob("*.parquet")}


def test_what_was_read_is_not_read_again(tmp_path):
    write_inputs(tmp_path)
    first = everything(build(tmp_path))
    before = kept()
    assert everything(build(tmp_path, "again.duckdb")) == first
    assert kept() == before


def test_a_store_that_grew_is_the_store_built_from_scratch(tmp_path, monkeypatch):
    rows = [
        (make_trace(problem, i, f"chain {i} of many", "\\boxed{7}"), "correct") for problem in (A, B) for i in range(9)
    ]
    write_inputs(tmp_path, rows[:10])
    build(tmp_path)
    before = kept()
    write_inputs(tmp_path, rows)
    grown = everything(build(tmp_path))
    assert set(before) < set(kept())
    [new] = set(kept()) - set(before)
    assert pq.read_metadata(scan.cache_folder() / new).num_rows == 8
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "fresh"))
    assert everything(build(tmp_path, "fresh.duckdb")) == grown


def test_a_trace_with_another_text_is_read_again(tmp_path):
    cut = make_trace(A, 0, None, None, finish_reason="length", text="so far")
    write_inputs(tmp_path, [(cut, "truncated")])
    build(tmp_path)
    whole = make_trace(A, 0, "so far so good", "\\boxed{7}")
    write_inputs(tmp_path, [(whole, "correct")])
    [checks] = everything(build(tmp_path))["checks"]
    assert checks[:3] == (whole.id, "ok", measure("so far so good", "\\boxed{7}", "").characters)
    assert len(kept()) == 2, "what was read of the cut text stays, should it come back"


def test_files_of_a_row_group_each(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "ROW_GROUP_SIZE", 4)
    rows = [(make_trace(A, i, f"chain {i}", "\\boxed{7}"), "correct") for i in range(18)]
    write_inputs(tmp_path, rows)
    build(tmp_path)
    assert len(kept()) == 5


def test_text_that_ends_a_worker_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "_measure_group", end_process)
    write_inputs(tmp_path)
    with pytest.raises(DataError, match=r"row group 0 of .*part-00000.parquet ended the process that read it"):
        build(tmp_path)
    assert not list(tmp_path.glob(".store*"))


def end_process(*_: object) -> int:
    os._exit(9)


@pytest.mark.timeout(120)
def test_a_scan_that_is_killed_goes_on(tmp_path, root):
    """kill -9 in the middle: what was read is there, and the store is that of an undisturbed run."""
    rows = [(make_trace(A, i, f"chain {i} " + "word " * 3_000, "\\boxed{7}"), "correct") for i in range(2_000)]
    write_inputs(tmp_path, rows)
    shards.write_shards(tmp_path / "traces", [trace for trace, _ in rows], Trace)
    regroup(tmp_path / "traces")
    code = "import sys; from pathlib import Path; from stores import build; build(Path(sys.argv[1]))"
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'tests'}", "DVC_ROOT": str(tmp_path / "state")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while len(kept()) < 3 and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = kept()
    assert 3 <= len(before) < 20
    interrupted = everything(build(tmp_path))
    assert {name: kept()[name] for name in before} == before
    assert len(kept()) == 20
    assert len(interrupted["checks"]) == 2_000


def regroup(folder: Path) -> None:
    """Rewrite the shards with a hundred rows a group."""
    for path in folder.glob("*.parquet"):
        pq.write_table(pq.read_table(path), path, row_group_size=100)
