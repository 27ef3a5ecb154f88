"""A server of our own: how it is started, what is said when it does not start, and how a run survives its deaths.

The quick tests put a small HTTP server where vLLM would be; the tests marked `serving` run the real one.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from fakes import make_problem, make_problems

from distill import models
from distill.errors import ServerError
from distill.generation import server, upstream
from distill.generation.cache import RequestCache
from distill.generation.endpoint import Serving
from distill.generation.sampler import Sampled, sample_problems
from distill.generation.server import Server
from distill.models import ModelRevision
from distill.settings import GenerateSettings, RepetitionSettings, SamplingSettings, ServerSettings

SERVING = Serving("bfloat16", 1024, ServerSettings(max_num_seqs=8))
FAKES = Path(__file__).parents[1] / "fakes.py"
SUMS = [  # of the kind that tiny-r1 can do
    make_problem(f"State the final answer to the following arithmetic problem: {i} + {j} =", str(i + j))
    for i in range(11, 91, 4)
    for j in range(13, 93, 8)
]


@pytest.fixture
def model(tmp_path: Path) -> ModelRevision:
    """A folder that looks like a model to everything but vLLM."""
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')
    return ModelRevision("teacher", "models/small", str(tmp_path), "sha256:0")


def alive() -> set[psutil.Process]:
    """The processes below this one; earlier tests have left pools and their helpers there."""
    return {p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE}


@pytest.fixture
def none_left() -> Iterator[None]:
    """No process that a test has started outlives it."""
    before = alive()
    yield
    assert not alive() - before


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_command_line(model: ModelRevision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "has_gpu", lambda: False)
    command = Server(model, SERVING)._command(8000, seed=5)
    assert option(command, "--max-model-len") == "512"  # the model's own, which is smaller
    assert option(command, "--served-model-name") == "teacher"
    assert option(command, "--host") == "127.0.0.1"
    assert option(command, "--seed") == "5"
    assert "--enforce-eager" in command
    assert "--gpu-memory-utilization" not in command
    monkeypatch.setattr(server, "has_gpu", lambda: True)
    assert option(Server(model, SERVING)._command(8000, seed=5), "--gpu-memory-utilization") == "0.9"


@pytest.mark.parametrize(
    ("dtype", "gpu", "bf16", "computed"),
    [
        ("bfloat16", False, True, "bfloat16"),
        ("bfloat16", False, False, "float32"),  # which a processor without bf16 multiplies faster
        ("bfloat16", True, False, "bfloat16"),
        ("auto", False, False, "auto"),
    ],
)
def test_weights_are_multiplied_in_what_the_machine_has(
    model: ModelRevision, monkeypatch: pytest.MonkeyPatch, dtype: str, gpu: bool, bf16: bool, computed: str
) -> None:
    monkeypatch.setattr(server, "has_gpu", lambda: gpu)
    monkeypatch.setattr(server, "cpu_multiplies_bf16", lambda: bf16)
    command = Server(model, replace(SERVING, dtype=dtype))._command(8000, seed=5)
    assert option(command, "--dtype") == computed
    assert server._engine(dtype).endswith(f" {computed}")


def test_the_hub_is_off_and_byte_code_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    environment = server._environment(SERVING)
    assert environment["HF_HUB_OFFLINE"] == environment["VLLM_NO_USAGE_STATS"] == "1"
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "7"
    assert "PYTHONDONTWRITEBYTECODE" not in environment


DEATHS = [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "out of memory; lower"),
    ("OSError: [Errno 98] Address already in use", "its port is taken"),
    (
        "ValueError: no such architecture\nRuntimeError: Engine core initialization failed. See root",
        "no such architect",
    ),
    ("(APIServer pid=7) ValueError: Free memory is less than desired", "Free memory is less than desired"),
    (
        "ValidationError: 1 validation error for ModelConfig\n  Value error, no such thing [type=value_error]",
        ": no such",
    ),
    ("usage: api_server.py [-h]\napi_server.py: error: unrecognized arguments: --x", "unrecognized arguments: --x"),
    ("", "it ended without a word"),
]


@pytest.mark.parametrize(("said", "shown"), DEATHS)
def test_a_start_that_fails_is_one_sentence(
    said: str, shown: str, model: ModelRevision, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"import sys; sys.stderr.write({said!r} + chr(10)); sys.exit(1)"
    monkeypatch.setattr(Server, "_command", lambda *_: [sys.executable, "-c", script])
    with pytest.raises(ServerError, match=shown) as caught:
        Server(model, SERVING).start()
    assert "models/small" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def mortal(none_left: None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In place of vLLM a server that dies after so many answers, one number per start; the last one stays."""
    monkeypatch.delenv("DISTILL_TEACHER_URL", raising=False)
    monkeypatch.setattr(upstream, "FIRST_BACKOFF_S", 0.01)
    lives: list[int] = []
    monkeypatch.setattr(
        Server, "_command", lambda _, port, seed: [sys.executable, str(FAKES), str(port), str(lives.pop(0))]
    )
    monkeypatch.setattr("distill.generation.request.load_tokenizer", lambda _: None)
    monkeypatch.setenv("PYTHONPATH", str(FAKES.parents[1]))
    return lives


def ask(model: ModelRevision, n_problems: int) -> Sampled:
    sampling = SamplingSettings(samples=1, max_tokens=64)
    return sample_problems(make_problems(n_problems), model, sampling, SERVING, 17)


def test_a_server_that_dies_is_started_again(mortal: list[int], model: ModelRevision) -> None:
    mortal += [7, 0, 9, 1000]
    sampled = ask(model, 30)
    assert len(sampled.traces) == sampled.stats.sampled == 30
    assert sampled.stats.restarts == 3
    assert not mortal


def test_a_server_that_dies_again_and_again_is_an_error_and_what_landed_is_kept(
    mortal: list[int], model: ModelRevision
) -> None:
    mortal += [25, 0, 0, 0, 0, 0]
    with pytest.raises(ServerError, match=r"died 6 times serving models/small; see .*server-teacher\.log"):
        ask(model, 30)
    mortal += [1000]
    again = ask(model, 30)
    assert again.stats.from_cache > 0
    assert len(again.traces) == 30


def test_nothing_is_started_when_everything_is_there(mortal: list[int], model: ModelRevision) -> None:
    mortal += [1000]
    first = ask(model, 5)
    assert ask(model, 5).traces == first.traces  # a second start would find the list of lives empty


def test_a_server_that_hangs_is_started_again(
    model: ModelRevision, mortal: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is healthy and takes requests, and neither answers nor writes a token."""
    monkeypatch.setattr(upstream, "HUNG_S", 0.5)
    monkeypatch.setattr(upstream, "WATCH_S", 0.1)
    monkeypatch.setattr("distill.generation.dispatch.REPLY_TIMEOUT_S", 60.0)
    ends = [["6", "hang"], ["1000"]]
    monkeypatch.setattr(Server, "_command", lambda _, port, seed: [sys.executable, str(FAKES), str(port), *ends.pop(0)])
    sampled = ask(model, 20)
    assert len(sampled.traces) == 20
    assert sampled.stats.restarts == 1


def test_a_fresh_server_draws_by_another_seed(
    model: ModelRevision, mortal: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests carry no seed on the CPU: with one engine seed, more samples of the same problems would be the same."""
    seeds = []

    def command(_: Server, port: int, seed: int) -> list[str]:
        seeds.append(seed)
        return [sys.executable, str(FAKES), str(port), "4" if len(seeds) == 1 else "1000"]

    monkeypatch.setattr(Server, "_command", command)
    ask(model, 8)
    ask(model, 16)
    assert len(seeds) == len(set(seeds)) == 3


# ------------------------------------------------------------------ the real vLLM


def kill_when(n_landed: int, key: str, cmdline: str, killed: list[int]) -> threading.Thread:
    """Kill -9 the process of our tree whose command line holds `cmdline`, once so many answers have landed."""

    def watch() -> None:
        while not killed:
            lines = [
                line for path in RequestCache(key).folder.glob("*.jsonl") for line in path.read_bytes().splitlines()
            ]
            if len(lines) >= n_landed:
                for process in psutil.Process().children(recursive=True):
                    line = " ".join(process.cmdline())
                    if cmdline in line and "distill.generation.guard" not in line:
                        os.kill(process.pid, signal.SIGKILL)
                        killed.append(process.pid)
            time.sleep(0.1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


PARSE = """
import sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
make_arg_parser(FlexibleArgumentParser()).parse_args(sys.argv[1:])
"""


@pytest.mark.serving
def test_vllm_knows_every_option(model: ModelRevision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "has_gpu", lambda: True)  # which has all the options
    options = Server(model, SERVING)._command(8000, seed=5)[3:]
    subprocess.run([sys.executable, "-c", PARSE, *options], check=True, capture_output=True)


@pytest.mark.serving
def test_an_option_that_vllm_does_not_know_is_one_sentence(
    model: ModelRevision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parser refuses before any weight is read: an older vLLM than ours, say."""
    command = Server(model, SERVING)._command(8000, seed=5)
    monkeypatch.setattr(Server, "_command", lambda *_: [*command, "--no-such-option"])
    with pytest.raises(ServerError, match=r"could not serve models/small: .*unrecognized arguments: --no-such-option"):
        Server(model, SERVING).start()


@pytest.mark.serving
@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", ["vllm.entrypoints.openai.api_server", "VLLM::EngineCore"])
def test_vllm_killed_in_mid_run_loses_nothing(
    victim: str, root: Path, none_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = root / "data/models/tiny-r1"
    if not (folder / "config.json").exists():
        pytest.skip(f"{folder} is not here; `make models` makes it")
    monkeypatch.delenv("DISTILL_TEACHER_URL", raising=False)
    monkeypatch.delenv("DISTILL_CONCURRENCY")
    monkeypatch.setattr("distill.generation.dispatch.REPLY_TIMEOUT_S", 300.0)
    teacher = models.resolve_folder("teacher", str(folder))
    serving = Serving("bfloat16", 1024, ServerSettings(max_num_seqs=16))
    sampling = SamplingSettings(samples=2, max_tokens=160, temperature=0.8)
    from distill.generation.request import recipe

    killed: list[int] = []
    watcher = kill_when(20, recipe(teacher, sampling, "bfloat16", 17).key, victim, killed)
    sampled = sample_problems(make_problems(60), teacher, sampling, serving, 17)
    watcher.join(timeout=10)
    assert killed
    assert sampled.stats.restarts == 1
    assert len(sampled.traces) == sampled.stats.sampled == 120
    assert len({trace.text for trace in sampled.traces}) > 60


@pytest.mark.serving
@pytest.mark.timeout(300)
def test_vllm_names_what_is_wrong_with_a_model(model: ModelRevision) -> None:
    with pytest.raises(ServerError, match=r"vLLM could not serve models/small: .*model_type") as caught:
        Server(model, SERVING).start()
    assert "\n" not in str(caught.value)


@pytest.mark.serving
@pytest.mark.timeout(300)
def test_vllm_continues_as_if_it_had_not_been_cut(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At temperature 0 a trace that is cut twice and continued is the uninterrupted one, but for rounding."""
    monkeypatch.delenv("DISTILL_TEACHER_URL", raising=False)
    monkeypatch.delenv("DISTILL_CONCURRENCY")
    monkeypatch.setattr("distill.generation.dispatch.REPLY_TIMEOUT_S", 300.0)
    teacher = models.resolve_folder("teacher", str(root / "data/models/tiny-r1"))
    serving = Serving("bfloat16", 1024, ServerSettings(max_num_seqs=64))
    texts, spent = [], []
    for state, steps in (("whole", []), ("stepped", [20, 45])):
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / state))
        sampling = GenerateSettings(samples=1, temperature=0.0, top_p=1.0, max_tokens=300, budget_steps=steps)
        sampled = sample_problems(SUMS, teacher, sampling, serving, 17)
        texts.append({trace.problem_id: trace.text for trace in sampled.traces})
        spent.append((sampled.stats.completion_tokens, sum(trace.completion_tokens for trace in sampled.traces)))
    whole, stepped = texts
    n_equal = sum(whole[name] == stepped[name] for name in whole)
    assert len(whole) == len(stepped) == len(SUMS)
    assert n_equal >= 0.95 * len(whole), f"{len(whole) - n_equal} of {len(whole)} differ"
    assert all(paid == kept for paid, kept in spent), "tokens were counted twice"
    assert sampled.stats.continued > len(SUMS)


@pytest.mark.serving
@pytest.mark.timeout(300)
def test_vllm_ends_an_answer_that_loops(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rule as strict as this one, two equal tokens in a row are a loop."""
    monkeypatch.delenv("DISTILL_TEACHER_URL", raising=False)
    monkeypatch.setattr("distill.generation.dispatch.REPLY_TIMEOUT_S", 300.0)
    teacher = models.resolve_folder("teacher", str(root / "data/models/tiny-r1"))
    loops = RepetitionSettings(max_pattern=4, min_count=2)
    sampling = GenerateSettings(samples=1, temperature=0.0, top_p=1.0, max_tokens=300, repetition=loops)
    sampled = sample_problems(SUMS[:16], teacher, sampling, SERVING, 17)
    assert sampled.stats.finish_reasons["repetition"] > 0
    assert sum(sampled.stats.finish_reasons.values()) == len(sampled.traces) == 16
