"""Supervised fine-tuning with TRL on rows whose ids and labels are already made and proven.

TRL takes `input_ids` and `labels` as they are, so no template, mask or cut of its own comes into play. `full` trains fp32 weights under
bf16 autocast (pure bf16 weights cannot move at small learning rates: an update below 1/256 of a weight is lost), `lora` trains
fp32 adapters on all linear layers of a bf16 base. Rows of like length share a batch.

A run that is interrupted goes on from its last whole checkpoint in `.distill/checkpoints/<hash of all that decides it>/`.
"""

import logging
import math
import resource
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill import layout
from distill.config import StudentSettings
from distill.dataset.tokenize import Example, load_tokenizer
from distill.models import ModelRevision
from distill.progress import track
from distill.records import content_id

N_CHECKPOINTS = 4  # over a run, so that an interruption costs a quarter of it at most
FINAL_LEARNING_RATE = 0.1  # of the peak, as in R1's distillation
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model in memory (a PEFT model for LoRA), its tokenizer, and what was measured."""

    model: Any
    tokenizer: Any
    metrics: dict[str, Any]


def train(
    student: str, settings: StudentSettings, base: ModelRevision, examples: Sequence[Example], seed: int
) -> Trained:
    """Fine-tune a base on examples. Raises `DataError` when the loss stops being a number."""
    from transformers import PrinterCallback
    from trl import SFTTrainer

    from distill.training.watch import Watch

    _hush()
    work = layout.state_dir() / "checkpoints" / run_id(settings, base, examples, seed)
    n_steps = settings.epochs * math.ceil(len(examples) / settings.batch_size)
    tokens_per_step = sum(example.n_tokens for example in examples) * settings.epochs / n_steps
    tokenizer = load_tokenizer(base)
    started = time.monotonic()
    with track(f"train {student}", n_steps, "steps") as progress:
        watch = Watch(progress, tokens_per_step)
        trainer = SFTTrainer(
            model=_load(base, settings),
            args=_arguments(settings, work, n_steps, seed),
            train_dataset=_dataset(examples),
            processing_class=tokenizer,
            peft_config=_lora(settings),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=last_checkpoint(work))
    seconds = time.monotonic() - started
    shutil.rmtree(work, ignore_errors=True)
    metrics = {
        "rows": len(examples),
        "steps": n_steps,
        "tokens": int(tokens_per_step * n_steps),
        "seconds": seconds,
        "tokens_per_second": (n_steps - watch.first_step) * tokens_per_step / (time.monotonic() - watch.started),
        "loss": watch.loss,
        "batching": "padded, rows of like length together",
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    return Trained(trainer.model, tokenizer, metrics)


def run_id(settings: StudentSettings, base: ModelRevision, examples: Sequence[Example], seed: int) -> str:
    """A name for everything that decides a run: settings without placement, the base's weights, every row, the seed."""
    rows = content_id([(example.id, example.input_ids, example.labels) for example in examples])
    return content_id("train", settings.model_dump(exclude={"server"}), base.revision, rows, seed)


def last_checkpoint(work: Path) -> str | None:
    """The newest whole checkpoint of a run; one that a kill left half-written is passed over."""
    found = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((str(path) for path in found if is_whole(path)), None)


def is_whole(checkpoint: Path) -> bool:
    """Whether every file that a resume reads is there and can be read."""
    import json
    import zipfile

    from safetensors import SafetensorError, safe_open

    weights = list(checkpoint.glob("*.safetensors"))
    needed = [checkpoint / name for name in ("optimizer.pt", "scheduler.pt", "trainer_state.json")]
    if not weights or not all(path.exists() for path in needed):
        return False
    try:
        json.loads(needed[-1].read_text())
        for path in weights:
            with safe_open(path, framework="pt"):
                pass
    except (ValueError, SafetensorError, OSError):
        return False
    return all(zipfile.is_zipfile(path) for path in needed[:2])


def _load(base: ModelRevision, settings: StudentSettings) -> Any:
    """The base: fp32 master weights for a full run, bf16 under LoRA."""
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch.float32 if settings.method == "full" else torch.bfloat16
    return AutoModelForCausalLM.from_pretrained(base.path, dtype=dtype)


def _lora(settings: StudentSettings) -> Any:
    """LoRA's configuration, or None for a full run."""
    if settings.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora.rank,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _arguments(settings: StudentSettings, work: Path, n_steps: int, seed: int) -> Any:
    """TRL's arguments. What TRL would do to the rows (cut, pack, mask) is switched off; so is everything that leaves the machine."""
    import torch
    from trl import SFTConfig

    gpu = torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": FINAL_LEARNING_RATE},
        warmup_steps=math.ceil(settings.warmup_ratio * n_steps),
        weight_decay=settings.weight_decay,
        gradient_checkpointing=settings.gradient_checkpointing,
        bf16=True,
        use_cpu=not gpu,
        max_length=None,
        packing=False,
        train_sampling_strategy="group_by_length",
        length_column_name="n_tokens",
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=True,
        dataloader_pin_memory=gpu,
        logging_steps=max(1, n_steps // 50),
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=max(1, math.ceil(n_steps / N_CHECKPOINTS)),
        save_total_limit=2,
        disable_tqdm=True,
        report_to="none",
        push_to_hub=False,
        seed=seed,
        data_seed=seed,
    )


def _dataset(examples: Sequence[Example]) -> Any:
    from datasets import Dataset

    names = ("input_ids", "labels", "n_tokens")
    return Dataset.from_list([{name: getattr(example, name) for name in names} for example in examples])


def _hush() -> None:
    """Libraries talk to the log, not to the terminal."""
    import datasets
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
