"""What every test shares: no network but this machine's own, offline hubs, the repository's root."""

import os
from pathlib import Path

import pytest
from known import Known, make

os.environ.update(
    HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", HF_DATASETS_OFFLINE="1", DO_NOT_TRACK="1", VLLM_NO_USAGE_STATS="1"
)
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """A finished run of models whose every answer was prescribed. It is read, not changed."""
    return make(tmp_path_factory.mktemp("known"))
