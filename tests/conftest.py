"""What every test shares: no network but this machine's own, offline hubs, the repository's root."""

import os
from pathlib import Path

import pytest

os.environ.update(
    HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", HF_DATASETS_OFFLINE="1", DO_NOT_TRACK="1", VLLM_NO_USAGE_STATS="1"
)
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT
