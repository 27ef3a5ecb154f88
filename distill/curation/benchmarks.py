"""Questions that no training problem may be: the evaluation splits, and any benchmark file named in params.

read_questions("aime24", BenchmarkFile(path="aime24.jsonl", column="problem"))[0]
-> Question(id="line 1", text="Every morning Aya goes for a…")
"""

from pathlib import Path

from distill.curation.phrases import Question
from distill.errors import ConfigError, DataError
from distill.problems.sources import file_rows
from distill.settings import BenchmarkFile


def read_questions(name: str, file: BenchmarkFile) -> list[Question]:
    """The questions of a file. Raises `ConfigError` or `DataError` naming the key, the line and the column."""
    key, path = f"curate.contamination.benchmarks.{name}", Path(file.path)
    found = []
    for line, row in file_rows(path, key):
        if file.column not in row:
            raise ConfigError(
                f"{path} line {line} has no column {file.column!r} (it has {', '.join(map(str, row))}); "
                f"set {key}.column"
            )
        text = row[file.column]
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{path} line {line}: column {file.column!r} must hold text, got {text!r}")
        found.append(Question(f"line {line}", text))
    if not found:
        raise DataError(f"{key}.path: {path} holds no question")
    return found
