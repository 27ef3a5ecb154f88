"""Stopping and continuing against a real HTTP server: nothing is asked that is not wanted, nothing is paid twice."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fakes import PREFILLED, FaultyTeacher, make_problems

from distill.errors import ServerError
from distill.generation import view
from distill.generation.endpoint import Serving
from distill.generation.plan import Stop
from distill.generation.sampler import Sampled, sample_problems
from distill.models import ModelRevision
from distill.records import Trace
from distill.settings import GenerateSettings, PriceSettings, ServerSettings

Sample = Callable[..., Sampled]


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch, root: Path) -> Sample:
    """Sample from a teacher whose template is here, so that its cut answers can be gone on with."""
    model = ModelRevision("teacher", PREFILLED, str(root / PREFILLED), "r1")

    def run(teacher: FaultyTeacher, n_problems: int, grade: object = None, **settings: object) -> Sampled:
        monkeypatch.setenv("DISTILL_TEACHER_URL", teacher.url)
        chosen = GenerateSettings.model_validate({"samples": 4, "max_tokens": 64, **settings})
        serving = Serving("bfloat16", 1024, ServerSettings())
        return sample_problems(make_problems(n_problems), model, chosen, serving, 17, grade)  # type: ignore[arg-type]

    return run


def third(traces: Sequence[Trace]) -> set[str]:
    """A grader to which about one trace of three is right."""
    return {trace.id for trace in traces if int(trace.id, 16) % 3 == 0}


def test_no_more_is_asked_than_is_wanted(sample: Sample) -> None:
    with FaultyTeacher() as teacher:
        sampled = sample(teacher, 40, third, samples=6, want=1)
    of: dict[str, list[Trace]] = {}
    for trace in sampled.traces:
        of.setdefault(trace.problem_id, []).append(trace)
    assert len(of) == 40
    for name, traces in of.items():
        right = third(traces)
        assert len(right) == 1 if sampled.stops[name] is Stop.ENOUGH else not right and len(traces) == 6
    assert set(sampled.stops.values()) == {Stop.ENOUGH, Stop.SAMPLES}
    assert len(sampled.traces) == sampled.stats.sampled < 40 * 4


def test_a_run_that_goes_on_asks_what_it_would_have_asked(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults, an interruption by a smaller want, and all of it at once give the same traces."""
    rules = {"samples": 6, "want": 2, "budget_steps": [6, 12]}
    with FaultyTeacher(["503", "die", "reset", "429", "torn"]) as teacher:
        sample(teacher, 20, third, **(rules | {"want": 1}))
        in_parts = sample(teacher, 20, third, **rules)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "other"))
    with FaultyTeacher() as teacher:
        assert sample(teacher, 20, third, **rules).stops == in_parts.stops
        assert sample(teacher, 20, third, **rules).stats.sampled == 0


def test_a_cut_trace_is_continued_and_its_tokens_are_paid_once(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyTeacher() as teacher:
        stepped = sample(teacher, 30, samples=1, budget_steps=[4, 11])
        asked = [body for body in teacher.requests if "prompt" in body]
    assert asked
    assert all(body["add_special_tokens"] is False for body in asked)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "other"))
    with FaultyTeacher() as teacher:
        whole = sample(teacher, 30, samples=1)
    texts = [(trace.id, trace.text, trace.completion_tokens, trace.finish_reason) for trace in stepped.traces]
    assert texts == [(t.id, t.text, t.completion_tokens, t.finish_reason) for t in whole.traces]
    assert stepped.stats.completion_tokens == whole.stats.completion_tokens
    assert stepped.stats.continued == len(asked)


def test_a_larger_budget_goes_on_from_where_the_smaller_one_cut(sample: Sample) -> None:
    with FaultyTeacher() as teacher:
        small = sample(teacher, 30, samples=1, max_tokens=8)
        n_cut = sum(trace.finish_reason == "length" for trace in small.traces)
        large = sample(teacher, 30, samples=1)
        assert 0 < n_cut < 30
        assert len(teacher.requests) == 30 + n_cut
        assert large.stats.continued == n_cut
        assert sample(teacher, 30, samples=1, max_tokens=8).traces == small.traces


def test_a_problem_without_a_right_trace_is_given_up(sample: Sample) -> None:
    with FaultyTeacher() as teacher:
        sampled = sample(teacher, 10, lambda _: set(), samples=8, want=1, give_up_after=3)
    assert set(sampled.stops.values()) == {Stop.GAVE_UP}
    assert len(sampled.traces) == 30
    assert sampled.stats.metrics()["stops"] == {"gave_up": 10}


def test_several_urls_share_the_work_and_take_over_from_each_other(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyTeacher(delay_s=0.01) as one, FaultyTeacher([*["fine"] * 20, "die"], delay_s=0.01) as other:
        other.away_s = 60.0  # longer than the test: the first has to do the rest
        monkeypatch.setattr(FaultyTeacher, "url", property(lambda _: f"{address(one)},{address(other)}"))
        sampled = sample(one, 60, samples=2)
        assert len(sampled.traces) == 120
        assert len(other.served) >= 20
        assert sum(one.served.values()) + sum(other.served.values()) == 120


def test_a_run_says_how_it_goes(sample: Sample, tmp_path: Path) -> None:
    with FaultyTeacher() as teacher:
        sampled = sample(teacher, 20, third, samples=4, want=1)
    (said,) = view.read_all()
    stats = sampled.stats
    assert (said.done, said.total, said.ended) == (stats.sampled, stats.sampled, True)
    assert (said.graded, said.verified) == (stats.graded, stats.verified) == (len(sampled.traces), said.verified)
    assert said.verified == len(third(sampled.traces))
    assert f"{said.verified:,} verified (" in view.describe(said, PriceSettings())
    assert view.describe(said, PriceSettings(usd_per_million_completion_tokens=9.0)).endswith(
        " a verified trace  [ended]"
    )


def test_a_model_that_does_not_reason_is_an_error_at_once(run: Sample) -> None:
    with FaultyTeacher() as teacher:
        teacher.reasons = False
        with pytest.raises(ServerError, match=r"first 3 answers .* no chain of thought"):
            run(teacher, make_problems(200), must_reason=True)
    assert sum(teacher.served.values()) < 100


def address(teacher: FaultyTeacher) -> str:
    return f"http://127.0.0.1:{teacher.port}"
