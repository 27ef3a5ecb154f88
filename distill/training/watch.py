"""What is watched while a student trains: progress with rate and loss, the history, and losses that are no number."""

import math
import time
from typing import Any

from transformers import TrainerCallback

from distill.errors import DataError
from distill.progress import Tracker

MOST_POINTS = 200  # of the loss history in the metrics


class Watch(TrainerCallback):
    """Feeds the progress line and keeps the loss of every step, in nats per trained token."""

    def __init__(self, progress: Tracker, student: str, learning_rate: float) -> None:
        self.progress, self.student, self.learning_rate = progress, student, learning_rate
        self.loss: list[tuple[int, float]] = []
        self.tokens = 0  # of this process: a resumed run counts its own
        self.started = time.monotonic()

    @property
    def tokens_per_second(self) -> float:
        """Tokens without padding, prompts included, per second of this process."""
        return self.tokens / max(time.monotonic() - self.started, 1e-9)

    def count(self, n: int) -> None:
        """Take in the tokens of a batch."""
        self.tokens += n

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Where a run begins; a resumed one brings its earlier losses with it."""
        self.started = time.monotonic()
        self.loss = [(row["step"], row["loss"]) for row in state.log_history if "loss" in row]
        self.progress.skip(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Take in the loss of a step. Raises `DataError` at one that is no number, before a checkpoint keeps it."""
        if logs is None or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise DataError(
                f"the loss of {self.student} is {loss} at step {state.global_step}; "
                f"lower students.{self.student}.learning_rate, which is {self.learning_rate:g}"
            )
        self.loss.append((state.global_step, loss))
        self.progress.advance(state.global_step - self.progress.done)
        self.progress.note(f"loss {loss:.3f}, {self.tokens_per_second:,.0f} tokens/s")


def thin(history: list[tuple[int, float]], most: int = MOST_POINTS) -> list[list[float]]:
    """A loss history of at most `most` points, each the mean of the steps up to it: [[step, loss], …]."""
    size = max(1, math.ceil(len(history) / most))
    windows = [history[start : start + size] for start in range(0, len(history), size)]
    return [[window[-1][0], sum(loss for _, loss in window) / len(window)] for window in windows]
