"""Progress that a person can read: a bar with rate and end time in a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 10.0


class Tracker:
    """Counts done items of a total. `advance` moves it; `note` sets the text behind the numbers."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self.notes: tuple[str, ...] = ()
        self._started = self._printed = time.monotonic()
        self._at_start = 0

    def advance(self, n: int = 1) -> None:
        """Count `n` more items as done."""
        self.done += n
        self._show()

    def skip(self, n: int) -> None:
        """Count `n` items that were done before this run; they do not enter the rate."""
        self.done += n
        self._at_start += n
        self._show()

    def expect(self, n: int) -> None:
        """Count `n` more items that are to be done."""
        self.total += n
        self._show()

    def note(self, *texts: str) -> None:
        """Set what is shown behind the numbers, as `acceptance 71 %`; a terminal gives each text a line of its own."""
        self.notes = texts
        self._show()

    @property
    def rate(self) -> float:
        """Items per second of this run."""
        return (self.done - self._at_start) / max(time.monotonic() - self._started, 1e-9)

    @property
    def left_s(self) -> float:
        """Seconds to the end at this rate; infinite while nothing was done."""
        return (self.total - self.done) / self.rate if self.rate > 0 else float("inf")

    def line(self) -> str:
        """The state as one line of text."""
        return ", ".join((self._counts(), *self.notes))

    def _counts(self) -> str:
        end = f", {_clock(self.left_s)} left" if self.done < self.total and self.left_s < 1e6 else ""
        return f"{self.label}  {self.done:,}/{self.total:,} {self.unit}, {self.rate:,.1f}/s{end}"

    def _show(self) -> None:
        if self.label and time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)


class _BarTracker(Tracker):
    """The same numbers, drawn by rich."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        super().__init__(label, total, unit)
        self._bar = Progress(SpinnerColumn(), BarColumn(bar_width=16), TextColumn("{task.description}"), transient=True)
        self._task = self._bar.add_task(self._counts(), total=total)

    def _show(self) -> None:
        self._bar.update(
            self._task, completed=self.done, total=self.total, description="\n".join((self._counts(), *self.notes))
        )

    def __enter__(self) -> "Tracker":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


@contextmanager
def track(label: str, total: int, unit: str = "items") -> Iterator[Tracker]:
    """Show how a long step goes, for as long as its block runs. Without a label it goes on in silence."""
    if not label or not sys.stderr.isatty():
        yield Tracker(label, total, unit)
        return
    with _BarTracker(label, total, unit) as tracker:
        yield tracker


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Say that something slow is under way: a spinner in a terminal, one line in a log."""
    if not sys.stderr.isatty():
        print(f"{label} …", file=sys.stderr, flush=True)
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(label):
        yield


def _clock(seconds: float) -> str:
    """Seconds as 1:05 or 2:03:09."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
