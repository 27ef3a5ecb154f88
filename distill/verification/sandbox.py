"""A place where code that nobody trusts may run: bubblewrap around a Python of its own.

What it gives: a namespace for processes, network, mounts, IPC and host name; /usr and this Python read-only, no other
file of the host; no device but null, zero, random and the like; no environment; one writable /tmp in memory, bounded;
a user that owns nothing and can gain no privilege; one wall clock and one limit on memory, kept by the parent, at
which everything inside ends at once. It ends with its parent too.

What it does not give: a kernel of its own. A hole in the kernel's system calls is a hole in it; whoever must exclude
that runs the stage in a virtual machine.

Root starts it without a user namespace and drops to a user id that nobody else has, so that the limit on processes
binds; others get a user namespace. Where neither can be had, `why_unavailable` says so, and nothing is run.
"""

import json
import os
import selectors
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

from distill.records import Method, Outcome
from distill.verification.findings import Finding

Item = TypeVar("Item")

FILES_BYTES = 64 * 2**20  # of /tmp
MEMORY_BYTES = 2 * 2**30  # of everything inside together
ANSWER_BYTES = 64 * 2**20  # that it may say
PROCESSES = 64  # of one program
START_S = 20.0
WATCH_S = 0.1
FIRST_USER = 2_000_000_000  # user ids from here on; no system hands them out
PYTHON = "/python/bin/python3"
CURE = "apt install bubblewrap, as root or on a kernel that lets users make namespaces"

_PROBE = (
    "import os, socket\n"
    "print(os.path.exists('/etc/passwd'), [name for _, name in socket.if_nameindex()], os.getuid() == 0)"
)
_users = count(os.getpid() * 64 % 10**8)
_live: set["subprocess.Popen[bytes]"] = set()

OUTCOMES = {"time": Outcome.TIMEOUT, "memory": Outcome.LIMIT, "output": Outcome.LIMIT, "crash": Outcome.CRASH}


class Ended(Exception):
    """The sandbox had to be ended: `reason` is one of `OUTCOMES`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@cache
def why_unavailable() -> str | None:
    """Why no sandbox can be made here, or None when a program has just run in one, cut off from network and files."""
    missing = [name for name in ("bwrap", "setpriv") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not found"
    try:
        [said] = run("programs", {**limits(5, 10.0), "program": _PROBE, "function": None, "inputs": [""]}, START_S)
    except (Ended, ValueError) as error:
        return f"bubblewrap cannot make namespaces here ({error})"
    if said.get("output", "").strip() != "False ['lo'] False":
        return f"a program in it was not cut off ({said})"
    return None


def limits(cpu_s: int, wall_s: float) -> dict[str, Any]:
    """The limits of one process, as the programs of `inside` take them."""
    return {
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "memory_bytes": MEMORY_BYTES // 2,
        "output_bytes": 16 * 2**20,
        "processes": PROCESSES,
    }


def side_by_side(
    judge: Callable[[Sequence[Item]], list[Finding]], items: Sequence[Item], batch: int = 1
) -> Iterator[tuple[int, Finding, float]]:
    """Yield (index, finding, seconds) of every item, as many batches at once as there are cores, one sandbox each.

    What ran out of time or crashed is judged once more, alone, before it counts. Without a sandbox every finding is
    `unavailable`.
    """
    if reason := why_unavailable():
        missing = Finding(Outcome.UNAVAILABLE, Method.NONE, f"no sandbox: {reason}; {CURE}")
        yield from ((index, missing, 0.0) for index in range(len(items)))
        return

    def timed(batch: Sequence[Item]) -> list[tuple[Finding, float]]:
        started = time.monotonic()
        findings = judge(batch)
        seconds = (time.monotonic() - started) / len(batch)
        return [(finding, seconds) for finding in findings]

    again = []
    threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        batches = [items[start : start + batch] for start in range(0, len(items), batch)]
        for index, (finding, seconds) in enumerate(chain.from_iterable(threads.map(timed, batches))):
            if finding.outcome in (Outcome.TIMEOUT, Outcome.CRASH):
                again.append(index)
            else:
                yield index, finding, seconds
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for process in list(_live):
            process.kill()
        threads.shutdown()
    for index in again:
        [(finding, seconds)] = timed([items[index]])
        yield index, finding, seconds


def run(inside: str, job: dict[str, Any], wall_s: float) -> Iterator[dict[str, Any]]:
    """Start `inside/<name>.py` in a sandbox with a job, and yield what it says, an object a line, as it comes.

    Whoever stops listening ends it. Raises `Ended` when it says too much, says nothing for `wall_s` seconds, takes too
    much memory, or ends with nothing said.
    """
    source = (files("distill.verification") / "inside" / f"{inside}.py").read_text(encoding="utf-8")
    process = subprocess.Popen(
        [*_command(), "-I", "-S", "-c", source],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
    _live.add(process)
    with process:  # closes the pipes, and waits
        try:
            yield from _listen(process, json.dumps(job).encode() + b"\n", wall_s)
        finally:
            _live.discard(process)
            process.kill()


def _listen(process: "subprocess.Popen[bytes]", job: bytes, wall_s: float) -> Iterator[dict[str, Any]]:
    """Feed the job and yield the lines of the answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    source, sink = process.stdout.fileno(), process.stdin.fileno()
    os.set_blocking(sink, False)
    selector = selectors.DefaultSelector()
    selector.register(source, selectors.EVENT_READ)
    selector.register(sink, selectors.EVENT_WRITE)
    left, buffer, n_said, watched = memoryview(job), bytearray(), 0, 0.0
    deadline = time.monotonic() + wall_s
    while True:
        for key, _ in selector.select(WATCH_S):
            if key.fd == sink:
                left = _feed(selector, sink, left)
                continue
            chunk = os.read(source, 1 << 16)
            if not chunk:
                if n_said == 0:
                    raise Ended("crash")
                return
            n_said += len(chunk)
            buffer += chunk
            if b"\n" in chunk:
                *lines, rest = buffer.split(b"\n")
                buffer = bytearray(rest)
                yield from (_object(bytes(line)) for line in lines)
                deadline = time.monotonic() + wall_s
        if n_said > ANSWER_BYTES:
            raise Ended("output")
        now = time.monotonic()
        if now > deadline:
            raise Ended("time")
        if now - watched > WATCH_S:
            watched = now
            if _memory(process.pid) > MEMORY_BYTES:
                raise Ended("memory")


def _feed(selector: selectors.BaseSelector, sink: int, left: memoryview) -> memoryview:
    """Write what the pipe takes; what has closed its end wants no more."""
    try:
        left = left[os.write(sink, left[: 1 << 16]) :]
    except BrokenPipeError:
        left = left[:0]
    if not left:
        selector.unregister(sink)
    return left


def _object(line: bytes) -> dict[str, Any]:
    """What is said from inside is hostile too."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Ended("crash") from error
    if not isinstance(said, dict):
        raise Ended("crash")
    return said


def note(said: dict[str, Any]) -> str:
    """What the inside adds to its answer, short, and as text that any file takes."""
    return str(said.get("note", ""))[:200].encode("utf-8", "replace").decode()


def _memory(pid: int) -> int:
    """Bytes that a process and all its descendants hold in memory, its /tmp left out, which is bounded anyway."""
    import psutil

    total = 0
    try:
        for process in psutil.Process(pid).children(recursive=True):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        return 0
    return total


def _command() -> list[str]:
    """The command line up to Python's own arguments."""
    executable = Path(os.path.realpath(sys.executable))
    home, name = executable.parent.parent, executable.name
    root = os.geteuid() == 0
    user = str(FIRST_USER + next(_users) % 10**8)
    unshare = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    return [
        "bwrap", *unshare, *([] if root else ["--unshare-user"]), "--die-with-parent", "--new-session", "--clearenv",
        "--ro-bind", "/usr", "/usr", *_system_folders(),
        "--ro-bind", str(home), "/python", "--ro-bind", sysconfig.get_paths()["purelib"], "/site",
        "--proc", "/proc", "--dev", "/dev", "--size", str(FILES_BYTES), "--perms", "1777", "--tmpfs", "/tmp",
        "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--hostname", "sandbox",
        "--cap-drop", "ALL",
        *(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"] if root else []),
        "/usr/bin/setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all",
        *(["--reuid", user, "--regid", user, "--clear-groups"] if root else []),
        f"/python/bin/{name}",
    ]  # fmt: skip


def _system_folders() -> list[str]:
    """/lib and the like: links into /usr on today's systems, folders on older ones."""
    arguments: list[str] = []
    for name in ("bin", "lib", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    return arguments
