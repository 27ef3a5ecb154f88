"""A stage's exit codes, and its end when its parent is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
BODY = """
import errno, sys, time
from distill import stage
from distill.errors import DataError, Incomplete

def body(params):
    how = sys.argv[1]
    if how == "fault":
        raise DataError("row 7 of x.jsonl has no answer")
    if how == "left":
        raise Incomplete("3 problems are left")
    if how == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "data/x.parquet")
    if how == "wait":
        print("waiting", flush=True)
        time.sleep(120)
    return stage.Result("all of it", {"n": 1})

stage.run("trial", body)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "body.py").write_text(BODY)
    return tmp_path


def start(folder: Path, how: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "body.py", how]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("done", 0, "trial  all of it"),
        ("fault", 1, "row 7 of x.jsonl has no answer"),
        ("full", 1, "the disk is full at data/x.parquet; free some and run the same command again"),
        ("left", 75, "3 problems are left"),
    ],
)
def test_exit_codes(folder: Path, how: str, code: int, said: str) -> None:
    process = start(folder, how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert said in out + err
    assert (folder / "data/metrics/trial.json").exists() is (code == 0)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_stage_with_75(folder: Path, signum: signal.Signals) -> None:
    process = start(folder, "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "the same command goes on from here" in err


def test_a_stage_ends_with_its_parent(folder: Path) -> None:
    """The parent is killed with -9; nobody forwards anything, and yet the stage ends."""
    code = f"import subprocess, sys; subprocess.run([sys.executable, 'body.py', 'wait'], cwd={str(folder)!r})"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "waiting\n"
    (child,) = psutil.Process(parent.pid).children()
    parent.kill()
    deadline = time.monotonic() + 60
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the stage outlived its parent"
        time.sleep(0.1)
    parent.wait()
    parent.stdout.close()
