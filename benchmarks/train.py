"""Our train stage beside a plain TRL script: the same model, rows and steps, in the same run, on the CPU.

    python benchmarks/train.py               both parts below, about half an hour on two cores
    python benchmarks/train.py overhead      rows of one length, so that both sides see the same batches: wall time
    python benchmarks/train.py batching      lengths spread as R1's chains are: useful tokens a second, and loss

`overhead` is all that the stage adds or saves: reading, loading, hashing the run, progress, checkpoints, its own loss.
`batching` sets the stage's micro-batches (on the CPU it never packs) against the batches that TRL pads by default. Both
take random rows a step and as many steps, so they train on as many tokens; the loss is that on rows held out, after
one epoch, in nats a trained token. Lengths are log-normal, as R1's chains with their mean of 6,000 tokens and some over
20,000, at 1/24 (mean 250, at most 1,024): worked sums of two to twelve numbers and divisors, as tiny-r1 learned them,
for each length the chain nearest to it. The model is tiny-qwen, which has seen no chain yet. Both sides are timed
whole, from the base on disk to the trained model in memory. Each part ends in the row for benchmarks/README.md.
"""

import argparse
import bisect
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

from distill.dataset.examples import Example, write_examples
from distill.models import resolve_folder
from distill.students import StudentSettings

BASE = Path("data/models/tiny-qwen")
MEAN, SIGMA, MOST = 250, 0.7, 1024  # tokens of a row; sigma leaves 2 % over 20,000 / 24
SAME = 250  # tokens of a row of `overhead`
HELD_OUT = 64
Side = Callable[["Work", int], tuple[float, Any]]


@dataclass(frozen=True, slots=True)
class Seconds:
    """What a run took: by the clock, and of processors, which says more where a machine has other work too."""

    wall: float
    cpu: float


class Work:
    """A folder with the base, rows to train on and rows held out."""

    def __init__(self, folder: Path, rows: list[Example], held_out: list[Example]) -> None:
        self.folder, self.held_out = folder, held_out
        shutil.copytree(BASE, folder / "base")
        self.base = resolve_folder("bench_base", str(folder / "base"))
        self.settings = StudentSettings(base=str(folder / "base"), method="full", learning_rate=1e-3,
                                        batch_size=8, epochs=1, warmup_ratio=0.1)  # fmt: skip
        self.rows = folder / "tokenized"
        files = write_examples(self.rows, iter(rows))
        self.proof = {
            "rows": len(rows),
            "tokens": sum(row.n_tokens for row in rows),
            "trained_tokens": sum(row.n_tokens - row.n_prompt for row in rows),
            "longest": max(row.n_tokens for row in rows),
            "files": files,
            "base": self.base.revision,
        }


def draw_lengths(n: int, seed: int) -> list[int]:
    """Lengths of rows, log-normal with that mean."""
    rng, middle = random.Random(f"lengths {seed}"), math.log(MEAN) - SIGMA**2 / 2
    return [min(MOST, round(rng.lognormvariate(middle, SIGMA))) for _ in range(n)]


def draw_rows(n: int, seed: int) -> list[Example]:
    """Worked chains, for each length the one of a pool that comes nearest; a pool holds about four for each."""
    import reasoning_gym
    from transformers import AutoTokenizer

    from distill.embedded import chains, corpus

    tokenizer, rng, pool = AutoTokenizer.from_pretrained(BASE), random.Random(seed), []
    asked = [("chain_sum", {"min_terms": k, "max_terms": k, "min_digits": 1, "max_digits": 3}) for k in range(2, 13)]
    for task, config in [*asked, ("gcd", {"min_value": 1, "max_value": 60})] * 2:
        for item in reasoning_gym.create_dataset(task, seed=rng.randrange(1 << 30), size=n // 6, **config):
            example, _ = chains.write_chain(task, item["question"], item["metadata"], rng)
            ids, labels = corpus.encode(tokenizer, example, with_chains=True)
            pool.append((len(ids), len(pool), task, ids, labels))
    pool = sorted(row for row in pool if row[0] <= MOST)
    found = []
    for number, length in enumerate(draw_lengths(n, seed)):
        place = min(bisect.bisect_left(pool, (length,)), len(pool) - 1)
        _, _, task, ids, labels = pool.pop(place)
        found.append(Example(f"{number:020x}", task, ids, labels, sum(label < 0 for label in labels)))
    return found


def rows_of_one_length(n: int) -> list[Example]:
    """Ids that mean nothing: what a step takes does not depend on them."""
    rng = random.Random(0)
    ids = [[rng.randrange(3, 600) for _ in range(SAME)] for _ in range(n)]
    return [Example(f"{number:020x}", "made", row, [-100, *row[1:]], 1) for number, row in enumerate(ids)]


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

    from distill.hardware import cpu_multiplies_bf16

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
        bf16=cpu_multiplies_bf16(),
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
        work = Work(folder, rows_of_one_length(n), [])
        for turn in range(rounds + 1):
            found.append({name: silently(side, work, 1)[0] for name, side in in_turn(turn)})
    said = []
    for kind in ("wall", "cpu"):
        ratios = [getattr(row["ours"], kind) / getattr(row["plain"], kind) for row in found[1:]]
        said.append(f"{kind} {statistics.median(ratios):.3f} x ({', '.join(f'{ratio:.3f}' for ratio in ratios)})")
    claim = "the train stage costs what a plain TRL script costs: same rows, batches, steps, dtype"
    took = statistics.median(row["plain"].wall for row in found[1:])
    print(f"| `train.py overhead` | {claim} | {'; '.join(said)}; of {took:.0f} s |", flush=True)


def batching(seeds: int, n: int) -> None:
    """Useful tokens a second, and the loss on held-out rows after as many tokens; a seed draws rows and their order."""
    print("seed: ratio of useful tokens a second, by the clock and of CPU time; held-out loss of the stage and of TRL")
    wall, cpu, gaps, losses = [], [], [], []
    for seed in range(1, seeds + 1):
        with workspace() as folder:
            drawn = draw_rows(n + HELD_OUT, seed)
            work = Work(folder, drawn[:n], drawn[n:])
            took, said = {}, {}
            for name, side in in_turn(seed):
                took[name], model = silently(side, work, seed)
                said[name] = loss(model, work.held_out)
        wall.append(took["plain"].wall / took["ours"].wall)
        cpu.append(took["plain"].cpu / took["ours"].cpu)
        gaps.append(said["ours"] - said["plain"])
        losses.append(said["plain"])
        print(f"{seed}: {wall[-1]:.2f} x, {cpu[-1]:.2f} x; {said['ours']:.4f}, {said['plain']:.4f}", flush=True)
    error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
    rates = ", ".join(f"{ratio:.2f}" for ratio in wall)
    claim = "random rows a step, those of like length in one micro-batch (CPU), against TRL's padded batch of 8, "
    claim += "lengths as R1's chains; the same loss"
    speed = (
        f"useful tokens a second {statistics.median(wall):.2f} x ({rates}), a CPU second {statistics.median(cpu):.2f} x"
    )
    differs = f"{statistics.mean(gaps):+.4f} nats, standard error {error:.4f}, of {statistics.mean(losses):.3f}"
    print(f"| `train.py batching` | {claim} | {speed}; held-out loss {differs}; {seeds} seeds of {n} rows |")


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
