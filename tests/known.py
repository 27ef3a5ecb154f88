"""A whole run of which every number is known beforehand: the real stages, on models that do what a table prescribes.

    known = make(folder)                       problems to evaluate of teacher, base and student; training is left out
    known.expected("pupil", "sums").outcomes   Counter({"correct": 17, "no_answer": 6, …})
    known.acts["pupil", problem.id, 3]         what the student did with sample 3 of a problem

`known.folder` holds `params.yaml`, `pipelines/benchmarks/` and `data/` as after `dvc repro`. The models are one HTTP
server that fails before many of its answers, by time-outs too. Each problem has a rate of its own for each model.
"""

import importlib.util
import itertools
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import students
import workspace
from fakes import FaultyTeacher, Reply
from ruamel.yaml import YAML

from distill import config, layout, shards, stage
from distill.prompting import render_user_turn
from distill.records import Problem, content_id

MODELS = {"teacher": "big-model", "pupil_base": "a/base", "pupil": "data/students/pupil"}  # by what a server calls them
RIGHT = {"teacher": (0.7, 1.0), "pupil_base": (0.0, 0.4), "pupil": (0.2, 0.9)}  # between which the problems' rates lie
FAULTS = ("503", "reset", "torn", "torn-json", "abort", "429", "empty")
N_HANGS = 3  # of each model: as long as a time-out
TRAINED = {"rows": 3, "steps": 2, "loss": [[1, 2.0], [2, 1.0]]}  # the one metric that no stage here measured
LEAKED = (
    "Each morning Aya walks nine kilometres along the river and stops at a small coffee shop on the way back. "
    "The walk takes her {} hours and then {} hours more. How many hours is she out?"
)


@dataclass(frozen=True)
class Act:
    """What a model does with one sample, and what must be said of it."""

    name: str
    verdict: str
    finish_reason: str = "stop"
    looped: bool = False
    extraction: str = "none"


ACTS = {
    act.name: act
    for act in (
        Act("right", "correct", extraction="box"),
        Act("rambling", "correct", looped=True, extraction="box"),
        Act("by_line", "correct", extraction="answer_line"),
        Act("wrong", "incorrect", extraction="box"),
        Act("silent", "no_answer"),
        Act("unclosed", "no_answer"),
        Act("cut", "truncated", "length"),
        Act("looping", "truncated", "repetition", looped=True),
        Act("garbled", "unparsed_answer", extraction="box"),
        Act("two_answers", "ambiguous"),
    )
}
LETTERS = {"by_line": {"extraction": "option"}, "garbled": {"extraction": "none"}}  # where a choice is another thing
FAILURES = ("wrong", "silent", "unclosed", "cut", "looping", "garbled", "two_answers")


@dataclass(frozen=True)
class Planned:
    """One line of the table: the act, its length, and the faults that come before it."""

    act: Act
    tokens: int
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expected:
    """What the scores of one model on one benchmark must come to. Counts are of samples."""

    n: int
    k: int
    right: dict[str, list[int]]  # per problem, by sample index
    outcomes: Counter[str]
    finish_reasons: Counter[str]
    looped: int
    tokens: int

    @property
    def pass_at_1(self) -> Fraction:
        """The mean over problems of the share of right samples."""
        return sum(Fraction(sum(samples), len(samples)) for samples in self.right.values()) / self.n


@dataclass(frozen=True)
class Known:
    """The workspace of a finished run, and the table that it followed."""

    folder: Path
    params: config.Params
    problems: dict[str, list[Problem]]  # train, sums, letters
    table: dict[tuple[str, str, int], Planned]  # by model, problem id and sample index
    served: Counter[tuple[str, int]]  # by question and seed label
    requests: int

    @property
    def acts(self) -> dict[tuple[str, str, int], Act]:
        """The table without lengths and faults."""
        return {key: planned.act for key, planned in self.table.items()}

    def expected(self, model: str, benchmark: str) -> Expected:
        """What a model's scores on one benchmark must come to; of "train", what the teacher's traces must."""
        ids = {problem.id for problem in self.problems[benchmark]}
        rows = {key[1:]: planned for key, planned in self.table.items() if key[0] == model and key[1] in ids}
        right: dict[str, list[int]] = {}
        for problem, index in sorted(rows):
            right.setdefault(problem, []).append(int(rows[problem, index].act.verdict == "correct"))
        return Expected(
            n=len(right),
            k=min(map(len, right.values())),
            right=right,
            outcomes=Counter(planned.act.verdict for planned in rows.values()),
            finish_reasons=Counter(planned.act.finish_reason for planned in rows.values()),
            looped=sum(planned.act.looped for planned in rows.values()),
            tokens=sum(planned.tokens for planned in rows.values()),
        )


def make(folder: Path) -> Known:
    """Run every stage but tokenize and train in a folder of their own, and give back what must have come out."""
    with pytest.MonkeyPatch.context() as patch:
        prepare(folder, patch)
        params = config.load()
        run("models", params)
        run("problems", params)
        problems = read_problems()
        table = plan(problems, params)
        with FaultyTeacher() as server:
            server.script = script(table, problems, params)
            serve_from(server.url, patch)
            for name in ("generate", "verify", "curate", "export"):
                run(name, params)
            write_pupil()
            for name in MODELS:
                run("evaluate", params, name)
        workspace.write_json(layout.METRICS / "train_pupil.json", TRAINED)
    return Known(folder, params, problems, table, server.served, len(server.requests))


def prepare(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """A workspace in which no stage has run: settings, a benchmark's file, problems; and short pauses."""
    patch.chdir(folder)
    workspace.short_pauses(folder, patch, in_flight=16, reply_timeout_s=2.0)
    serve_from("http://127.0.0.1:9", patch)  # so that models are taken for served; nothing is asked there
    write_sources()
    yaml, tree = YAML(), YAML(typ="safe").load(workspace.ROOT / "pipelines/profiles/smoke.yaml")
    tree["problems"] = {
        "train": {"doubles": {"kind": "file", "path": "train.jsonl", "licence": "MIT"}},
        "eval": {
            "sums": "sums",
            "letters": {
                "letters": {
                    "kind": "file",
                    "path": "letters.jsonl",
                    "verifier": "choice",
                    "domain": "letters",
                    "columns": {"prompt": "question", "answer": "right", "options": "options"},
                }
            },
        },
    }
    tree["teacher"]["model"] = MODELS["teacher"]
    tree["generate"]["samples"] = tree["evaluate"]["samples"] = 2
    tree["students"] = {"pupil": tree["students"]["tiny_qwen"] | {"base": MODELS["pupil_base"]}}
    yaml.dump(tree, Path("params.yaml"))
    benchmark = {
        "what": "sums of two numbers",
        "licence": "CC0-1.0",
        "samples": 4,
        "answer_line": True,
        "prompt": "Here is a sum.\n\n{problem}",
        "sources": {"sums": {"kind": "file", "path": "sums.jsonl"}},
    }
    config.BENCHMARKS.mkdir(parents=True)
    yaml.dump(benchmark, config.BENCHMARKS / "sums.yaml")


def write_sources() -> None:
    """Twelve problems to train on, ten and six to evaluate on. Training has two of the evaluation's, one reworded."""
    doubles = [{"prompt": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(10, 20)]
    sums = [{"prompt": f"What is {i} + {i + 7}?", "answer": str(2 * i + 7)} for i in range(30, 39)]
    leaked = {"prompt": LEAKED.format(2, 3), "answer": "5"}
    copies = [{"prompt": sums[0]["prompt"].upper(), "answer": sums[0]["answer"]}]
    copies += [{"prompt": f"Think. {leaked['prompt']}", "answer": "5"}]
    colours = ["red", "green", "blue", "black"]
    letters = [
        {"question": f"Which is word {i}?", "right": 0, "options": [f"{c} {i}" for c in colours]} for i in range(6)
    ]
    for name, rows in {"train": doubles + copies, "sums": [*sums, leaked], "letters": letters}.items():
        Path(f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def write_pupil() -> None:
    """A student's folder as far as one that is served elsewhere is looked at: its tokenizer and its context."""
    folder = Path(MODELS["pupil"])
    students.make_tokenizer("chatml").save_pretrained(folder)
    (folder / "config.json").write_text('{"max_position_embeddings": 2048}')


def serve_from(url: str, patch: pytest.MonkeyPatch) -> None:
    """Every model behind one URL."""
    for name in MODELS:
        patch.setenv(f"DISTILL_{name.upper()}_URL", url)


def read_problems() -> dict[str, list[Problem]]:
    """What the problems stage left."""
    splits = {path.stem: shards.read_rows(path, Problem) for path in layout.EVAL_PROBLEMS.glob("*.parquet")}
    return {"train": shards.read_rows(layout.TRAIN_PROBLEMS, Problem)} | splits


def run(name: str, params: config.Params, *arguments: str) -> stage.Result:
    """One stage's body in this process, and its metrics where `dvc repro` leaves them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"pipelines/{name}.py", *arguments])
        result: stage.Result = _load(name).body(params)
    if result.metrics is not None:
        stage.write_metrics("_".join([name, *arguments]), result.metrics)
    return result


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, workspace.ROOT / "pipelines" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plan(problems: dict[str, list[Problem]], params: config.Params) -> dict[tuple[str, str, int], Planned]:
    """The table: what every model does with every sample. A problem's rate is drawn once for each model."""
    samples = {"train": params.generate.samples, "sums": 4, "letters": params.evaluate.samples}
    table: dict[tuple[str, str, int], Planned] = {}
    for model, (low, high) in RIGHT.items():
        rng = random.Random(model)
        failures = itertools.cycle(FAILURES)
        for split in ("sums", "letters", "train") if model == "teacher" else ("sums", "letters"):
            for problem in problems[split]:
                rate = rng.uniform(low, high)
                for index in range(samples[split]):
                    name = _right(rng, split) if rng.random() < rate else next(failures)
                    act = replace(ACTS[name], **LETTERS.get(name, {})) if split == "letters" else ACTS[name]
                    table[model, problem.id, index] = Planned(act, rng.randrange(20, 60), _faults(rng))
        for key in rng.sample([key for key in sorted(table) if key[0] == model], N_HANGS):
            table[key] = Planned(table[key].act, table[key].tokens, ("hang", *table[key].faults))
    return table


def _right(rng: random.Random, split: str) -> str:
    """One of the ways to be right; only an evaluation takes an answer's line."""
    return rng.choice(["right", "right", "right", "rambling"] + ["by_line"] * (split != "train"))


def _faults(rng: random.Random) -> tuple[str, ...]:
    return tuple(rng.sample(FAULTS, rng.choice([0, 0, 0, 1, 2])))


def seed_label(params: config.Params, problem: str, index: int) -> int:
    """The seed that a sample is asked with."""
    return int(content_id("seed", params.seed, problem, index)[:8], 16) >> 1


def script(
    table: dict[tuple[str, str, int], Planned],
    problems: dict[str, list[Problem]],
    params: config.Params,
    with_faults: bool = True,
) -> Callable[[dict[str, Any]], Reply]:
    """What the server does with a request: the faults of its line first, one a request, then the act."""
    by_id = {problem.id: problem for split in problems.values() for problem in split}
    lines = {}
    for (model, problem, index), planned in table.items():
        turn = render_user_turn(by_id[problem].prompt, by_id[problem].verifier)
        lines[MODELS[model], turn, seed_label(params, problem, index)] = (by_id[problem], planned)
    tries: Counter[tuple[str, str, int]] = Counter()
    lock = threading.Lock()

    def reply(body: dict[str, Any]) -> Reply:
        key = body["model"], body["messages"][-1]["content"], body["seed"]
        problem, planned = lines[key]
        with lock:
            tries[key] += 1
            attempt = tries[key]
        if with_faults and attempt <= len(planned.faults):
            return Reply(fault=planned.faults[attempt - 1])
        return Reply(say(problem, planned.act.name), planned.act.finish_reason, planned.tokens)

    return reply


def say(problem: Problem, act: str) -> str:
    """The text of an act on a problem."""
    right, wrong = problem.answer, other_answer(problem)
    chain = "I check it once more. " * 40 if act == "rambling" else "I add the two and look again."
    if act in ("unclosed", "cut"):
        return f"<think>\n{chain}"
    if act == "looping":
        return "<think>\n" + "wait, " * 200
    final = {
        "right": f"So it is \\boxed{{{right}}}.",
        "rambling": f"So it is \\boxed{{{right}}}.",
        "by_line": f"Answer: {right}",
        "wrong": f"So it is \\boxed{{{wrong}}}.",
        "silent": "I would rather not say.",
        "garbled": "So it is \\boxed{nothing like it}.",
        "two_answers": f"It is \\boxed{{{right}}}, or else \\boxed{{{wrong}}}.",
    }
    return f"<think>\n{chain}\n</think>\n\n{final[act]}"


def other_answer(problem: Problem) -> str:
    """An answer that is not the reference."""
    if problem.verifier == "choice":
        return "ABCD"[("ABCD".index(problem.answer) + 1) % 4]
    return str(int(problem.answer) + 1)
