"""What the embedded models read: problems of reasoning-gym, as worked chains or as direct answers, in batches.

A curriculum says how much of each range of difficulty is drawn while training goes on: single digits first, since a
small model that has learned to copy and add digits there learns everything longer many times sooner.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from distill.embedded import chains, facts
from distill.prompting import render_messages, render_prompt, render_student_turn

FIRST_SEED = 1_000_000  # of a draw; the pipeline's own seeds are hashes, and it never asks what it trained on
CHUNK = 400  # problems per task and draw
BANDS = 3  # of length; a batch comes from one
MAX_TOKENS = 640  # longer chains (under 1 %) are left out
FACTS: dict[str, dict[str, Any]] = {
    "chain_sum": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1},
    "products": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1},
    "gcd": {"min_value": 1, "max_value": 20},
    "count_bits": {"min_n": 1, "max_n": 31},
    "leg_counting": {"min_animals": 1, "max_animals": 2, "min_instances": 1, "max_instances": 3},
}
RANGES = (FACTS, chains.EASY, chains.HARD)
Shares = tuple[float, float, float]  # of FACTS, EASY and HARD
Row = tuple[list[int], list[int]]  # input ids and labels of one example, (seq,) each
Batch = tuple[Any, Any]  # the same as tensors, (batch, seq) each


@dataclass(frozen=True, slots=True)
class Curriculum:
    """What is drawn until which share of training, whether with chains, and how many documents of facts per answer."""

    phases: tuple[tuple[float, Shares], ...]
    with_chains: bool
    fact_share: float
    tokens_per_batch: int  # padding counted
    peak_learning_rate: float
    first_seed: int = FIRST_SEED

    def shares(self, progress: float) -> Shares:
        """The shares at a point of training between 0 and 1."""
        return next((shares for until, shares in self.phases if progress < until), self.phases[-1][1])


TEACHER = Curriculum(
    phases=((0.2, (0.7, 0.3, 0.0)), (0.6, (0.2, 0.7, 0.1)), (1.0, (0.1, 0.6, 0.3))),
    with_chains=True,
    fact_share=0.0,
    tokens_per_batch=4096,
    peak_learning_rate=2e-3,
)
TEACHER_AGAIN = Curriculum(
    phases=((1.0, (0.1, 0.75, 0.15)),),
    with_chains=True,
    fact_share=0.0,
    tokens_per_batch=4096,
    peak_learning_rate=1.5e-3,
    first_seed=2 * FIRST_SEED,
)
STUDENT = Curriculum(
    phases=((1.0, (0.6, 0.4, 0.0)),),
    with_chains=False,
    fact_share=0.5,
    tokens_per_batch=2048,
    peak_learning_rate=2e-3,
)


def draw(seed: int, shares: Shares) -> list[chains.Example]:
    """Worked examples of every task, by range."""
    import reasoning_gym

    rng, found = random.Random(seed), []
    for share, configs in zip(shares, RANGES, strict=True):
        for task, config in configs.items():
            n = int(CHUNK * share)
            for item in reasoning_gym.create_dataset(task, seed=seed, size=n, **config) if n else ():
                found.append(chains.write_chain(task, item["question"], item["metadata"], rng)[0])
    rng.shuffle(found)
    return found


def turns(example: chains.Example, with_chains: bool) -> tuple[str, str]:
    """The user's and the assistant's text: with the chain, or the direct answer."""
    reply = render_student_turn(example.reasoning, example.response) if with_chains else example.response
    return render_messages(example.question)[-1]["content"], reply


def batches(tokens: Any, curriculum: Curriculum, progress: Callable[[], float]) -> Iterator[Batch]:
    """Endless batches, each of rows of like length, drawn for the present point of training."""
    seed = curriculum.first_seed
    while True:
        seed += 1
        rng = random.Random(seed)
        examples = draw(seed, curriculum.shares(progress()))
        rows = [encode(tokens, example, curriculum.with_chains) for example in examples]
        rows += [_encode_facts(tokens, rng) for _ in range(round(len(rows) * curriculum.fact_share))]
        rows = sorted((row for row in rows if len(row[0]) <= MAX_TOKENS), key=lambda row: len(row[0]))
        bands = (_shuffled(rng, _band(rows, band)) for band in range(BANDS))
        found = [batch for band in bands for batch in _group(band, curriculum.tokens_per_batch)]
        yield from (pad(batch, tokens.pad_token_id) for batch in _shuffled(rng, found))


def _band(rows: list[Row], band: int) -> list[Row]:
    """The rows of one of BANDS bands of length, wide enough to mix tasks and narrow enough to pad little."""
    return rows[len(rows) * band // BANDS : len(rows) * (band + 1) // BANDS]


def _shuffled(rng: random.Random, items: list[Any]) -> list[Any]:
    return rng.sample(items, len(items))


def encode(tokens: Any, example: chains.Example, with_chains: bool) -> Row:
    """Ids and labels of one example; the prompt is not trained, the end of turn is."""
    question, reply = turns(example, with_chains)
    prompt = render_prompt(tokens, [{"role": "user", "content": question}])
    prompt_ids = tokens(prompt, add_special_tokens=False).input_ids
    opened = reply.removeprefix("<think>\n") if prompt.endswith("<think>\n") else reply
    reply_ids = [*tokens(opened, add_special_tokens=False).input_ids, tokens.eos_token_id]
    return prompt_ids + reply_ids, [-100] * len(prompt_ids) + reply_ids


def _encode_facts(tokens: Any, rng: random.Random) -> Row:
    """Ids and labels of a document of number facts; every token is trained."""
    ids = tokens(facts.write_facts(rng), add_special_tokens=False).input_ids
    return ids, ids


def _group(rows: list[Row], size: int) -> Iterator[list[Row]]:
    """Cut rows into batches of at most `size` tokens, padding counted."""
    batch: list[Row] = []
    width = 0
    for row in rows:
        width = max(width, len(row[0]))
        if batch and (len(batch) + 1) * width > size:
            yield batch
            batch, width = [], len(row[0])
        batch.append(row)
    yield batch


def pad(rows: list[Row], pad: int) -> Batch:
    """Pad on the right. Attention is causal, so no mask is needed: no real token sees a pad."""
    import torch

    width = max(len(ids) for ids, _ in rows)
    ids = [row + [pad] * (width - len(row)) for row, _ in rows]
    labels = [row + [-100] * (width - len(row)) for _, row in rows]
    return torch.tensor(ids), torch.tensor(labels)  # (batch, seq) each
