"""What ships is served as it was trained: the model in memory, its folder read back, and vLLM on that folder.

Both architectures' tiny models, full and LoRA, through the server that evaluates them; SmolLM2 where it is here.
"""

import json
import urllib.request
from pathlib import Path

import pytest
from trained import Student, prepare, prepare_on

from distill import layout, models
from distill.dataset.examples import Example, read_examples
from distill.generation.endpoint import Endpoint, Serving
from distill.generation.server import serve
from distill.settings import ServerSettings
from distill.training.merge import log_probabilities

pytestmark = [pytest.mark.serving, pytest.mark.training, pytest.mark.timeout(400)]
SMOLLM = Path(__file__).parents[2] / "data" / "models" / "smollm2-135m-instruct"
ROUNDING = 2.0  # how many times bf16's own error of transformers the server may be off


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("architecture", ["qwen2", "qwen3", "llama"])
def test_a_tiny_student_is_served_as_it_was_trained(workspace: Path, architecture: str, method: str) -> None:
    require_parity(prepare(architecture, method))


def test_smollm_is_served_as_it_was_trained(workspace: Path) -> None:
    if not (SMOLLM / "config.json").exists():
        pytest.skip(f"{SMOLLM} is not here; `make models` makes it")
    require_parity(prepare_on(SMOLLM, "lora", learning_rate=1e-3, epochs=1))


def require_parity(student: Student) -> None:
    """Train, ship, serve, and compare the log-probabilities of a row's trained tokens, in nats."""
    import torch
    from transformers import AutoModelForCausalLM

    trained = student.train()
    parity = student.ship(trained)["parity"]
    assert 0 < parity["mean_nats"] < 0.1
    folder = layout.STUDENTS / "tiny"
    example = next(read_examples(layout.TOKENIZED / "tiny"))
    whole, shipped, rounded = (
        log_probabilities(model, example)
        for model in (
            trained.model,  # in fp32 since it shipped
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16),
        )
    )
    served = torch.tensor(served_log_probabilities(folder, example))
    gaps, noise = (served - shipped).abs(), (rounded - shipped).abs()
    print(f"\nnats: served {gaps.mean():.4f}, bf16 {noise.mean():.4f}, merged {(shipped - whole).abs().mean():.4f}")
    assert gaps.max() < ROUNDING * noise.max() + 0.1
    assert gaps.mean() < ROUNDING * noise.mean() + 0.01


def served_log_probabilities(folder: Path, example: Example) -> list[float]:
    serving = Serving("bfloat16", 1024, ServerSettings(max_num_seqs=4))
    with serve(models.resolve_folder("tiny", str(folder)), serving) as (_, endpoint):
        found = prompt_log_probabilities(endpoint, example.input_ids)
    return found[example.n_prompt - 1 :]


def prompt_log_probabilities(endpoint: Endpoint, ids: list[int]) -> list[float]:
    """Log-probability of every token after the first."""
    body = {"model": endpoint.model, "prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
    request = urllib.request.Request(
        f"{endpoint.url}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        positions = json.load(reply)["choices"][0]["prompt_logprobs"]
    return [position[str(token)]["logprob"] for position, token in zip(positions[1:], ids[1:], strict=True)]
