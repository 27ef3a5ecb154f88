"""vLLM and transformers agree on every model that is served, to bf16 noise.

An architecture that vLLM computes wrongly looks healthy: the server starts and answers. Log-probabilities of a fixed
text tell the two apart, since a wrong rotary kernel is off by whole nats from the second position on.
"""

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distill.embedded import chains
from distill.prompting import is_prefilled, render_messages, render_prompt, render_student_turn

MODELS = Path(__file__).parents[2] / "data" / "models"
START_TIMEOUT_S = 240.0
ROUNDING = 2.0  # how many times bf16's own error of transformers the server may be off


@pytest.mark.serving
@pytest.mark.timeout(START_TIMEOUT_S + 60)
@pytest.mark.parametrize("name", ["tiny-r1", "tiny-qwen", "smollm2-135m-instruct"])
def test_server_computes_what_transformers_computes(name: str, tmp_path: Path) -> None:
    folder = MODELS / name
    if not (folder / "config.json").exists():
        pytest.skip(f"{folder} is not here; `make models` makes it")
    from transformers import AutoTokenizer

    ids = worked_example(AutoTokenizer.from_pretrained(folder))
    expected, exact = transformers_logprobs(folder, ids, "bfloat16"), transformers_logprobs(folder, ids, "float32")
    with server(folder, tmp_path / "server.log") as url:
        served = server_logprobs(url, ids)
    gaps, noise = distances(expected, served), distances(expected, exact)
    assert max(gaps) < ROUNDING * max(noise) + 0.1  # nats
    assert sum(gaps) < ROUNDING * sum(noise) + 0.01 * len(ids)


def distances(some: list[float], others: list[float]) -> list[float]:
    return [abs(a - b) for a, b in zip(some, others, strict=True)]


def worked_example(tokens: object) -> list[int]:
    """Prompt and worked chain of one hard problem: long enough that positions matter."""
    import reasoning_gym

    item = reasoning_gym.create_dataset("products", seed=7, size=1, **chains.HARD["products"])[0]
    example, _ = chains.write_chain("products", item["question"], item["metadata"], random.Random(0))
    prompt = render_prompt(tokens, render_messages(item["question"]))
    turn = render_student_turn(example.reasoning, example.response)
    text = prompt + (turn.removeprefix("<think>\n") if is_prefilled(prompt) else turn)
    return list(tokens(text, add_special_tokens=False).input_ids)  # type: ignore[operator]


def transformers_logprobs(folder: Path, ids: list[int], dtype: str) -> list[float]:
    """Log-probability of every token after the first."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    row = torch.tensor([ids])  # (1, seq)
    with torch.inference_mode():
        scores = model(row).logits.float().log_softmax(-1)  # (1, seq, vocabulary)
    return scores[0, :-1].gather(1, row[0, 1:, None])[:, 0].tolist()


def server_logprobs(url: str, ids: list[int]) -> list[float]:
    body = {"model": "model", "prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        positions = json.load(reply)["choices"][0]["prompt_logprobs"]
    return [position[str(token)]["logprob"] for position, token in zip(positions[1:], ids[1:], strict=True)]


@contextmanager
def server(folder: Path, log: Path) -> Iterator[str]:
    """A vLLM server of a folder, for as long as the block runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--served-model-name", "model", "--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "2048"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    settings = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=settings, stdout=stream, stderr=stream)
    try:
        wait_until_ready(process, f"http://127.0.0.1:{port}", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the server ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"the server is not ready after {START_TIMEOUT_S:.0f} s:\n{log.read_text()[-2000:]}")
