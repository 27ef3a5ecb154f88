"""The page and its numbers: recovered exactly, and deaf to what model text tries."""

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import hostile_texts
import pytest
import workspace
from hostile_texts import ATTACKS
from markupsafe import escape

from distill import layout
from distill.curation.store import open_store
from distill.report import page
from distill.report.summary import Summary, collect
from distill.settings import PriceSettings, ReportSettings


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Summary:
    """A finished run of eight traces, half of them right."""
    monkeypatch.chdir(tmp_path)
    problems = [workspace.problem(i) for i in range(8)]
    traces = [workspace.trace(p, p.answer) for p in problems]
    words = ["correct", "incorrect"] * 4
    workspace.finished(problems, traces, [workspace.verdict(t, w) for t, w in zip(traces, words, strict=True)])
    return collect(workspace.params())


def rendered(summary: Summary) -> str:
    with open_store(layout.STORE) as store:
        return page.render(summary, store)


def test_names_of_others_are_shown_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources, benchmarks and models' paths stand in the page itself; all else is data of the trace browser."""
    monkeypatch.chdir(tmp_path)
    hostile_texts.write_run()
    html = rendered(collect(workspace.params()))
    _, before, between, after = re.split(r"<(?:style|script)[^>]*>.*?</(?:style|script)>", html, flags=re.DOTALL)
    for part in (before, between, after):
        assert not re.findall(r"<(?:script|img|iframe|base|meta|link|form|math|style)|(?:src|on\w+)\s*=\s*[\"']", part)
        assert not re.findall(r"\shref=\"(?!#)", part)
        assert not set(part) & set("\u202e\u2066\x1b\x00\ufeff")
    assert escape(ATTACKS["script"]) in before
    assert "safe U+202Egnp.exe" in before
    assert escape(ATTACKS["template"]) in before


def test_the_policy_names_what_is_in_the_page_and_nothing_else(summary: Summary) -> None:
    html = rendered(summary)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[0].split("; ")
    [style], [script] = (
        re.findall(pattern, html, flags=re.DOTALL) for pattern in ("<style>(.*?)</style>", "<script>(.*?)</script>")
    )

    def sha256(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert policy == [
        "default-src 'none'", f"script-src {sha256(script)}", f"style-src {sha256(style)}", "base-uri 'none'",
        "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
    ]  # fmt: skip
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?https?:""", html)


def test_the_page_says_how_much_was_drawn_of_what(summary: Summary) -> None:
    assert "<strong>8 of 8 training traces</strong>." in rendered(summary)
    few = summary.params.model_copy(update={"report": ReportSettings(traces=6)})
    html = rendered(replace(summary, params=few))
    assert "<strong>6 of 8 training traces</strong>, by seed 17: kept ones and" in html
    assert "<strong>6 of 40 evaluation problems</strong>: as many of each way" in html
    assert re.search(r'<td>kept</td><td class="n">4</td><td class="n">3</td>', html)


def test_the_headline_is_that_of_the_scores(summary: Summary) -> None:
    said = "tiny_qwen went from 0.0 % to 50.0 % on 40 unseen problems (+50.0 points, 95 % interval +33.8 to +66.2, "
    said += "p < 0.001)."
    assert summary.headline("tiny_qwen") == said
    assert escape(said) in rendered(summary)
    base, teacher = summary.result("tiny_qwen_base"), summary.result("teacher")
    assert (base["no_answer"], teacher["truncated"], teacher["mean"]) == (1.0, 0.25, 0.75)


def test_a_student_that_gained_nothing_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    workspace.finished_with_one()
    asked = [workspace.problem(1000 + i) for i in range(40)]
    workspace.write_scores("tiny_qwen", asked, [1, 0] + [0] * 38)
    summary = collect(workspace.params())
    assert summary.headline("tiny_qwen").endswith("; no difference is shown.")


@pytest.mark.parametrize(
    ("prices", "usd_per_answer"),
    [
        ({}, None),
        ({"usd_per_hour": 3600.0}, 5.0),
        ({"usd_per_million_prompt_tokens": 1e5, "usd_per_million_completion_tokens": 1e6}, 21.0),
    ],
)
def test_what_a_kept_trace_cost(summary: Summary, prices: dict[str, float], usd_per_answer: float | None) -> None:
    """Two answers took 10 seconds, 20 tokens of prompts and 40 of their own; four of eight traces are kept."""
    priced = collect(summary.params.model_copy(update={"price": PriceSettings(**prices)}))
    row = priced.tables["spending"].one(student="tiny_qwen")
    assert (row["kept"], row["points"], row["teacher_hours"]) == (4, 50.0, pytest.approx(8 * 5 / 3600))
    assert row["usd_per_kept_trace"] == (usd_per_answer and pytest.approx(2 * usd_per_answer))
    assert row["usd_per_point"] == (usd_per_answer and pytest.approx(8 * usd_per_answer / 50))
