"""The cache as a whole: compacted, counted and imported, and never an answer less."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FaultyTeacher, make_problems

from distill.errors import DataError
from distill.generation import upkeep
from distill.generation.sampler import Sampled

Run = Callable[..., Sampled]


def fill(run: Run) -> Sampled:
    """Three runs, one after a fault and one with a line torn by a kill."""
    with FaultyTeacher(["503"]) as teacher:
        run(teacher, make_problems(3))
        run(teacher, make_problems(5), max_tokens=8)
        whole = run(teacher, make_problems(8))
    (folder,) = upkeep._root().iterdir()
    (folder / "9-torn.jsonl").write_bytes(b'{"kind": "answer", "request_key": "')
    return whole


def test_compacting_keeps_every_answer(run: Run) -> None:
    whole = list(fill(run).traces)
    (before,) = upkeep.holdings()
    assert (before.segments, before.torn_lines, before.failures) == (4, 1, 1)
    assert upkeep.compact() == (4, 1)
    (after,) = upkeep.holdings()
    assert (after.answers, after.cut, after.failures) == (before.answers, before.cut, before.failures)
    assert (after.segments, after.torn_lines) == (1, 0)
    with FaultyTeacher() as teacher:
        again = run(teacher, make_problems(8))
    assert list(again.traces) == whole
    assert again.stats.sampled == 0
    assert upkeep.compact() == (1, 1)


def test_a_folder_in_use_is_not_compacted(run: Run) -> None:
    traces = fill(run).traces  # reads from the folder for as long as it lives
    with pytest.raises(DataError, match="in use by a run"):
        upkeep.compact()
    assert len(traces) == 16


def test_an_import_is_found_by_the_next_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(fill(run).traces)
    n_answers = sum(held.answers for held in upkeep.holdings())
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "other"))
    copied, answers = upkeep.import_from(tmp_path / ".distill/requests")
    assert (copied, answers) == (3, n_answers)
    assert upkeep.import_from(tmp_path / ".distill/requests") == (0, 0)
    with FaultyTeacher() as teacher:
        again = run(teacher, make_problems(8))
    assert list(again.traces) == whole
    assert again.stats.sampled == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "holds no answers"),
        ("hello\n", "holds no answers"),
        ('{"a": 1}\n', "is no segment of a request cache"),
        ('{"kind": "answer", "request_key": "../../etc"}\n', "is no segment of a request cache"),
    ],
)
def test_what_is_no_cache_is_not_imported(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text(text)
    with pytest.raises(DataError, match=fault):
        upkeep.import_from(tmp_path)
    assert not upkeep._root().exists()
