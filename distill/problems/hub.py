"""Data sets by name: a folder here, or a hub id at one exact commit.

    commit_of(DatasetSource(path="openai/gsm8k", …), "problems.eval.gsm8k.gsm8k")
    -> "740312add88f781978c0658806c59bc2815b9866"

What a hub id without a revision means changes whenever its owners push. So it is looked up once, opened at that very
commit, and the commit is in every row's `origin`; the stage says how to pin it.
"""

import re
from itertools import islice
from typing import Any

from distill.errors import DataError
from distill.models import looks_local
from distill.settings import DatasetSource

COMMIT = re.compile(r"[0-9a-f]{40}")


def commit_of(source: DatasetSource, key: str) -> str | None:
    """The commit that a data set is opened at; None for a folder. Raises `DataError` where the hub does not say.

    `key` is the setting that names the source, for errors.
    """
    if looks_local(source.path):
        return None
    if source.revision and COMMIT.fullmatch(source.revision):
        return source.revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

    try:
        commit = HfApi().dataset_info(source.path, revision=source.revision).sha
    except (HFValidationError, TransportError, OSError) as error:
        raise DataError(
            f"{key}: the hub does not say which commit {source.path}@{source.revision or 'main'} is "
            f"({type(error).__name__}: {_first_line(error)}); check its name and the network (gated ones need "
            f"HF_TOKEN), or set {key}.revision to a commit that is in the cache"
        ) from error
    if commit is None:
        raise DataError(f"{key}: the hub names no commit of {source.path}; set {key}.revision")
    return commit


def open_dataset(source: DatasetSource, commit: str | None, key: str) -> Any:
    """The rows of a data set's split. Raises `DataError` where `datasets` cannot open it."""
    import datasets

    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(source.path, source.name, split=source.split, revision=commit)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{key}: datasets cannot open {source.path} split {source.split!r}: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return next(islice(str(error).splitlines(), 1), type(error).__name__)
