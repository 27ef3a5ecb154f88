"""Our train stage beside a plain TRL script: the same model, rows and steps, in the same run, on the CPU.

    python benchmarks/train.py               both parts below, about ten minutes on two cores
    python benchmarks/train.py overhead      rows of one length, so that both sides see the same batches: wall time
    python benchmarks/train.py batching      lengths spread as R1's chains are: useful tokens a second, and loss

`overhead` is all that the stage adds or saves: reading, loading, hashing the run, progress, checkpoints, its own loss.
`batching` sets the stage's order (rows of like length share a batch; on the CPU it never packs) against the random
batches that TRL pads by default. Both train on the same rows once, so after equal tokens; the loss is that on rows held
out. Long rows follow other rules than short ones, so that an order by length could do harm. Lengths are log-normal, as
R1's chains with their mean of 6,000 tokens and some over 20,000, at 1/32 (mean 190, at most 1,024). The model is
tiny-qwen's shape with random weights. Both sides are timed whole, from the base on disk to the trained model in memory.
"""

import argparse
import contextlib
import io
import math
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.dataset.examples import IGNORED, Example, write_examples
from distill.models import ModelRevision, resolve_folder
from distill.students import StudentSettings

SHAPE = Path("data/models/tiny-qwen")
MEAN, SIGMA, MOST = 190, 0.7, 1024  # tokens of a chain; sigma leaves 2 % over 20,000 / 32
PROMPT = 8
HELD_OUT = 64
Side = Callable[["Work", int], tuple[float, Any]]


@dataclass(frozen=True, slots=True)
class Seconds:
    """What a run took: by the clock, and of processors, which says more where a machine has other work too."""

    wall: float
    cpu: float


class Work:
    """A folder with a base of random weights, rows to train on and rows held out."""

    def __init__(self, folder: Path, lengths: list[int], seed: int) -> None:
        rng = random.Random(seed)
        self.folder, self.base = folder, make_base(folder / "base")
        self.settings = StudentSettings(base=str(folder / "base"), method="full", learning_rate=2e-3, batch_size=8)
        rows = [make_row(i, length, rng) for i, length in enumerate(lengths)]
        self.held_out = [make_row(-i, length, rng) for i, length in enumerate(draw_lengths(HELD_OUT, seed), 1)]
        self.rows = folder / "tokenized"
        shutil.rmtree(self.rows, ignore_errors=True)
        files = write_examples(self.rows, iter(rows))
        self.proof = {
            "rows": len(rows),
            "tokens": sum(row.n_tokens for row in rows),
            "trained_tokens": sum(row.n_tokens - row.n_prompt for row in rows),
            "longest": max(row.n_tokens for row in rows),
            "files": files,
            "base": self.base.revision,
        }


def make_base(folder: Path) -> ModelRevision:
    """tiny-qwen's shape and tokenizer, with weights that know nothing."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(SHAPE)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(SHAPE).save_pretrained(folder)
    return resolve_folder("bench_base", str(folder))


def draw_lengths(n: int, seed: int) -> list[int]:
    """Lengths of rows, log-normal with that mean."""
    rng, middle = random.Random(f"lengths {seed}"), math.log(MEAN) - SIGMA**2 / 2
    return [PROMPT + max(16, min(MOST - PROMPT, round(rng.lognormvariate(middle, SIGMA)))) for _ in range(n)]


def make_row(number: int, length: int, rng: random.Random) -> Example:
    """Tokens of which each has four likely successors; which four depends on whether the row is long."""
    step = 131 if length > MEAN else 71
    ids = [rng.randrange(3, 600)]
    while len(ids) < length - 1:
        ids.append(3 + (ids[-1] * step + rng.choice((0, 0, 0, 1, 2, 3)) * 97) % 597)
    ids.append(2)  # the end of the turn
    return Example(f"{number:020x}", "made", ids, [IGNORED] * PROMPT + ids[PROMPT:], PROMPT)


# ------------------------------------------------------------------ the two sides


def ours(work: Work, seed: int) -> tuple[float, Any]:
    """The stage, as pipelines/train.py calls it."""
    from distill.training import sft

    started = time.perf_counter()
    trained = sft.train("bench", work.settings, work.base, work.rows, work.proof, seed)
    seconds = time.perf_counter() - started
    sft.finish(trained)
    return seconds, trained.model


def plain(work: Work, seed: int) -> tuple[float, Any]:
    """A script of TRL's documentation with our settings; what we do not set has TRL's default, but for recomputing."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    chosen = work.settings
    started = time.perf_counter()
    rows = Dataset.from_parquet([str(path) for path in sorted(work.rows.glob("*.parquet"))],
                                cache_dir=str(work.folder / "cache"), columns=["input_ids", "labels"])  # fmt: skip
    steps = chosen.epochs * -(-len(rows) // chosen.batch_size)
    arguments = SFTConfig(
        output_dir=str(work.folder / "plain"),
        num_train_epochs=chosen.epochs,
        per_device_train_batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.1},
        warmup_steps=math.ceil(chosen.warmup_ratio * steps),
        optim="adamw_torch_fused",
        gradient_checkpointing=False,
        bf16=True,
        use_cpu=True,
        max_length=None,
        save_strategy="no",
        report_to="none",
        seed=seed,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(work.folder / "base", dtype=torch.float32),
        args=arguments,
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(work.folder / "base"),
    )
    trainer.train()
    return time.perf_counter() - started, trainer.model


def loss(model: Any, rows: list[Example]) -> float:
    """Nats per trained token of rows that were not trained on."""
    import torch

    from distill.training.merge import log_probabilities

    return -float(torch.cat([log_probabilities(model, row) for row in rows]).mean())


# ------------------------------------------------------------------ what is compared


def overhead(rounds: int, n: int) -> None:
    """Time on rows of one length; the first round warms up."""
    found: list[dict[str, Seconds]] = []
    with workspace() as folder:
        work = Work(folder, [PROMPT + MEAN] * n, 0)
        for turn in range(rounds + 1):
            found.append({name: silently(side, work, 1)[0] for name, side in in_turn(turn)})
    print(f"overhead: {work.proof['tokens']:,} tokens in rows of one length; the stage over plain TRL, bar 1.03")
    for kind in ("wall", "cpu"):
        ratios = [getattr(row["ours"], kind) / getattr(row["plain"], kind) for row in found[1:]]
        mid = {name: statistics.median(getattr(row[name], kind) for row in found[1:]) for name in found[0]}
        print(f"  {kind} {mid['ours']:.2f} s, {mid['plain']:.2f} s; median ratio {statistics.median(ratios):.3f} "
              f"({', '.join(f'{ratio:.3f}' for ratio in ratios)})", flush=True)  # fmt: skip


def batching(seeds: int, n: int) -> None:
    """Useful tokens a second, and the loss on held-out rows after the same rows; a seed draws rows and their order."""
    print("| seed | stage tok/s | TRL tok/s | ratio | of CPU time | stage loss | TRL loss |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    ratios, gaps, losses = [], [], []
    for seed in range(1, seeds + 1):
        with workspace() as folder:
            work = Work(folder, draw_lengths(n, seed), seed)
            took, said = {}, {}
            for name, side in in_turn(seed):
                took[name], model = silently(side, work, seed)
                said[name] = loss(model, work.held_out)
        ratios.append(took["plain"].wall / took["ours"].wall)
        gaps.append(said["ours"] - said["plain"])
        losses.append(said["plain"])
        rates = [work.proof["tokens"] / took[name].wall for name in ("ours", "plain")]
        print(f"| {seed} | {rates[0]:,.0f} | {rates[1]:,.0f} | {ratios[-1]:.2f} x "
              f"| {took['plain'].cpu / took['ours'].cpu:.2f} x | {said['ours']:.4f} | {said['plain']:.4f} |",
              flush=True)  # fmt: skip
    error = statistics.stdev(gaps) / math.sqrt(len(gaps))
    print(f"batching (CPU: rows of like length, not packed): median ratio {statistics.median(ratios):.2f} x, bar 1.6; "
          f"loss differs by {statistics.mean(gaps):+.4f} nats, standard error {error:.4f}; between seeds TRL's has a "
          f"standard deviation of {statistics.stdev(losses):.4f}")  # fmt: skip


def in_turn(turn: int) -> list[tuple[str, Side]]:
    """Both sides; who is first changes from turn to turn."""
    sides: list[tuple[str, Side]] = [("ours", ours), ("plain", plain)]
    return sides if turn % 2 else sides[::-1]


def silently(side: Side, work: Work, seed: int) -> tuple[Seconds, Any]:
    """A side's run, its progress written to nowhere."""
    used = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        seconds, model = side(work, seed)
    return Seconds(seconds, time.process_time() - used), model


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """A folder that is deleted at the end, with the stage's own state in it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        yield Path(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["overhead", "batching"])
    parser.add_argument("--rounds", type=int, default=5, help="of overhead")
    parser.add_argument("--seeds", type=int, default=5, help="of batching")
    parser.add_argument("--rows", type=int, default=512)
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if arguments.part in (None, "overhead"):
        overhead(arguments.rounds, arguments.rows)
    if arguments.part in (None, "batching"):
        batching(arguments.seeds, arguments.rows)
