"""What a run made of the hardware: rate, share of positions that were no padding, model FLOPs utilisation, memory.

    {"tokens_per_second": 9100.0, "useful_token_share": 0.96, "mfu": None, "peak_memory_gb": 2.1,
     "tokens_per_step": 2214.0, "documents_per_step": 16.0}

MFU counts what the model needs, not what was computed: 6 FLOPs a weight and token (2 forward, 4 backward; frozen
weights get no gradient, so 4), without the lookup of embeddings, and for causal attention 6 x layers x width x length^2
a row. Padding and recomputed activations do not count for it.
"""

import math
import resource
from collections.abc import Sequence
from typing import Any

from distill.training import processes

# Dense bf16, by the start of what CUDA calls the device; from NVIDIA's data sheets. The longer name comes first.
PEAK_FLOPS = {
    "NVIDIA B200": 2250e12,
    "NVIDIA H200": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100": 989e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L40S": 362e12,
}


def measure(watch: Any, flops_per_token: float, device: str) -> dict[str, float | None]:
    """The figures of a run, of all processes together but for memory; every process takes part."""
    counts = processes.gather((watch.tokens, watch.positions, watch.documents))
    tokens, positions, documents = (sum(column) for column in zip(*counts, strict=True))
    rate, steps = tokens / watch.seconds, max(watch.steps, 1)
    return {
        "tokens_per_second": rate,
        "useful_token_share": tokens / max(positions, 1),
        "mfu": utilisation(rate / len(counts) * flops_per_token, device_name(device)),
        "peak_memory_gb": peak_memory_gb(device),
        "tokens_per_step": tokens / steps,
        "documents_per_step": documents / steps,
    }


def utilisation(flops_per_second: float, name: str | None) -> float | None:
    """The share of a device's peak, None for a device whose peak is not in the table."""
    peak = next((flops for start, flops in PEAK_FLOPS.items() if (name or "").startswith(start)), None)
    return None if peak is None else flops_per_second / peak


def flops_per_token(model: Any, lengths: Sequence[int]) -> float:
    """What training needs per token, on average over rows of these lengths. Ask before weights are sharded."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    squares = sum(length**2 for length in lengths) / sum(lengths)
    return float(weight_flops(model) + 6 * config.num_hidden_layers * width * squares)


def weight_flops(model: Any) -> int:
    """FLOPs per token in matrix products with weights. An embedding that is the head too is used as one once."""
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    used = [weight for weight in model.parameters() if weight is not embedding or embedding is head]
    return sum((6 if weight.requires_grad else 4) * _count(weight) for weight in used)


def _count(weight: Any) -> int:
    """How many weights there are in a tensor; one of 4 bits holds two a byte, and knows its shape."""
    state = getattr(weight, "quant_state", None)
    return int(weight.numel()) if state is None else math.prod(state.shape)


def device_name(device: str) -> str | None:
    """What CUDA calls the device, None on the CPU."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else None


def peak_memory_gb(device: str) -> float:
    """The most memory this process had: on the GPU what PyTorch allocated, else the process's own."""
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # ru_maxrss is in KiB on Linux
