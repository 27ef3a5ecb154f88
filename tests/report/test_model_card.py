"""The card of a student with its results: as the hub reads it, and as people do."""

from pathlib import Path

import pytest
import workspace
from huggingface_hub import ModelCard

from distill import layout
from distill.errors import DataError
from distill.report import model_card
from distill.report.summary import Summary, collect
from distill.training import checkpoint

FRONT = "---\nlibrary_name: transformers\ntags: [reasoning]\n---\n"
SHIPPED = f"{FRONT}\n# tiny_qwen\n\nHow it was made.\n\n{model_card.PROMISE}\n"


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Summary:
    monkeypatch.chdir(tmp_path)
    workspace.finished_with_one()
    layout.REPORT.mkdir(parents=True)
    return collect(workspace.params())


def test_a_card_gets_its_results(summary: Summary) -> None:
    folder = layout.STUDENTS / "tiny_qwen"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(SHIPPED)
    card = ModelCard.load(model_card.write(summary, "tiny_qwen"))
    assert (folder / "README.md").read_text() == SHIPPED, "what was measured was changed"
    [result] = card.data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("easy", "pass@1", 50.0)
    assert card.data.tags == ["reasoning"]
    assert model_card.PROMISE not in card.text
    assert "from 0.0 % to 50.0 % on 40 unseen problems" in card.text
    assert "| easy | 40 × 1 | 0.0 ± 0.0 | 50.0 ± 8.0 | 75.0 ± 6.9 | +50.0 (+33.8 to +66.2) | < 0.001 |" in card.text


def test_the_card_that_ships_makes_the_promise() -> None:
    assert checkpoint.CARD.read_text().rstrip().endswith(model_card.PROMISE)


def test_a_student_without_a_card_is_named(summary: Summary) -> None:
    with pytest.raises(DataError, match=r"data/students/tiny_qwen/README.md is missing; `dvc repro -f train"):
        model_card.write(summary, "tiny_qwen")
