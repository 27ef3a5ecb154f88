"""Whatever the server does: the traces are those of a run without faults, and nothing that landed is asked again."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FaultyTeacher, make_problems

from distill.errors import ConfigError, DataError, Incomplete, ServerError
from distill.generation import client, dispatch, upstream
from distill.generation.client import pause_after
from distill.generation.sampler import Sampled

Run = Callable[..., Sampled]

FAULTS = {
    "busy": (["503", "500", "503"], {"busy": 3}),
    "throttled": (["429", "429", "429-date"], {"throttled": 3}),
    "hang": (["hang", "hang"], {"gone": 2}),
    "reset": (["reset", "reset", "reset"], {"gone": 3}),
    "torn": (["torn", "torn-json", "empty", "html"], {"busy": 4}),
    "broken off": (["abort", "abort"], {"busy": 2}),
    "every fault": (["503", "429", "hang", "reset", "torn", "torn-json", "abort", "empty"], None),
    "death and return": (["die"], None),
    "many deaths": (["503", "die", "reset", "torn", "die", "429", "die"], None),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_faults_change_nothing(name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults, expected = FAULTS[name]
    problems = make_problems(20)
    with FaultyTeacher(faults) as teacher:
        sampled = run(teacher, problems)
        assert not teacher.faults, "a fault was never met"
        assert set(teacher.served.values()) == {1}
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "other"))
    with FaultyTeacher() as teacher:
        assert run(teacher, problems).traces == sampled.traces
    assert len(sampled.traces) == sampled.stats.sampled == 40
    if expected is not None:
        assert sampled.stats.failures == expected


def test_failures_are_kept_and_are_no_answers(run: Run, tmp_path: Path) -> None:
    with FaultyTeacher(["503", "reset"]) as teacher:
        run(teacher, make_problems(3), samples=1)
    (segment,) = tmp_path.glob(".distill/requests/*/*.jsonl")
    rows = [json.loads(line) for line in segment.read_text().splitlines()]
    assert sorted(row["failure"] for row in rows if row["kind"] == "failure") == ["busy", "gone"]
    assert sum(row["kind"] == "answer" for row in rows) == 3


def test_attempts_run_out(run: Run) -> None:
    with FaultyTeacher(["500"] * 8) as teacher:
        with pytest.raises(Incomplete, match="1 answers of teacher are missing after 8 attempts"):
            run(teacher, make_problems(1), samples=1)
        assert len(run(teacher, make_problems(1), samples=1).traces) == 1


def test_a_throttle_is_no_failed_attempt(run: Run) -> None:
    with FaultyTeacher(["429"] * 20) as teacher:
        assert len(run(teacher, make_problems(1), samples=1).traces) == 1


def test_a_refused_problem_has_no_trace_and_a_reason(run: Run) -> None:
    problems = make_problems(5)
    with FaultyTeacher() as teacher:
        teacher.refuses = "What is 3 + 3?"
        sampled = run(teacher, problems)
        assert len(teacher.requests) == 10, "a refusal was asked again"
    assert len(sampled.traces) == 8
    assert sampled.refusals == {problems[3].id: "status 400: the prompt does not fit"}
    assert sampled.stats.refused == 2


def test_a_server_that_refuses_everything_is_an_error(run: Run) -> None:
    with FaultyTeacher() as teacher:
        teacher.refuses = "What"
        with pytest.raises(DataError, match="refuses every request"):
            run(teacher, make_problems(3))


@pytest.mark.parametrize("status", ["401", "404"])
def test_a_wrong_key_or_name_ends_at_once(status: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILL_CONCURRENCY", "1")
    with FaultyTeacher([status] * 99) as teacher:
        with pytest.raises(ServerError, match=f"{status}: told to say {status}.; check DISTILL_TEACHER_URL"):
            run(teacher, make_problems(9))
        assert len(teacher.requests) == 1


def test_a_url_that_never_answered_is_an_error_at_once(run: Run) -> None:
    with FaultyTeacher() as teacher:
        pass
    with pytest.raises(ServerError, match="does not answer"):
        run(teacher, make_problems(1))


def test_a_url_that_stays_away_leaves_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "PATIENCE_S", 0.2)
    with FaultyTeacher([*[None] * 10, "die"]) as teacher:  # type: ignore[list-item]
        teacher.away_s = 60.0
        with pytest.raises(Incomplete, match="has been away"):
            run(teacher, make_problems(20))
        assert len(teacher.served) >= 10


def test_temperature_0_has_one_sample(run: Run) -> None:
    with FaultyTeacher() as teacher, pytest.raises(ConfigError, match="set samples: 1"):
        run(teacher, make_problems(1), samples=2, temperature=0.0)


def test_a_budget_beyond_the_context_is_an_error(run: Run) -> None:
    with FaultyTeacher() as teacher, pytest.raises(ConfigError, match="max_tokens is 4096"):
        run(teacher, make_problems(1), max_tokens=4096)


def test_the_key_is_sent_and_nowhere_else(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DISTILL_TEACHER_API_KEY", "s3cret")
    with caplog.at_level(logging.DEBUG), FaultyTeacher(["503", "die", "reset"]) as teacher:
        sampled = run(teacher, make_problems(4))
        assert {headers["Authorization"] for headers in teacher.headers} == {"Bearer s3cret"}
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl")) + caplog.text + repr(sampled)
    assert "s3cret" not in kept


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_a_server_that_splits_the_chain_gives_the_same_rows(
    field: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyTeacher() as teacher:
        inline = run(teacher, make_problems(3)).traces
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "split"))
    with FaultyTeacher(splits_reasoning=field) as teacher:
        assert run(teacher, make_problems(3)).traces == inline
    assert inline[0].reasoning
    assert inline[0].answer_text
    assert inline[0].answer_text.startswith("\\boxed{")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("", None), ("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("86400", 600.0), ("soon", None), ("nan", 0.0)],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert client._seconds(value) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "9s"}, 2.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0.5s"}, 60.5),
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "1m"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "24h"}, 600.0),
    ],
)
def test_rate_limit_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert client._retry_after(headers) == seconds


def test_pauses_grow_and_the_servers_word_counts() -> None:
    assert max(pause_after(30, client.Busy("")) for _ in range(50)) <= client.LONGEST_PAUSE_S
    assert 2.0 <= pause_after(1, client.Throttled("", 2.0)) <= 2.2
    assert dispatch.MAX_ATTEMPTS > 1
