"""Inside the sandbox: run one program on each of its inputs and say what came of it.

Reads one line of JSON, writes one line of JSON for each input:

    {"program": "print(int(input()) + 1)", "function": null, "inputs": ["1\\n"], "cpu_s": 6, "wall_s": 23, …}
    {"status": "ok", "output": "2\\n", "cpu_s": 0.01, "note": ""}

Status is `ok`, `error`, `time`, `memory` or `output`. Every input gets a fork of this process, and all that the fork
leaves behind is killed before the next one. The program may do as it likes with what it finds here: the expected
outputs are not in the sandbox, and what is reported from it is compared outside. Its files have no names, so that it
can put nothing in their place; this process cannot be traced; and a filter refuses the system calls that hold memory
which belongs to no process (shared segments, files in memory, namespaces) or open the kernel wide.
"""

import atexit
import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
import threading
import time
import traceback
from typing import Any, NoReturn

STDIN, STDOUT, STDERR = 0, 1, 2
POLL_S = 0.002
TICK_S = 0.05  # by which the kernel may end a process early
RECURSION = 50_000  # as LiveCodeBench allows
PREAMBLE = (
    "import bisect, collections, copy, datetime, functools, heapq, itertools, math, operator, random, re, string, sys\n"
    "from bisect import *; from collections import *; from functools import *; from heapq import *\n"
    "from itertools import *; from math import *; from typing import *\n"
)
PR_SET_DUMPABLE, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 4, 22, 2
NAMESPACES = 0x7E020000  # the flags of clone that make one
ARCHITECTURES = {"x86_64": (0xC000003E, 56), "aarch64": (0xC00000B7, 220)}  # how seccomp calls it, and clone in it
REFUSED = {  # system calls by number
    "x86_64": {
        "memory": (319, 447, 29, 68, 64, 240, 425),  # memfd_*, shmget, msgget, semget, mq_open, io_uring_setup
        "others": (101, 310, 311, 438, 298, 321, 323, 248, 249, 250, 304),  # ptrace, process_vm_*, pidfd_getfd, bpf, …
        "namespaces": (272, 308, 165, 161, 155, 428, 429, 430, 442),  # unshare, setns, mount, chroot, fsopen, …
    },
    "aarch64": {
        "memory": (279, 447, 194, 186, 190, 180, 425),
        "others": (117, 270, 271, 438, 241, 280, 282, 217, 218, 219, 265),
        "namespaces": (97, 268, 40, 51, 41, 428, 429, 430, 442),
    },
}
CLONE3 = 435  # its flags cannot be seen, and the C library does without it

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Serve the job on standard input."""
    prctl(PR_SET_DUMPABLE, 0)
    refuse_calls()
    job = json.loads(sys.stdin.readline())
    channel = os.dup(1)
    for given in job["inputs"]:
        os.write(channel, json.dumps(run(job, given, channel)).encode() + b"\n")


def run(job: dict[str, Any], given: Any, channel: int) -> dict[str, Any]:
    """One input in a process of its own."""
    given_file, output, errors, result = (nameless() for _ in range(4))
    if job["function"] is None:
        with open(given_file, "w", encoding="utf-8", closefd=False) as file:
            file.write(given)
        os.lseek(given_file, 0, os.SEEK_SET)
    child = os.fork()
    if child == 0:
        os.close(channel)
        become_program(job, given, (given_file, output, errors), result)
    status, usage, late = wait(child, job["wall_s"])
    kill_all_others()
    cpu_s = usage.ru_utime + usage.ru_stime
    lines = read(errors, 4000).strip().splitlines()
    note = lines[-1][:200] if lines else ""
    size = os.fstat(output).st_size
    said = read(output if job["function"] is None else result, job["output_bytes"])
    for file_number in (given_file, output, errors, result):
        os.close(file_number)
    answer = {"output": "", "cpu_s": round(cpu_s, 3), "note": note}
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
    if late or cpu_s >= job["cpu_s"] - (TICK_S if killed else 0):
        return {**answer, "status": "time"}
    if size >= job["output_bytes"] or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXFSZ):
        return {**answer, "status": "output"}
    if status != 0:
        return {**answer, "status": "memory" if note.startswith("MemoryError") else "error"}
    return {**answer, "status": "ok", "output": said}


def wait(child: int, wall_s: float) -> tuple[int, resource.struct_rusage, bool]:
    """Wait for a process, so long and no longer. Returns its status, what it used, and whether it had to be killed."""
    deadline = time.monotonic() + wall_s
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return status, usage, False
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            return status, usage, True
        time.sleep(POLL_S)


def kill_all_others() -> None:
    """End whatever the program has started; the namespace holds nothing else of this user."""
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            time.sleep(POLL_S)  # they are the reaper's, and it needs a moment


def become_program(job: dict[str, Any], given: Any, files: tuple[int, ...], result: int) -> NoReturn:
    """Turn this fork into the program; never returns."""
    code = 1
    namespace: dict[str, Any] = {"__name__": "__main__" if job["function"] is None else "program"}
    try:
        confine(job, files)
        sys.argv = ["program.py"]
        sys.setrecursionlimit(RECURSION)
        if job["function"] is None:
            exec(compile(job["program"], "program.py", "exec"), namespace)
        else:
            exec(PREAMBLE, namespace)
            exec(compile(job["program"], "program.py", "exec"), namespace)
            call(namespace, job["function"], given, result)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        report(error)
    finally:
        try:
            finish(namespace)
        except BaseException:
            code = code or 1
        os._exit(code & 255)


def finish(namespace: dict[str, Any]) -> None:
    """What Python does at its end: wait for threads, call what asked for it, write what open files still hold."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    namespace.clear()


def confine(job: dict[str, Any], files: tuple[int, ...]) -> None:
    """A session, files and limits of its own."""
    prctl(PR_SET_DUMPABLE, 1)  # so that it may look at itself
    os.setsid()
    for file_number, (stream, fd, mode) in zip(
        files, (("stdin", STDIN, "r"), ("stdout", STDOUT, "w"), ("stderr", STDERR, "w")), strict=True
    ):
        os.dup2(file_number, fd)
        os.close(file_number)
        setattr(sys, stream, os.fdopen(fd, mode, encoding="utf-8", errors="replace"))
    for limit, value in (
        (resource.RLIMIT_CPU, job["cpu_s"]),
        (resource.RLIMIT_AS, job["memory_bytes"]),
        (resource.RLIMIT_STACK, job["memory_bytes"] // 4),
        (resource.RLIMIT_FSIZE, job["output_bytes"]),
        (resource.RLIMIT_NPROC, job["processes"]),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def call(namespace: dict[str, Any], function: str, arguments: list[Any], result: int) -> None:
    """Call a function, or that method of a class `Solution`, and put its result down as JSON."""
    owner = namespace["Solution"]() if "Solution" in namespace else None
    target = namespace[function] if owner is None or not hasattr(owner, function) else getattr(owner, function)
    text = json.dumps(target(*arguments))
    with open(result, "w", encoding="utf-8") as file:
        file.write(text)


def report(error: BaseException) -> None:
    """The last line of a traceback, in place of all that the program has said there."""
    try:
        text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1:]
        os.ftruncate(STDERR, 0)
        os.pwrite(STDERR, "".join(text)[:500].encode("utf-8", "replace"), 0)
    except BaseException:
        return


def nameless() -> int:
    """A new file that no path leads to."""
    return os.open("/tmp", os.O_TMPFILE | os.O_EXCL | os.O_RDWR, 0o600)


def read(file_number: int, most: int) -> str:
    """The first bytes of a file that may hold anything."""
    return os.pread(file_number, most, 0).decode("utf-8", "replace")


def prctl(option: int, *arguments: Any) -> None:
    """Set something of this process; raises `OSError` where the kernel will not."""
    if _libc.prctl(option, *arguments, *[ctypes.c_ulong(0)] * (4 - len(arguments))) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def refuse_calls() -> None:
    """Install the filter, for this process and all that come of it; the kernel asks for no privilege to have less."""
    machine = platform.machine()
    architecture, clone = ARCHITECTURES[machine]
    refused = [number for numbers in REFUSED[machine].values() for number in numbers]
    load, equal, at_least, any_bit, end = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, not_permitted, unknown = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
    lines = [(load, 0, 0, 4), (equal, 1, 0, architecture), (end, 0, 0, kill), (load, 0, 0, 0)]
    lines += [(at_least, 0, 1, 0x40000000), (end, 0, 0, unknown)]  # the other calling convention of x86_64
    lines += [(equal, 0, 1, CLONE3), (end, 0, 0, unknown)]
    for number in refused:
        lines += [(equal, 0, 1, number), (end, 0, 0, not_permitted)]
    lines += [(equal, 0, 3, clone), (load, 0, 0, 16), (any_bit, 0, 1, NAMESPACES), (end, 0, 0, not_permitted)]
    lines += [(end, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("HP", len(lines), ctypes.addressof(code)))
    prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), program)


main()
