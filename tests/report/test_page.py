"""The page and its numbers: recovered exactly, and deaf to what model text tries."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import workspace

from distill import layout
from distill.curation.store import open_store
from distill.report import page
from distill.report.summary import Summary, collect
from distill.settings import PriceSettings

ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</pre></details><iframe src=javascript:alert(1)>",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "<a href='https://evil.example/'>click</a>",
    "\u202egnp.exe",
)


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Summary:
    """A finished run in which every text is an attack."""
    monkeypatch.chdir(tmp_path)
    problems = [workspace.problem(i, prompt=f"{attack} {{}}".replace("{{ 7 * 7 }}", "")) if "{" not in attack
                else workspace.problem(i) for i, attack in enumerate(ATTACKS)]  # fmt: skip
    traces = [workspace.trace(p, p.answer, chain=attack) for p, attack in zip(problems, ATTACKS, strict=True)]
    words = ["correct", "incorrect"] * len(traces)
    workspace.finished(
        problems, traces, [workspace.verdict(t, w, ATTACKS[0]) for t, w in zip(traces, words, strict=False)]
    )
    return collect(workspace.params())


def rendered(summary: Summary) -> str:
    with open_store(layout.STORE) as store:
        return page.render(summary, store)


def test_model_text_is_shown_and_never_run(summary: Summary) -> None:
    html = rendered(summary)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    for tag in ("<script", "<img", "<iframe", "<a ", "onload=alert(1)>", "onerror=alert(1)>"):
        assert tag not in html
    assert "49" not in re.findall(r"<pre>(\d+)</pre>", html)


def test_nothing_outside_the_page_is_named(summary: Summary) -> None:
    html = rendered(summary)
    assert "default-src 'none'" in html
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?https?:""", html)


def test_numbers_are_those_of_the_scores(summary: Summary) -> None:
    html = rendered(summary)
    assert summary.score("tiny_qwen", "all").estimate.mean == 0.5
    assert summary.gain("tiny_qwen").difference.mean == 0.5
    assert summary.gain("tiny_qwen").shown
    assert summary.headline("tiny_qwen").startswith(
        "tiny_qwen went from 0.0 % to 50.0 % on 40 unseen problems (+50.0 points"
    )
    assert "from 0.0 % to 50.0 % on 40 unseen problems" in html
    numbers = summary.headline_numbers()
    assert numbers["models"]["teacher"]["all"]["pass@1"] == 0.75
    assert numbers["gains"]["tiny_qwen"]["all"]["n"] == 40
    assert (summary.score("tiny_qwen_base", "all").no_answer, summary.score("teacher", "all").cut_off) == (1.0, 0.25)
    assert '<td class="n">100 %</td><td class="n">0 %</td>' in html, "the base that never answers is not shown to"


def test_what_a_kept_trace_cost(summary: Summary) -> None:
    """Two answers took 10 seconds, 20 tokens of prompts and 40 of their own."""
    kept = next(row["n"] for row in summary.funnel["steps"] if row["step"] == "kept")
    for prices, usd in (
        ({}, None),
        ({"usd_per_hour": 3600.0}, 5.0 * len(ATTACKS) / kept),
        ({"usd_per_million_prompt_tokens": 1e5, "usd_per_million_completion_tokens": 1e6}, 21.0 * len(ATTACKS) / kept),
    ):
        priced = summary.params.model_copy(update={"price": PriceSettings(**prices)})
        assert replace(summary, params=priced).usd_per_kept_trace() == (usd and pytest.approx(usd))


def test_a_student_that_gained_nothing_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = workspace.problem(1)
    answer = workspace.trace(one, "1")
    workspace.finished([one], [answer], [workspace.verdict(answer, "correct")])
    asked = [workspace.problem(1000 + i) for i in range(40)]
    workspace.write_scores("tiny_qwen", asked, [1, 0] + [0] * 38)
    summary = collect(workspace.params())
    assert not summary.gain("tiny_qwen").shown
    assert "no difference is shown" in summary.headline("tiny_qwen")


def test_the_page_opens_in_a_browser(summary: Summary, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here: apt install chromium")
    path = tmp_path / "index.html"
    path.write_text(rendered(summary))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    command = [browser, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "from 0.0 % to 50.0 %" in done.stdout
