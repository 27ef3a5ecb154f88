"""How good an embedded model is, on fresh problems: accuracy with its standard error, length, per task and range.

    python -m distill.embedded measure data/models/tiny-r1

A row of the table, a teacher's:

    range  task        n   right          tokens  past 300
    EASY   products   64   81.2 % ± 4.9      156       0 %

This is a quick look with plain transformers while a model is made. The pipeline's own figures come from its
evaluate stage.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.embedded import chains
from distill.progress import track
from distill.prompting import boxed_answers, is_prefilled, render_messages, render_prompt, split_completion

FRESH_SEED = 500_000  # below every pre-training seed
LONG = 300  # tokens; the share of chains beyond it says what a short token budget would cut
HEADER = f"{'range':5}  {'task':12} {'n':>5}  {'right':14} {'tokens':>7} {'past 300':>9}"
Ranges = dict[str, dict[str, dict[str, Any]]]  # name: task: reasoning-gym config
Reply = tuple[str, int]  # last boxed answer or "", new tokens
RANGES: Ranges = {"EASY": chains.EASY, "HARD": chains.HARD}


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample: temperature 0 is greedy; `max_tokens` counts new tokens only."""

    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 700
    batch: int = 64


@dataclass(frozen=True, slots=True)
class Row:
    """What one task came to: n problems with one sample each."""

    range: str
    task: str
    n: int
    n_right: int
    mean_tokens: float
    share_long: float

    def __str__(self) -> str:
        share = self.n_right / self.n
        error = math.sqrt(share * (1 - share) / self.n)
        right = f"{100 * share:5.1f} % ± {100 * error:.1f}"
        length = f"{self.mean_tokens:7.0f} {100 * self.share_long:7.0f} %"
        return f"{self.range:5}  {self.task:12} {self.n:5}  {right:14} {length}"


def print_accuracy(model: Path, n: int, temperature: float = 0.8) -> None:
    """Print the table of a model in a folder: n fresh problems per task and range, one sample each."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(model, padding_side="left")
    weights = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    print(HEADER)
    for row in measure(weights, tokens, n, Sampling(temperature)):
        print(row, flush=True)


def measure(model: Any, tokens: Any, n: int, sampling: Sampling, ranges: Ranges = RANGES) -> Iterator[Row]:
    """Ask a model n fresh problems per task and range, and grade the last boxed answer. The tokenizer pads left."""
    import reasoning_gym

    with track("measure", sum(map(len, ranges.values())) * n, "problems") as progress:
        for name, configs in ranges.items():
            for task, config in configs.items():
                problems = list(reasoning_gym.create_dataset(task, seed=FRESH_SEED, size=n, **config))
                found: list[Reply] = []
                for start in range(0, n, sampling.batch):
                    part = problems[start : start + sampling.batch]
                    found += _sample(model, tokens, part, sampling)
                    progress.advance(len(part))
                yield _row(name, task, [problem["answer"] for problem in problems], found)


def _sample(model: Any, tokens: Any, problems: list[Any], sampling: Sampling) -> list[Reply]:
    """One sample per problem."""
    import torch

    prompts = [render_prompt(tokens, render_messages(problem["question"])) for problem in problems]
    batch = tokens(prompts, add_special_tokens=False, padding=True, return_tensors="pt")  # (batch, prompt)
    how = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    with torch.inference_mode():
        output = model.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            max_new_tokens=sampling.max_tokens,
            pad_token_id=tokens.pad_token_id,
            **(how if sampling.temperature else {"do_sample": False}),
        )[:, batch.input_ids.shape[1] :]  # (batch, new)
    return [_read(tokens, row, is_prefilled(prompt)) for row, prompt in zip(output, prompts, strict=True)]


def _read(tokens: Any, row: Any, prefilled: bool) -> Reply:
    n_tokens = int((row != tokens.pad_token_id).sum())
    answer = split_completion(tokens.decode(row, skip_special_tokens=True), prefilled).answer
    boxed = boxed_answers(answer or "")
    return (boxed[-1].strip() if boxed else ""), n_tokens


def _row(name: str, task: str, answers: list[str], found: list[Reply]) -> Row:
    n_right = sum(answer == said for answer, (said, _) in zip(answers, found, strict=True))
    lengths = [length for _, length in found]
    return Row(name, task, len(found), n_right, sum(lengths) / len(found), sum(n > LONG for n in lengths) / len(found))
