"""What a model, a data set or a file name may say to a browser, and a run in which all of them do.

Each text runs `window.__xss = 1`, asks for something, or hides, if it is believed.
"""

import re
from dataclasses import replace

import workspace

from distill.models import ModelRevision, write_revision
from distill.records import Problem, Trace, Verdict, problem_id

XSS = "window.__xss=1"
ATTACKS = {
    "script": f"<script>{XSS}</script>",
    "script of a case": f"<ScRiPt >{XSS}</sCrIpT >",
    "end of the script": f"</script><script>{XSS}</script>",
    "end of the data": f'"}}]</script><script>{XSS}</script>',
    "comment and script": f"<!--<script>{XSS}</script>",
    "open comment": "<!-- never closed",
    "character data": f"]]><![CDATA[<script>{XSS}</script>]]>",
    "image": f"<img src=x onerror={XSS}>",
    "image of the wide world": "<img src=https://evil.example/x.png>",
    "svg": f'"><svg onload={XSS}>',
    "svg and script": f"<svg><script>{XSS}</script></svg>",
    "math": f"<math><mtext><table><mglyph><style><img src=x onerror={XSS}>",
    "frame": f"</pre></details><iframe src=javascript:{XSS}></iframe>",
    "frame of a document": f'<iframe srcdoc="<script>parent.{XSS}</script>"></iframe>',
    "link": f"<a href=javascript:{XSS}>click</a> [click](javascript:{XSS})",
    "data address": f"data:text/html,<script>{XSS}</script>",
    "autofocus": f"<input autofocus onfocus={XSS}>",
    "details": f"<details open ontoggle={XSS}>",
    "style": "<style>body{display:none}</style>",
    "style attribute": '" style="position:fixed;inset:0;background:url(https://evil.example/x)" x="',
    "style sheet": "}</style><link rel=stylesheet href=https://evil.example/x.css>",
    "base": "<base href=https://evil.example/><meta http-equiv=refresh content=0;url=https://evil.example/>",
    "form": "<form action=https://evil.example/><button>go</button></form>",
    "template": "{{ 7 * 7 }}{% include '/etc/passwd' %}{# gone #}${7*7}#{7*7}<%= 7*7 %>",
    "attribute": f"' onmouseover='{XSS}' x='",
    "json": f'\\", "kind": "kept"}}, {{"x": "\\u003cscript>{XSS}</script>',
    "prototype": '{"__proto__": {"hidden": true}, "constructor": "x"}',
    "clobber": '<form id="q"><input name="value"></form><a id="entries"></a>',
    "line separators": f"one\u2028{XSS}\u2029two",
    "turned": "safe \u202egnp.exe\u2066 and \u200f back \u061c",
    "nothing": f"nul \x00 esc \x1b[31m <scr\x00ipt>{XSS}</scr\x00ipt> \x7f \x85 \ufeff tag \U000e0041",
    "entities": "&lt;script&gt; &amp;lt; &#60;script&#62; %3Cscript%3E \\u003cscript\\u003e",
    "windows": "one\r\ntwo\rthree",
    "unbroken": "A" * 3_000,
    "marks on marks": "Z" + "\u0301\u0489" * 300,
}
BENCHMARK = ATTACKS["end of the script"]
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0001-\U000e007f]+"
)


def shown(text: str) -> str:
    """How a page is to spell a text: as it is, but for characters that hide, or turn the line."""
    spelled = text.replace("\r\n", "\n")
    return HIDDEN.sub(lambda run: " ".join(f"U+{ord(c):04X}" for c in run[0]), spelled)


def problem(attack: str, split: str) -> Problem:
    """A problem in which every text is an attack; `split` tells those of training and evaluation apart."""
    number = len(attack) if split == "train" else 10_000 + len(attack)
    prompt = attack if split == "train" else f"{attack} {' '.join(f'{split}{n}' for n in range(number, number + 40))}"
    return replace(
        workspace.problem(number, source=attack), id=problem_id(prompt, attack, "gym"), prompt=prompt, answer=attack,
        domain=attack, licence=attack,
    )  # fmt: skip


def answer(of: Problem, model: str) -> Trace:
    """An answer in which the chain and the box are an attack."""
    return workspace.trace(of, of.answer, model=model, chain=of.answer)


def verdict(of: Trace, attack: str, word: str) -> Verdict:
    """A verdict whose every word but the first is an attack."""
    return replace(workspace.verdict(of, word, attack), evidence=attack, method=attack)


def write_run() -> dict[str, tuple[str, str]]:
    """A finished run in which every text, source, model and benchmark that can be is an attack.

    Returns the ids of a training trace and of a student's answer by the names of the attacks.
    """
    trained = [problem(attack, "train") for attack in ATTACKS.values()]
    asked = [problem(attack, "eval") for attack in ATTACKS.values()]
    traces = [answer(of, of.answer) for of in trained]
    words = ["correct", "incorrect"] * len(traces)
    verdicts = [verdict(t, of.answer, word) for t, of, word in zip(traces, trained, words, strict=False)]
    workspace.finished(trained, traces, verdicts)
    workspace.write_store(trained, traces, verdicts, asked, BENCHMARK)
    for name in ("teacher", "tiny_qwen_base", "tiny_qwen"):
        answers = [(answer(of, name), of.answer) for of in asked]
        workspace.write_answers(name, [(t, verdict(t, attack, "incorrect")) for t, attack in answers], BENCHMARK)
        write_revision(ModelRevision(name, ATTACKS["image"], ATTACKS["svg"], "sha256:0"))
    ids = [(t.id, answer(of, "tiny_qwen").id) for t, of in zip(traces, asked, strict=True)]
    return dict(zip(ATTACKS, ids, strict=True))
