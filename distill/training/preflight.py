"""What must hold before a model is loaded: the rows are the audited ones, and the base is the one they were made for.

Everything here is cheap beside a training, and each fault would otherwise show late, or never: a training on rows that
nobody audited looks like any other.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from distill import models
from distill.errors import ConfigError, DataError
from distill.models import ModelRevision
from distill.students import StudentSettings
from distill.training.architecture import shape

INDEX = "model.safetensors.index.json"


def check(student: str, settings: StudentSettings, base: ModelRevision, tokenized: Path, audit: dict[str, Any]) -> None:
    """Raise `DataError` or `ConfigError` with the cure at the first thing that does not belong together."""
    check_rows(student, tokenized, audit)
    check_base(student, base, audit)
    check_context(student, settings, base, audit)
    check_vocabulary(base, shape(base, settings)["vocab_size"])


def check_rows(student: str, tokenized: Path, audit: dict[str, Any]) -> None:
    """The files on disk are those that were proven."""
    again = f"`dvc repro tokenize@{student}` makes and proves them again"
    found = {path.name: path for path in sorted(tokenized.glob("*.parquet"))}
    if not found:
        raise DataError(f"{tokenized} holds no rows; {again}")
    for name in sorted(found.keys() ^ audit["files"].keys()):
        what = "is not in its audit" if name in found else "is missing"
        raise DataError(f"{tokenized / name} {what}; {again}")
    for name, path in found.items():
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != audit["files"][name]:
                raise DataError(f"{path} is not the file that was audited; {again}")


def check_base(student: str, base: ModelRevision, audit: dict[str, Any]) -> None:
    """The base is whole, and the one that the rows were made for."""
    again = f"`dvc repro models tokenize@{student}` makes the rows anew"
    folder = Path(str(base.path))
    if audit["base"] != base.revision:
        raise DataError(f"the rows of {student} were made for {audit['base']} but its base is {base.revision}; {again}")
    for name in weight_files(folder):
        if not (folder / name).exists():
            raise DataError(f"{folder} lacks {name}, a part of its weights; fetch the model again")
    if models.looks_local(base.model) and models.resolve_folder(base.name, str(folder)).revision != base.revision:
        raise DataError(f"the files of {base.model} changed after its rows were made; {again}")


def weight_files(folder: Path) -> list[str]:
    """The files that a base's weights are in."""
    index = folder / INDEX
    if not index.exists():
        return ["model.safetensors"]
    return sorted(set(json.loads(index.read_text())["weight_map"].values()))


def check_context(student: str, settings: StudentSettings, base: ModelRevision, audit: dict[str, Any]) -> None:
    """No row is longer than the context, beyond which a model has seen no position and a server serves none."""
    context = shape(base, settings).get("max_position_embeddings")
    if context and audit["longest"] > context:
        raise ConfigError(
            f"rows of {student} have up to {audit['longest']:,} tokens but its context is {context:,}; lower "
            f"students.{student}.max_length, or set students.{student}.rope.max_position_embeddings and theta"
        )


def check_vocabulary(base: ModelRevision, vocabulary: int) -> None:
    """Every id of the tokenizer has a row in the embedding."""
    from transformers import AutoTokenizer

    tokens = len(AutoTokenizer.from_pretrained(base.path))
    if tokens > vocabulary:
        raise DataError(
            f"the tokenizer of {base.model} has {tokens:,} tokens but its weights know {vocabulary:,}; "
            "they are of two models: fetch it again, or resize the embedding first"
        )
