r"""Grading beside Math-Verify called serially: the same pairs, the same run, all the cores that there are.

    python benchmarks/verify.py              speed and agreement, then hostile strings, a busy machine, 100,000 traces
    python benchmarks/verify.py speed        one of: speed, hostile, load, traces

Pairs are made by rule, so that which of them are equal is known; `speed` writes every one that the two say different
things of, those of `tests/cases/math.jsonl` too, to `benchmarks/disagreements.md`, with who is right. Math-Verify is
called as its README says: `verify(parse(gold), parse(answer))`, both in `\boxed{}`. Ours starts with an empty cache,
and its time holds the start of the workers and the self-test. Each figure is the median of its rounds.
"""

import argparse
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CASES = Path("tests/cases")
PAGE = Path("benchmarks/disagreements.md")
SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference, an answer, and whether they are equal; `origin` is `made`, or the category of the test table."""

    gold: str
    answer: str
    equal: bool
    origin: str = "made"


# ------------------------------------------------------------------ pairs


def numeric(rng: random.Random) -> tuple[str, list[str], str]:
    """A number, right spellings of it, and a wrong answer."""
    n = rng.randint(2, 10**6)
    kind = rng.randrange(5)
    if kind == 0:
        return str(n), [str(n), f"{n:,}", f"{n}.0"], str(n + rng.randint(1, 9))
    if kind == 1:
        cents = n % 10_000 + 1
        return f"{cents / 100:.2f}", [f"{cents / 100:.2f}", rf"\frac{{{cents}}}{{100}}"], f"{(cents + 7) / 100:.2f}"
    if kind == 2:
        top, bottom = n % 97 + 1, n % 89 + 2
        right = [rf"\frac{{{top}}}{{{bottom}}}", f"{top}/{bottom}", rf"\frac{{{3 * top}}}{{{3 * bottom}}}"]
        return right[0], right, rf"\frac{{{top + 1}}}{{{bottom}}}"
    if kind == 3:
        return f"-{n}", [f"-{n}", f"x = -{n}"], str(n)
    return rf"{n % 99 + 1}\%", [rf"{n % 99 + 1}\%", f"{n % 99 + 1}%"], rf"{n % 99 + 2}\%"


def symbolic(rng: random.Random) -> tuple[str, list[str], str]:
    """An expression, right spellings of it, and a wrong answer."""
    a, b, c = rng.randint(2, 99), rng.randint(2, 99), rng.choice([2, 3, 5, 6, 7, 10, 11, 13, 14, 15, 17, 19])
    kind = rng.randrange(10)
    if kind == 0:
        return rf"\sqrt{{{a * a * c}}}", [rf"{a}\sqrt{{{c}}}", rf"\sqrt{{{c}}}\cdot {a}"], rf"{a + 1}\sqrt{{{c}}}"
    if kind == 1:
        right = rf"x^2+{a + b}x+{a * b}"
        return rf"(x+{a})(x+{b})", [right, rf"(x+{b})(x+{a})"], rf"x^2+{a + b}x+{a * b + 1}"
    if kind == 2:
        return rf"\frac{{{a}\pi}}{{{b}}}", [rf"\frac{{{a}}}{{{b}}}\pi", rf"{a}\pi/{b}"], rf"\frac{{{a + b}\pi}}{{{b}}}"
    if kind == 3:
        return rf"\frac{{{a}}}{{\sqrt{{{c}}}}}", [rf"\frac{{{a}\sqrt{{{c}}}}}{{{c}}}"], rf"{a}\sqrt{{{c}}}"
    if kind == 4:
        return rf"({a},\sqrt{{{4 * c}}})", [rf"({a}, 2\sqrt{{{c}}})"], rf"(\sqrt{{{4 * c}}},{a})"
    if kind == 5:
        return f"{a}+{b}i", [f"{b}i+{a}"], f"{a}-{b}i"
    if kind == 6:
        return rf"{a}\ln {c * c}", [rf"{2 * a}\ln {c}"], rf"{a}\ln {c}"
    if kind == 7:
        return rf"\frac{{x^2-{a * a}}}{{x-{a}}}", [f"x+{a}", f"{a}+x"], f"x-{a}"
    if kind == 8:
        return f"e^{{{a}}}e^{{x}}", [f"e^{{x+{a}}}", f"e^{{{a}+x}}"], f"e^{{{a}x}}"
    return rf"\frac{{{a}x+{b}}}{{{c}}}", [rf"\frac{{{a}x}}{{{c}}}+\frac{{{b}}}{{{c}}}"], rf"\frac{{{a}x-{b}}}{{{c}}}"


def exponential(rng: random.Random) -> tuple[str, list[str], str]:
    """What only the parser can decide."""
    a, b, c = rng.randint(2, 999), rng.randint(2, 99), rng.randint(2, 99)
    right = [f"{c}+{a}e^{{{b}x}}", f"{a}e^{{x}}e^{{{b - 1}x}}+{c}"]
    return f"{a}e^{{{b}x}}+{c}", right, f"{a}e^{{{b + 1}x}}+{c}"


def distinct(make: Callable[[random.Random], tuple[str, list[str], str]], n: int, seed: int) -> list[Pair]:
    """Pairs that all differ, two of three of them equal."""
    rng = random.Random(seed)
    pairs: dict[tuple[str, str], Pair] = {}
    while len(pairs) < n:
        gold, right, wrong = make(rng)
        equal = rng.random() < 2 / 3
        answer = rng.choice(right) if equal else wrong
        pairs[gold, answer] = Pair(gold, answer, equal)
    return list(pairs.values())


def mixed(n_problems: int, seed: int, samples: int = SAMPLES) -> list[list[Pair]]:
    """Problems, 7 of 10 numeric, with their samples: as a teacher repeats itself, mostly one spelling and one error."""
    rng = random.Random(seed)
    problems = []
    for _ in range(n_problems):
        gold, right, wrong = (numeric if rng.random() < 0.7 else symbolic)(rng)
        usual = rng.choice(right)
        drawn = []
        for _ in range(samples):
            luck = rng.random()
            answer = usual if luck < 0.6 else rng.choice(right) if luck < 0.75 else wrong
            drawn.append(Pair(gold, answer, answer != wrong))
        problems.append(drawn)
    return problems


# ------------------------------------------------------------------ the two sides


def ours(pairs: list[Pair]) -> list[bool]:
    """The rules, and the engine where they cannot decide, as `grade` does it."""
    from distill.records import Outcome
    from distill.settings import VerifySettings
    from distill.verification import engines, math
    from distill.verification.findings import NeedsParser

    def compare(pair: Pair) -> object:
        try:
            return math.compare(pair.gold, pair.answer)
        except NeedsParser:
            return engines.parse(pair.gold, pair.answer)

    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        engines.prove_parser.cache_clear()
        found = engines.settle(((str(index), compare(pair)) for index, pair in enumerate(pairs)), VerifySettings())
    return [found[str(index)].outcome is Outcome.CORRECT for index in range(len(pairs))]


def theirs(pairs: list[Pair]) -> list[bool]:
    """Math-Verify, one pair after the other."""
    from math_verify import parse, verify

    said = []
    for pair in pairs:
        try:
            said.append(bool(verify(parse(rf"\boxed{{{pair.gold}}}"), parse(rf"\boxed{{{pair.answer}}}"))))
        except Exception:  # what it raises on hostile text counts as a no
            said.append(False)
    return said


def speed(rounds: int) -> None:
    """Wall times side by side, and what the two say."""
    from math_verify import parse, verify

    verify(parse("$1$"), parse("$x+1$"))  # neither side's imports are in the time
    ours([Pair("1", "1", True)])
    table = [json.loads(line) for line in (CASES / "math.jsonl").read_text().splitlines()]
    sets = {
        "numeric, distinct": distinct(numeric, 5_000, 1),
        "70 % numeric, 30 % symbolic, 8 samples a problem": [pair for drawn in mixed(2_500, 2) for pair in drawn],
        "symbolic, distinct": distinct(symbolic, 1_000, 3),
        "the test table": [
            Pair(case["gold"], case["answer"], case["verdict"] == "correct", case["category"]) for case in table
        ],
    }
    disputed: list[tuple[Pair, bool, bool]] = []
    print("| pairs | n | ours | Math-Verify | ratio | disagree | ours wrong | Math-Verify wrong |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, pairs in sets.items():
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(rounds):
            started = time.perf_counter()
            one = ours(pairs)
            times["ours"].append(time.perf_counter() - started)
            started = time.perf_counter()
            other = theirs(pairs)
            times["theirs"].append(time.perf_counter() - started)
        ratio = statistics.median(b / a for a, b in zip(times["ours"], times["theirs"], strict=True))
        apart = {pair: (a, b) for pair, a, b in zip(pairs, one, other, strict=True) if a != b}
        disputed += [(pair, *said) for pair, said in apart.items()]
        wrong = [sum(said != pair.equal for pair, said in zip(pairs, side, strict=True)) for side in (one, other)]
        seconds = [statistics.median(times[side]) for side in ("ours", "theirs")]
        n_apart = sum(a != b for a, b in zip(one, other, strict=True))
        print(
            f"| {name} | {len(pairs):,} | {seconds[0]:.2f} s | {seconds[1]:.2f} s | {ratio:.1f} x | {n_apart:,} "
            f"| {wrong[0]:,} | {wrong[1]:,} |",
            flush=True,
        )
    write_page(disputed)


def write_page(disputed: list[tuple[Pair, bool, bool]]) -> None:
    """Every pair that the two say different things of, once."""
    words = {True: "equal", False: "not"}

    def cell(text: str) -> str:
        shown = text if len(text) <= 80 else f"{text[:60]}… ({len(text):,} characters)"
        return "`` " + shown.replace("|", r"\|").replace("\n", " ").replace("`", "'") + " ``"

    rows = [
        f"| {pair.origin} | {cell(pair.gold)} | {cell(pair.answer)} | {words[one]} | {words[other]} "
        f"| {'ours' if one == pair.equal else 'Math-Verify'} |"
        for pair, one, other in disputed
    ]
    right = Counter(one == pair.equal for pair, one, _ in disputed)
    PAGE.write_text(
        "# Where Math-Verify and this package disagree\n\n"
        "Written by `python benchmarks/verify.py speed`. Whether a made pair is equal is known from how it was made; "
        "the others are the cases of `tests/cases/math.jsonl`,\nwith the verdict that stands there, by the rules of "
        "`docs/verdicts.md`. Some of those are conventions (a reference of 9 % takes 9; an exact one takes no rounded "
        "decimal), and others have\nreferences that nobody can grade, where `not` means that we abstain.\n\n"
        f"{len(disputed):,} pairs; ours is right in {right[True]:,}, Math-Verify in {right[False]:,}.\n\n"
        "| pair | reference | answer | ours | Math-Verify | right |\n|---|---|---|---|---|---|\n"
        + "".join(f"{row}\n" for row in rows)
    )
    print(f"{len(disputed):,} different pairs disputed: {PAGE}")


# ------------------------------------------------------------------ limits


def hostile() -> None:
    """Every hostile string alone: how long until there is an answer, and how much memory it took."""
    from distill.settings import VerifySettings
    from distill.verification import engines, pool, symbolic

    cases = [json.loads(line) for line in (CASES / "hostile.jsonl").read_text().splitlines()]
    pairs = [(case["gold"], "".join(text * times for text, times in case["parts"])) for case in cases]
    list(pool.run(symbolic.compare, pairs[:1], 1.2, engines.PRELOAD))
    slowest, outcomes = [], Counter[str]()
    with Peak() as peak:
        for case, pair in zip(cases, pairs, strict=True):
            started = time.perf_counter()
            [done] = pool.run(symbolic.compare, [pair], VerifySettings().timeout_s, engines.PRELOAD)
            slowest.append((time.perf_counter() - started, case["name"]))
            outcomes[done.answer.outcome] += 1
    seconds, name = max(slowest)
    print(f"{len(cases)} hostile strings: {dict(outcomes)}; slowest {seconds:.2f} s, two tries ({name}); {peak}")


def load(n: int) -> None:
    """Right answers that all need the parser, while every core is busy with something else."""
    busy = [multiprocessing.Process(target=burn, daemon=True) for _ in os.sched_getaffinity(0)]
    for process in busy:
        process.start()
    pairs = [pair for pair in distinct(exponential, n * 2, 5) if pair.equal][:n]
    started = time.perf_counter()
    said = ours(pairs)
    seconds = time.perf_counter() - started
    for process in busy:
        process.terminate()
    print(f"{len(pairs):,} right answers beside {len(busy)} busy loops: {said.count(False)} lost, {seconds:.0f} s")


def burn() -> None:
    """Keep a core."""
    while True:
        sum(range(10_000))


def traces(n_problems: int) -> None:
    """The verify stage's work over traces of 12,000 characters, from their Parquet shards to the verdicts'."""
    from distill import shards
    from distill.records import Problem, Trace, TraceAnswer, Verdict, problem_id
    from distill.settings import VerifySettings
    from distill.verification import engines, grade

    rng = random.Random(7)
    words = [f"{rng.getrandbits(40):x}"[: rng.randint(2, 9)] for _ in range(20_000)]
    problems: list[Problem] = []

    def rows(drawn: list[list[Pair]]) -> list[Trace]:
        found = []
        for pairs in drawn:
            gold, prompt = pairs[0].gold, f"Problem {len(problems)}"
            identity = problem_id(prompt, gold, "math")
            problems.append(
                Problem(id=identity, source="made", domain="math", prompt=prompt, answer=gold, verifier="math")
            )
            for sample, pair in enumerate(pairs):
                answer = rf"The answer is \boxed{{{pair.answer}}}."
                chain = " ".join(rng.choices(words, k=2_200))[:12_000].ljust(12_000, ".")
                found.append(
                    Trace(id=f"{identity[:12]}{sample:04x}", problem_id=identity, sample_index=sample, request_key="k",
                          model="m", model_revision="r", text=f"{chain}</think>{answer}", reasoning=chain,
                          answer_text=answer, finish_reason="stop", prompt_tokens=9, completion_tokens=3_000,
                          max_tokens=8_192, seed_label=0, engine="e")
                )  # fmt: skip
        return found

    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        drawn = mixed(n_problems, 7)
        for start in range(0, n_problems, 500):
            shards.write_shards(Path(folder, "traces", f"{start:06}"), rows(drawn[start : start + 500]), Trace)
        shown = Path(folder, "traces")
        size = sum(path.stat().st_size for path in shown.rglob("*.parquet"))
        flat = Path(folder, "flat")
        flat.mkdir()
        for number, path in enumerate(sorted(shown.rglob("*.parquet"))):
            path.rename(flat / f"part-{number:05}.parquet")
        engines.prove_parser.cache_clear()
        with Peak() as peak:
            started = time.perf_counter()
            n = shards.count_rows(flat)
            grading = grade.grade(problems, shards.iterate_rows(flat, TraceAnswer), VerifySettings(), "verify", n)
            shards.write_shards(Path(folder, "verdicts"), grading.verdicts, Verdict)
            seconds = time.perf_counter() - started
        equal = sum(pair.equal for pairs in drawn for pair in pairs)
        correct = sum(verdict.verdict == "correct" for verdict in grading.verdicts)
    print(
        f"{n:,} traces of 12,000 characters ({size / 1e9:.1f} GB of Parquet): {seconds:.0f} s, {n / seconds:,.0f} a "
        f"second, {grading.n_engine:,} comparisons by the parser; {peak}; {correct:,} correct of {equal:,} made so"
    )


class Peak:
    """The most memory that this process and its children held together, sampled ten times a second."""

    def __enter__(self) -> "Peak":
        """Start to watch."""
        self.bytes, self.stop = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop.set()
        self.thread.join()

    def __str__(self) -> str:
        """`at most 0.74 GiB`."""
        return f"at most {self.bytes / 2**30:.2f} GiB with all processes"

    def _watch(self) -> None:
        import psutil

        me = psutil.Process()
        while not self.stop.wait(0.1):
            held = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    held += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.bytes = max(self.bytes, held)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["speed", "hostile", "load", "traces"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--problems", type=int, default=12_500, help="of `traces`, 8 samples each")
    arguments = parser.parse_args()
    if arguments.part in (None, "speed"):
        speed(arguments.rounds)
    if arguments.part in (None, "hostile"):
        hostile()
    if arguments.part in (None, "load"):
        load(2_000)
    if arguments.part in (None, "traces"):
        traces(arguments.problems)
