"""Training speed on one GPU: a 1.5B-shaped Qwen2.5 with random weights, rows packed to 8,192 tokens.

    python benchmarks/gpu/train.py                    full and LoRA in bf16, then full in FP8 beside it
    python benchmarks/gpu/train.py --only full --steps 30

NOT MEASURED YET: it has run on no GPU, so no figure of it stands anywhere. The goal is an MFU of 40 % on one H100.

The model is made from numbers, so no hub is asked. Each run is a process of its own, whose memory is therefore its own.
Tokens a second are those of whole optimizer steps after the warm-up; MFU counts 6 FLOPs a weight and token (4 under
LoRA, whose frozen weights need no gradient), and causal attention, over the dense bf16 peak, also for FP8: how much
faster the same training is, is then the ratio of two MFUs. FP8 is torchao's, on linear layers but the head's.
"""

import argparse
import json
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

LENGTH = 8192  # tokens of a pack
ROW = 2048  # tokens of each row in it
RUNS = {"full": ("full", False), "lora": ("lora", False), "full-fp8": ("full", True)}
PEAK_TFLOPS = {"H100 PCIe": 756, "H100": 989, "H200": 989, "A100": 312, "L40S": 362, "4090": 165}  # dense, bf16
SHAPE: dict[str, Any] = {  # Qwen2.5-1.5B
    "vocab_size": 151_936, "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
    "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": True,
    "max_position_embeddings": 32_768, "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
}  # fmt: skip


def make_model(method: str, fp8: bool) -> Any:
    """fp32 weights for a full run, a bf16 base with fp32 adapters for LoRA; random either way."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    attention = "flash_attention_2" if find_spec("flash_attn") else "sdpa"
    dtype = torch.float32 if method == "full" else torch.bfloat16
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(Qwen2Config(**SHAPE), dtype=dtype, attn_implementation=attention)
    if method == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=64, lora_alpha=32, target_modules="all-linear"))
    if fp8:
        from torchao.float8 import convert_to_float8_training

        convert_to_float8_training(model, module_filter_fn=lambda module, name: "lm_head" not in name)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
    return model.train()


def make_pack() -> dict[str, Any]:
    """One pack of rows, kept apart by positions that start anew. Shapes (1, LENGTH)."""
    import torch

    ids = torch.randint(0, SHAPE["vocab_size"], (1, LENGTH), device="cuda")
    positions = torch.arange(ROW, device="cuda").repeat(LENGTH // ROW)[None]
    return {"input_ids": ids, "labels": ids, "position_ids": positions, "use_cache": False}


def measure(name: str, steps: int, warm_up: int) -> dict[str, Any]:
    """Steps of one pack each: seconds, tokens a second, MFU, the most memory held."""
    import torch

    method, fp8 = RUNS[name]
    model = make_model(method, fp8)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-5, fused=True)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            model(**make_pack()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(warm_up):
        step()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    rate = steps * LENGTH / (time.perf_counter() - started)
    peak = next((tflops for key, tflops in PEAK_TFLOPS.items() if key in torch.cuda.get_device_name()), None)
    return {
        "tokens_per_second": rate,
        "mfu": rate * flops_per_token(method) / (peak * 1e12) if peak else None,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
        "device": torch.cuda.get_device_name(),
        "attention": model.config._attn_implementation,
    }


def flops_per_token(method: str) -> float:
    """Forward and backward; what checkpointing computes anew is no useful work, so it is not counted."""
    hidden, layers = SHAPE["hidden_size"], SHAPE["num_hidden_layers"]
    keys = hidden * SHAPE["num_key_value_heads"] // SHAPE["num_attention_heads"]
    layer = 2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * SHAPE["intermediate_size"]
    weights = layers * layer + hidden * SHAPE["vocab_size"]
    attention = 6 * layers * hidden * ROW  # 12 over the whole square, of which causal attention needs half
    return (6 if method == "full" else 4) * weights + attention


def report(found: dict[str, dict[str, Any]]) -> None:
    """One line a run, and FP8 beside bf16."""
    for name, row in found.items():
        share = f"MFU {row['mfu']:.1%}" if row["mfu"] else "MFU unknown, since this device's peak is"
        speed = f"{row['tokens_per_second']:,.0f} tokens/s"
        print(f"{name:9} {speed}, {share}, {row['peak_gb']:.1f} GB at most; {row['attention']}, {row['device']}")
    if {"full", "full-fp8"} <= found.keys():
        ratio = found["full-fp8"]["tokens_per_second"] / found["full"]["tokens_per_second"]
        print(f"FP8 over bf16, full: {ratio:.2f} x")


def main() -> None:
    """Each run in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=RUNS)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs an NVIDIA GPU, and PyTorch sees none")
    if args.here:
        return print(json.dumps(measure(args.only, args.steps, args.warm_up)))
    names = [args.only] if args.only else list(RUNS)
    if not find_spec("torchao") and "full-fp8" in names:
        print("torchao is not installed, so FP8 is left out: pip install torchao")
        names.remove("full-fp8")
    found = {}
    for name in names:
        command = [sys.executable, __file__, "--here", "--only", name]
        command += ["--steps", str(args.steps), "--warm-up", str(args.warm_up)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    report(found)


if __name__ == "__main__":
    main()
