"""What this machine computes on, and in which precision it is fast."""

import os
import shutil

MULTIPLY_BF16 = {"amx_bf16", "avx512_bf16", "bf16"}  # instructions of x86 processors, and of ARM's


def has_gpu() -> bool:
    """Whether vLLM will serve on a GPU."""
    return shutil.which("nvidia-smi") is not None and os.environ.get("CUDA_VISIBLE_DEVICES") != ""


def cpu_multiplies_bf16() -> bool:
    """Whether the processor has instructions for bf16; without them it is emulated, four times slower than fp32."""
    import torch

    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in MULTIPLY_BF16)
