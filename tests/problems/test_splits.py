import hashlib
import json

import pytest

from distill import shards
from distill.errors import ConfigError, DataError
from distill.problems import splits
from distill.problems.sources import normalised_prompt
from distill.records import Outcome, Problem
from distill.settings import FileSource, GymSource, ProblemSettings


def small(n: int, **config) -> GymSource:
    return GymSource(kind="gym", task="gcd", n=n, config={"min_value": 1, "max_value": 16, **config})


def all_correct(problems):
    return {problem.id: Outcome.CORRECT for problem in problems}


CROWDED = ProblemSettings(
    train={"a": small(60), "b": small(40)}, eval={"easy": {"a": small(30)}, "hard": {"a": small(30)}}
)


def test_no_problem_is_in_two_splits_and_every_source_reaches_its_n():
    built = splits.build(CROWDED, 17, all_correct)
    groups = [built.train, *built.eval.values()]
    prompts = [{normalised_prompt(row.prompt) for row in group} for group in groups]
    assert [len(rows) for rows in prompts] == [100, 30, 30] == [len(group) for group in groups]
    assert len(set.union(*prompts)) == 160
    assert built.total("in_another_split") > 0
    assert "that another split holds" in splits.describe(built)


def test_case_and_white_space_do_not_hide_a_copy(tmp_path):
    held, train = tmp_path / "held.jsonl", tmp_path / "train.jsonl"
    held.write_text(json.dumps({"prompt": "What is  1 + 1?", "answer": "2"}))
    rows = [{"prompt": "what IS 1 +\n1?", "answer": "2"}, {"prompt": "What is 1 + 2?", "answer": "3"}]
    train.write_text("\n".join(map(json.dumps, rows)))
    settings = ProblemSettings(
        train={"f": FileSource(kind="file", path=str(train))},
        eval={"held": {"f": FileSource(kind="file", path=str(held))}},
    )
    built = splits.build(settings, 1, all_correct)
    assert [row.answer for row in built.train] == ["3"]
    assert built.counts["train"]["f"] == {"rows": 1, "repeats": 0, "in_another_split": 1, "not_gradable": 0}
    same = ProblemSettings(train=settings.eval["held"], eval=settings.eval)
    with pytest.raises(DataError, match="1 rows are in another split"):
        splits.build(same, 1, all_correct)


def test_same_bytes_twice(tmp_path):
    digests = set()
    for run in ("one", "two"):
        built = splits.build(CROWDED, 17, all_correct)
        shards.write_file(tmp_path / run, built.train, Problem)
        digests.add(hashlib.sha256((tmp_path / run).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_references_that_cannot_be_graded_stay_and_are_reported():
    def one_bad(problems):
        first = min(problem.id for problem in problems)
        return {p.id: Outcome.UNPARSED_GOLD if p.id == first else Outcome.CORRECT for p in problems}

    built = splits.build(CROWDED, 17, one_bad)
    assert len(built.train) == 100
    assert sum(row.gold_verdict == Outcome.UNPARSED_GOLD for row in built.train) == 1
    assert built.total("not_gradable") == 3
    assert "3 references cannot be graded (" in splits.describe(built)


@pytest.mark.parametrize("name", ["train", "all", "../x", "a-b"])
def test_names_that_no_split_may_have(name):
    settings = ProblemSettings(train={"a": small(5)}, eval={name: {"a": small(5)}})
    with pytest.raises(ConfigError, match="a split's name is letters, digits and _"):
        splits.build(settings, 1, all_correct)


def test_responses_come_with_their_problems(tmp_path):
    path = tmp_path / "chat.jsonl"
    rows = [{"instruction": f"Say {word}.", "output": f"{word}!"} for word in ("hello", "good night")]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    columns = {"prompt": "instruction", "answer": "output"}
    given = {"chat": FileSource(kind="file", path=str(path), columns=columns, domain="chat", licence="MIT")}
    built = splits.build(
        ProblemSettings(train={"a": small(5)}, given=given, eval={"easy": {"a": small(3)}}), 17, all_correct
    )
    assert [(row.source, row.verifier, row.domain) for row in built.given] == [("chat", "none", "chat")] * 2
    assert {(row.prompt, row.answer) for row in built.given} == {
        ("Say hello.", "hello!"),
        ("Say good night.", "good night!"),
    }
    assert "2 with their responses" in splits.describe(built)
    path.write_text('{"instruction": "Say hello."}\n')
    with pytest.raises(DataError, match=r"line 1 has no column 'output' .*set problems.given.chat.columns.answer"):
        splits.build(
            ProblemSettings(train={"a": small(5)}, given=given, eval={"easy": {"a": small(3)}}), 17, all_correct
        )


def test_a_source_is_for_training_or_given(tmp_path):
    file = FileSource(kind="file", path="x.jsonl")
    with pytest.raises(ValueError, match="a is a source of train and of given; rename one of them"):
        ProblemSettings(train={"a": small(5)}, given={"a": file}, eval={"easy": {"a": small(3)}})
    with pytest.raises(ConfigError, match="and not 'train' or 'given'"):
        splits.build(ProblemSettings(train={"a": small(5)}, eval={"given": {"a": small(3)}}), 17, all_correct)
