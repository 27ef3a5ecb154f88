"""Memory of a run with very many samples to ask for: 1,000,000 of them, 125,000 problems with 8 each.

    python benchmarks/pending.py

The run starts against a server that answers, is stopped after a minute, and says how much memory it took.
"""

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from client import wait_for

from distill.errors import Incomplete
from distill.generation import view
from distill.generation.endpoint import Serving
from distill.generation.sampler import sample_problems
from distill.models import ModelRevision
from distill.records import Problem, problem_id
from distill.settings import GenerateSettings, ServerSettings

PROBLEMS, SAMPLES, SECONDS = 125_000, 8, 60


def rss_mb() -> float:
    """The most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Start, stop, print."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "server.py", "--port", str(port), "--delay", "1"]
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/v1/models")
        os.environ |= {"DISTILL_TEACHER_URL": f"http://127.0.0.1:{port}", "DISTILL_CONCURRENCY": "512"}
        problems = [_problem(f"What is {i} + {i}?") for i in range(PROBLEMS)]
        before = rss_mb()
        threading.Thread(target=_stop_later, daemon=True).start()
        settings, serving = (
            GenerateSettings(samples=SAMPLES, max_tokens=16384),
            Serving("auto", 32768, ServerSettings()),
        )
        with tempfile.TemporaryDirectory() as state:
            os.environ["DVC_ROOT"] = state
            try:
                sample_problems(problems, ModelRevision("teacher", "teacher", None, "r1"), settings, serving, 17)
            except Incomplete:
                (status,) = view.read_all()
        print(f"{PROBLEMS * SAMPLES:,} samples pending; {status.done:,} answers of 30 kB landed in {SECONDS} s")
        print(f"{before:,.0f} MB before, {rss_mb():,.0f} MB at most")
    finally:
        server.kill()


def _stop_later() -> None:
    time.sleep(SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _problem(prompt: str) -> Problem:
    identity = problem_id(prompt, "19", "math")
    return Problem(id=identity, source="s", domain="math", prompt=prompt, answer="19", verifier="math")


if __name__ == "__main__":
    main()
