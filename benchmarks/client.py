"""What one answer costs the client, beside other clients against the same server in the same run.

    python benchmarks/client.py --peers openai,distilabel,curator

512 requests in flight, replies of 30 kB after 2 seconds. Ours is the whole path: dispatch, journal on disk, courses,
rows. Each client runs in a process of its own, a peer with its library's defaults but for the number in flight; peers
are installed into `.venv.bench`, which nothing else needs. CPU time is that of the client's process.
"""

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
PEERS = Path(".venv.bench/bin/python")
REQUIREMENTS = {"openai": "openai", "distilabel": "distilabel[openai]", "curator": "bespokelabs-curator"}


def ours(url: str, n: int, in_flight: int) -> None:
    """Sample n answers as generate does."""
    from distill.generation.endpoint import Serving
    from distill.generation.sampler import sample_problems
    from distill.models import ModelRevision
    from distill.records import Problem, problem_id
    from distill.settings import GenerateSettings, ServerSettings

    os.environ |= {"DISTILL_TEACHER_URL": url, "DISTILL_CONCURRENCY": str(in_flight)}
    problems = [
        Problem(id=problem_id(f"What is {i}?", "19", "math"), source="s", domain="math", prompt=f"What is {i}?",
                answer="19", verifier="math") for i in range(n)
    ]  # fmt: skip
    settings = GenerateSettings(samples=1, max_tokens=16384)
    model = ModelRevision("teacher", "teacher", None, "r1")
    sampled = sample_problems(problems, model, settings, Serving("bfloat16", 32768, ServerSettings()), 17)
    assert len(sampled.traces) == n


def plain(url: str, n: int, in_flight: int) -> None:
    """aiohttp alone: sends, reads the JSON, drops it. What no client can go below."""
    import asyncio

    import aiohttp

    async def run() -> None:
        gate = asyncio.Semaphore(in_flight)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def one(i: int) -> None:
                body = {"model": "teacher", "messages": [{"role": "user", "content": f"What is {i}?"}]}
                async with gate, session.post(f"{url}/v1/chat/completions", json=body) as response:
                    json.loads(await response.read())

            await asyncio.gather(*(one(i) for i in range(n)))

    asyncio.run(run())


def openai(url: str, n: int, in_flight: int) -> None:
    """The openai package with a semaphore, as most scripts do it."""
    import asyncio

    from openai import AsyncOpenAI

    async def run() -> None:
        client, gate = AsyncOpenAI(base_url=f"{url}/v1", api_key="none"), asyncio.Semaphore(in_flight)

        async def one(i: int) -> None:
            async with gate:
                await client.chat.completions.create(
                    model="teacher", messages=[{"role": "user", "content": f"What is {i}?"}]
                )

        await asyncio.gather(*(one(i) for i in range(n)))

    asyncio.run(run())


def distilabel(url: str, n: int, in_flight: int) -> None:
    """distilabel's OpenAILLM, in batches of the number in flight, as its pipeline's steps do."""
    from distilabel.models import OpenAILLM

    llm = OpenAILLM(model="teacher", base_url=f"{url}/v1", api_key="none")
    llm.load()
    for start in range(0, n, in_flight):
        batch = [[{"role": "user", "content": f"What is {i}?"}] for i in range(start, min(n, start + in_flight))]
        llm.generate_outputs(inputs=batch, max_new_tokens=16384)


def curator(url: str, n: int, in_flight: int) -> None:
    """curator's LLM with its openai backend."""
    import tempfile

    os.environ |= {
        "OPENAI_API_KEY": "none",
        "CURATOR_CACHE_DIR": tempfile.mkdtemp(),
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
    }
    os.environ |= {"TELEMETRY_ENABLED": "0", "CURATOR_VIEWER": "0"}
    from bespokelabs import curator as library

    params = {"base_url": f"{url}/v1", "max_concurrent_requests": in_flight}
    params |= {"max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**11}
    llm = library.LLM(model_name="teacher", backend="openai", backend_params=params)
    llm([f"What is {i}?" for i in range(n)])


CLIENTS: dict[str, Callable[[str, int, int], None]] = {
    "plain": plain, "distill": ours, "openai": openai, "distilabel": distilabel, "curator": curator,
}  # fmt: skip


def measure(name: str, url: str, n: int, in_flight: int) -> dict[str, float]:
    """Run one client in a process of its own; the time to import it is not counted."""
    python = sys.executable if name in ("plain", "distill") else str(PEERS)
    command = [python, __file__, "--client", name, "--url", url, "--n", str(n), "--in-flight", str(in_flight)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, env=os.environ | {"DVC_ROOT": folder}, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def be_client(name: str, url: str, n: int, in_flight: int) -> None:
    """Warm up with one answer, then measure."""
    CLIENTS[name](url, 1, in_flight)
    used, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    CLIENTS[name](url, n, in_flight)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    wall = time.monotonic() - started
    print(json.dumps({"cpu_ms": 1000 * cpu / n, "wall_s": wall, "rss_mb": after.ru_maxrss / 1024}))


def main() -> None:
    """Measure every client `--rounds` times, in turn, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="openai", help="of openai, distilabel, curator; empty for none")
    parser.add_argument("--n", type=int, default=5120)
    parser.add_argument("--in-flight", type=int, default=512)
    parser.add_argument("--delay", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--client")
    parser.add_argument("--url")
    args = parser.parse_args()
    if args.client:
        return be_client(args.client, args.url, args.n, args.in_flight)
    peers = [name for name in args.peers.split(",") if name]
    if peers and not PEERS.exists():
        subprocess.run([sys.executable, "-m", "venv", ".venv.bench"], check=True)
        packages = [REQUIREMENTS[name] for name in peers]
        subprocess.run([str(PEERS), "-m", "pip", "install", "--quiet", *packages], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, HERE / "server.py", "--port", str(port), "--delay", str(args.delay)])
    try:
        wait_for(f"{url}/v1/models")
        results: dict[str, list[dict[str, float]]] = {name: [] for name in ["plain", "distill", *peers]}
        for _ in range(args.rounds):
            for name, found in results.items():
                found.append(measure(name, url, args.n, args.in_flight))
    finally:
        server.kill()
    ideal = args.delay * args.n / args.in_flight
    mid = {n: {k: statistics.median(row[k] for row in rows) for k in rows[0]} for n, rows in results.items()}
    print(f"{args.n:,} answers, {args.in_flight} in flight; ideal wall {ideal:.1f} s; medians of {args.rounds} rounds")
    for name, row in mid.items():
        ratio = row["cpu_ms"] / mid["distill"]["cpu_ms"]
        cost = f"{row['cpu_ms']:6.2f} ms CPU an answer ({ratio:4.1f} x ours)"
        wall = f"wall {row['wall_s']:6.1f} s ({row['wall_s'] / ideal:.2f} x ideal)"
        print(f"{name:12} {cost}, {wall}, {row['rss_mb']:,.0f} MB")


def wait_for(url: str) -> None:
    """Wait until a server answers."""
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    main()
