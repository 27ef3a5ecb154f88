"""The whole DAG on the smoke profile, end to end, in a clone of its own: real vLLM, real TRL, real DuckDB.

The tests of this file run in order on one workspace, since a full run is minutes: first generate is killed three ways,
then the pipeline runs to its end, then what it left behind is examined.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from distill import shards
from distill.records import Trace

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]
BIN = Path(sys.executable).parent
PATIENCE_S = 120
PROBLEMS, EVALUATED = 60, 26  # of the smoke profile: to train on, to evaluate on


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Path]:
    """A repository of its own with the smoke profile active."""
    folder = tmp_path_factory.mktemp("pipeline") / "clone"
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=root, capture_output=True, text=True, check=True)
    for name in names.stdout.splitlines():
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)
    shutil.copy(root / "pipelines/profiles/smoke.yaml", folder / "params.yaml")
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    yield folder
    leave_nothing_running(folder)


def environment(folder: Path) -> dict[str, str]:
    """The environment a person has after `make setup`, with the workspace's own library first."""
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return settings | {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(folder)}


def repro(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `dvc repro` to its end."""
    return subprocess.run(
        ["dvc", "repro", *arguments], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )


def processes_of(folder: Path, *words: str) -> list[psutil.Process]:
    """Living processes that run in the workspace and whose command line holds every word."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.cwd() == str(folder) and all(word in line for word in words):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def leave_nothing_running(folder: Path) -> None:
    for process in processes_of(folder):
        process.kill()


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until something is so; fail with its name after PATIENCE_S seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.1)


def landed(folder: Path) -> list[tuple[str, str, int]]:
    """Every answer that landed in the request cache, in the order it came: one entry per time it was paid for."""
    entries = []
    for segment in sorted((folder / ".distill" / "requests").rglob("*.jsonl")):
        for line in segment.read_text(errors="ignore").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # torn by a kill
            if row.get("kind", "answer") == "answer":
                entries.append((row["request_key"], row["problem_id"], row["sample_index"]))
    return entries


KILLS = {
    "dvc": ("dvc", "repro"),
    "stage": ("pipelines.generate",),
    "server": ("vllm.entrypoints.openai.api_server", "--model"),
}


@pytest.mark.parametrize("victim", list(KILLS))
def test_generate_survives_kill_9(workspace: Path, victim: str) -> None:
    """After kill -9 of dvc, the stage or the server, the next run goes on and pays for nothing twice."""
    assert repro(workspace, "problems", "models").returncode == 0
    before = len(landed(workspace))
    # One more sample per problem for each victim, so that there is work to be killed in.
    samples = 2 + list(KILLS).index(victim)
    params = workspace / "params.yaml"
    params.write_text(re.sub(r"samples: \d+", f"samples: {samples}", params.read_text(), count=1))
    running = subprocess.Popen(
        ["dvc", "repro", "generate"],
        cwd=workspace,
        env=environment(workspace),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: len(landed(workspace)) > before, "the first answer")
    for process in processes_of(workspace, *KILLS[victim]):
        if victim != "server" or "distill.generation.guard" not in " ".join(process.cmdline()):
            process.send_signal(signal.SIGKILL)
    running.wait(PATIENCE_S)
    if victim != "server":
        wait_for(lambda: not processes_of(workspace), f"every process to end after kill -9 of the {victim}")
    assert repro(workspace, "generate").returncode == 0
    assert not processes_of(workspace), "an orphan is left"
    answers = landed(workspace)
    assert len(answers) == len(set(answers)), "an answer that had landed was asked again"
    asked = {(problem, sample) for _, problem, sample in answers}
    traces = [(trace.problem_id, trace.sample_index) for trace in shards.read_rows(workspace / "data/traces", Trace)]
    assert set(traces) == asked
    assert len(traces) == len(set(traces)) == PROBLEMS * samples, "a trace is missing, or there twice"


def test_the_pipeline_runs_to_its_end(workspace: Path) -> None:
    done = repro(workspace)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    summary = json.loads((workspace / "data/report.json").read_text())
    assert set(summary["models"]) == {"teacher", "tiny_qwen_base", "tiny_qwen"}, "a model was not served and measured"
    assert all(scores["all"]["n"] == EVALUATED for scores in summary["models"].values())
    assert not processes_of(workspace), "a process is left"


def test_a_second_run_does_nothing(workspace: Path) -> None:
    done = repro(workspace)
    assert done.returncode == 0
    assert "Data and pipelines are up to date" in done.stdout
    assert "Running stage" not in done.stdout


def test_git_shows_nothing_but_the_lock(workspace: Path) -> None:
    shown = subprocess.run(["git", "status", "--porcelain"], cwd=workspace, capture_output=True, text=True, check=True)
    assert {line[3:] for line in shown.stdout.splitlines()} <= {"dvc.lock", "params.yaml"}


def test_generate_is_a_deterministic_export(workspace: Path) -> None:
    """The same answers give the same bytes: re-running the stage changes nothing downstream."""
    traces = {path.name: path.read_bytes() for path in (workspace / "data/traces").iterdir()}
    assert repro(workspace, "-f", "-s", "generate").returncode == 0
    assert {path.name: path.read_bytes() for path in (workspace / "data/traces").iterdir()} == traces


def test_student_loads_in_plain_transformers(workspace: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = workspace / "data/students/tiny_qwen"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 2 + 3?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    assert model.generate(**ids, max_new_tokens=4, do_sample=False).shape[1] > ids["input_ids"].shape[1]
    card = (folder / "README.md").read_text()
    assert "tiny-qwen" in card
    assert not list(folder.rglob("*.bin")), "a pickle ships"


def test_dataset_loads(workspace: Path, tmp_path: Path) -> None:
    import datasets

    rows = datasets.load_dataset(str(workspace / "data/dataset"), split="train", cache_dir=str(tmp_path))
    assert len(rows) > 0
    assert rows[0]["messages"][-1]["content"].startswith("<think>\n")


def test_readme_queries_answer(workspace: Path, root: Path) -> None:
    import duckdb

    queries = {
        name: re.findall(r"```sql\n(.*?)```", (root / name).read_text(), re.DOTALL)
        for name in ("README.md", "docs/curation.md", "pipelines/policies/README.md")
    }
    assert len(queries["README.md"]) >= 3
    assert all(queries.values())
    with duckdb.connect(str(workspace / "data/store.duckdb"), read_only=True) as store:
        for query in queries["README.md"]:
            assert store.execute(query).fetchall(), query
        for query in queries["docs/curation.md"] + queries["pipelines/policies/README.md"]:
            store.execute(query).fetchall()  # what they ask for need not be in a sound store


def test_dvc_and_sql_give_the_numbers_of_the_page(workspace: Path, tmp_path: Path) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=workspace, env=environment(workspace) | {"COLUMNS": "300"}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "failed to load" not in done.stderr
        return done.stdout

    shown = json.loads(run("dvc", "metrics", "show", "--json", "data/report.json"))
    models = next(iter(shown.values()))["data"]["data/report.json"]["data"]["models"]
    score = models["tiny_qwen"]["all"]["pass@1"]
    page = (workspace / "data/report/index.html").read_text()
    assert f"to {100 * score:.1f} % on {EVALUATED} unseen problems" in page
    asked = "SELECT round(avg(correct / n), 9) FROM questions WHERE model = 'tiny_qwen' AND benchmark = 'all'"
    assert f"{round(score, 9)}" in run("distill", "sql", asked)
    run("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    assert "tiny_qwen, all" in (tmp_path / "plots/index.html").read_text()
    card = (workspace / "data/report/tiny_qwen.md").read_text()
    assert f"value: {round(100 * models['tiny_qwen']['easy']['pass@1'], 2)}" in card
