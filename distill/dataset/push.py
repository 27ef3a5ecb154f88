"""push: the exported data set to the Hugging Face hub, when a person asks for it. No stage does.

    distill push me/chains            private; `--public` is for everyone
    -> https://huggingface.co/datasets/me/chains (private): 7 files, 1,020 rows

What goes out is what the manifest names, each file with the sha256 it had when it was exported; what an earlier push
left in the same folders is deleted. The token is that of HF_TOKEN or of `hf auth login`, and goes to the hub alone.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.dataset.export import MANIFEST, sha256_of_files
from distill.dataset.formats import DEFAULT, FORMATS
from distill.errors import DataError, DistillError

CURE = "run `dvc repro export`"
REFUSALS = {
    401: "it does not know the token; put another in HF_TOKEN, or run `hf auth login`",
    403: "the token may not write there; give it write access at https://huggingface.co/settings/tokens",
    404: "there is no such place, or the token may not see it; name it as user/data-set",
}


def push(folder: Path, repository: str, public: bool = False) -> str:
    """Upload a data set and say where it is.

    Raises `DataError` when it is missing or not as it was exported, `DistillError` when the hub cannot be asked or
    refuses, and when a repository is public that was not to be.
    """
    manifest = _manifest(folder)
    token = _token()
    _refuse_changes(folder, manifest["files"])
    with _in_one_sentence(repository):
        address, private = _upload(folder, repository, manifest, token, public)
    n_files = len(manifest["files"]) + 1
    return f"{address} ({'private' if private else 'public'}): {n_files} files, {manifest['rows']:,} rows"


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder} holds no data set; {CURE}")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _token() -> str:
    """The token that this machine is logged in with. Raises `DistillError` without one, or when the hub is off."""
    from huggingface_hub import get_token
    from huggingface_hub.constants import is_offline_mode

    if is_offline_mode():
        raise DistillError("HF_HUB_OFFLINE is set, so the hub cannot be reached; unset it to push")
    token = get_token()
    if not token:
        raise DistillError("there is no token for the hub; set HF_TOKEN to one that may write, or run `hf auth login`")
    return token


def _refuse_changes(folder: Path, files: dict[str, str]) -> None:
    """Raises `DataError` naming the first file that is not what the manifest says."""
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder / missing[0]} is missing since the export; {CURE}")
    found = sha256_of_files([folder / name for name in files])
    for name, digest in zip(files, found, strict=True):
        if digest != files[name]:
            raise DataError(f"{folder / name} was changed after export; {CURE}")


def _upload(folder: Path, repository: str, manifest: dict[str, Any], token: str, public: bool) -> tuple[str, bool]:
    """Bring a repository into step with the data set, a new one if need be; its address, and whether it is private."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    address = api.create_repo(repository, repo_type="dataset", private=not public, exist_ok=True)
    private = bool(api.repo_info(address.repo_id, repo_type="dataset").private)
    if not private and not public:
        raise DistillError(f"{address.repo_id} is public already; give --public to push there all the same")
    api.upload_folder(
        repo_id=address.repo_id,
        repo_type="dataset",
        folder_path=folder,
        allow_patterns=[*manifest["files"], MANIFEST],
        delete_patterns=[f"{format.folder}/*" for format in (DEFAULT, *FORMATS)],
        commit_message=f"{manifest['rows']:,} rows by the policy {manifest['policy']}",
    )
    return str(address), private


@contextmanager
def _in_one_sentence(repository: str) -> Iterator[None]:
    """Turn what the hub's client raises into `DistillError`, without the server's words, which may repeat a token."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

    try:
        yield
    except HFValidationError as error:
        raise DistillError(f"{repository!r} is no name on the hub; name it as user/data-set") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise DistillError(f"the hub refuses {repository} ({status}): {REFUSALS.get(status, 'try later')}") from error
    except TransportError as error:
        raise DistillError(f"the hub does not answer ({type(error).__name__}); what is there already stays") from error
