"""The faulty teacher: a real HTTP server on 127.0.0.1 that answers as a model server does, and misbehaves on command.

What it answers depends on the question and the seed label alone, so that a run with faults can be compared with a run
without, byte for byte. `served` counts the answers that went out whole, by (question, seed label).

    python tests/fakes.py <port> <n> [hang]   the same as a process, which dies for good after n answers, or hangs
"""

import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from distill.models import ModelRevision
from distill.records import Problem, problem_id

NEVER_S = 30.0
TEACHER = ModelRevision("teacher", "big-model", None, "r1")
PREFILLED = "data/models/tiny-r1"  # a model of this name answers from inside the chain, as its template opens it


def make_problems(n: int) -> list[Problem]:
    """What is 0 + 0, what is 1 + 1, and so on."""
    return [make_problem(f"What is {i} + {i}?", str(2 * i)) for i in range(n)]


def make_problem(prompt: str, answer: str) -> Problem:
    """A problem of the plainest kind."""
    identity = problem_id(prompt, answer, "math")
    return Problem(id=identity, source="test", domain="math", prompt=prompt, answer=answer, verifier="math")


@dataclass(frozen=True)
class Reply:
    """What a script prescribes for one request; `fault` is what goes out in place of the text."""

    text: str = ""
    finish_reason: str = "stop"
    tokens: int = 10
    fault: str | None = None

    def json(self, question: str) -> dict[str, Any]:
        """As an OpenAI-compatible server says it."""
        message = {"role": "assistant", "content": self.text}
        return {
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}],
            "usage": {"prompt_tokens": len(question.split()), "completion_tokens": self.tokens},
        }


class FaultyTeacher:
    """`faults` are used up one per request, in order; then every request is answered.

    fine · 503 · 500 · 429 (Retry-After in seconds) · 429-date · 401 · 404 · 400 · hang · reset · torn (half a body) ·
    torn-json (half of the JSON, whole by its length) · empty · html · abort · die (away for a moment, then back) ·
    exit (the whole process ends)
    """

    def __init__(
        self, faults: list[str] | None = None, delay_s: float = 0.0, splits_reasoning: str = "", port: int = 0
    ) -> None:
        self.faults = deque(faults or [])
        self.delay_s = delay_s
        self.splits_reasoning = splits_reasoning  # "reasoning" or "reasoning_content": the field that holds the chain
        self.away_s = 0.3
        self.reasons = True  # without it, answers hold no chain
        self.says: Callable[[str], str] | None = None  # what it answers to a question, in place of a number
        self.script: Callable[[dict[str, Any]], Reply] | None = None  # what it does with a request, by its body
        self.refuses = ""  # a word: every question that holds it is answered with 400
        self.served: Counter[tuple[str, int]] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.dead = False
        self._server: ThreadingHTTPServer | None = None
        self.port = port
        self._rise()

    def __enter__(self) -> "FaultyTeacher":
        return self

    def __exit__(self, *_: object) -> None:
        self.dead = True
        self._fall()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def next_fault(self) -> str | None:
        with self.lock:
            return self.faults.popleft() if self.faults else None

    def die(self) -> None:
        """Refuse connections and break those that are open, then come back on the same port."""
        with self.lock:
            if self.dead:
                return
            self.dead = True
        threading.Thread(target=self._away, daemon=True).start()

    def _away(self) -> None:
        self._fall()
        time.sleep(self.away_s)
        self.dead = False
        self._rise()

    def _fall(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def _rise(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), _handler_of(self))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no news."""


def answer(body: dict[str, Any], splits_reasoning: str = "") -> dict[str, Any]:
    """A reply: chain and boxed number, from the question and the seed label; cut at the budget, or gone on with."""
    question, seed = question_of(body), body.get("seed", 0)
    number = int(hashlib.sha256(f"{question}|{seed}".encode()).hexdigest()[:6], 16)
    chain, final = f"thinking of {number}\nfor {number % 7} steps", f"\\boxed{{{number}}}"
    n_tokens = 5 + number % 20
    if "prompt" in body:
        return _go_on(body, f"{chain}\n</think>\n\n{final}", n_tokens)
    written = min(n_tokens, body["max_tokens"])
    whole = f"<think>\n{chain}\n</think>\n\n{final}" if body["model"] != PREFILLED else f"{chain}\n</think>\n\n{final}"
    message: dict[str, Any] = {"role": "assistant", "content": _first_tokens(whole, n_tokens, written)}
    if splits_reasoning:
        message = {"role": "assistant", "content": final, splits_reasoning: chain}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop" if written == n_tokens else "length"}],
        "usage": {"prompt_tokens": len(question.split()), "completion_tokens": written},
    }


def question_of(body: dict[str, Any]) -> str:
    """The user's turn, of a chat or inside a prompt in tiny-r1's template."""
    if "messages" in body:
        return str(body["messages"][-1]["content"])
    return str(body["prompt"]).partition("<|User|>")[2].partition("<|Assistant|>")[0]


def _go_on(body: dict[str, Any], whole: str, n_tokens: int) -> dict[str, Any]:
    """The rest of a text of which the prompt holds the beginning."""
    begun = body["prompt"].partition("<|Assistant|>")[2].removeprefix("<think>\n")
    used = next(n for n in range(n_tokens) if _first_tokens(whole, n_tokens, n) == begun)
    written = min(n_tokens, used + body["max_tokens"])
    text = _first_tokens(whole, n_tokens, written).removeprefix(begun)
    return {
        "choices": [{"index": 0, "text": text, "finish_reason": "stop" if written == n_tokens else "length"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": written - used},
    }


def _first_tokens(text: str, n_tokens: int, n: int) -> str:
    """The first n of the n_tokens equal pieces of a text."""
    return text[: len(text) * n // n_tokens]


def _handler_of(teacher: FaultyTeacher) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

        def do_GET(self) -> None:
            if teacher.dead:
                self.reset()
            elif self.path == "/metrics":
                self.send_raw(b'vllm:generation_tokens_total{model_name="teacher"} 7.0\n')
            elif self.path in ("/health", "/v1/models"):
                self.send(200, {"data": [{"id": "teacher"}]})
            else:
                self.send(404, {"error": {"message": "no such page"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if teacher.dead:
                return self.reset()
            if self.path == "/tokenize":  # only vLLM has it
                return self.send(404, {"error": {"message": "no such page"}})
            with teacher.lock:
                teacher.requests.append(body)
                teacher.headers.append(dict(self.headers))
            fault = teacher.next_fault()
            time.sleep(teacher.delay_s)
            question = question_of(body)
            if teacher.refuses and teacher.refuses in question:
                return self.send(400, {"error": {"message": "the prompt does not fit"}})
            scripted = teacher.script(body) if teacher.script else None
            fault = fault or (scripted.fault if scripted else None)
            if fault in (None, "fine"):
                reply = scripted.json(question) if scripted else answer(body, teacher.splits_reasoning)
                if not teacher.reasons:
                    reply["choices"][0]["message"]["content"] = "42"
                if teacher.says:
                    reply["choices"][0]["message"]["content"] = teacher.says(question)
                self.send(200, reply)
                with teacher.lock:
                    teacher.served[question, body.get("seed", 0)] += 1
            else:
                self.misbehave(fault, body)

        def misbehave(self, fault: str | None, body: dict[str, Any]) -> None:
            whole = json.dumps(answer(body)).encode()
            if fault and fault.isdigit():
                self.send(int(fault), {"error": {"message": f"told to say {fault}"}}, retry_after="0.05")
            elif fault == "429-date":
                self.send(429, {}, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")
            elif fault == "hang":
                time.sleep(NEVER_S)
            elif fault == "reset":
                self.reset()
            elif fault == "torn":
                self.send_raw(whole[: len(whole) // 2], promised=len(whole))
            elif fault == "torn-json":
                self.send_raw(whole[: len(whole) // 2])
            elif fault in ("empty", "html"):
                self.send_raw(b"" if fault == "empty" else b"<html>Bad gateway</html>")
            elif fault == "abort":
                reply = answer(body)
                reply["choices"][0]["finish_reason"] = "abort"
                self.send(200, reply)
            elif fault == "exit":
                os._exit(1)
            elif fault == "die":
                teacher.die()
                self.reset()
            else:
                raise ValueError(fault)

        def send(self, status: int, reply: dict[str, Any], retry_after: str | None = None) -> None:
            self.send_raw(json.dumps(reply).encode(), status=status, retry_after=retry_after)

        def send_raw(
            self, payload: bytes, status: int = 200, promised: int | None = None, retry_after: str | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(promised or len(payload)))
            if retry_after:
                self.send_header("Retry-After", retry_after)
            self.end_headers()
            self.wfile.write(payload)
            self.close_connection = promised is not None

        def reset(self) -> None:
            """Close with RST, as a killed process does."""
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

    return Handler


if __name__ == "__main__":
    end = sys.argv[3:] * 1000 or ["exit"]
    with FaultyTeacher(["fine"] * int(sys.argv[2]) + end, port=int(sys.argv[1])):
        threading.Event().wait()
