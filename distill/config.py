"""`params.yaml` as one typed tree: every key checked before a model is touched.

`load()` is the only way in. An unknown key, a wrong type or a contradiction ends in one sentence with the key's full
name:

    params.yaml: students.tiny_qwen.learning_rte is not a known key; did you mean learning_rate?

A split of `problems.eval` may be the name of a benchmark, a file of `pipelines/benchmarks/`; `benchmarks` reads it.

Values that decide *what* is computed live here, and DVC watches them. Where things run (endpoints, keys,
concurrency) comes from the environment, see `distill.generation.endpoint`; the `serving` block is placement
too: DVC does not watch it.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from distill.errors import ConfigError
from distill.settings import (
    Benchmark,
    BenchmarkUse,
    CurateSettings,
    EvaluateSettings,
    ExportSettings,
    GenerateSettings,
    PriceSettings,
    ProblemSettings,
    ReportSettings,
    ServingSettings,
    Settings,
    TeacherSettings,
    VerifySettings,
)
from distill.students import StudentSettings

PARAMS_FILE = Path("params.yaml")
PROFILES = Path("pipelines/profiles")
BENCHMARKS = Path("pipelines/benchmarks")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # DVC's -S and params: break on dots and dashes
RESERVED = ("train", "given", "all")  # no split's name: the other two parts, and what the report calls all splits


class Params(Settings):
    """All of `params.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    problems: ProblemSettings
    teacher: TeacherSettings
    serving: ServingSettings = ServingSettings()
    generate: GenerateSettings
    verify: VerifySettings = VerifySettings()
    curate: CurateSettings = CurateSettings()
    export: ExportSettings = ExportSettings()
    students: Annotated[dict[str, StudentSettings], Field(min_length=1)]
    evaluate: EvaluateSettings
    report: ReportSettings = ReportSettings()
    price: PriceSettings = PriceSettings()

    def student(self, name: str) -> StudentSettings:
        """One student's settings. Raises `ConfigError` when there is none of that name."""
        if name not in self.students:
            raise ConfigError(f"there is no student {name!r}; params.yaml names {', '.join(self.students)}")
        return self.students[name]

    @field_validator("students")
    @classmethod
    def names_suit_dvc(cls, students: dict[str, StudentSettings]) -> dict[str, StudentSettings]:
        """DVC addresses students by key, on which dots and dashes break."""
        for name in students:
            if not NAME.fullmatch(name) or name == "teacher":
                raise ValueError(f"{name!r} cannot name a student; use letters, digits and _, and not 'teacher'")
        return students

    @model_validator(mode="after")
    def budgets_fit_contexts(self) -> "Params":
        """A budget that the context cannot hold would cut every long chain."""
        for stage in ("generate", "evaluate"):
            budget = getattr(self, stage).max_tokens
            if budget >= self.teacher.max_model_len:
                raise ValueError(
                    f"{stage}.max_tokens is {budget} but teacher.max_model_len is {self.teacher.max_model_len}; "
                    "the prompt needs room too"
                )
        return self


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check a params file. Raises `ConfigError` with one sentence on its first fault."""
    if not path.exists():
        raise ConfigError(f"{path} is missing; run from the repository's root, or `distill use laptop` writes one")
    params = parse(_read_yaml(path), str(path))
    benchmarks(params.problems, str(path))
    return params


def benchmarks(problems: ProblemSettings, where: str = "params.yaml") -> dict[str, Benchmark]:
    """Every evaluation split as a benchmark, its file read; `where` names the params file in errors.

    Raises `ConfigError` for a name that no split may have, a benchmark without a file, and the first fault of a file.
    """
    for name in problems.eval:
        if not NAME.fullmatch(name) or name in RESERVED:
            others = " or ".join(map(repr, RESERVED))
            raise ConfigError(
                f"{where}: problems.eval.{name}: a split's name is letters, digits and _, and not {others}"
            )
    return {
        split: _benchmark(given, f"{where}: problems.eval.{split}")
        if isinstance(given, BenchmarkUse)
        else Benchmark(what="given in params", licence="unknown", sources=given)
        for split, given in problems.eval.items()
    }


def _benchmark(use: BenchmarkUse, where: str) -> Benchmark:
    """A benchmark's file, with what this run wants of it put in."""
    there = {path.stem: path for path in sorted(BENCHMARKS.glob("*.yaml"))}
    if use.benchmark not in there:
        close = difflib.get_close_matches(use.benchmark, there, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it holds {', '.join(there) or 'none'}"
        raise ConfigError(f"{where} names {use.benchmark!r}, but {BENCHMARKS} has no such file; {hint}")
    path = there[use.benchmark]
    try:
        benchmark = Benchmark.model_validate(_read_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {_describe(error.errors()[0])}") from None
    sources = {}
    for name, source in benchmark.sources.items():
        unsaid = "licence" in type(source).model_fields and "licence" not in source.model_fields_set
        licence = {"licence": benchmark.licence} if unsaid else {}
        sources[name] = source.model_copy(update=licence | ({"n": use.n} if use.n else {}))
    return benchmark.model_copy(update={"sources": sources, "samples": use.samples or benchmark.samples})


def _read_yaml(path: Path) -> Any:
    """A YAML file's content. Raises `ConfigError` where it has none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(path)  # YAML 1.2, as DVC reads it: 2e-4 is a number
    except YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {_one_line(str(error))}") from error


def use_profile(name: str, overwrite: bool = False) -> None:
    """Make a profile the active params file. Raises `ConfigError` rather than lose settings that no profile holds."""
    profiles = {path.stem: path for path in sorted(PROFILES.glob("*.yaml"))}
    if name not in profiles:
        raise ConfigError(f"there is no profile {name!r}; {PROFILES} holds {', '.join(profiles)}")
    current = PARAMS_FILE.read_text() if PARAMS_FILE.exists() else None
    kept = current is None or any(current == path.read_text() for path in profiles.values())
    if not kept and not overwrite:
        raise ConfigError(
            f"{PARAMS_FILE} holds settings that no profile has; "
            f"save it as {PROFILES}/<name>.yaml first, or give --overwrite"
        )
    load(profiles[name])
    PARAMS_FILE.write_text(profiles[name].read_text())


def parse(tree: Any, where: str = "params") -> Params:
    """Check an already loaded tree; `where` names its file in errors."""
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_describe(error.errors()[0])}") from None


def _describe(error: ErrorDetails) -> str:
    """One sentence for one pydantic error, with the key's full name and the value."""
    parts = [str(part) for part in error["loc"] if part not in ("gym", "file", "dataset", "(name)", "(sources)")]
    key, kind = ".".join(parts), error["type"]
    if kind == "extra_forbidden":
        return f"{key} is not a known key{_suggestion(parts)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "union_tag_invalid":
        return f"{key}.kind must be {error['ctx']['expected_tags']}, got {error['ctx']['tag']!r}"
    if kind == "value_error":
        reason = str(error["ctx"]["error"])
        return f"{key}: {reason}" if key else reason
    message = error["msg"].replace("Input should be", "must be").replace("Value should", "must")
    return f"{key} {message}, got {error['input']!r}" if key else message


def _suggestion(parts: list[str]) -> str:
    """The nearest key that exists anywhere in the tree, if one is near."""
    close = difflib.get_close_matches(parts[-1], _all_keys(), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _all_keys() -> set[str]:
    return {key for block in Settings.__subclasses__() for key in block.model_fields}


def _one_line(text: str) -> str:
    return " ".join(text.split())
