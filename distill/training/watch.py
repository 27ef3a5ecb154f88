"""What is watched while a student trains: progress with rate and loss, the history, and losses that end a run.

train tiny_qwen  120/256 steps, 1.9/s, 1:11 left, loss 0.812, 9,100 tokens/s, 96 % of positions useful
"""

import logging
import math
import time
from typing import Any

from transformers import TrainerCallback

from distill.errors import DataError
from distill.progress import Tracker

MOST_POINTS = 200  # of the loss history in the metrics
WINDOW = 20  # steps: a single hard batch is no divergence
DIVERGED = 3.0  # times the lowest mean of a window
log = logging.getLogger(__name__)


class Watch(TrainerCallback):
    """Feeds the progress line and keeps the loss of every step, in nats per trained token."""

    def __init__(self, progress: Tracker, student: str, learning_rate: float) -> None:
        self.progress, self.student, self.learning_rate = progress, student, learning_rate
        self.loss: list[tuple[int, float]] = []
        self.lowest = (0, math.inf)  # step and mean of the best window
        self.tokens = self.positions = self.documents = self.steps = 0  # of this process: a resumed run counts its own
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since training began."""
        return max(time.monotonic() - self.started, 1e-9)

    @property
    def useful_share(self) -> float:
        """Tokens over the positions computed; the rest is padding."""
        return self.tokens / max(self.positions, 1)

    def count(self, tokens: int, positions: int, documents: int) -> None:
        """Take in a batch: its tokens, the positions that are computed for them, its rows."""
        self.tokens += tokens
        self.positions += positions
        self.documents += documents

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Where a run begins; a resumed one brings its earlier losses with it."""
        self.started = time.monotonic()
        for row in state.log_history:
            if "loss" in row:
                self._keep(row["step"], row["loss"])
        self.progress.skip(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Take in the loss of a step. Raises `DataError` at one that ends the run, before a checkpoint keeps it."""
        if logs is None or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise DataError(f"the loss of {self.student} is {loss} at step {state.global_step}; {self._cure()}")
        self._keep(state.global_step, loss)
        self._require_convergence()
        self.steps += 1
        log.info(
            "step %d: loss %.4f, %d tokens and %d rows so far, %.1f %% of positions useful",
            state.global_step, loss, self.tokens, self.documents, 100 * self.useful_share,
        )  # fmt: skip
        self.progress.advance(state.global_step - self.progress.done)
        useful = f"{100 * self.useful_share:.0f} % of positions useful"
        self.progress.note(f"loss {loss:.3f}, {self.tokens / self.seconds:,.0f} tokens/s, {useful}")

    def _keep(self, step: int, loss: float) -> None:
        self.loss.append((step, loss))
        if len(self.loss) >= WINDOW:
            mean = sum(value for _, value in self.loss[-WINDOW:]) / WINDOW
            self.lowest = min(self.lowest, (step, mean), key=lambda window: window[1])

    def _require_convergence(self) -> None:
        """Raise where every step of a window is far above the best window before."""
        step, lowest = self.lowest
        if all(loss > DIVERGED * lowest for _, loss in self.loss[-WINDOW:]):
            raise DataError(
                f"the loss of {self.student} diverges: at step {self.loss[-1][0]} it has been above {DIVERGED:g} times "
                f"its best ({lowest:.3f}, at step {step}) for {WINDOW} steps; {self._cure()}"
            )

    def _cure(self) -> str:
        return f"lower students.{self.student}.learning_rate, which is {self.learning_rate:g}"


def thin(history: list[tuple[int, float]], most: int = MOST_POINTS) -> list[list[float]]:
    """A loss history of at most `most` points, each the mean of the steps up to it: [[step, loss], …]."""
    size = max(1, math.ceil(len(history) / most))
    windows = [history[start : start + size] for start in range(0, len(history), size)]
    return [[window[-1][0], sum(loss for _, loss in window) / len(window)] for window in windows]
