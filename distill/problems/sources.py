"""Where problems come from: reasoning-gym tasks, local files, data sets.

    load_source("gcd", GymSource(kind="gym", task="gcd", n=100), "train", seed=17)[0]
    -> Problem(id="9f31…", source="gcd", prompt="Find the Greatest…", answer="12", verifier="gym",
               verifier_args='{"task":"gcd"}', licence="Apache-2.0",
               origin='{"config":{},"index":0,"package":"reasoning-gym","seed":481…,"task":"gcd","version":"0.1.25"}')

A generated source goes on until it has `n` problems that are new to it and to the splits built before; a file or a
data set gives its first `n` such rows, or all it has.
"""

import difflib
import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from distill.errors import ConfigError, DataError
from distill.problems import hub
from distill.problems.rows import Example, Reader
from distill.records import Problem, Verifier, canonical_json, problem_id
from distill.settings import DatasetSource, FileSource, GymSource, Source
from distill.verification import tasks

GYM_LICENCE = "Apache-2.0"
TRAIN = "train"
GIVEN = "given"  # the split of problems that come with their responses
TRIES_PER_PROBLEM = 20  # a task that gives fewer than one new problem in twenty is exhausted
SPARE_TRIES = 200

_SIZES = ("num_terms", "num_digits", "complexity", "num_animals", "span_length", "n_sides", "grid_size")


@dataclass(slots=True)
class Drawn:
    """A source's problems, and how many rows were left out: repeats within it, and problems of another split.

    `prompts` are the questions, normalised, without the wording of a benchmark and with it; `commit` is that of a hub's
    data set.
    """

    key: str
    commit: str | None = None
    problems: list[Problem] = field(default_factory=list)
    prompts: set[str] = field(default_factory=set)
    n_duplicates: int = 0
    n_taken: int = 0


def load_source(name: str, source: Source, split: str, seed: int) -> list[Problem]:
    """The problems of one source. `split` is "train", "given" or the name of an evaluation split.

    Raises `ConfigError` for settings the source cannot use, `DataError` for a row it cannot use.
    """
    key = f"problems.{split}" if split in (TRAIN, GIVEN) else f"problems.eval.{split}"
    return draw(name, source, split, seed, frozenset(), f"{key}.{name}").problems


def draw(
    name: str,
    source: Source,
    split: str,
    seed: int,
    taken: frozenset[str] | set[str],
    key: str,
    wording: str = "{problem}",
) -> Drawn:
    """The problems of one source whose normalised prompts are not in `taken`; see `load_source`.

    `key` is the setting that names the source, for errors; `wording` is put around each question.
    """
    drawn = Drawn(key, hub.commit_of(source, key) if isinstance(source, DatasetSource) else None)
    seen: set[str] = set()
    for example in _examples(name, source, split, seed, drawn):
        prompt = normalised_prompt(example.prompt)
        if prompt in seen:
            drawn.n_duplicates += 1
        elif prompt in taken:
            drawn.n_taken += 1
        else:
            asked = wording.replace("{problem}", example.prompt)
            drawn.problems.append(_problem(name, source, replace(example, prompt=asked)))
            drawn.prompts |= {prompt, normalised_prompt(asked)}
        seen.add(prompt)
        if len(drawn.problems) == source.n:
            break
    _demand_enough(drawn, source)
    return drawn


def normalised_prompt(prompt: str) -> str:
    """A prompt as compared between splits: case and white space mean nothing."""
    return " ".join(prompt.casefold().split())


def _demand_enough(drawn: Drawn, source: Source) -> None:
    given, left_out = len(drawn.problems), drawn.n_duplicates + drawn.n_taken
    if isinstance(source, GymSource) and given < source.n:
        raise DataError(
            f"{drawn.key} wants {source.n} distinct problems, but {source.task} with config {source.config} "
            f"gave {given} ({left_out} tries were repeats or belong to another split); widen its config or lower n"
        )
    if not given:
        raise DataError(f"{drawn.key} gives no problem ({left_out} rows are in another split); check its path")


def _problem(name: str, source: Source, example: Example) -> Problem:
    verifier = Verifier.GYM if isinstance(source, GymSource) else source.verifier
    return Problem(
        id=problem_id(example.prompt, example.answer, verifier),
        source=name,
        domain="math" if isinstance(source, GymSource) else source.domain,
        prompt=example.prompt,
        answer=example.answer,
        verifier=verifier,
        verifier_args=canonical_json(example.arguments),
        difficulty=canonical_json(example.difficulty),
        licence=GYM_LICENCE if isinstance(source, GymSource) else source.licence,
        origin=canonical_json(example.origin),
    )


def _examples(name: str, source: Source, split: str, seed: int, drawn: Drawn) -> Iterator[Example]:
    if isinstance(source, GymSource):
        return _gym_examples(name, source, split, seed, drawn.key)
    reader = Reader.of(source, drawn.key, seed)
    if isinstance(source, FileSource):
        return _file_examples(source, reader)
    return _dataset_examples(source, reader, drawn.commit)


# ------------------------------------------------------------------ reasoning-gym


def _gym_examples(name: str, source: GymSource, split: str, seed: int, key: str) -> Iterator[Example]:
    stream = _stream_seed(seed, split, name)
    n_tries = source.n * TRIES_PER_PROBLEM + SPARE_TRIES
    dataset = _gym_dataset(source, stream, n_tries, key)
    origin = {"package": "reasoning-gym", "version": version("reasoning-gym"), "task": source.task, "seed": stream}
    made_from = {"config": source.config, "seed": stream, "size": n_tries}  # a scorer makes the problem again
    for index in range(n_tries):
        entry = dataset[index]
        again = {} if source.task in tasks.NUMERIC else {**made_from, "index": index}
        yield Example(
            entry["question"].strip(),
            str(entry["answer"]).strip(),
            {**origin, "index": index, "config": source.config},
            _difficulty(entry["metadata"]),
            {"task": source.task, **again},
        )


def _stream_seed(seed: int, split: str, name: str) -> int:
    """A seed of its own for every source of every split; the same on every machine and in every process."""
    digest = hashlib.sha256(canonical_json([seed, split, name]).encode()).hexdigest()
    return int(digest[:8], 16) >> 1  # 31 bits: the task adds each problem's index to it


def _gym_dataset(source: GymSource, seed: int, size: int, key: str) -> Any:
    """Open a task. Raises `ConfigError` when it is not one of the safe ones or refuses its config."""
    if why := tasks.why_refused(source.task):
        close = difflib.get_close_matches(source.task, [*tasks.NUMERIC, *tasks.SCORED], n=1)
        hint = f"did you mean {close[0]}?" if close else "distill/verification/tasks.py names those that can be graded"
        raise ConfigError(f"{key}.task {source.task!r} is refused: {why}; {hint}")
    if reserved := {"seed", "size"} & set(source.config):
        raise ConfigError(f"{key}.config may not set {', '.join(sorted(reserved))}: seed and n decide that")
    with warnings.catch_warnings():
        # cellpylib compares strings with `is`; Python says so when it compiles it for the first time
        warnings.filterwarnings("ignore", category=SyntaxWarning, module=".*cellpylib.*")
        import reasoning_gym
    try:
        return reasoning_gym.create_dataset(source.task, seed=seed, size=size, **source.config)
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"{key}.config is refused by {source.task}: {error}") from error


def _difficulty(metadata: dict[str, Any]) -> dict[str, Any]:
    """What a task says of a problem's difficulty: its settings, and the problem's own size where it tells."""
    settings = metadata.get("difficulty", {})
    sizes = {name: metadata[name] for name in _SIZES if isinstance(metadata.get(name), int)}
    return {**(settings if isinstance(settings, dict) else {"difficulty": settings}), **sizes}


# ------------------------------------------------------------------ files and data sets


def _file_examples(source: FileSource, reader: Reader) -> Iterator[Example]:
    path = Path(source.path)
    for line, row in file_rows(path, reader.key):
        yield reader.read(row, f"{path} line {line}", {"file": path.name, "line": line})


def file_rows(path: Path, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row of a .jsonl or .parquet file with its line, counted from 1; `key` is the setting that names the file.

    Raises `ConfigError` where it is no such file, `DataError` for a line that is no object.
    """
    if not path.is_file():
        raise ConfigError(f"{key}.path: {path} is not a file")
    readers = {".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise ConfigError(f"{key}.path: {path} must be a .jsonl or .parquet file")
    return readers[path.suffix](path)


def _jsonl_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8") as lines:
        for line, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                raise DataError(f"{path} line {line} is not JSON ({error})") from error
            if not isinstance(row, dict):
                raise DataError(f"{path} line {line} is not a JSON object")
            yield line, row


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} cannot be read as Parquet ({error})") from error
    rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
    yield from enumerate(rows, start=1)


def _dataset_examples(source: DatasetSource, reader: Reader, commit: str | None) -> Iterator[Example]:
    origin = {"dataset": source.path, "name": source.name, "revision": commit, "split": source.split}
    for index, row in enumerate(hub.open_dataset(source, commit, reader.key)):
        yield reader.read(row, f"{source.path} row {index}", {**origin, "row": index})
