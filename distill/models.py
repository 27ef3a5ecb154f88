"""Which exact weights a name in `params.yaml` stands for.

A local folder is named by the hash of its files, a hub id by its commit, a model behind a URL by what params say.
The revision is part of every request key, so answers of other weights are never taken for these. One JSON per model
in `data/revisions/`:

    {"name": "teacher", "model": "data/models/tiny-r1", "path": "data/models/tiny-r1", "revision": "sha256:5a0c…",
     "chat_template": null}

A template given in params is part of what is resolved, as text: who tokenises, serves or ships the model reads it here.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from distill import layout
from distill.errors import DataError
from distill.prompting import read_template

WEIGHTS_AND_TOKENIZER = ("*.safetensors", "*.json", "*.jinja", "*.model")


@dataclass(frozen=True, slots=True)
class ModelRevision:
    """A model: the pipeline's name for it, what params call it, where its files are (None behind a URL), and which."""

    name: str
    model: str
    path: str | None
    revision: str
    chat_template: str | None = None  # the text of one that stands in for the model's own


def resolve(name: str, model: str, revision: str | None, chat_template: str | None = None) -> ModelRevision:
    """Find a model's files and their revision; `chat_template` is the path of one to use in place of its own.

    Raises `DataError` when there are no files and no URL serves it, or when the template cannot be read.
    """
    template = None if chat_template is None else read_template(Path(chat_template))
    return replace(_find(name, model, revision), chat_template=template)


def load_tokenizer(model: ModelRevision) -> Any:
    """A model's tokenizer, with the chat template that it is used with."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model.path)
    tokenizer.chat_template = model.chat_template or tokenizer.chat_template
    return tokenizer


def _find(name: str, model: str, revision: str | None) -> ModelRevision:
    if looks_local(model):
        return resolve_folder(name, model)
    if os.environ.get(url_variable(name)):
        return ModelRevision(name, model, None, revision or "unpinned")
    return _resolve_hub(name, model, revision)


def resolve_folder(name: str, folder: str) -> ModelRevision:
    """A model in a local folder, named by the hash of its files."""
    path = Path(folder)
    if not (path / "config.json").exists():
        raise DataError(f"{folder} holds no model (no config.json); `make models` makes the embedded ones")
    return ModelRevision(name, folder, folder, f"sha256:{_hash_files(path)}")


def looks_local(model: str) -> bool:
    """Whether a model's name is a path rather than a hub id (`owner/name`)."""
    return model.startswith((".", "/", "data/")) or Path(model).exists()


def url_variable(name: str) -> str:
    """The environment variable that may hold the URL of a server for this model: DISTILL_TEACHER_URL and so on."""
    return f"DISTILL_{name.upper()}_URL"


def write_revision(model: ModelRevision) -> None:
    """Write a model's revision to `data/revisions/`."""
    layout.REVISIONS.mkdir(parents=True, exist_ok=True)
    (layout.REVISIONS / f"{model.name}.json").write_text(json.dumps(asdict(model), indent=2) + "\n")


def read_revision(name: str) -> ModelRevision:
    """Read what the models stage resolved. Raises `DataError` before it ran."""
    path = layout.REVISIONS / f"{name}.json"
    if not path.exists():
        raise DataError(f"{path} is missing; `dvc repro` writes it")
    return ModelRevision(**json.loads(path.read_text()))


def _resolve_hub(name: str, model: str, revision: str | None) -> ModelRevision:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        path = Path(snapshot_download(model, revision=revision, allow_patterns=[*WEIGHTS_AND_TOKENIZER, "*.txt"]))
    except RepositoryNotFoundError as error:
        raise DataError(
            f"{model} is neither a folder here nor a model on the hub (gated ones need HF_TOKEN)"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise DataError(
            f"{model} could not be fetched from the hub ({type(error).__name__}); "
            f"check the network, or serve it and set {url_variable(name)}"
        ) from error
    return ModelRevision(name, model, str(path), path.name)  # a snapshot's folder is named by its commit


def _hash_files(folder: Path) -> str:
    """sha256 over the names and bytes of a model's files, in order."""
    digest = hashlib.sha256()
    for file in sorted({file for pattern in WEIGHTS_AND_TOKENIZER for file in folder.glob(pattern)}):
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]
