"""A workspace with a small data set, in which every stage runs."""

from pathlib import Path

import pytest
from students import make_rows, write_dataset

from distill import layout


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with 24 exported rows."""
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    torch.set_num_threads(1)  # a model this small is slower on more
    write_dataset(layout.DATASET, make_rows(24))
    return tmp_path
