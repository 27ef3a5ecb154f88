"""Work on hostile input, in processes that are killed when they overstay; never in threads.

A big-integer operation holds the interpreter's lock for a minute and no alarm ends it, so each item has a wall-clock
limit that the parent enforces with a signal, and each worker has limits of its own from the kernel: memory, and CPU
seconds as a second line should the parent be gone. An item that hangs, eats memory or kills its worker spoils no
other: it is tried once more, alone, and then answered by a `Failure`. Workers end with their parent.
"""

import multiprocessing
import os
import resource
import select
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, TypeVar

from distill.records import Outcome

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MEMORY_BYTES = 2 * 2**30  # address space of one worker; SymPy's hostile cases reach 828 MB
TASKS_PER_WORKER = 500  # then it is replaced, so that caches and leaks stay bounded
BATCH = 512  # items handed over at once
MAX_WORKERS = 32


@dataclass(frozen=True, slots=True)
class Failure:
    """What became of an item that has no answer: `timeout`, `crash` or `limit`, and why."""

    outcome: Outcome
    evidence: str


def run(
    function: Callable[[Item], Answer], items: Sequence[Item], timeout_s: float, preload: Sequence[str] = ()
) -> Iterator[tuple[int, Answer | Failure]]:
    """Yield (index, answer or failure) for every item, failures last, since each is tried once more on its own.

    `function` must be importable by name. `preload` names modules that new workers find imported. An exception that
    `function` raises is raised here: it is a fault of the program, not of an item.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    failed: list[int] = []
    for index, answer in _run_batches(context, function, items, timeout_s, _n_workers(len(items))):
        if isinstance(answer, Failure):
            failed.append(index)
        else:
            yield index, answer
    for position, answer in _run_batches(context, function, [items[index] for index in failed], timeout_s, 1):
        yield failed[position], answer


def _run_batches(
    context: Any, function: Callable[[Item], Answer], items: Sequence[Item], timeout_s: float, n_workers: int
) -> Iterator[tuple[int, Answer | Failure]]:
    if not items:
        return
    from pebble import ProcessPool

    pool = ProcessPool(n_workers, TASKS_PER_WORKER, initializer=_confine, initargs=(os.getpid(),), context=context)
    try:
        for start in range(0, len(items), BATCH):
            batch = range(start, min(start + BATCH, len(items)))
            futures = [pool.schedule(_limited, (function, items[i], timeout_s), timeout=timeout_s) for i in batch]
            for index, future in zip(batch, futures, strict=True):
                yield index, _outcome(future, timeout_s)
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()


def _outcome(future: Any, timeout_s: float) -> Any:
    """A future's answer, or the failure that stands for it."""
    from pebble import ProcessExpired

    try:
        return future.result()
    except FutureTimeoutError:
        return Failure(Outcome.TIMEOUT, f"no answer within {timeout_s:g} s")
    except ProcessExpired as error:
        if error.exitcode == -signal.SIGXCPU:
            return Failure(Outcome.TIMEOUT, f"no answer within {timeout_s:g} s of CPU time")
        return Failure(Outcome.CRASH, f"the process that graded it died (exit code {error.exitcode})")
    except MemoryError:
        return Failure(Outcome.LIMIT, f"it needed more than {MEMORY_BYTES // 2**30} GiB of memory")


def _limited(function: Callable[[Item], Answer], item: Item, timeout_s: float) -> Answer:
    """Run in a worker, under a CPU limit counted from now."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + timeout_s) + 2, resource.RLIM_INFINITY))
    return function(item)


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
    """Wait for a process to end, then end this one. Work that holds the interpreter is ended by its CPU limit."""
    select.select([handle], [], [])
    os._exit(1)


def _n_workers(n_items: int) -> int:
    return max(1, min(len(os.sched_getaffinity(0)), MAX_WORKERS, n_items))
