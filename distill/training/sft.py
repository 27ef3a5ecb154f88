"""Supervised fine-tuning with TRL on rows whose ids and labels are made and proven already.

TRL takes `input_ids` and `labels` as they are, so no template, mask or cut of its own comes into play. `full` trains
fp32 weights under bf16 autocast: of pure bf16 weights most cannot move at small learning rates, since an update below
1/256 of a weight is lost. `lora` trains fp32 adapters on all linear layers of a bf16 base.

An interrupted run goes on from its last whole checkpoint, see `resume`.
"""

import math
import os
import resource
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from distill import layout
from distill.config import StudentSettings
from distill.models import ModelRevision
from distill.progress import track
from distill.records import content_id
from distill.training.device import Placement, place
from distill.training.processes import sharding, whole_model
from distill.training.rows import LengthBatches, load_rows

FINAL_LEARNING_RATE = 0.1  # of the peak
DECIDING = ("torch", "transformers", "trl", "peft")  # libraries in whose other versions a run does not go on


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model in memory (a PEFT model for LoRA), where its checkpoints lie, and what was measured."""

    model: Any
    work: Path
    metrics: dict[str, Any]


def train(
    student: str, settings: StudentSettings, base: ModelRevision, tokenized: Path, audit: dict[str, Any], seed: int
) -> Trained:
    """Fine-tune a base on the rows of `tokenized`, whose proof is `audit`.

    The checkpoints stay until `finish`, so that an interruption before the student is written costs little. Raises
    `DataError` at a loss that is no number.
    """
    placement = place(settings, audit["longest"])
    from distill.training.watch import Watch, thin

    _quiet()
    work = layout.state_dir() / "checkpoints" / run_id(settings, base, audit, seed)
    rows = load_rows(tokenized, work / "rows")
    n_steps = settings.epochs * -(-len(rows) // settings.batch_size)
    with track(f"train {student}", n_steps, "steps") as progress:
        watch = Watch(progress, student, settings.learning_rate)
        model, seconds = _run(settings, base, rows, placement, work, watch, seed)
    return Trained(
        model,
        work,
        {
            "rows": len(rows),
            "epochs": settings.epochs,
            "steps": n_steps,
            "tokens": audit["tokens"] * settings.epochs,
            "trained_tokens": audit["trained_tokens"] * settings.epochs,
            "seconds": seconds,
            "tokens_per_second": watch.tokens_per_second,
            "loss": thin(watch.loss),
            "seed": seed,
            "device": placement.device,
            "precision": "bf16 autocast, fp32 trained weights",
            "batching": f"rows of like length, padded; {placement.micro_batch} x {placement.accumulation} at a time",
            "peak_memory_gb": _peak_memory_gb(placement.device),
        },
    )


def describe(metrics: dict[str, Any]) -> str:
    """A run as one line: `1,020 rows x 4 epochs, 256 steps, loss 2.41 -> 0.62, 9,100 tokens/s`."""
    loss = f"loss {metrics['loss'][0][1]:.2f} -> {metrics['loss'][-1][1]:.2f}"
    run = f"{metrics['rows']:,} rows x {metrics['epochs']} epochs, {metrics['steps']:,} steps"
    return f"{run}, {loss}, {metrics['tokens_per_second']:,.0f} tokens/s"


def finish(trained: Trained) -> None:
    """Remove the checkpoints of a run whose student is written."""
    shutil.rmtree(trained.work, ignore_errors=True)


def run_id(settings: StudentSettings, base: ModelRevision, audit: dict[str, Any], seed: int) -> str:
    """A name for all that decides a run: settings but for placement, weights, rows, seed, libraries."""
    versions = {name: version(name) for name in DECIDING}
    return content_id("train", settings.model_dump(), base.revision, audit["files"], seed, versions, *sharding())


def _run(
    settings: StudentSettings, base: ModelRevision, rows: Any, placement: Placement, work: Path, watch: Any, seed: int
) -> tuple[Any, float]:
    """Train, and return the model with the seconds that took."""
    from transformers import AutoTokenizer, PrinterCallback, set_seed

    from distill.training.resume import Keeper, last_checkpoint
    from distill.training.trainer import LengthTrainer

    set_seed(seed)
    trainer = LengthTrainer(
        args=arguments(settings, placement, work, watch.progress.total, seed),  # first: it joins the other processes
        model=load_base(base, settings),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(base.path),
        peft_config=_lora(settings),
        callbacks=[watch, Keeper()],
    )
    trainer.sampler = LengthBatches(list(rows["n_tokens"]), settings.batch_size, seed)
    trainer.count_tokens = watch.count
    trainer.remove_callback(PrinterCallback)
    started = time.monotonic()
    with trainer.args.main_process_first(local=False):
        checkpoint = last_checkpoint(work)
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.monotonic() - started
    return whole_model(trainer, lambda: _adapted(load_base(base, settings), settings)), seconds


def load_base(base: ModelRevision, settings: StudentSettings) -> Any:
    """The base's weights: fp32 for a full run, bf16 under LoRA."""
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch.float32 if settings.method == "full" else torch.bfloat16
    return AutoModelForCausalLM.from_pretrained(str(base.path), dtype=dtype)


def _adapted(model: Any, settings: StudentSettings) -> Any:
    """A base as the trainer starts with it."""
    if settings.lora is None:
        return model
    from peft import get_peft_model

    return get_peft_model(model, _lora(settings))


def arguments(settings: StudentSettings, placement: Placement, work: Path, n_steps: int, seed: int) -> Any:
    """TRL's arguments. All that would change the rows (cut, pack, mask) or leave the machine is switched off."""
    from trl.trainer.sft_config import SFTConfig

    on_cpu = placement.device == "cpu"
    return SFTConfig(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=placement.micro_batch,
        gradient_accumulation_steps=placement.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": FINAL_LEARNING_RATE},
        warmup_steps=math.ceil(settings.warmup_ratio * n_steps),
        weight_decay=settings.weight_decay,
        optim="adamw_torch_fused",
        gradient_checkpointing=settings.gradient_checkpointing,
        bf16=True,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        max_length=None,  # the default of 1024 cuts in silence
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_steps=1,
        logging_nan_inf_filter=False,  # the default hides losses that are no number
        save_strategy="steps",
        save_steps=10**9,  # by time, see resume.Keeper
        save_total_limit=2,
        disable_tqdm=True,
        report_to="none",
        push_to_hub=False,
        seed=seed,
        data_seed=seed,
    )


def _lora(settings: StudentSettings) -> Any:
    """LoRA on all linear layers, or None for a full run."""
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


def _peak_memory_gb(device: str) -> float:
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # ru_maxrss is in KiB on Linux


def _quiet() -> None:
    """Libraries talk to the log, not to the terminal, and to nobody outside."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets
    from transformers.utils import logging

    logging.disable_default_handler()
    logging.enable_propagation()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
