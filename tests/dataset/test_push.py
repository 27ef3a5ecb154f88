"""`distill push` against a hub on 127.0.0.1 that speaks what huggingface_hub asks of the real one."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from stores import make_store
from typer.testing import CliRunner

from distill import layout
from distill.cli import app
from distill.dataset.export import export
from distill.dataset.push import push
from distill.errors import DataError, DistillError
from distill.settings import ExportSettings, SamplingSettings

TOKEN = "hf_this_is_a_secret"
REPOSITORY = "me/chains"


class Hub:
    """Repositories in memory. `refuses` is a status that stands for every answer to a path that holds `refuses_at`."""

    def __init__(self):
        self.files = {".gitattributes": b""}
        self.private = None  # until the repository is made
        self.messages = []
        self.tokens = set()
        self.refuses, self.refuses_at = 0, ""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path, body):
        """Status and JSON of one request."""
        if self.refuses and self.refuses_at in path:
            return self.refuses, {"error": f"no, {TOKEN}"}
        of_repository = f"/api/datasets/{REPOSITORY}"
        routes = {
            "/api/repos/create": self._create,
            "/api/validate-yaml": lambda _: {"warnings": [], "errors": []},
            of_repository: lambda _: {"id": REPOSITORY, "private": self.private, "sha": "0" * 40},
            f"{of_repository}/tree/main": self._tree,
            f"{of_repository}/preupload/main": self._preupload,
            f"{of_repository}/commit/main": self._commit,
        }
        return (200, routes[path](body)) if path in routes else (404, {"error": "not found"})

    def _create(self, body):
        asked = json.loads(body)
        assert (asked["organization"], asked["name"], asked["type"]) == ("me", "chains", "dataset")
        if self.private is None:
            self.private = asked["visibility"] == "private"
        return {"url": f"{self.address}/datasets/{REPOSITORY}"}

    def _tree(self, _):
        return [{"type": "file", "path": name, "size": len(held), "oid": "0"} for name, held in self.files.items()]

    def _preupload(self, body):
        files = json.loads(body)["files"]
        return {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]}

    def _commit(self, body):
        header, *operations = (json.loads(line) for line in body.splitlines())
        self.messages.append(header["value"]["summary"])
        for operation in operations:
            path = operation["value"]["path"]
            if operation["key"] == "deletedFile":
                del self.files[path]
            else:
                self.files[path] = base64.b64decode(operation["value"]["content"])
        return {"commitUrl": f"{self.address}/datasets/{REPOSITORY}/commit/{'1' * 40}", "commitOid": "1" * 40}

    def _handler(hub):
        class Handler(BaseHTTPRequestHandler):
            def _serve(self):
                hub.tokens.add(self.headers.get("Authorization"))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, content = hub.answer(self.path.split("?")[0], body)
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _serve

            def log_message(self, *_):
                pass

        return Handler


@pytest.fixture
def hub(monkeypatch, tmp_path):
    from huggingface_hub import constants, utils

    hub = Hub()
    threading.Thread(target=hub.server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-login"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    utils.disable_progress_bars()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    place = tmp_path_factory.mktemp("exported")
    settings = ExportSettings(formats=["sharegpt"])
    export(make_store(place), place / "set", settings, SamplingSettings(), seed=17)
    return files_of(place / "set")


@pytest.fixture
def folder(exported, tmp_path):
    for name, held in exported.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(held)
    return tmp_path / "set"


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def arrived(hub):
    return {name: held for name, held in hub.files.items() if name != ".gitattributes"}


def test_what_arrives_is_what_was_exported(hub, folder):
    line = push(folder, REPOSITORY)
    assert line == f"{hub.address}/datasets/{REPOSITORY} (private): 5 files, 2 rows"
    assert arrived(hub) == files_of(folder)
    assert hub.private is True
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert hub.messages == ["2 rows by the policy verified"]


def test_public_is_asked_for(hub, folder):
    assert "(public)" in push(folder, REPOSITORY, public=True)
    assert hub.private is False


def test_a_public_repository_takes_nothing_by_accident(hub, folder):
    hub.private = False
    with pytest.raises(DistillError, match="me/chains is public already; give --public to push there all the same"):
        push(folder, REPOSITORY)
    assert not arrived(hub)


def test_a_push_replaces_the_rows_of_the_one_before(hub, folder):
    hub.files |= {
        "data/train-00001-of-00002.parquet": b"old",
        "alpaca/train-00000-of-00001.jsonl": b"old",
        "LICENCE": b"",
    }
    push(folder, REPOSITORY)
    assert arrived(hub) == files_of(folder) | {"LICENCE": b""}


def test_only_what_the_manifest_names_goes_out(hub, folder):
    before = files_of(folder)
    (folder / "notes.txt").write_text("mine")
    push(folder, REPOSITORY)
    assert arrived(hub) == before


# ------------------------------------------------------------------ refusals


def no_data_set(folder, monkeypatch):
    (folder / "manifest.json").unlink()


def no_token(folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")


def offline(folder, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def changed(folder, monkeypatch):
    with (folder / "README.md").open("a") as stream:
        stream.write("P.S.")


def missing(folder, monkeypatch):
    next((folder / "data").iterdir()).unlink()


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (no_data_set, DataError, "set holds no data set; run `dvc repro export`"),
        (no_token, DistillError, "there is no token for the hub; set HF_TOKEN to one that may write"),
        (offline, DistillError, "HF_HUB_OFFLINE is set"),
        (changed, DataError, "README.md was changed after export; run `dvc repro export`"),
        (missing, DataError, "train-00000-of-00001.parquet is missing since the export; run `dvc repro export`"),
    ],
)
def test_what_cannot_be_pushed_is_one_sentence(hub, folder, monkeypatch, spoil, error, words):
    spoil(folder, monkeypatch)
    with pytest.raises(error, match=words) as fault:
        push(folder, REPOSITORY)
    assert "\n" not in str(fault.value)
    assert not hub.tokens, "the hub is not asked"


@pytest.mark.parametrize("at", ["create", "preupload", "commit"])
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, r"the hub refuses me/chains \(401\): it does not know the token; put another in HF_TOKEN"),
        (403, r"the hub refuses me/chains \(403\): the token may not write there"),
        (404, r"the hub refuses me/chains \(404\): there is no such place"),
        (413, r"the hub refuses me/chains \(413\): try later"),
    ],
)
def test_a_refusal_is_one_sentence_without_the_token(hub, folder, status, words, at):
    hub.refuses, hub.refuses_at = status, at
    if at == "create":
        hub.refuses_at = "/api/"  # the client asks for the repository before it gives up
    with pytest.raises(DistillError, match=words) as fault:
        push(folder, REPOSITORY)
    assert "\n" not in str(fault.value)
    assert TOKEN not in str(fault.value)
    assert not arrived(hub)


def test_a_hub_that_is_away_is_one_sentence(hub, folder):
    hub.server.shutdown()
    hub.server.server_close()
    with pytest.raises(DistillError, match=r"the hub does not answer \(ConnectError\)"):
        push(folder, REPOSITORY)


def test_a_name_that_is_none(hub, folder):
    with pytest.raises(DistillError, match="'me/a b' is no name on the hub; name it as user/data-set"):
        push(folder, "me/a b")


def test_the_command(hub, folder, monkeypatch):
    monkeypatch.setattr(layout, "DATASET", folder)
    done = CliRunner().invoke(app, ["push", REPOSITORY, "--public"])
    assert done.output == f"{hub.address}/datasets/{REPOSITORY} (public): 5 files, 2 rows\n"
    assert arrived(hub) == files_of(folder)
