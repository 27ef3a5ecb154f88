"""What a change re-runs: README's table of parameters, held against the real DVC on the real dvc.yaml, and the code.

Only the commands are replaced, by one that writes each output as a hash of what the stage may depend on; so a run takes
seconds, and early cut-off is DVC's own.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

pytestmark = pytest.mark.timeout(300)

# A stand-in for every stage. A time-out decides whether a grading ends, not what it finds.
STAND_IN = """
import hashlib, json, sys
from pathlib import Path
from ruamel.yaml import YAML

stage, key = sys.argv[1], (sys.argv[2:] or [""])[0]
spec = YAML(typ="safe").load(Path("dvc.yaml"))["stages"][stage]
spec = json.loads(json.dumps(spec.get("do", spec)).replace("${key}", key))
params = YAML(typ="safe").load(Path("params.yaml"))

def value(dotted):
    found = params
    for part in dotted.split("."):
        found = found[part]
    return found

def content(path):
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(str(file), file.read_text()) for file in files if file.is_file()]

inputs = [content(Path(dep)) for dep in spec["deps"] if dep.startswith("data/") and dep != "data/models"]
tracked = {name: value(name) for name in spec.get("params", []) if name != "verify"}
digest = hashlib.sha256(json.dumps([stage, key, inputs, tracked]).encode()).hexdigest()
outs = [out if isinstance(out, str) else next(iter(out)) for out in spec.get("outs", []) + spec.get("metrics", [])]
for out in map(Path, outs):
    out.parent.mkdir(parents=True, exist_ok=True)
    if stage == "models":
        out.mkdir(exist_ok=True)
        (out / "teacher.json").write_text(params["teacher"]["model"])
        for name, student in params["students"].items():
            (out / f"{name}_base.json").write_text(student["base"])
    elif out.suffix:
        out.write_text(digest)
    else:
        (out / "eval").mkdir(parents=True, exist_ok=True)
        for name in ("rows", "train.parquet", "eval/easy.parquet"):
            (out / name).write_text(digest)
"""


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A workspace in which every stage has run once, by its stand-in."""
    folder = tmp_path_factory.mktemp("dag") / "baseline"
    for name in ("distill", "pipelines"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data" / "models").mkdir(parents=True)
    (folder / "data" / "models" / "weights").write_text("")
    shutil.copy(root / "params.yaml", folder / "params.yaml")
    (folder / "stand_in.py").write_text(STAND_IN)
    yaml = YAML()
    pipeline = yaml.load(root / "dvc.yaml")
    for name, stage in pipeline["stages"].items():
        command = stage.get("do", stage)
        command["cmd"] = f"{sys.executable} stand_in.py {name}" + (" ${key}" if "foreach" in stage else "")
    yaml.dump(pipeline, folder / "dvc.yaml")
    dvc(folder, "init", "--no-scm", "-q")
    dvc(folder, "repro")
    return folder


def dvc(folder: Path, *arguments: str) -> str:
    """Run DVC in a workspace and return what it said."""
    environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
    command = [str(Path(sys.executable).parent / "dvc"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def edit(dotted: str, value: Any) -> Callable[[Any], None]:
    """A change of one key of params, by its dotted name."""

    def apply(params: Any) -> None:
        *blocks, key = dotted.split(".")
        for block in blocks:
            params = params[block]
        assert params[key] != value
        params[key] = value

    return apply


EDITS = {
    "curate.near_duplicate": 0.95,
    "export.policy": "all",
    "students.tiny_qwen.learning_rate": 5.0e-4,
    "students.tiny_qwen.max_rows": 20,
    "generate.samples": 9,
    "evaluate.samples": 7,
    "verify.timeout_s": 4.0,
    "report.traces": 3,
    "serving.teacher.max_num_seqs": 32,
}


def promised(root: Path) -> dict[str, set[str]]:
    """README's table: which stages a change of each key re-runs."""
    table = (root / "README.md").read_text().split("## What a change re-runs")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \|$", table, re.MULTILINE)
    return {key: set() if cell.startswith("nothing") else set(cell.split(", ")) for key, cell in rows}


def test_the_table_and_the_edits_name_the_same_keys(root: Path) -> None:
    assert set(promised(root)) == set(EDITS)


@pytest.mark.parametrize("key", list(EDITS))
def test_a_change_reruns_what_readme_says(baseline: Path, root: Path, tmp_path: Path, key: str) -> None:
    folder = tmp_path / "workspace"
    shutil.copytree(baseline, folder)
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    edit(key, EDITS[key])(params)
    yaml.dump(params, folder / "params.yaml")
    ran = set(re.findall(r"Running stage '([\w@]+)'", dvc(folder, "repro")))
    students = list(params["students"])
    named = promised(root)[key]
    foreach = {name for name, stage in YAML(typ="safe").load(root / "dvc.yaml")["stages"].items() if "foreach" in stage}
    expanded = {f"{name}@{s}" for name in named & foreach for s in students} | (named - foreach)
    assert ran == expanded


PACKAGES = {"generate": "generation", "verify": "verification", "curate": "curation", "export": "dataset",
            "tokenize": "dataset", "train": "training", "evaluate_teacher": "evaluation", "evaluate_base": "evaluation",
            "evaluate": "evaluation"}  # fmt: skip
# Where things lie, how rows are written, what a person sees: none of it decides what a row says.
GROUND = {
    "config",
    "errors",
    "hardware",
    "layout",
    "models",
    "progress",
    "records",
    "settings",
    "shards",
    "stage",
    "students",
}
# They read rows that are proven already. Training again, for hours, is too much for another way of reading them.
READERS = {"train": {"distill/dataset/audit.py", "distill/dataset/examples.py", "distill/dataset/probe.py"}}


def imported(path: Path, root: Path) -> Iterator[Path]:
    """The modules of distill that a file imports, lazily too."""
    for node in ast.walk(ast.parse((root / path).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("distill"):
            folder = Path(*str(node.module).split("."))
            for name in node.names:
                module = (folder / name.name).with_suffix(".py")
                yield module if (root / module).is_file() else folder.with_suffix(".py")


def reached(script: Path, package: Path, root: Path) -> set[Path]:
    """What a stage's script reaches by its own package, and what that imports of others."""
    found: set[Path] = set()
    open_ = [script]
    while open_:
        new = set(imported(open_.pop(), root)) - found
        found |= new
        open_ += [path for path in new if package in path.parents]
    return {path for path in found if (root / path).is_file()}


def test_dvc_watches_the_code_that_a_stage_runs(root: Path) -> None:
    """Else a mended rule would leave the rows of the old one where they are."""
    for name, stage in YAML(typ="safe").load(root / "dvc.yaml")["stages"].items():
        watched = {Path(dep) for dep in stage.get("do", stage)["deps"]}
        script = Path("pipelines") / f"{'evaluate' if name.startswith('evaluate') else name}.py"
        code = reached(script, Path("distill") / PACKAGES.get(name, name), root)
        decides = {path for path in code if not (path.parent == Path("distill") and path.stem in GROUND)}
        lost = {str(path) for path in decides if not watched & {path, *path.parents}} - READERS.get(name, set())
        assert script in watched
        assert code, f"{script} imports nothing of distill"
        assert not lost, f"stage {name} runs code that DVC does not watch"


def test_every_key_that_dvc_watches_is_in_every_profile(root: Path) -> None:
    """DVC refuses a stage whose params lack a key it watches, so profiles are complete where it looks."""
    stages = YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    for profile in (root / "pipelines" / "profiles").glob("*.yaml"):
        params = YAML(typ="safe").load(profile)
        for stage in stages.values():
            for dotted in stage.get("do", stage).get("params", []):
                for student in params["students"] if "${key}" in dotted else [""]:
                    found = params
                    for part in dotted.replace("${key}", student).split("."):
                        assert part in found, f"{profile.name} lacks {dotted}"
                        found = found[part]
