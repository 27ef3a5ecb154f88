"""What the trace browser draws, and how it leaves: every kind is there, the budget is kept, and all of it is data."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import workspace
from hostile_texts import ATTACKS, shown

from distill import layout, shards
from distill.config import Params
from distill.curation.store import open_store
from distill.errors import DataError
from distill.records import Score, Trace, Verdict
from distill.report import browser
from distill.report.markup import as_json, visible
from distill.settings import ReportSettings

SOURCES = {"many": 60, "few": 12, "rare": 1}  # problems
WORDS = ("correct", "correct", "incorrect", "truncated", "no_answer", "ambiguous")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 73 problems in three sources six traces each, two of them right; 40 problems that three models were asked."""
    problems = [
        workspace.problem(100 * place + i, source=source)
        for place, (source, n) in enumerate(SOURCES.items())
        for i in range(n)
    ]
    traces = [
        workspace.trace(p, None if word == "truncated" else p.answer, sample, chain=f"{word} {sample} of {p.id} " * 200)
        for p in problems
        for sample, word in enumerate(WORDS)
    ]
    folder = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        verdicts = [workspace.verdict(t, WORDS[t.sample_index]) for t in traces]
        workspace.finished(problems, traces, verdicts)
    return folder


def drawn(folder: Path, monkeypatch: pytest.MonkeyPatch, traces: int = 200, megabytes: int = 8, seed: int = 17) -> Any:
    monkeypatch.chdir(folder)
    settings = {"report": ReportSettings(traces=traces, megabytes=megabytes), "seed": seed}
    with open_store(layout.STORE) as store:
        return browser.section(store, workspace.params().model_copy(update=settings))


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [answer["id"] for entry in entries for answer in entry["answers"]]


@pytest.mark.parametrize("n", [8, 40, 200])
def test_half_is_kept_and_every_reason_has_its_share(many: Path, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    found = drawn(many, monkeypatch, n).training
    kinds = Counter(entry["kind"] for entry in found.entries)
    rejected = {"incorrect", "truncated", "no_answer", "ambiguous"}
    assert set(kinds) == rejected | {"kept"}
    assert kinds["kept"] == n / 2
    assert {kinds[kind] for kind in rejected} == {n / 8}
    assert found.rows == [("kept", 146, n // 2), *((kind, 73, n // 8) for kind in sorted(rejected))]
    assert (found.n_all, found.cut) == (438, False)


def test_sources_take_turns_within_a_kind(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = drawn(many, monkeypatch, 120).training.entries
    of_kind = Counter(entry["group"] for entry in entries if entry["kind"] == "incorrect")
    assert of_kind == {"many": 7, "few": 7, "rare": 1}


def test_more_than_there_is_draws_all(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(set(ids(drawn(many, monkeypatch, 5_000).training.entries))) == 438


def test_the_seed_decides(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again, other = (drawn(many, monkeypatch, 40, seed=seed).data for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_budget_is_kept_and_said_to_have_cut(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = drawn(many, monkeypatch, 438, megabytes=1)
    assert found.training.cut
    assert 400_000 < sum(len(as_json(entry)) for entry in found.training.entries) <= 500_000
    assert len(found.data.encode()) <= 1_000_000
    assert {entry["kind"] for entry in found.training.entries} == set(found.training.kinds)


def test_an_evaluation_problem_has_an_answer_of_every_model(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = drawn(many, monkeypatch).evaluation
    assert len(found.entries) == 40
    assert found.kinds == {"base wrong, student right": 20, "student wrong, teacher right": 10, "none right": 10}
    for entry in found.entries:
        answers = entry["answers"]
        assert [(a["model"], a["role"]) for a in answers] == [
            ("tiny_qwen_base", "base"), ("tiny_qwen", "student"), ("teacher", "teacher"),
        ]  # fmt: skip
        assert [a["right"] for a in answers] == [[int(a["verdict"] == "correct"), 1] for a in answers]
        assert entry["prompt"] == f"What is {entry['gold']}?"
        for a in answers:
            cut = a["verdict"] == "truncated"
            assert (a.get("chain"), a.get("text")) == ((None, "I think.") if cut else ("I think.", None))
            assert a["id"] in {
                row.trace_id for row in shards.read_rows(layout.SCORES / a["model"] / "scores.parquet", Score)
            }


def test_disagreements_come_before_their_share(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = Counter(entry["kind"] for entry in drawn(many, monkeypatch, 15).evaluation.entries)
    assert set(kinds.values()) == {5}
    assert len(kinds) == 3


@pytest.mark.parametrize(
    ("base", "student", "teacher", "kind"),
    [
        (0, 1, 1, "base wrong, student right"),
        (0, 1, 0, "base wrong, student right"),
        (1, 0, 1, "base right, student wrong"),
        (1, 0, 0, "base right, student wrong"),
        (0, 0, 1, "student wrong, teacher right"),
        (1, 1, 0, "student right, teacher wrong"),
        (1, 1, 1, "all right"),
        (0, 0, 0, "none right"),
    ],
)
def test_agreement(base: int, student: int, teacher: int, kind: str) -> None:
    def score(model: str, right: int) -> Score:
        return Score(
            trace_id="t", model=model, benchmark="easy", problem_id="p", sample_index=0, extracted=None,
            verdict="correct" if right else "truncated", completion_tokens=1, finish_reason="stop",
        )  # fmt: skip

    words = {"s_base": base, "s": student, "teacher": teacher}
    assert browser.agreement({model: score(model, right) for model, right in words.items()}, ["s"]) == kind


def test_models_stand_student_by_student_and_the_teacher_last() -> None:
    params: Params = workspace.params()
    twice = {"one": params.students["tiny_qwen"], "two": params.students["tiny_qwen"]}
    columns = browser.roles(params.model_copy(update={"students": twice}))
    assert list(columns.items()) == [
        ("one_base", "base"), ("one", "student"), ("two_base", "base"), ("two", "student"), ("teacher", "teacher"),
    ]  # fmt: skip


def test_an_answer_that_scores_name_but_nobody_wrote_is_an_error(
    many: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(many, tmp_path, dirs_exist_ok=True)
    path = tmp_path / layout.SCORES / "tiny_qwen" / "verdicts.parquet"
    shards.write_file(path, shards.read_rows(path, Verdict)[1:], Verdict)
    with pytest.raises(DataError, match=r"data/scores/tiny_qwen holds no answer or verdict \w{20}, .*`dvc repro`"):
        drawn(tmp_path, monkeypatch)


# ------------------------------------------------------------------ texts


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_no_character_of_the_data_means_anything_to_html(attack: str) -> None:
    said = as_json({"text": attack, attack: [attack]})
    assert json.loads(said) == {"text": attack, attack: [attack]}
    assert not set(said) & set("<>&\u2028\u2029")


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_hides_is_spelled_out(attack: str) -> None:
    assert visible(attack) == shown(attack)


def test_joiners_of_letters_and_emojis_stay() -> None:
    assert visible("\U0001f469\u200d\U0001f680 \u0646\u200c\u0645") == "\U0001f469\u200d\U0001f680 \u0646\u200c\u0645"


def test_a_text_over_the_limit_is_cut_in_the_middle() -> None:
    half = browser.LONGEST // 2
    whole, long = "a" * browser.LONGEST, "a" * half + "bb" + "c" * half
    assert browser._shortened({"whole": whole, "long": long, "n": 3, "none": None}) == {
        "whole": whole, "long": ["a" * half, 2, "c" * half], "n": 3, "none": None,
    }  # fmt: skip


# ------------------------------------------------------------------ rows of ids


def test_some_rows_are_read_by_their_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 30)
    monkeypatch.setattr(shards, "ROW_GROUP_SIZE", 8)
    rows = [workspace.trace(workspace.problem(i), str(i)) for i in range(100)]
    shards.write_shards(tmp_path / "rows", rows, Trace)
    wanted = {rows[3].id, rows[50].id, rows[99].id, "not there"}
    found = shards.read_some(tmp_path / "rows", Trace, wanted)
    assert sorted(found, key=lambda row: row.id) == sorted((rows[3], rows[50], rows[99]), key=lambda row: row.id)
    assert shards.read_some(tmp_path / "rows", Trace, set()) == []
    with pytest.raises(DataError, match="missing"):
        shards.read_some(tmp_path / "nowhere", Trace, wanted)
