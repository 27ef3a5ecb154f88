"""The trace browser: a seeded draw of training traces and of evaluation answers, as data for `browser.js`.

An entry of the list is a training trace, or an evaluation problem with one answer of each model, side by side:

    {"view": "training", "group": "gcd", "kind": "incorrect", "problem": "9f31…", "prompt": "Find the…", "gold": "12",
     "answers": [{"id": "c07a…", "model": "data/models/tiny-r1", "verdict": "incorrect", "tokens": 212, …}]}

What is drawn is decided over ids, sources and reasons alone, so a store of any size costs seconds; words are fetched
of what was drawn. Model text is hostile: it leaves as JSON in which no character means anything to HTML, and the
script makes text nodes of it and nothing else.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from distill import layout, shards
from distill.config import Params
from distill.curation.store import ask
from distill.errors import DataError
from distill.evaluation.evaluate import evaluated, read_scores
from distill.records import Outcome, Score, Trace, Verdict
from distill.report.markup import as_json

SCRIPT = (Path(__file__).parent / "templates" / "browser.js").read_text(encoding="utf-8")
KEPT = "kept"
LONGEST = 60_000  # characters of one text; of a longer one the middle is left out

Entry = dict[str, Any]

# Rounds: in each a row of every kind, and of the favoured kind as many as of all others together. Within a kind the
# groups take turns, so the first n rows are spread as evenly as the rows allow, for any n.
DRAW = """
WITH lucky AS (
    SELECT *, md5($seed || id) AS luck FROM ({rows})
), turns AS (
    SELECT *, row_number() OVER (PARTITION BY kind, "group" ORDER BY luck) AS turn FROM lucky
), places AS (
    SELECT *, row_number() OVER (PARTITION BY kind ORDER BY turn, luck) AS place FROM turns
), others AS (
    SELECT greatest(count(DISTINCT kind), 1) AS n FROM lucky WHERE kind <> $favoured
)
SELECT places.id FROM places, others
ORDER BY if(kind = $favoured, ceil(place / others.n), place), kind = $favoured, luck
LIMIT $n
"""
TRACES = f"SELECT id, source AS \"group\", coalesce(reason, '{KEPT}') AS kind FROM judged"
TRACES_BY_KIND = f"SELECT kind, count(*) AS n FROM ({TRACES}) GROUP BY kind ORDER BY kind <> '{KEPT}', n DESC, kind"
PROBLEMS = 'SELECT unnest($ids) AS id, unnest($groups) AS "group", unnest($kinds) AS kind'
TRACE_TEXTS = """
SELECT trace_id AS id, reasoning AS chain, answer_text AS answer, text FROM texts WHERE trace_id IN ({ids})
"""
TRACE_FACTS = f"""
SELECT
    j.id, j.source AS "group", coalesce(j.reason, '{KEPT}') AS kind, j.problem_id AS problem, p.prompt,
    p.answer AS gold, j.model, j.verdict, j.method, j.evidence, j.extracted, j.completion_tokens AS tokens,
    j.finish_reason AS finish, j.sample_index AS sample, array_to_string(j.concerns, ', ') AS concerns,
    j.duplicate_of AS copy
FROM judged j JOIN problems p ON p.id = j.problem_id WHERE j.id IN ({{ids}})
"""
PROBLEM_TEXTS = 'SELECT id, split AS "group", prompt, answer AS gold FROM problems WHERE id IN ({ids})'
OF_ENTRY = ("group", "kind", "problem", "prompt", "gold")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn of one view: the entries, how many rows of each kind there are, and whether the budget cut it."""

    entries: list[Entry]
    kinds: dict[str, int]
    cut: bool

    @property
    def n_all(self) -> int:
        """How many rows it was drawn from."""
        return sum(self.kinds.values())

    @property
    def rows(self) -> list[tuple[str, int, int]]:
        """Of each kind, how many there are and how many were drawn."""
        drawn = Counter(entry["kind"] for entry in self.entries)
        return [(kind, n, drawn[kind]) for kind, n in self.kinds.items()]


@dataclass(frozen=True, slots=True)
class Section:
    """What `browser.html.jinja` shows: both draws, and their entries as JSON that is safe inside a script element."""

    training: Drawn
    evaluation: Drawn
    seed: int
    data: Markup


def section(store: Any, params: Params) -> Section:
    """Draw both views within `report.megabytes`: half for training traces, the rest for evaluation answers."""
    budget = params.report.megabytes * 1_000_000
    training = _training(store, params, budget // 2)
    left = budget - sum(len(as_json(entry).encode()) for entry in training.entries)
    evaluation = _evaluation(store, params, left)
    return Section(training, evaluation, params.seed, Markup(as_json([*training.entries, *evaluation.entries])))


# ------------------------------------------------------------------ training traces


def _training(store: Any, params: Params, budget: int) -> Drawn:
    kinds: dict[str, int] = dict(ask(store, TRACES_BY_KIND)[1])
    ids = _draw(store, TRACES, params, favoured=KEPT)
    facts, texts = _rows_of(store, TRACE_FACTS, ids), _rows_of(store, TRACE_TEXTS, ids)
    entries = _within(budget, (_trace_entry(facts[name], texts[name]) for name in ids))
    return Drawn(entries, kinds, cut=len(entries) < len(ids))


def _trace_entry(facts: Mapping[str, Any], texts: Mapping[str, Any]) -> Entry:
    problem = {"view": "training"} | {name: facts[name] for name in OF_ENTRY}
    answer = {name: value for name, value in facts.items() if name not in OF_ENTRY}
    words = _words(texts["chain"], texts["answer"], texts["text"])
    return _shortened(problem) | {"answers": [_shortened(answer | {"role": "teacher"} | words)]}


# ------------------------------------------------------------------ evaluation answers


def _evaluation(store: Any, params: Params, budget: int) -> Drawn:
    """One answer of each model, its first sample, to problems of every kind of agreement."""
    scores = {model: read_scores(model) for model in roles(params)}
    first = _first_samples(scores)
    kinds = {problem: agreement(answers, list(params.students)) for problem, answers in first.items()}
    groups = [next(iter(answers.values())).benchmark for answers in first.values()]
    ids = _draw(store, PROBLEMS, params, ids=list(first), groups=groups, kinds=list(kinds.values()))
    problems = _rows_of(store, PROBLEM_TEXTS, ids)
    chosen = {model: [first[name][model] for name in ids if model in first[name]] for model in scores}
    answers = [_answers(model, role, chosen[model], scores[model]) for model, role in roles(params).items()]
    entries = _within(budget, (_problem_entry(problems[name], kinds[name], answers) for name in ids))
    return Drawn(entries, dict(Counter(kinds.values()).most_common()), cut=len(entries) < len(ids))


def _first_samples(scores: Mapping[str, Sequence[Score]]) -> dict[str, dict[str, Score]]:
    """Of each problem the first sample of each model."""
    first: dict[str, dict[str, Score]] = {}
    for model, rows in scores.items():
        for row in sorted(rows, key=lambda row: (row.problem_id, row.sample_index)):
            first.setdefault(row.problem_id, {}).setdefault(model, row)
    return first


def roles(params: Params) -> dict[str, str]:
    """Every model that is evaluated with its role, in the order of their columns."""
    teacher, *others = evaluated(params)
    return {model.name: model.role for model in [*others, teacher]}


def agreement(answers: Mapping[str, Score], students: Sequence[str]) -> str:
    """In which way the models agree on a problem or not: the first of these that holds for a student."""
    right = {model: score.verdict == Outcome.CORRECT for model, score in answers.items()}
    teacher = right.get(layout.TEACHER, False)
    pairs = [(right.get(layout.base_name(student), False), right.get(student, False)) for student in students]
    if any(student and not base for base, student in pairs):
        return "base wrong, student right"
    if any(base and not student for base, student in pairs):
        return "base right, student wrong"
    if any(teacher and not student for _, student in pairs):
        return "student wrong, teacher right"
    if any(student and not teacher for _, student in pairs):
        return "student right, teacher wrong"
    return "all right" if teacher else "none right"


def _answers(model: str, role: str, chosen: Sequence[Score], scores: Sequence[Score]) -> dict[str, dict[str, Any]]:
    """A model's chosen answers by problem, with what the verifier said of them and of its other samples."""
    folder, wanted = layout.SCORES / model, {score.trace_id for score in chosen}
    traces = {row.id: row for row in shards.read_some(folder / "traces", Trace, wanted)}
    verdicts = {row.trace_id: row for row in shards.read_some(folder / "verdicts.parquet", Verdict, wanted)}
    if lost := sorted(wanted - (traces.keys() & verdicts.keys())):
        raise DataError(f"{folder} holds no answer or verdict {lost[0]}, which its scores name; `dvc repro` writes it")
    samples = Counter(score.problem_id for score in scores)
    right = Counter(score.problem_id for score in scores if score.verdict == Outcome.CORRECT)
    return {
        score.problem_id: {
            "model": model,
            "role": role,
            "right": [right[score.problem_id], samples[score.problem_id]],
            **_answer(score, traces[score.trace_id], verdicts[score.trace_id]),
        }
        for score in chosen
    }


def _answer(score: Score, trace: Trace, verdict: Verdict) -> dict[str, Any]:
    return _shortened(
        {
            "id": trace.id,
            "verdict": score.verdict,
            "method": verdict.method,
            "evidence": verdict.evidence,
            "extracted": score.extracted,
            "tokens": score.completion_tokens,
            "finish": score.finish_reason,
            "sample": score.sample_index,
        }
        | _words(trace.reasoning, trace.answer_text, trace.text)
    )


def _problem_entry(problem: Mapping[str, Any], kind: str, answers: Sequence[Mapping[str, dict[str, Any]]]) -> Entry:
    said = [of_model[problem["id"]] for of_model in answers if problem["id"] in of_model]
    words = _shortened({name: problem[name] for name in ("group", "prompt", "gold")})
    return {"view": "evaluation", "kind": kind, "problem": problem["id"]} | words | {"answers": said}


# ------------------------------------------------------------------ both


def _draw(store: Any, rows: str, params: Params, favoured: str = "", **parameters: Any) -> list[str]:
    """Ids of `report.traces` of the rows, in the order in which they are to be shown while there is room."""
    drawing = {"seed": str(params.seed), "favoured": favoured, "n": params.report.traces}
    return [name for (name,) in ask(store, DRAW.format(rows=rows), drawing | parameters)[1]]


def _rows_of(store: Any, query: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rows of a query by their ids. Raises `DataError` where one is missing."""
    names = {f"id{index}": name for index, name in enumerate(ids)}
    listed = ", ".join(f"${name}" for name in names) or "NULL"  # as constants they let whole row groups be skipped
    columns, rows = ask(store, query.format(ids=listed), names)
    found = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
    if lost := [name for name in ids if name not in found]:
        raise DataError(f"{layout.STORE} holds no row {lost[0]}, which was drawn; `dvc repro` brings both into step")
    return found


def _words(chain: str | None, answer: str | None, text: str | None) -> dict[str, Any]:
    """A chain and what follows it, or the whole message where it is not these two."""
    return {"text": text} if chain is None or answer is None else {"chain": chain, "answer": answer}


def _shortened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with the middle of texts over `LONGEST` characters left out: `[start, how many are left out, end]`."""
    half = LONGEST // 2
    return {
        name: [v[:half], len(v) - 2 * half, v[-half:]] if isinstance(v, str) and len(v) > LONGEST else v
        for name, v in values.items()
    }


def _within(budget: int, entries: Iterator[Entry]) -> list[Entry]:
    """The first entries that together are no longer than so many bytes of JSON."""
    kept: list[Entry] = []
    for entry in entries:
        budget -= len(as_json(entry).encode())
        if budget < 0:
            break
        kept.append(entry)
    return kept
