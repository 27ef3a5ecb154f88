r"""Whole weights in the type that ships, and the proof that they are the model that was trained.

Rounding to the nearest bf16 value takes back every update smaller than half a step, and those of an adapter are: after
three steps of LoRA on SmolLM2 the loss was 1.954 before, 1.582 trained, 1.635 merged to the nearest, and 1.582 with
stochastic rounding, which is right on average. So that is how weights are rounded, here alone and once. Weights that
ship in fp32 are not rounded at all.

The log-probabilities of the folder as it is on disk are then compared with those of the model in memory, both computed
in fp32: what is measured is what rounding the weights cost, not the noise of bf16 arithmetic. `shift_nats` is the mean
with its sign, so a loss of what was learnt shows as less than zero.

    {"mean_nats": 0.0068, "shift_nats": -0.0003, "max_nats": 0.07, "tokens": 464}
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.dataset.examples import Example
from distill.errors import DataError
from distill.models import ModelRevision
from distill.students import StudentSettings
from distill.training.device import roomiest

PARITY_ROWS = 4
PARITY_TOKENS = 1024  # of a reply: the logits of a whole long chain would not fit beside two models
ROUNDING_SEED = 0  # the same weights give the same bytes
LIMIT_NATS = 0.15  # per token, on average; rounding gave 0.013 (tiny-qwen, full) and 0.048 (SmolLM2, LoRA)


def write_weights(model: Any, settings: StudentSettings, base: ModelRevision, folder: Path) -> None:
    """Write whole weights, and for LoRA `adapter/`. Merging is in fp32, so that rounding happens once, if at all."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if settings.method == "lora":
        _write_adapter(model, base, folder / "adapter")
        plain = AutoModelForCausalLM.from_pretrained(str(base.path), dtype=torch.float32)
        model = PeftModel.from_pretrained(plain, str(folder / "adapter")).merge_and_unload()
    rounded = _in_bf16(model.state_dict()) if settings.ship_dtype == "bfloat16" else None
    model.save_pretrained(folder, state_dict=rounded)


def round_stochastically(weight: Any, generator: Any) -> Any:
    """An fp32 tensor in bf16: each value becomes one of its two neighbours, the nearer the likelier.

    The mean is kept, and values that bf16 holds stay what they are (Zamirai et al. 2020, arXiv 2010.06192).
    """
    import torch

    noise = torch.randint(0, 1 << 16, weight.shape, generator=generator, dtype=torch.int32)
    bits = weight.contiguous().view(torch.int32) + noise  # bf16 is the upper half of fp32: noise decides the carry
    return (bits & -(1 << 16)).view(torch.float32).to(torch.bfloat16)


def _in_bf16(weights: dict[str, Any]) -> dict[str, Any]:
    """Every tensor in bf16. Names that share a tensor still do: apart, a tied embedding would be written twice."""
    import torch

    generator = torch.Generator().manual_seed(ROUNDING_SEED)
    rounded: dict[int, Any] = {}
    for value in weights.values():
        if value.data_ptr() not in rounded:
            rounded[value.data_ptr()] = round_stochastically(value.detach().cpu().float(), generator)
    return {name: rounded[value.data_ptr()] for name, value in weights.items()}


def _write_adapter(model: Any, base: ModelRevision, folder: Path) -> None:
    """Write the adapter alone. It names its base as params do: peft would name the folder that was read here."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's own card, empty but for its headings
    path = folder / "adapter_config.json"
    settings = json.loads(path.read_text()) | {"base_model_name_or_path": base.model}
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def measure_parity(model: Any, folder: Path, examples: Sequence[Example]) -> dict[str, float]:
    """Mean and largest difference in the log-probability of trained tokens, in nats: in memory against on disk.

    The model in memory is turned to fp32 for it and left on the CPU, so that a GPU holds one of the two at a time.
    """
    import torch
    from transformers import AutoModelForCausalLM

    n_bytes = 4 * model.num_parameters()
    trained = all_log_probabilities(model.to(roomiest(n_bytes)).float(), examples)
    model.to("cpu")
    shipped: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return compare(all_log_probabilities(shipped.to(roomiest(n_bytes)), examples), trained)


def compare(found: Any, expected: Any) -> dict[str, float]:
    """How far log-probabilities are from others of the same tokens."""
    gaps = found - expected
    return {
        "mean_nats": float(gaps.abs().mean()),
        "shift_nats": float(gaps.mean()),
        "max_nats": float(gaps.abs().max()),
        "tokens": int(gaps.numel()),
    }


def require_parity(student: str, settings: StudentSettings, parity: dict[str, float], partial: Path) -> None:
    """Raise `DataError` when the artefact is not the model that was trained."""
    if parity["mean_nats"] <= LIMIT_NATS:
        return
    kept = ", or serve the adapter beside its base: adapter/ is" if settings.method == "lora" else "; the weights are"
    cure = f"set students.{student}.ship_dtype: float32 and run again, which trains nothing anew"
    raise DataError(
        f"the checkpoint of {student} differs from the trained model by {parity['mean_nats']:.3f} nats per token, more "
        f"than {LIMIT_NATS}: {settings.ship_dtype} lost what training changed; {cure}{kept} in {partial}"
    )


def all_log_probabilities(model: Any, examples: Sequence[Example]) -> Any:
    """Those of several rows end to end, on the CPU: (tokens,).

    The model is left with PyTorch's own attention, since flash attention computes nothing in fp32.
    """
    import torch

    model.set_attn_implementation("sdpa")
    return torch.cat([log_probabilities(model, example) for example in examples]).cpu()


def log_probabilities(model: Any, example: Example) -> Any:
    """The log-probabilities of the first `PARITY_TOKENS` trained tokens of a row, in the model's own precision."""
    import torch

    kept = example.input_ids[: example.n_prompt + PARITY_TOKENS]
    ids = torch.tensor([kept], device=model.device)  # (1, seq)
    model.eval()
    with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
        n = len(kept) - example.n_prompt
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=n + 1).logits[0, :-1].float()  # (n, vocabulary)
    return logits.log_softmax(-1).gather(1, ids[0, -n:, None])[:, 0]  # (n,)
