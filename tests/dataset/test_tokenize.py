"""The stage: what is left out and counted, how much may be, and that the same rows give the same bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from students import make_base, make_rows, write_dataset

from distill import layout
from distill.dataset import audit
from distill.dataset.examples import draw_examples, read_examples
from distill.dataset.tokenize import choose, describe, tokenize
from distill.errors import DataError
from distill.models import resolve, resolve_folder
from distill.students import StudentSettings


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_base(tmp_path / "base", "qwen2")
    return tmp_path


def settings(**changed: Any) -> StudentSettings:
    return StudentSettings(**({"base": "base", "method": "full", "learning_rate": 1e-3, "max_length": 512} | changed))


def hostile_rows() -> list[dict[str, Any]]:
    """Twelve good rows, and one of each kind that is left out."""
    bad = {
        "b1": "<think>\nI stop <|im_end|> here\n</think>\n\n1",
        "b2": "<think>\nAgain: <think>\n</think>\n\n1",
        "b3": f"<think>\n{'long ' * 400}\n</think>\n\n1",
    }
    good = make_rows(12)
    question = good[0]["messages"][0]
    rows = [
        good[0]
        | {"id": name.ljust(20, "0"), "source": "bad", "messages": [question, {"role": "assistant", "content": text}]}
        for name, text in bad.items()
    ]
    return good + rows


def test_rows_that_cannot_be_trained_are_counted(workspace: Path) -> None:
    write_dataset(layout.DATASET, hostile_rows())
    report = tokenize("tiny", settings(), resolve_folder("base", "base"), 17)
    assert report["rows"] == 12
    assert report["left_out"] == {
        "too long": {"bad": 1}, "with a control token": {"bad": 1}, "without one chain": {"bad": 1}
    }  # fmt: skip
    assert describe(report).endswith("1 too long (1 bad), 1 with a control token (1 bad), 1 without one chain (1 bad)")
    assert audit.read_report(layout.TOKENIZED / "tiny") == report
    ids = [example.id for example in read_examples(layout.TOKENIZED / "tiny")]
    assert ids == sorted(ids)


def test_same_rows_give_the_same_bytes(workspace: Path) -> None:
    write_dataset(layout.DATASET, make_rows(30))
    base = resolve_folder("base", "base")
    found = []
    for _ in range(2):
        tokenize("tiny", settings(max_rows=10), base, 17)
        found.append({path.name: path.read_bytes() for path in (layout.TOKENIZED / "tiny").iterdir()})
    assert found[0] == found[1]
    assert str(workspace) not in json.dumps({name: str(data) for name, data in found[0].items()})


def test_choice_is_spread_seeded_and_stable(workspace: Path) -> None:
    few, more = write_dataset(workspace / "few", make_rows(30)), write_dataset(workspace / "more", make_rows(31))
    chosen = choose(few, 9, 17)
    assert chosen is not None
    assert sorted(int(name, 16) % 3 for name in chosen) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert chosen != choose(few, 9, 18)
    assert len(chosen & (choose(more, 9, 17) or set())) >= 8
    assert choose(few, 30, 17) is choose(few, None, 17) is None


def test_too_many_left_out_is_an_error(workspace: Path) -> None:
    """Three of fifteen rows are bad, and it is said which, of which source, and what to do."""
    write_dataset(layout.DATASET, hostile_rows())
    base = resolve_folder("base", "base")
    assert tokenize("tiny", settings(max_left_out=0.2), base, 17)["rows"] == 12
    before = (layout.TOKENIZED / "tiny" / "audit.json").read_bytes()
    with pytest.raises(DataError) as caught:
        tokenize("tiny", settings(max_left_out=0.19), base, 17)
    sentence = str(caught.value)
    assert sentence.startswith(
        "3 of 15 rows are left out for tiny, more than students.tiny.max_left_out 0.19: 1 too long (1 bad), "
    )
    assert "raise max_length" in sentence
    assert "\n" not in sentence
    assert (layout.TOKENIZED / "tiny" / "audit.json").read_bytes() == before


def test_nothing_left_is_an_error(workspace: Path) -> None:
    write_dataset(layout.DATASET, make_rows(3))
    with pytest.raises(
        DataError, match=r"no row is left for tiny: 3 too long \(1 double, 1 sum, 1 twice\); raise max_length"
    ):
        tokenize("tiny", settings(max_length=8), resolve_folder("base", "base"), 17)
    assert not (layout.TOKENIZED / "tiny").exists()


def test_rows_without_a_proof_are_not_read(workspace: Path) -> None:
    with pytest.raises(DataError, match=r"audit\.json is missing, so nothing is proven"):
        audit.read_report(layout.TOKENIZED / "tiny")


def test_a_given_template_is_the_one_that_is_taught(workspace: Path) -> None:
    """The base's own ChatML is one that names nobody; the given one names a system."""
    write_dataset(layout.DATASET, make_rows(3))
    template = Path("own.jinja")
    template.write_text("{{ '<|im_start|>system\nCount.<|im_end|>\n' }}" + Path("base/chat_template.jinja").read_text())
    own, given = resolve("base", "./base", None), resolve("base", "./base", None, str(template))
    first, second = (tokenize("tiny", settings(), base, 17) for base in (own, given))
    assert second["template"] != first["template"]
    assert second["tokens"] - first["tokens"] == 3 * len("<system\nCount.>\n")
    assert second["trained_tokens"] == first["trained_tokens"]


def test_rows_are_drawn_by_seed(workspace: Path) -> None:
    write_dataset(layout.DATASET, make_rows(30))
    tokenize("tiny", settings(), resolve_folder("base", "base"), 17)
    drawn = [[example.id for example in draw_examples(layout.TOKENIZED / "tiny", 10, seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert len(set(drawn[0])) == 10
    assert drawn[0] != drawn[2]
    whole = {example.id: example for example in read_examples(layout.TOKENIZED / "tiny")}
    assert all(whole[example.id] == example for example in draw_examples(layout.TOKENIZED / "tiny", 10, 1))
