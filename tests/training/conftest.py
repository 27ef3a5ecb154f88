"""A workspace with a small data set, in which every stage runs, and one in which faults are planted."""

from pathlib import Path

import pytest
from planted import Pipeline, prepare
from students import make_rows, write_dataset

from distill import layout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    torch.set_num_threads(1)  # a model this small is slower on more
    return tmp_path


@pytest.fixture
def pipeline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """The stages of a student, unspoilt."""
    return prepare(monkeypatch)


@pytest.fixture
def workspace(folder: Path) -> Path:
    """A folder with 24 exported rows."""
    write_dataset(layout.DATASET, make_rows(24))
    return folder
