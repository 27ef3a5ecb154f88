"""Work on hostile input, in processes that are killed when they overstay; never in threads.

A big-integer operation holds the interpreter's lock for a minute and no alarm of Python's ends it. So the kernel counts
the processor time of each item and ends its worker at the limit: a busy machine makes an item slow and never late. The
parent keeps a wall clock far beyond that, for an item that sleeps. An item that hangs, eats memory or kills its worker
spoils no other: it is tried once more, alone, and then answered by a `Failure`. Workers end with their parent.
"""

import multiprocessing
import os
import resource
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from distill.records import Outcome

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MEMORY_BYTES = 2 * 2**30  # address space of one worker; SymPy's hostile cases reach 828 MB
TASKS_PER_WORKER = 500  # then it is replaced, so that caches and leaks stay bounded
WAITING = 512  # items handed over before their answers are read
WALL_PER_CPU = 10.0  # wall seconds allowed for each of the processor
MAX_WORKERS = 32


@dataclass(frozen=True, slots=True)
class Failure:
    """What became of an item that has no answer: `timeout`, `crash` or `limit`, and why."""

    outcome: Outcome
    evidence: str


@dataclass(frozen=True, slots=True)
class Done(Generic[Answer]):
    """What came of one item, by its index, and the seconds that it took."""

    index: int
    answer: Answer | Failure
    seconds: float


def run(
    function: Callable[[Item], Answer], items: Sequence[Item], cpu_s: float, preload: Sequence[str] = ()
) -> Iterator[Done[Answer]]:
    """Yield what came of every item, failures last, since each is tried once more on its own.

    `function` must be importable by name. `preload` names modules that new workers find imported. An exception that
    `function` raises is raised here: it is a fault of the program, not of an item.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    failed: list[int] = []
    for done in _run_all(context, function, items, cpu_s, _n_workers(len(items))):
        if isinstance(done.answer, Failure):
            failed.append(done.index)
        else:
            yield done
    for done in _run_all(context, function, [items[index] for index in failed], cpu_s, 1):
        yield Done(failed[done.index], done.answer, done.seconds)


def _run_all(
    context: Any, function: Callable[[Item], Answer], items: Sequence[Item], cpu_s: float, n_workers: int
) -> Iterator[Done[Answer]]:
    """Every item once, in order, with a window of them always waiting."""
    if not items:
        return
    from pebble import ProcessPool

    pool = ProcessPool(n_workers, TASKS_PER_WORKER, initializer=_confine, initargs=(os.getpid(),), context=context)
    waiting: deque[tuple[int, Any]] = deque()
    try:
        for index, item in enumerate(items):
            if len(waiting) == WAITING:
                yield _done(*waiting.popleft(), cpu_s)
            future = pool.schedule(_limited, (function, item, cpu_s), timeout=cpu_s * WALL_PER_CPU)
            waiting.append((index, future))
        while waiting:
            yield _done(*waiting.popleft(), cpu_s)
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()


def _done(index: int, future: Any, cpu_s: float) -> Done[Any]:
    """A future's answer, or the failure that stands for it."""
    from pebble import ProcessExpired

    try:
        answer, seconds = future.result()
        return Done(index, answer, seconds)
    except FutureTimeoutError:
        failure = Failure(Outcome.TIMEOUT, f"no answer within {cpu_s * WALL_PER_CPU:g} s")
    except ProcessExpired as error:
        if error.exitcode in (-signal.SIGPROF, -signal.SIGXCPU):
            failure = Failure(Outcome.TIMEOUT, f"no answer within {cpu_s:g} s of processor time")
        else:
            failure = Failure(Outcome.CRASH, f"the process that graded it died (exit code {error.exitcode})")
    except MemoryError:
        failure = Failure(Outcome.LIMIT, f"it needed more than {MEMORY_BYTES // 2**30} GiB of memory")
    return Done(index, failure, cpu_s)


def _limited(function: Callable[[Item], Answer], item: Item, cpu_s: float) -> tuple[Answer, float]:
    """Run in a worker: at the end of its processor time the kernel's timer ends the process."""
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    started = time.monotonic()
    try:
        return function(item), time.monotonic() - started
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _confine(parent: int) -> None:
    """Bind a new worker: it ends with the process that asked, and its memory and core dumps are bounded.

    The fork server stands between the two and lives as long as a worker does, so PR_SET_PDEATHSIG would wait for ever.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pebble's handler needs the interpreter that the item may hold
    try:
        handle = os.pidfd_open(parent)
    except ProcessLookupError:  # it is gone already
        os._exit(1)
    threading.Thread(target=_end_with, args=(handle,), daemon=True).start()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with(handle: int) -> None:
    """Wait for a process to end, then end this one. Work that holds the interpreter is ended by its timer."""
    select.select([handle], [], [])
    os._exit(1)


def _n_workers(n_items: int) -> int:
    return max(1, min(len(os.sched_getaffinity(0)), MAX_WORKERS, n_items))
