"""The page in a real Chromium, from disk, without a network: it works by mouse, key and link, and runs nothing else."""

import re
import shutil
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hostile_texts
import pytest
import workspace
from hostile_texts import ATTACKS, shown
from playwright.sync_api import Browser, Page, sync_playwright

from distill import layout
from distill.curation.store import open_store
from distill.report import page as report
from distill.report.summary import collect

TAGS = {
    "html", "head", "meta", "title", "style", "script", "body", "main", "header", "footer", "nav", "section", "article",
    "h1", "h2", "h3", "h4", "p", "a", "ul", "ol", "li", "dl", "dt", "dd", "div", "span", "strong", "em", "b", "i",
    "bdi", "code", "kbd", "pre", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary",
    "label", "input", "select", "option", "button", "output", "br", "small",
    "svg", "g", "line", "circle", "rect", "text", "polyline", "path",
}  # fmt: skip
RECORDER = """
window.__violations = [];
window.__printed = [];
document.addEventListener("securitypolicyviolation", event => window.__violations.push(event.violatedDirective));
window.print = () => window.__printed.push(document.documentElement.className);
"""
SHORT = ["one", "two", "three", "four"]
Hostile = tuple[Path, dict[str, tuple[str, str]]]
LONG = "middle " * 12_000  # characters: 84,000


@dataclass(slots=True)
class Heard:
    """What a page did that it must not: what it asked for, complained of, or popped up."""

    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        return [*self.requests, *self.said, *self.dialogs]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium. It ends with this file: while it runs, no other event loop could."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium here, so the page is not tried in one: make browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


def visit(chromium: Browser, path: Path, fragment: str = "", **options: Any) -> tuple[Page, Heard]:
    """A page opened from disk by a browser without a network, and everything it does that it must not."""
    heard = Heard()
    context = chromium.new_context(offline=True, **options)
    context.set_default_timeout(10_000)  # ms
    context.add_init_script(RECORDER)
    page = context.new_page()
    page.on("request", lambda request: heard.requests.append(request.url) if request.url != own else None)
    page.on("console", lambda message: heard.said.append(message.text))
    page.on("pageerror", lambda error: heard.said.append(str(error)))
    page.on("dialog", lambda dialog: (heard.dialogs.append(dialog.message), dialog.dismiss()))
    own = path.as_uri()
    page.goto(own + fragment)
    return page, heard


def write_page() -> Path:
    """The page of the workspace that is the current folder."""
    with open_store(layout.STORE) as store:
        return report.write(collect(workspace.params()), store).absolute()


def sides(page: Page) -> tuple[Any, Any]:
    """Where the list and the reader are."""
    return page.locator("#list").bounding_box(), page.locator("#reader").bounding_box()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight traces of four problems in two sources, half of them right; 40 problems that three models were asked."""
    problems = [workspace.problem(i, "Say {}, please.", "odd" if i % 2 else "even") for i in range(4)]
    traces = [
        workspace.trace(p, p.answer if sample else "99", sample, chain=f"I think of {SHORT[i]}. {LONG * (i == 3)}")
        for i, p in enumerate(problems)
        for sample in (0, 1)
    ]
    words = ["correct" if t.sample_index else "incorrect" for t in traces]
    with chdir(tmp_path_factory.mktemp("plain")):
        workspace.finished(problems, traces, [workspace.verdict(t, w) for t, w in zip(traces, words, strict=True)])
        return write_page()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    """The page of a run that is hostile throughout, and two traces of each attack."""
    with chdir(tmp_path_factory.mktemp("hostile")):
        traces = hostile_texts.write_run()
        return write_page(), traces


def texts(page: Page, selector: str) -> list[str]:
    return list(page.locator(selector).evaluate_all("nodes => nodes.map(node => node.textContent)"))


def listed(page: Page) -> list[str]:
    return texts(page, "#list li:not([hidden]) .opening")


# ------------------------------------------------------------------ it works


def test_it_opens_from_disk_and_asks_for_nothing(chromium: Browser, plain: Path) -> None:
    page, heard = visit(chromium, plain)
    assert "from 0.0 % to 50.0 %" in page.inner_text("body")
    assert page.inner_text("#count") == "48 of 48 entries"
    assert len(listed(page)) == 48
    assert page.locator("#list [aria-current]").count() == 1
    assert not page.locator("#unread").is_visible()
    assert heard.all == page.evaluate("window.__violations") == []


def test_filters_and_search_change_the_list(chromium: Browser, plain: Path) -> None:
    page, heard = visit(chromium, plain)
    page.select_option("#view", "training")
    assert page.inner_text("#count") == "8 of 48 entries"
    assert texts(page, "#group option") == ["all", "even (4)", "odd (4)"]
    page.select_option("#kind", "kept")
    page.select_option("#group", "odd")
    assert sorted(listed(page)) == ["Say 1, please.", "Say 3, please."]
    page.fill("#q", "THINK OF TWO")
    assert listed(page) == ["Say 1, please."]
    assert "I think of two." in page.inner_text("#reader")
    assert page.evaluate("[...CSS.highlights.get('found')].map(String)") == ["think of two"]
    page.fill("#q", "no such words")
    assert page.inner_text("#count") == "0 of 48 entries"
    assert page.inner_text("#reader") == "No entry meets all of this."
    page.click("#reset")
    assert page.inner_text("#count") == "48 of 48 entries"
    assert heard.all == []


def test_one_answer_has_to_meet_model_verdict_and_length(chromium: Browser, plain: Path) -> None:
    """The base never answered, the student is right on 20 of 40 and the teacher on 30."""
    page, _ = visit(chromium, plain)
    page.select_option("#model", "tiny_qwen")
    page.select_option("#verdict", "correct")
    assert page.inner_text("#count") == "20 of 48 entries"
    page.select_option("#model", "tiny_qwen_base")
    assert page.inner_text("#count") == "0 of 48 entries"
    page.select_option("#verdict", "no_answer")
    assert page.inner_text("#count") == "40 of 48 entries"
    page.fill("#min", "21")
    assert page.inner_text("#count") == "0 of 48 entries"
    page.fill("#min", "20")
    page.fill("#max", "20")
    assert page.inner_text("#count") == "40 of 48 entries"


def test_an_evaluation_problem_shows_its_answers_side_by_side(chromium: Browser, plain: Path) -> None:
    page, _ = visit(chromium, plain, viewport={"width": 1280, "height": 900})
    page.select_option("#kind", "base wrong, student right")
    assert page.inner_text("#count") == "20 of 48 entries"
    assert texts(page, "#reader .answer h3") == [
        "tiny_qwen_base – no_answer",
        "tiny_qwen ✓ correct",
        "teacher ✓ correct",
    ]
    tops = page.locator("#reader .answer").evaluate_all("nodes => nodes.map(node => node.getBoundingClientRect().top)")
    assert tops[0] == tops[1]
    items, reader = sides(page)
    assert reader["x"] >= items["x"] + items["width"] - 1


def test_a_link_opens_its_trace_and_the_filters_beside_it(chromium: Browser, plain: Path) -> None:
    page, _ = visit(chromium, plain)
    page.select_option("#view", "evaluation")
    page.locator("#list li:not([hidden]) button").nth(3).click()
    wanted = page.inner_text("#reader .asked pre")
    there, heard = visit(chromium, plain, page.evaluate("location.hash"))
    assert there.inner_text("#reader .asked pre") == wanted
    assert there.inner_text("#count") == "40 of 48 entries"
    assert there.locator("#reading").bounding_box()["y"] < 100  # type: ignore[index]
    student = there.locator("#reader .answer.student a")
    student.click()
    assert there.locator(".answer.linked").get_attribute("class") == "answer student linked"
    assert there.evaluate("location.hash") == f"#trace={student.inner_text()}"
    assert there.inner_text("#count") == "48 of 48 entries"
    there.evaluate("location.hash = '#trace=nowhere'")
    there.wait_for_function("document.getElementById('count').value.includes('nowhere')")
    there.evaluate("location.hash = '#results'")
    assert there.evaluate("location.hash") == "#results"
    assert heard.all == []


def test_keys_move_search_and_clear(chromium: Browser, plain: Path) -> None:
    page, _ = visit(chromium, plain, "#browser")
    openings = listed(page)
    current = "#list [aria-current] .opening"
    for key, place in (("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        assert texts(page, current) == [openings[place]]
    page.locator("#list [aria-current]").focus()
    for key, place in (("ArrowDown", 2), ("ArrowUp", 1), ("End", 47), ("ArrowDown", 47), ("Home", 0)):
        page.keyboard.press(key)
        assert texts(page, current) == [openings[place]]
        assert page.evaluate("document.activeElement.matches('[aria-current]')")
    page.keyboard.press("/")
    page.keyboard.type("jk/")
    assert page.input_value("#q") == "jk/"
    assert page.inner_text("#count") == "0 of 48 entries"
    page.keyboard.press("Escape")
    assert page.input_value("#q") == ""
    assert page.inner_text("#count") == "48 of 48 entries"


def test_keys_leave_a_page_alone_whose_browser_is_out_of_sight(chromium: Browser, plain: Path) -> None:
    page, _ = visit(chromium, plain, viewport={"width": 1280, "height": 500})
    first = texts(page, "#list [aria-current] .opening")
    page.keyboard.press("j")
    assert texts(page, "#list [aria-current] .opening") == first


def test_everything_is_reached_by_tab_and_seen_to_be(chromium: Browser, plain: Path) -> None:
    page, _ = visit(chromium, plain)
    page.locator("#q").focus()
    reached = []
    for _ in range(15):  # nine filters, the list, three buttons, the reader, a link
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML.slice(0, 80)")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.localName"))
        page.keyboard.press("Tab")
    controls = ["q", "view", "group", "kind", "verdict", "model", "min", "max", "reset"]
    assert [name for name in reached if name in controls] == controls
    assert reached[9:] == ["button", "previous", "next", "print", "reader", "a"]
    assert page.get_attribute("#count", "aria-live") == "polite"


def test_a_long_text_says_what_is_left_out(chromium: Browser, plain: Path) -> None:
    page, _ = visit(chromium, plain)
    page.fill("#q", "think of four")
    cut = page.inner_text("#reader .cut >> nth=0")
    assert re.fullmatch(r"… 24,0\d\d characters are left out here; distill show and the trace's id print them …", cut)


# ------------------------------------------------------------------ it looks right


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_width_and_no_theme_breaks_it(
    chromium: Browser, plain: Path, hostile: Hostile, tmp_path: Path, width: int, scheme: Any
) -> None:
    """The pictures stay in pytest's folder, to be looked at."""
    for name, path in (("plain", plain), ("hostile", hostile[0])):
        page, _ = visit(chromium, path, viewport={"width": width, "height": 844}, color_scheme=scheme)
        for view in ("training", "evaluation"):
            page.select_option("#view", view)
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
            items, reader = sides(page)
            assert (reader["y"] >= items["y"] + items["height"] - 1) == (width == 390)
            page.screenshot(path=tmp_path / f"{name}-{view}-{width}-{scheme}.png", full_page=True)
        red, green, blue = map(
            int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
        )
        assert (red + green + blue < 384) == (scheme == "dark")


def test_paper_holds_the_numbers_or_one_entry(chromium: Browser, plain: Path) -> None:
    page, _ = visit(chromium, plain)
    page.click("#print")
    assert page.evaluate("window.__printed") == ["print-entry"]
    assert page.evaluate("document.documentElement.className") == ""
    page.emulate_media(media="print")
    assert page.locator("table").first.is_visible()
    assert not page.locator("#reading").is_visible()
    assert not page.locator(".toc").is_visible()
    page.evaluate("document.documentElement.className = 'print-entry'")
    assert page.locator("#reader pre").first.is_visible()
    assert not page.locator("table").first.is_visible()
    assert not page.locator("#list").is_visible()


def test_without_javascript_the_numbers_stand_and_it_says_what_is_missing(chromium: Browser, plain: Path) -> None:
    page, heard = visit(chromium, plain, java_script_enabled=False)
    assert page.get_by_text("The traces themselves are read with JavaScript").is_visible()
    assert page.get_by_text("from 0.0 % to 50.0 %").is_visible()
    assert not page.locator("#reading").is_visible()
    assert heard.requests == []


# ------------------------------------------------------------------ it runs nothing


@pytest.fixture(scope="module")
def attacked(chromium: Browser, hostile: Hostile) -> tuple[Page, Heard]:
    return visit(chromium, hostile[0])


def open_trace(page: Page, trace: str) -> None:
    page.evaluate("id => { location.hash = '#trace=' + id }", trace)
    page.wait_for_function("id => document.querySelector('.linked')?.textContent.includes(id)", arg=trace)


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_text_is_shown_and_never_run(attacked: tuple[Page, Heard], hostile: Hostile, name: str) -> None:
    page, heard = attacked
    expected = shown(ATTACKS[name])
    for trace in reversed(hostile[1][name]):
        open_trace(page, trace)
        assert texts(page, "#reader .asked pre")[0].startswith(expected)
        assert texts(page, ".linked pre") == [expected, f"\\boxed{{{expected}}}"]
        facts = dict(zip(texts(page, "#reader dt"), texts(page, "#reader dd"), strict=True))
        assert {facts[key] for key in ("reference", "compared", "evidence", "decided by")} == {expected}
    assert texts(page, "#reader header .group") == texts(page, ".linked h3 bdi") == [expected]
    assert set(page.evaluate("[...document.querySelectorAll('*')].map(node => node.localName)")) <= TAGS
    assert page.evaluate("window.__xss") is None
    assert heard.all == page.evaluate("window.__violations") == []


def test_every_filter_takes_every_attack(attacked: tuple[Page, Heard]) -> None:
    page, heard = attacked
    page.click("#reset")
    for name in ("group", "model"):
        for value in page.locator(f"#{name} option").evaluate_all("nodes => nodes.map(node => node.value)"):
            page.locator(f"#{name}").evaluate(
                "(node, value) => { node.value = value; node.dispatchEvent(new Event('input')); }", value
            )
            assert page.locator("#list li:not([hidden])").count() > 0
        page.click("#reset")
    for attack in ATTACKS.values():
        page.locator("#q").evaluate("(n, text) => { n.value = text; n.dispatchEvent(new Event('input')); }", attack)
    assert heard.all == []
    assert page.evaluate("window.__xss") is None


def test_the_policy_alone_stops_what_would_get_in(chromium: Browser, plain: Path, tmp_path: Path) -> None:
    """Markup planted past every escape does nothing either; and the listeners of these tests do hear."""
    planted = f"<body>{ATTACKS['script']}{ATTACKS['image']}{ATTACKS['image of the wide world']}<p style='color:red'>"
    path = tmp_path / "planted.html"
    path.write_text(plain.read_text().replace("<body>", planted, 1))
    page, heard = visit(chromium, path)
    page.wait_for_function("window.__violations.length >= 4")
    assert page.evaluate("window.__xss") is None
    assert heard.said
    assert page.evaluate("fetch('https://evil.example/').then(() => 'sent', () => 'stopped')") == "stopped"
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>bold</b>'")
