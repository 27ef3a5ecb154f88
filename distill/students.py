"""A student's block of `params.yaml`: its base, and how it is fine-tuned.

students:
  qwen_15b: {base: Qwen/Qwen2.5-1.5B, method: lora, lora: {rank: 16, alpha: 32}, max_length: 8192}
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from distill.settings import Fraction, Positive, Settings

TEMPLATES = Path("pipelines/templates")

NOT_SERVED = {  # keys of PEFT that vLLM refuses in an adapter, and what to do without them
    "modules_to_save": "is refused by vLLM in an adapter; remove it, or train everything with method: full",
    "use_dora": "is refused by vLLM; remove it, plain LoRA of a higher rank is served",
}
UNTRAINED = ("lm_head", "embed_tokens")  # TRL scores by lm_head's own weights: an adapter there never trains


class LoraSettings(Settings):
    """LoRA on all linear layers (Schulman et al., "LoRA Without Regret": attention alone falls short)."""

    rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16  # the ranks vLLM serves
    alpha: Positive = 32
    dropout: Fraction = 0.0
    target_modules: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
    quantize: Literal["nf4"] | None = None  # QLoRA, on GPUs

    @model_validator(mode="before")
    @classmethod
    def adapter_can_be_served(cls, block: Any) -> Any:
        """Name what a server would refuse after the training."""
        for name in NOT_SERVED.keys() & set(block if isinstance(block, dict) else ()):
            raise ValueError(f"{name} {NOT_SERVED[name]}")
        return block

    @field_validator("target_modules")
    @classmethod
    def targets_are_trained(cls, targets: Any) -> Any:
        """An adapter on the head or the embedding would be shipped untrained."""
        if found := [name for name in UNTRAINED if name in targets]:
            raise ValueError(
                f"{found[0]} gets no adapter that trains and is served; use all-linear, which leaves it out"
            )
        return targets


class RopeSettings(Settings):
    """A context other than the base's, in training and in the config that ships.

    OpenR1-Distill-7B took Qwen2.5-Math-7B from 4,096 tokens to 32,768 with a theta of 300,000.
    """

    max_position_embeddings: Positive
    theta: Annotated[float, Field(gt=0.0)] | None = None


class StudentSettings(Settings):
    """One student: its base and how it is fine-tuned.

    What is left out of learning_rate, epochs, batch_size and warmup_ratio comes from the preset, see
    `distill.training.presets`.
    """

    base: str
    revision: str | None = None
    method: Literal["full", "lora"]
    lora: LoraSettings | None = None
    preset: Literal["auto", "micro", "small", "medium", "large"] = "auto"
    learning_rate: Annotated[float, Field(gt=0.0)] | None = None
    epochs: Positive | None = None
    batch_size: Positive | None = None  # rows of a step, packed or not
    max_length: Positive = 1024
    max_rows: Positive | None = None
    warmup_ratio: Fraction | None = None
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    packing: Literal["auto", "bfd", "none"] = "auto"
    gradient_checkpointing: bool | Literal["selective"] = False
    rope: RopeSettings | None = None
    ship_dtype: Literal["bfloat16", "float32"] = "bfloat16"
    chat_template: str | None = None  # a .jinja for bases whose own is missing, or cannot be trained on
    max_left_out: Fraction = 1.0  # the share of rows that tokenize may leave out; more is an error

    @field_validator("chat_template")
    @classmethod
    def template_is_watched(cls, path: str | None) -> str | None:
        """DVC watches one folder of templates; an edit elsewhere would re-run nothing."""
        if path is not None and (Path(path).parent != TEMPLATES or Path(path).suffix != ".jinja"):
            raise ValueError(f"it must be a .jinja in {TEMPLATES}, which DVC watches, got {path!r}")
        return path

    @model_validator(mode="after")
    def method_agrees_with_lora(self) -> "StudentSettings":
        """A full fine-tuning has no rank; a LoRA one needs its block."""
        if self.method == "full" and self.lora is not None:
            raise ValueError("method is full but a lora block is given; remove lora or set method: lora")
        if self.method == "lora" and self.lora is None:
            raise ValueError("method is lora but the lora block is missing; add lora: {rank: 16, alpha: 32}")
        return self
