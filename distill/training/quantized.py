"""QLoRA: a base in 4 bits while its adapter is trained, which makes room for a larger one (lora.quantize: nf4).

    weights of 7B: 14 GB in bf16, about 4 GB in NF4

As in the paper (Dettmers et al. 2023, arXiv 2305.14314): NormalFloat of 4 bits, whose constants are quantised too, and
arithmetic in bf16. What ships is the adapter on the base as it is published, not on its quantised copy: that is what a
server loads, and what the proof of `merge` compares with. How far the two are apart is measured beside it:

    {"mean_nats": 0.02, "shift_nats": 0.001, "max_nats": 0.3, "tokens": 464}
"""

import importlib.util
from collections.abc import Sequence
from typing import Any

from distill.dataset.examples import Example
from distill.errors import ConfigError
from distill.students import StudentSettings
from distill.training import merge
from distill.training.device import Placement, roomiest
from distill.training.processes import sharding


def wanted(settings: StudentSettings) -> bool:
    """Whether a student's base is quantised while it trains."""
    return settings.lora is not None and settings.lora.quantize is not None


def require(student: str, settings: StudentSettings, placement: Placement) -> None:
    """Raise `ConfigError` where a quantised base cannot be trained on."""
    key = f"students.{student}.lora.quantize"
    if not wanted(settings):
        return
    if placement.device != "cuda":
        raise ConfigError(f"{key} needs a CUDA GPU and there is none; remove it, which trains on the base in bf16")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(f"{key} needs bitsandbytes, which is not installed: pip install bitsandbytes, or remove it")
    if sharding():
        raise ConfigError(f"{key} keeps a whole base on every GPU; launch with ddp.yaml, or remove it")


def config() -> Any:
    """NF4 with double quantisation, computing in bf16."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def restore(trained: Any, whole: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Put a trained adapter on the `whole` base, in place. Returns how far it is from the quantised one, on rows."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    set_peft_model_state_dict(whole, get_peft_model_state_dict(trained))
    expected = merge.all_log_probabilities(trained, examples)
    whole.to(roomiest(whole.get_memory_footprint()))
    return merge.compare(merge.all_log_probabilities(whole, examples), expected)
