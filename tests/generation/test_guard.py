"""Whoever dies, by kill -9 too: no process of a server stays behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

PATIENCE_S = 20.0
STAND_IN = Path(__file__).with_name("stand_in.py")
STAGE = """
import os, subprocess, sys
guard = subprocess.Popen([sys.executable, "-m", "distill.generation.guard", str(os.getpid()), *sys.argv[1:]])
print(guard.pid, flush=True)
sys.exit(guard.wait())
"""


@dataclass
class Tree:
    """A stage, its guard, its server, and the server's child."""

    stage: psutil.Process
    guard: psutil.Process
    server: psutil.Process
    child: psutil.Process


@contextmanager
def tree(folder: Path, root: Path, *behaviour: str) -> Iterator[tuple[Tree, subprocess.Popen[str]]]:
    """The four processes, running."""
    pid_file = folder / "child.pid"
    command = [sys.executable, "-c", STAGE, sys.executable, str(STAND_IN), str(pid_file), *behaviour]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, start_new_session=True) as stage:
        assert stage.stdout is not None
        guard = psutil.Process(int(stage.stdout.readline()))
        wait_until(pid_file.exists)
        child = psutil.Process(int(pid_file.read_text()))
        server = child.parent()
        assert server is not None
        processes = Tree(psutil.Process(stage.pid), guard, server, child)
        try:
            yield processes, stage
        finally:
            for process in (processes.stage, guard, server, child):
                if process.is_running():
                    process.kill()


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("victim", "behaviour"), [("stage", ""), ("stage", "stubborn"), ("server", "")])
def test_kill_9_leaves_nobody(victim: str, behaviour: str, tmp_path: Path, root: Path) -> None:
    with tree(tmp_path, root, *behaviour.split()) as (processes, _):
        getattr(processes, victim).kill()
        wait_until(lambda: all(map(gone, (processes.guard, processes.server, processes.child))))


def test_kill_9_of_the_guard_ends_the_server(tmp_path: Path, root: Path) -> None:
    with tree(tmp_path, root) as (processes, _):
        processes.guard.kill()
        wait_until(lambda: gone(processes.server))


def test_the_guard_stops_when_told(tmp_path: Path, root: Path) -> None:
    with tree(tmp_path, root) as (processes, stage):
        processes.guard.send_signal(signal.SIGTERM)
        wait_until(lambda: gone(processes.server) and gone(processes.child))
        assert stage.wait(PATIENCE_S) != 0


def test_a_server_that_dies_takes_its_children_along(tmp_path: Path, root: Path) -> None:
    pid_file = tmp_path / "child.pid"
    guard = [sys.executable, "-m", "distill.generation.guard", str(os.getpid())]
    done = subprocess.run([*guard, sys.executable, str(STAND_IN), str(pid_file), "dies"], cwd=root, check=False)
    assert done.returncode == 7
    assert not psutil.pid_exists(int(pid_file.read_text()))


def test_ctrl_c_is_left_to_the_stage(tmp_path: Path, root: Path) -> None:
    with tree(tmp_path, root) as (processes, _):
        processes.guard.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert not gone(processes.guard)
        assert not gone(processes.server)
