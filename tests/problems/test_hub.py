"""Which commit a data set is opened at: asked of a hub on 127.0.0.1 that says what the real one does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from distill.errors import DataError
from distill.problems import hub, splits
from distill.records import Outcome
from distill.settings import DatasetSource, ProblemSettings

COMMIT, OLD = "c" * 40, "0" * 40


class Hub:
    """One data set, with a branch; `asked` are the paths that were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def _handler(hub) -> type[BaseHTTPRequestHandler]:
        commits = {"/api/datasets/me/sums": COMMIT, "/api/datasets/me/sums/revision/v1": OLD}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                hub.asked.append(path)
                body = json.dumps({"id": "me/sums", "sha": commits.get(path)}).encode()
                self.send_response(hub.status if path in commits else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing on the terminal."""

        return Handler


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    remote = Hub()
    threading.Thread(target=remote.server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{remote.server.server_port}")
    yield remote
    remote.server.shutdown()
    remote.server.server_close()


def source(path: str = "me/sums", revision: str | None = None) -> DatasetSource:
    return DatasetSource(kind="dataset", path=path, revision=revision)


@pytest.mark.parametrize(
    ("path", "revision", "commit", "n_asked"),
    [
        ("me/sums", None, COMMIT, 1),
        ("me/sums", "v1", OLD, 1),
        ("me/sums", OLD, OLD, 0),
        ("me/private", OLD, OLD, 0),
        (".", None, None, 0),
        ("./nowhere", None, None, 0),
    ],
)
def test_the_commit(remote: Hub, path: str, revision: str | None, commit: str | None, n_asked: int) -> None:
    assert hub.commit_of(source(path, revision), "k") == commit
    assert len(remote.asked) == n_asked


def test_a_hub_that_does_not_say_is_an_error(remote: Hub) -> None:
    with pytest.raises(DataError, match=r"^problems\.train\.s: the hub does not say which commit me/other@main is"):
        hub.commit_of(source("me/other"), "problems.train.s")
    remote.status = 401
    with pytest.raises(DataError, match="gated ones need HF_TOKEN"):
        hub.commit_of(source(), "problems.train.s")


def test_without_a_network_a_commit_must_be_named() -> None:
    """The tests' hub is off: what is looked up fails, what is pinned asks nobody."""
    with pytest.raises(DataError, match=r"OfflineModeIsEnabled.*set problems\.train\.s\.revision to a commit"):
        hub.commit_of(source(), "problems.train.s")
    assert hub.commit_of(source(revision=COMMIT), "problems.train.s") == COMMIT


def test_rows_are_of_the_commit_and_say_so(remote: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def load_dataset(path: str, name: str | None, split: str, revision: str | None) -> list[dict[str, str]]:
        opened.append((path, name, split, revision))
        return [{"prompt": f"What is {i} in {split}?", "answer": str(i)} for i in range(3)]

    import datasets

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    settings = ProblemSettings.model_validate(
        {
            "train": {"floating": source().model_dump()},
            "given": {"tagged": source(revision="v1").model_dump() | {"split": "given"}},
            "eval": {"held": {"pinned": source(revision=OLD).model_dump() | {"split": "test"}}},
        }
    )
    built = splits.build(settings, 17, lambda rows: dict.fromkeys((row.id for row in rows), Outcome.CORRECT))
    assert sorted(opened) == [
        ("me/sums", None, "given", OLD),
        ("me/sums", None, "test", OLD),
        ("me/sums", None, "train", COMMIT),
    ]
    assert {json.loads(row.origin)["revision"] for row in built.train} == {COMMIT}
    assert {json.loads(row.origin)["revision"] for row in built.given} == {OLD}
    assert built.pins == [
        f"problems.train.floating.revision: {COMMIT}",
        f"problems.given.tagged.revision: {OLD}",
    ]
