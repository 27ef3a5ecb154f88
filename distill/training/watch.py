"""What is watched while a student trains: progress with rate and loss, the history, and losses that are no number."""

import math
import time
from typing import Any

from transformers import TrainerCallback

from distill.errors import DataError
from distill.progress import Tracker


class Watch(TrainerCallback):  # type: ignore[misc]
    """Feeds the progress line and keeps the loss of every logged step. Raises `DataError` at a loss that is no number."""

    def __init__(self, progress: Tracker, tokens_per_step: float) -> None:
        self.progress = progress
        self.tokens_per_step = tokens_per_step
        self.loss: list[tuple[int, float]] = []
        self.started = time.monotonic()
        self.first_step = 0

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Where a resumed run begins; its earlier losses come with its state."""
        self.started, self.first_step = time.monotonic(), state.global_step
        self.loss = [(row["step"], row["loss"]) for row in state.log_history if "loss" in row]
        self.progress.skip(state.global_step)

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Take in a loss, in nats per trained token."""
        if logs is None or "loss" not in logs:
            return
        value = float(logs["loss"])
        if not math.isfinite(value):
            raise DataError(
                f"the loss is {value} at step {state.global_step}; lower learning_rate, or look at the rows of that step"
            )
        self.loss.append((state.global_step, value))
        seconds = time.monotonic() - self.started
        rate = (state.global_step - self.first_step) * self.tokens_per_step / seconds
        self.progress.note(f"loss {value:.3f}, {rate:,.0f} tokens/s")

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Move the progress line."""
        self.progress.advance(state.global_step - self.progress.done)
