import os
import subprocess
import sys
import time
from pathlib import Path

import hostile
import psutil
import pytest

from distill.records import Outcome
from distill.verification import pool
from distill.verification.pool import Failure


def outcomes(items: list[str], cpu_s: float = 0.4) -> dict[str, object]:
    found = {items[done.index]: done.answer for done in pool.run(hostile.behave, items, cpu_s)}
    return {item: answer.outcome if isinstance(answer, Failure) else answer for item, answer in found.items()}


def test_bad_items_spoil_no_other():
    good = [f"{i}" for i in range(20)]
    bad = {
        "hang": Outcome.TIMEOUT,
        "hold the interpreter": Outcome.TIMEOUT,
        "eat memory": Outcome.LIMIT,
        "die": Outcome.CRASH,
        "be killed": Outcome.CRASH,
    }
    items = [*good[:10], *bad, *good[10:]]
    assert outcomes(items) == bad | {item: f"done {item}" for item in good}


def test_no_items_start_no_process():
    assert list(pool.run(hostile.behave, [], 1.0)) == []


def test_work_is_not_done_in_this_process():
    pids = {done.answer for done in pool.run(hostile.pid_of, list(range(8)), 5.0)}
    assert os.getpid() not in pids


def test_a_fault_of_the_program_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(pool.run(hostile.raise_fault, [1], 5.0))


def test_workers_end_with_a_killed_parent():
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import hostile\nfrom distill.verification import pool\n"
        "if __name__ == '__main__':\n    list(pool.run(hostile.sleep_long, [1, 2], 100.0))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    children = wait_for(lambda: found if len(found := psutil.Process(parent.pid).children(recursive=True)) >= 3 else [])
    parent.kill()
    parent.wait()
    assert wait_for(lambda: not any(running(child) for child in children))


def running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_for(condition, seconds: float = 20.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    return condition()
