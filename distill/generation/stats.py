"""What a sampling run measured: counts, tokens, seconds. They go into `data/metrics/`, never into rows."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Stats:
    """Numbers of one run. `wall_s` is the asking alone; starting servers is in `server_start_s`.

    `graded` and `verified` are of the traces that it sampled.
    """

    requested: int = 0
    from_cache: int = 0
    sampled: int = 0
    continued: int = 0
    graded: int = 0
    verified: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    wall_s: float = 0.0
    server_start_s: float = 0.0
    restarts: int = 0
    torn_lines: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    finish_reasons: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens written a second while asking; None when nothing was sampled."""
        return self.completion_tokens / self.wall_s if self.wall_s else None

    def metrics(self) -> dict[str, Any]:
        """As JSON, with the rate of the tokens that this run sampled."""
        values = {name: getattr(self, name) for name in self.__slots__}
        counts = {name: dict(getattr(self, name)) for name in ("failures", "finish_reasons", "stops")}
        return values | counts | {"tokens_per_second": self.tokens_per_second}
