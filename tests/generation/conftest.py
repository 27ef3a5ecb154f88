"""A workspace of its own for every test, and the pieces that a sampling run needs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import TEACHER, FaultyTeacher
from workspace import short_pauses

from distill.generation.endpoint import Serving
from distill.generation.sampler import Sampled, sample_problems
from distill.records import Problem
from distill.settings import SamplingSettings, ServerSettings


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State goes to a folder of the test's own, and pauses are short."""
    short_pauses(tmp_path, monkeypatch, in_flight=8, reply_timeout_s=0.5)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sampled]:
    """Sample problems from a faulty teacher."""

    def sample(
        teacher: FaultyTeacher,
        problems: list[Problem],
        samples: int = 2,
        seed: int = 17,
        must_reason: bool = False,
        **sampling: object,
    ) -> Sampled:
        monkeypatch.setenv("DISTILL_TEACHER_URL", teacher.url)
        settings = SamplingSettings.model_validate({"samples": samples, "max_tokens": 64, **sampling})
        serving = Serving("bfloat16", 1024, ServerSettings())
        return sample_problems(problems, TEACHER, settings, serving, seed, must_reason=must_reason)

    return sample
