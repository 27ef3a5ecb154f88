"""Inside the sandbox: score answers by the scorers of reasoning-gym.

Reads one line of JSON, writes one line of JSON for each item, in order:

    {"items": [{"task": "dice", "config": {}, "seed": 3, "size": 300, "index": 1, "gold": "1/6", "answer": "1/6"}], …}
    {"status": "ok", "score": 1.0, "note": ""}

Status is `ok`, `error`, `time` or `other` (the task, made again from its seed, has another reference answer). Each item
is scored by a fork of this process, under limits.
"""

import json
import os
import resource
import signal
import sys
import time
import warnings
from typing import Any, NoReturn

POLL_S = 0.002


def main() -> None:
    """Serve the job on standard input."""
    job = json.loads(sys.stdin.readline())
    channel = os.dup(1)
    os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
    sys.path.insert(0, "/site")
    warnings.simplefilter("ignore")
    import reasoning_gym

    for item in job["items"]:
        os.write(channel, json.dumps(score(reasoning_gym, item, job)).encode() + b"\n")


def score(gym: Any, item: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """One item in a process of its own, which says its score through a pipe."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        become_scorer(gym, item, job, theirs)
    os.close(theirs)
    late = wait(child, job["wall_s"])
    said = os.read(ours, 65536)
    os.close(ours)
    if late or not said:
        return {"status": "time" if late else "error", "score": 0.0, "note": "" if late else "the scorer died"}
    return dict(json.loads(said))


def wait(child: int, wall_s: float) -> bool:
    """Wait for a process, so long and no longer. Returns whether it ran out of time, of the wall or the processor."""
    deadline = time.monotonic() + wall_s
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        time.sleep(POLL_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def become_scorer(gym: Any, item: dict[str, Any], job: dict[str, Any], channel: int) -> NoReturn:
    """Make the task again, score, and end."""
    for limit, value in (
        (resource.RLIMIT_CPU, job["cpu_s"]),
        (resource.RLIMIT_AS, job["memory_bytes"]),
        (resource.RLIMIT_NPROC, job["processes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    try:
        tasks = gym.create_dataset(item["task"], seed=item["seed"], size=item["size"], **item["config"])
        entry = tasks[item["index"]]
        if str(entry["answer"]).strip() != item["gold"]:
            answer = {"status": "other", "score": 0.0, "note": "made again, the task has another answer"}
        else:
            answer = {"status": "ok", "score": float(tasks.score_answer(item["answer"], entry)), "note": ""}
    except BaseException as error:
        answer = {"status": "error", "score": 0.0, "note": type(error).__name__}
    os.write(channel, json.dumps(answer).encode())
    os._exit(0)


main()
