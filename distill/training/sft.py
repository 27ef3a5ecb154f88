"""Supervised fine-tuning with TRL on rows whose ids and labels are made and proven already.

TRL takes `input_ids` and `labels` as they are, so no template, mask or cut of its own comes into play. `full` trains
fp32 weights under bf16 autocast: of pure bf16 weights most cannot move at small learning rates, since an update below
1/256 of a weight is lost. `lora` trains fp32 adapters on all linear layers of a bf16 base, or of one in 4 bits, see
`quantized`. A CPU that has no instructions for bf16 computes all of it in fp32, see `device`.

What params leave out is resolved by `presets`, how rows are dealt by `device`; both are printed before the first step.
An interrupted run goes on from its last whole checkpoint, see `resume`.
"""

import math
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from distill import layout
from distill.dataset.examples import read_examples
from distill.errors import DataError
from distill.models import ModelRevision
from distill.progress import track
from distill.records import content_id
from distill.students import StudentSettings
from distill.training import figures, merge, preflight, presets, quantized
from distill.training.architecture import model_config
from distill.training.device import Batching, Placement, place, plan
from distill.training.presets import Recipe
from distill.training.processes import is_main, sharding, whole_model
from distill.training.rows import load_rows

FINAL_LEARNING_RATE = 0.1  # of the peak
UNDECIDING = {"ship_dtype", "max_left_out", "chat_template"}  # settings that change no step
DECIDING = ("torch", "transformers", "trl", "peft")  # libraries in whose other versions a run does not go on


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model in memory (a PEFT model for LoRA), where its checkpoints lie, and what was measured."""

    model: Any
    work: Path
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """All that is settled before the first step."""

    student: str
    settings: StudentSettings
    base: ModelRevision
    recipe: Recipe
    placement: Placement
    batching: Batching
    rows: Any
    work: Path
    seed: int

    @property
    def n_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.recipe.epochs * -(-len(self.rows) // self.recipe.batch_size)


def train(
    student: str, settings: StudentSettings, base: ModelRevision, tokenized: Path, audit: dict[str, Any], seed: int
) -> Trained:
    """Fine-tune a base on the rows of `tokenized`, whose proof is `audit`.

    The checkpoints stay until `finish`, so that an interruption before the student is written costs little. Raises
    `DataError` where rows, proof and base do not belong together, and at a loss that is no number or diverges.
    """
    preflight.check(student, settings, base, tokenized, audit)
    run = _settle(student, settings, base, tokenized, audit, seed)
    if is_main():
        print(f"train {student}  {run.recipe.describe()}; {run.batching.describe()}", file=sys.stderr, flush=True)
    from distill.training.watch import Watch, thin

    with track(f"train {student}", run.n_steps, "steps") as progress:
        watch = Watch(progress, student, run.recipe.learning_rate)
        model, seconds, flops = _run(run, watch)
    model, apart = _unquantized(run, model, tokenized)
    return Trained(
        model,
        run.work,
        {
            "rows": len(run.rows),
            "epochs": run.recipe.epochs,
            "steps": run.n_steps,
            "tokens": audit["tokens"] * run.recipe.epochs,
            "trained_tokens": audit["trained_tokens"] * run.recipe.epochs,
            "seconds": seconds,
            **figures.measure(watch, flops, run.placement.device),
            "loss": thin(watch.loss),
            "seed": seed,
            "recipe": asdict(run.recipe),
            "device": figures.device_name(run.placement.device) or run.placement.device,
            "processes": run.placement.n_processes,
            "attention": run.placement.attention,
            "precision": "bf16 autocast, fp32 trained weights" if run.placement.bf16 else "fp32",
            "quantized": apart,
            "batching": run.batching.describe(),
        },
    )


def _settle(
    student: str, settings: StudentSettings, base: ModelRevision, tokenized: Path, audit: dict[str, Any], seed: int
) -> Run:
    recipe = presets.resolve(settings, base, audit["rows"])
    placement = place()
    quantized.require(student, settings, placement)
    _quiet()
    work = layout.state_dir() / "checkpoints" / run_id(settings, recipe, base, audit, seed)
    preflight.check_disk(student, settings, base, work)
    rows = load_rows(tokenized, work / "rows")
    batching = plan(list(rows["n_tokens"]), settings, recipe, placement, seed)
    return Run(student, settings, base, recipe, placement, batching, rows, work, seed)


def describe(metrics: dict[str, Any]) -> str:
    """A run as one line: `1,020 rows x 4 epochs, 256 steps, loss 2.41 -> 0.62, 9,100 tokens/s`."""
    loss = f"loss {metrics['loss'][0][1]:.2f} -> {metrics['loss'][-1][1]:.2f}"
    times = f"{metrics['epochs']} epoch" + "s" * (metrics["epochs"] > 1)
    run = f"{metrics['rows']:,} rows x {times}, {metrics['steps']:,} steps"
    useful = f"{100 * metrics['useful_token_share']:.0f} % of positions useful"
    return f"{run}, {loss}, {metrics['tokens_per_second']:,.0f} tokens/s, {useful}"


def finish(trained: Trained) -> None:
    """Remove the checkpoints of a run whose student is written."""
    shutil.rmtree(trained.work, ignore_errors=True)


def run_id(settings: StudentSettings, recipe: Recipe, base: ModelRevision, audit: dict[str, Any], seed: int) -> str:
    """A name for all that decides a run: settings but for what ships, weights, rows, seed, libraries."""
    versions = {name: version(name) for name in DECIDING}
    decided = [settings.model_dump(exclude=UNDECIDING), asdict(recipe), base.revision, audit["files"], seed]
    return content_id("train", *decided, versions, *sharding())


def _run(run: Run, watch: Any) -> tuple[Any, float, float]:
    """Train, and return the model, the seconds that took, and the FLOPs that a token needs."""
    from transformers import AutoTokenizer, PrinterCallback, set_seed

    from distill.training.resume import Keeper, last_checkpoint
    from distill.training.trainer import OrderedTrainer

    set_seed(run.seed)
    trainer = OrderedTrainer(
        args=arguments(run),  # first: it joins the other processes of a launch
        model=load_base(run.base, run.settings, run.placement, quantized.wanted(run.settings)),
        train_dataset=run.rows,
        processing_class=AutoTokenizer.from_pretrained(run.base.path),
        peft_config=_lora(run.settings),
        callbacks=[watch, Keeper()],
    )
    adapted: Any = trainer.model
    for weight in adapted.parameters():
        if weight.requires_grad:  # TRL puts the adapters of a quantised base into bf16
            weight.data = weight.data.float()
    trainer.follow(run.batching)
    trainer.count = watch.count
    trainer.remove_callback(PrinterCallback)
    flops = figures.flops_per_token(adapted, run.rows["n_tokens"])
    with trainer.args.main_process_first(local=False):
        checkpoint = last_checkpoint(run.work)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.monotonic() - started
    whole = whole_model(trainer, lambda: _untrained(run))
    # Accelerate's wrapper would go on computing in bf16, and what is compared later is compared in fp32.
    return trainer.accelerator.unwrap_model(whole, keep_fp32_wrapper=False), seconds, flops


def _unquantized(run: Run, model: Any, tokenized: Path) -> tuple[Any, dict[str, float] | None]:
    """The trained model on its base as it is published, and how far the quantised base was from it, if it was."""
    if not quantized.wanted(run.settings) or not is_main():
        return model, None
    whole = _untrained(run)
    return whole, quantized.restore(model, whole, list(islice(read_examples(tokenized), merge.PARITY_ROWS)))


def load_base(base: ModelRevision, settings: StudentSettings, placement: Placement, in_4_bits: bool = False) -> Any:
    """The base's weights, those that are trained in fp32, frozen ones in bf16 where that is multiplied fast.

    Raises `DataError` where some are missing.
    """
    import torch
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        str(base.path),
        config=model_config(base, settings),
        dtype=torch.bfloat16 if settings.method == "lora" and placement.bf16 else torch.float32,
        attn_implementation=placement.attention,
        quantization_config=quantized.config() if in_4_bits else None,
        output_loading_info=True,
    )
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise DataError(
            f"{base.model} lacks {len(missing)} weights that its config.json names, {missing[0]} the first; "
            "they would be random: fetch the model again"
        )
    return model


def _untrained(run: Run) -> Any:
    """The model as the trainer starts with it, on the base as it is published."""
    return _adapted(load_base(run.base, run.settings, run.placement), run.settings)


def _adapted(model: Any, settings: StudentSettings) -> Any:
    """A base as the trainer starts with it."""
    if settings.lora is None:
        return model
    from peft import get_peft_model

    return get_peft_model(model, _lora(settings))


def arguments(run: Run) -> Any:
    """TRL's arguments. All that would change the rows (cut, pack, mask) or leave the machine is switched off."""
    from trl.trainer.sft_config import SFTConfig

    on_cpu = run.placement.device == "cpu"
    checkpointing = run.settings.gradient_checkpointing
    chosen = SFTConfig(
        output_dir=str(run.work),
        num_train_epochs=run.recipe.epochs,
        per_device_train_batch_size=run.batching.micro_batch,
        gradient_accumulation_steps=run.batching.accumulation,
        learning_rate=run.recipe.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": FINAL_LEARNING_RATE},
        warmup_steps=math.ceil(run.recipe.warmup_ratio * run.n_steps),
        weight_decay=run.settings.weight_decay,
        optim="adamw_torch_fused",
        gradient_checkpointing=bool(checkpointing),
        gradient_checkpointing_kwargs={"selective": True} if checkpointing == "selective" else None,
        bf16=run.placement.bf16,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        max_length=None,  # the default of 1024 cuts in silence
        packing=False,  # TRL's cuts what overflows; see packing.Packs
        padding_free=run.batching.packed,
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_steps=1,
        logging_nan_inf_filter=False,  # the default hides losses that are no number
        save_strategy="steps",
        save_steps=10**9,  # by time, see resume.Keeper
        save_total_limit=preflight.KEPT,
        disable_tqdm=True,
        report_to="none",
        push_to_hub=False,
        seed=run.seed,
        data_seed=run.seed,
    )
    if not run.placement.bf16:
        chosen.mixed_precision = "no"  # or the launcher's config decides
    return chosen


def _lora(settings: StudentSettings) -> Any:
    """LoRA on all linear layers, or None for a full run."""
    if settings.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora.rank,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=settings.lora.target_modules,
        task_type="CAUSAL_LM",
    )


def _quiet() -> None:
    """Libraries talk to the log, not to the terminal, and to nobody outside."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets
    from transformers.utils import logging

    logging.disable_default_handler()
    logging.enable_propagation()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
