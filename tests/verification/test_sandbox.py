import os
import secrets
import shutil
import socket
import sys
import sysconfig
import time
from pathlib import Path

import psutil
import pytest
from hostile_programs import HOSTILE, HOSTILE_CALLS

from distill.records import Method, Outcome
from distill.verification import code, sandbox
from distill.verification.code import Submission
from distill.verification.findings import Finding

needs_sandbox = pytest.mark.skipif(sandbox.why_unavailable() is not None, reason=f"no sandbox: {sandbox.CURE}")

ADD = code.Tests(["1\n", "41\n"], ["2\n", "42\n"])
CALL = code.Tests([[[3, 1, 2], 1]], [[1, 2, 3]], "f")
RIGHT = {
    "print": ("print(int(input()) + 1)", ADD),
    "thread": (
        "import threading, time\ndef main():\n    time.sleep(0.2)\n    print(int(input()) + 1)\n"
        "threading.stack_size(2**27)\nthreading.Thread(target=main).start()",
        ADD,
    ),
    "at exit": ("import atexit, sys\natexit.register(lambda: print(int(sys.stdin.readline()) + 1))", ADD),
    "open file": ("out = open(1, 'w')\nout.write(str(int(open(0).read()) + 1))", ADD),
    "device": ("print(int(open('/dev/stdin').read()) + 1, file=open('/dev/stdout', 'w'))", ADD),
    "exit": ("import sys\nprint(int(input()) + 1)\nsys.exit(0)", ADD),
    "main": ("if __name__ == '__main__':\n    print(int(input()) + 1)", ADD),
    "child": ("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'read x; echo $((x + 1))'], check=True)", ADD),
    "recursion": ("def f(n): return n and f(n - 1) + 1\nprint(f(40_000) - 40_000 + int(input()) + 1)", ADD),
    "libraries": ("import heapq, decimal, fractions, random, re, bisect, numbers\nprint(int(input()) + 1)", ADD),
    "own files": ("open('x', 'w').write(input())\nprint(int(open('x').read()) + 1)", ADD),
    "function": ("def f(values, by): return sorted(values, key=lambda v: by * v)", CALL),
    "method": (
        "class Solution:\n    def f(self, values: List[int], by: int) -> List[int]: return sorted(values)",
        CALL,
    ),
    "tuple": ("def f(values, by): return tuple(sorted(values))", CALL),
    "talkative": ("def f(values, by):\n    print(values, by)\n    return sorted(values)", CALL),
}


class Host:
    """What hostile programs are to leave alone, and what they found of it."""

    def __init__(self, folder: Path) -> None:
        self.secret = f"secret-{secrets.token_hex(16)}"
        self.mark = f"left-{secrets.token_hex(8)}"
        self.canary = folder / "canary.txt"
        self.canary.write_text(self.secret)
        unix, abstract = str(folder / "socket"), f"distill-{secrets.token_hex(8)}"
        self.sockets = [
            socket.create_server(("127.0.0.1", 0)),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            socket.socket(socket.AF_UNIX),
            socket.socket(socket.AF_UNIX),
        ]
        tcp, udp, named, nameless = self.sockets
        udp.bind(("127.0.0.1", 0))
        named.bind(unix)
        nameless.bind(f"\0{abstract}")
        for one in (named, nameless):
            one.listen()
        self.names = {
            "CANARY": self.canary,
            "MARK": self.mark,
            "CWD": Path.cwd(),
            "HOME": Path.home(),
            "PID": os.getpid(),
            "PORT": tcp.getsockname()[1],
            "UDP": udp.getsockname()[1],
            "SOCKET": unix,
            "ABSTRACT": abstract,
        }
        self.before = sandboxed()
        self.findings: dict[str, Finding] = {}

    def program(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    def heard(self) -> list[object]:
        heard: list[object] = []
        for one in self.sockets:
            one.setblocking(False)
            try:
                heard.append(one.recvfrom(100) if one.type == socket.SOCK_DGRAM else one.accept())
            except BlockingIOError:
                continue
        return heard


def sandboxed() -> set[psutil.Process]:
    found = set()
    for process in psutil.process_iter():
        try:
            if process.uids().real >= sandbox.FIRST_USER or process.name() == "bwrap":
                found.add(process)
        except psutil.NoSuchProcess:
            continue
    return found


def judge_all(submissions: list[Submission]) -> list[Finding]:
    found = {index: finding for index, finding, *_ in code.run(submissions)}
    return [found[index] for index in range(len(submissions))]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory):
    host = Host(tmp_path_factory.mktemp("host"))
    printed, returned = code.Tests(["1\n"], [host.secret]), code.Tests([[1]], [host.secret], "f")
    wanted = [
        *((f"right: {name}", Submission(program, tests, 2)) for name, (program, tests) in RIGHT.items()),
        *((name, Submission(host.program(program), printed, 1)) for name, program in HOSTILE.items()),
        *((f"call: {name}", Submission(host.program(program), returned, 1)) for name, program in HOSTILE_CALLS.items()),
    ]
    wanted.sort(key=lambda item: item[0][::-1])  # so that the right ones run among the others
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code, "WALL_S", 1.0)
        patch.setattr(code, "WALL_PER_CPU", 2.0)
        patch.setenv("DISTILL_CANARY", host.secret)
        findings = judge_all([submission for _, submission in wanted])
    host.findings = {name: finding for (name, _), finding in zip(wanted, findings, strict=True)}
    yield host
    for one in host.sockets:
        one.close()


@needs_sandbox
@pytest.mark.parametrize("name", [*HOSTILE, *(f"call: {name}" for name in HOSTILE_CALLS)])
def test_a_hostile_program_is_not_right(host: Host, name: str):
    finding = host.findings[name]
    assert finding.outcome in (Outcome.INCORRECT, Outcome.TIMEOUT, Outcome.LIMIT, Outcome.CRASH), finding
    assert finding.method is Method.EXECUTION
    assert "ESCAPED" not in finding.evidence, finding
    assert finding.evidence.startswith("passed 0 of 1 tests, then ")
    finding.evidence.encode()  # text that a file takes


@needs_sandbox
@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("guess", Outcome.INCORRECT),
        ("close standard output", Outcome.INCORRECT),
        ("a fifo for the output", Outcome.INCORRECT),
        ("an endless link for the output", Outcome.INCORRECT),
        ("read the host's files", Outcome.INCORRECT),
        ("kill everything", Outcome.CRASH),
        ("kill the supervisor", Outcome.CRASH),
        ("one block", Outcome.LIMIT),
        ("many blocks", Outcome.LIMIT),
        ("hold the interpreter", Outcome.TIMEOUT),
        ("loop and ignore signals", Outcome.TIMEOUT),
        ("sleep", Outcome.TIMEOUT),
        ("stop itself", Outcome.TIMEOUT),
        ("flood of output", Outcome.LIMIT),
        ("flood of errors", Outcome.INCORRECT),
        ("call: never", Outcome.TIMEOUT),
        ("call: json that is nested deeply", Outcome.INCORRECT),
    ],
)
def test_outcomes_by_kind(host: Host, name: str, outcome: Outcome):
    assert host.findings[name].outcome is outcome, host.findings[name]


@needs_sandbox
def test_children_that_hold_memory_are_ended(host: Host):
    """By the memory they hold, or by the clock where the machine is too busy to give them any."""
    assert host.findings["children that hold memory"].outcome in (Outcome.LIMIT, Outcome.TIMEOUT)


@needs_sandbox
@pytest.mark.parametrize("name", RIGHT)
def test_right_programs_pass_beside_hostile_ones(host: Host, name: str):
    n = len(RIGHT[name][1].inputs)
    finding = Finding(Outcome.CORRECT, Method.EXECUTION, f"passed {n} of {n} tests")
    assert host.findings[f"right: {name}"] == finding


@needs_sandbox
def test_nothing_is_left_on_the_host(host: Host):
    left, deadline = sandboxed() - host.before, time.monotonic() + 20
    while left and time.monotonic() < deadline:
        left &= sandboxed()
        time.sleep(0.1)
    assert not left
    folders = [Path.cwd(), Path.home(), *map(Path, ("/", "/tmp", "/var/tmp", "/dev/shm", "/usr", "/usr/bin"))]
    folders += [Path(sys.base_prefix), Path(sys.base_prefix, "lib"), Path(sysconfig.get_paths()["purelib"])]
    assert [folder for folder in folders if os.path.lexists(folder / host.mark)] == []
    assert host.canary.read_text() == host.secret


@needs_sandbox
def test_nobody_called(host: Host):
    assert host.findings
    assert host.heard() == []


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "outcome", "evidence"),
    [
        ("print(int(input()) + 1)", Outcome.CORRECT, "passed 3 of 3 tests"),
        ("print(2)", Outcome.INCORRECT, "passed 1 of 3 tests, then a wrong output"),
        ("print(int(input()) + 2)", Outcome.INCORRECT, "passed 0 of 3 tests, then a wrong output"),
        (
            "n = int(input())\nassert n < 3, 'too many'\nprint(n + 1)",
            Outcome.INCORRECT,
            "passed 2 of 3 tests, then an error: AssertionError: too many",
        ),
        ("import sys\nsys.exit(3)", Outcome.INCORRECT, "passed 0 of 3 tests, then an error: no message"),
        (
            "n = int(input())\nprint(n + 1)\nwhile n == 2: pass",
            Outcome.TIMEOUT,
            "passed 1 of 3 tests, then over its limit of time",
        ),
        (
            "n = int(input())\nprint(n + 1)\nx = bytearray(2**34) if n == 3 else 0",
            Outcome.LIMIT,
            "passed 2 of 3 tests, then over its limit of memory",
        ),
        (
            "n = int(input())\nprint(n + 1 if n < 3 else 'x' * 2**25)",
            Outcome.LIMIT,
            "passed 2 of 3 tests, then over its limit of output",
        ),
        (
            "import os\nn = int(input())\nprint(n + 1)\nif n == 2: os.kill(os.getppid(), 9)",
            Outcome.CRASH,
            "passed 1 of 3 tests, then the sandbox ended",
        ),
    ],
)
def test_evidence_says_how_far_it_came(program: str, outcome: Outcome, evidence: str):
    tests = code.Tests(["1\n", "2\n", "3\n"], ["2", "3", "4"])
    assert judge_all([Submission(program, tests, 1)]) == [Finding(outcome, Method.EXECUTION, evidence)]


@needs_sandbox
def test_nothing_runs_on_from_one_test_to_the_next():
    program = (
        "import os, time\nif input() == 'start':\n    pid = os.fork()\n    if pid == 0:\n        os.setsid()\n"
        "        while True: time.sleep(1)\n    open('pid', 'w').write(str(pid))\n    print('started')\nelse:\n"
        "    try:\n        os.kill(int(open('pid').read()), 0)\n        print('alive')\n"
        "    except ProcessLookupError:\n        print('gone')"
    )
    [finding] = judge_all([Submission(program, code.Tests(["start\n", "look\n"], ["started", "gone"]), 2)])
    assert finding.outcome is Outcome.CORRECT, finding


@needs_sandbox
def test_a_stopped_supervisor_costs_one_test_not_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(code, "WALL_S", 1.0)
    monkeypatch.setattr(code, "WALL_PER_CPU", 1.0)
    program = "import os, signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(100)"
    started = time.monotonic()
    finding = code.judge(Submission(program, code.Tests(["1\n"] * 8, ["1"] * 8), 1))
    assert finding.outcome is Outcome.TIMEOUT
    assert time.monotonic() - started < 8


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({}, Outcome.INCORRECT),
        ({"status": None}, Outcome.INCORRECT),
        ({"status": []}, Outcome.INCORRECT),
        ({"status": {"time": 1}}, Outcome.INCORRECT),
        ({"status": "correct", "output": "x"}, Outcome.INCORRECT),
        ({"status": "ok"}, Outcome.INCORRECT),
        ({"status": "ok", "output": ["1"]}, Outcome.INCORRECT),
        ({"status": "ok", "output": "1\ud800"}, Outcome.INCORRECT),
        ({"status": "error", "note": "\ud800\0"}, Outcome.INCORRECT),
        ({"status": "error", "note": {"a": [1] * 10**5}}, Outcome.INCORRECT),
        ({"status": "memory", "note": 1}, Outcome.LIMIT),
        ({"status": "ok", "output": "1"}, Outcome.CORRECT),
    ],
)
def test_what_is_said_from_inside_may_be_anything(monkeypatch: pytest.MonkeyPatch, said: dict, outcome: Outcome):
    monkeypatch.setattr(sandbox, "run", lambda *_: iter([said]))
    finding = code.judge(Submission("", code.Tests([""], ["1"]), 1))
    assert finding.outcome is outcome
    assert len(finding.evidence.encode()) < 500


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", "crash"),
        ("kill -9 $$", "crash"),
        ("echo", "crash"),
        ("echo '[]'", "crash"),
        ("echo 'not JSON'", "crash"),
        ('echo \'{"status": "ok"\'', "crash"),
        (r"printf '\377\376\n'", "crash"),
        (f"echo '{'[' * 50_000}'", "crash"),
        (f"echo '{'9' * 50_000}'", "crash"),
        ("sleep 100", "time"),
        ("yes '' | tr '\\n' x | head -c 100000000; sleep 100", "output"),
    ],
)
def test_a_sandbox_that_says_nonsense_is_ended(monkeypatch: pytest.MonkeyPatch, script: str, reason: str):
    monkeypatch.setattr(sandbox, "_command", lambda: ["sh", "-c", script])
    with pytest.raises(sandbox.Ended) as end:
        list(sandbox.run("programs", {}, 3.0))
    assert end.value.reason == reason


def test_the_environment_stays_outside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DISTILL_CANARY", "secret")
    monkeypatch.setattr(sandbox, "_command", lambda: ["sh", "-c", 'printf \'{"it": "%s"}\\n\' "$DISTILL_CANARY"'])
    assert list(sandbox.run("programs", {}, 5.0)) == [{"it": ""}]


def test_without_a_sandbox_nothing_is_run(monkeypatch: pytest.MonkeyPatch):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, *rest: None if name == "bwrap" else which(name, *rest))
    sandbox.why_unavailable.cache_clear()
    try:
        findings = judge_all([Submission("print(2)", ADD, 1)] * 2)
        assert sandbox.why_unavailable() == "bwrap not found"
    finally:
        sandbox.why_unavailable.cache_clear()
    assert {finding.outcome for finding in findings} == {Outcome.UNAVAILABLE}
    assert findings[0].evidence == f"no sandbox: bwrap not found; {sandbox.CURE}"
