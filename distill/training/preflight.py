"""What must hold before a model is loaded: the rows are the audited ones, and the base is the one they were made for.

Everything here is cheap beside a training, and each fault would otherwise show late, or never: a training on rows that
nobody audited looks like any other.
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any

from distill import layout, models
from distill.errors import ConfigError, DataError
from distill.models import ModelRevision
from distill.shards import sha256
from distill.students import UNTRAINED, StudentSettings
from distill.training.architecture import shape
from distill.training.shapes import read_shapes

INDEX = "model.safetensors.index.json"
KEPT = 2  # checkpoints of a run; a third is there while it is written
SAVED_BYTES = 12  # of a trained weight in a checkpoint: itself and two moments of AdamW, in fp32


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
        if sha256(path) != audit["files"][name]:
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


def check_disk(student: str, settings: StudentSettings, base: ModelRevision, work: Path) -> None:
    """There is room for the run's checkpoints in `work`, and for the student beside them."""
    saved, shipped = sizes(settings, Path(str(base.path)))
    held = sum(path.stat().st_size for path in work.glob("checkpoint-*/**/*") if path.is_file())
    for folder, needed in ((work, (KEPT + 1) * saved), (layout.STUDENTS, KEPT * saved + shipped)):
        place = next(path for path in folder.absolute().parents if path.exists())
        free = shutil.disk_usage(place).free
        if free < needed - held:
            raise DataError(
                f"{student} needs about {(needed - held) / 1e9:,.3g} GB of disk for checkpoints and weights but "
                f"{place} has {free / 1e9:,.3g} GB left; make room, or make {folder.parent} a link to a larger disk"
            )


def sizes(settings: StudentSettings, base: Path) -> tuple[int, int]:
    """Bytes of a checkpoint, at most, and of the weights that ship."""
    weights = read_shapes(base)
    whole = sum(map(math.prod, weights.values()))
    trained = whole
    if settings.lora is not None:
        matrices = {name: form for name, form in weights.items() if len(form) == 2}
        layers = [form for name, form in matrices.items() if not any(part in name for part in UNTRAINED)]
        trained = settings.lora.rank * sum(map(sum, layers))
    return SAVED_BYTES * trained, whole * (2 if settings.ship_dtype == "bfloat16" else 4)
