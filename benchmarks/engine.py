"""What our path adds to a real engine: generate against a bare loop that sends and drops, on the same vLLM server.

    python benchmarks/engine.py --n 600 --rounds 3

tiny-r1 on vLLM; both ask the same problems, greedy and with an equal budget, so the engine writes the same tokens for
both. They take turns, the first round warms up and is dropped, and medians are compared.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time

import aiohttp

from distill import models
from distill.generation import server
from distill.generation.endpoint import Serving
from distill.generation.sampler import sample_problems
from distill.prompting import render_messages
from distill.records import Problem, problem_id
from distill.settings import GenerateSettings, ServerSettings

IN_FLIGHT = 128
SERVING = Serving("bfloat16", 1024, ServerSettings(max_num_seqs=IN_FLIGHT))
BUDGET = 256


def bare(url: str, problems: list[Problem]) -> float:
    """Send everything, IN_FLIGHT at a time, and drop what comes. Returns seconds."""

    async def run() -> None:
        gate = asyncio.Semaphore(IN_FLIGHT)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:

            async def one(problem: Problem) -> None:
                messages = render_messages(problem.prompt)
                body = {"model": "teacher", "messages": messages, "temperature": 0.0, "max_tokens": BUDGET}
                async with gate, session.post(f"{url}/chat/completions", json=body) as response:
                    await response.read()

            await asyncio.gather(*(one(problem) for problem in problems))

    started = time.monotonic()
    asyncio.run(run())
    return time.monotonic() - started


def ours(model: models.ModelRevision, problems: list[Problem]) -> float:
    """The whole path: dispatch, journal, courses. Returns seconds of asking."""
    settings = GenerateSettings(samples=1, temperature=0.0, top_p=1.0, max_tokens=BUDGET)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        return sample_problems(problems, model, settings, SERVING, 17).stats.wall_s


def main() -> None:
    """Take turns and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    prompts = [f"State the final answer to the following arithmetic problem: {i} + {i + 7} =" for i in range(args.n)]
    problems = [
        Problem(id=problem_id(text, "1", "math"), source="s", domain="math", prompt=text, answer="1", verifier="math")
        for text in prompts
    ]
    teacher = models.resolve_folder("teacher", "data/models/tiny-r1")
    seconds: dict[str, list[float]] = {"bare": [], "distill": []}
    with tempfile.TemporaryDirectory() as state:
        os.environ["DVC_ROOT"] = state
        with server.serve(teacher, SERVING) as (_, endpoint):
            url = endpoint.url
            os.environ |= {"DISTILL_TEACHER_URL": url, "DISTILL_CONCURRENCY": str(IN_FLIGHT)}
            # Behind a URL the served name is the model's own.
            remote = models.ModelRevision("teacher", "teacher", None, teacher.revision)
            for _ in range(args.rounds + 1):
                seconds["bare"].append(bare(url, problems))
                seconds["distill"].append(ours(remote, problems))
    ratios = [mine / other for mine, other in zip(seconds["distill"][1:], seconds["bare"][1:], strict=True)]
    mid = {name: statistics.median(found[1:]) for name, found in seconds.items()}
    print(f"{args.n} answers, {IN_FLIGHT} in flight: bare {mid['bare']:.2f} s, distill {mid['distill']:.2f} s; "
          f"median ratio {statistics.median(ratios):.3f} ({', '.join(f'{r:.3f}' for r in ratios)})")  # fmt: skip


if __name__ == "__main__":
    main()
