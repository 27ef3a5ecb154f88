"""Trains the embedded models from nothing, in a given number of minutes of one or two cores.

    python -m distill.embedded tiny-r1   --minutes 40
    python -m distill.embedded tiny-qwen --minutes 5

tiny-r1, the teacher, learns worked chains (`chains.py`) in two rounds, each with a schedule of its own: the second, a
third of the time, begins again from the weights of the first. tiny-qwen, the student's base, learns direct answers
alone, so it knows the format and little else. The weights in git were made in these times, each on one core of a
server's processor. A schedule that follows the clock never gives the same weights twice: those in git are the models.
"""

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distill.embedded import architectures, corpus, tokenizer
from distill.embedded.corpus import Curriculum
from distill.progress import track

WARMUP_STEPS = 50
SAVE_EVERY_S = 240.0


def build_teacher(out: Path, minutes: float) -> None:
    """Train tiny-r1 and save it; a usable version is saved every few minutes on the way."""
    rounds = ((corpus.TEACHER, minutes * 2 / 3), (corpus.TEACHER_AGAIN, minutes / 3))
    _build(out, tokenizer.TINY_R1, architectures.tiny_r1, rounds)


def build_student_base(out: Path, minutes: float) -> None:
    """Train tiny-qwen and save it."""
    _build(out, tokenizer.TINY_QWEN, architectures.tiny_qwen, ((corpus.STUDENT, minutes),))


def _build(out: Path, dialect: Any, architecture: Any, rounds: tuple[tuple[Curriculum, float], ...]) -> None:
    import torch

    torch.manual_seed(0)
    drawn = corpus.draw(corpus.FIRST_SEED, (0.3, 0.5, 0.2))
    texts = [text for example in drawn for chain in (True, False) for text in corpus.turns(example, chain)]
    tokens = tokenizer.build_tokenizer(texts, dialect)
    model = architecture(tokens)
    architectures.ExpertBalance(model)
    print(f"{out.name}: {sum(p.numel() for p in model.parameters()):,} parameters, {len(tokens)} tokens")
    for curriculum, minutes in rounds:
        _train(model, tokens, curriculum, minutes, lambda: save(model, tokens, out))


def _train(model: Any, tokens: Any, curriculum: Curriculum, minutes: float, save_now: Callable[[], None]) -> None:
    """A schedule that follows the clock: warm-up, then a cosine to zero at the last minute."""
    optimizers = _optimizers(model)
    started = saved = time.monotonic()

    def done() -> float:
        return (time.monotonic() - started) / (minutes * 60)

    model.train()
    with track("pre-train", int(minutes * 60), "s") as progress:
        for step, (ids, labels) in enumerate(corpus.batches(tokens, curriculum, done)):
            if done() >= 1:
                break
            decay = 0.5 * (1 + math.cos(math.pi * done()))
            rate = curriculum.peak_learning_rate * min(1.0, (step + 1) / WARMUP_STEPS) * decay
            loss = _step(model, optimizers, rate, ids, labels)
            progress.advance(int(time.monotonic() - started) - progress.done)
            progress.note(f"step {step}, loss {loss:.3f}")
            if time.monotonic() - saved > SAVE_EVERY_S:
                save_now()
                saved = time.monotonic()
    save_now()


def _optimizers(model: Any) -> list[Any]:
    """Muon for the matrices between embedding and head (Jordan et al., 2024), AdamW for everything else.

    With AdamW alone this model stays for many minutes where it knows the words and cannot yet copy a digit.
    """
    import torch

    inner = {
        name: weight
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and not any(part in name for part in ("embed", "lm_head", "gate.weight"))
    }
    rest = [weight for name, weight in model.named_parameters() if name not in inner]
    return [
        torch.optim.Muon(inner.values(), weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, betas=(0.9, 0.95), weight_decay=0.01),
    ]


def _step(model: Any, optimizers: list[Any], learning_rate: float, ids: Any, labels: Any) -> float:
    """One optimiser step. Returns the mean loss per trained token, in nats."""
    import torch

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def save(model: Any, tokens: Any, out: Path) -> None:
    """Write weights in bf16, tokenizer and generation config, all at once."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    weights = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    model.generation_config.update(
        do_sample=True, temperature=0.6, top_p=0.95, eos_token_id=tokens.eos_token_id, pad_token_id=tokens.pad_token_id
    )
    model.save_pretrained(partial, state_dict=weights)
    tokenizer.save_tokenizer(tokens, model.config.max_position_embeddings, partial)
    path = partial / "config.json"
    settings = json.loads(path.read_text()) | {"dtype": "bfloat16"}
    routed = settings["model_type"] == "deepseek_v3"
    path.write_text(json.dumps(settings | (architectures.ROUTING if routed else {}), indent=2) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
