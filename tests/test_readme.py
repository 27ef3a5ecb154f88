"""The README is held to the repository: its commands, its stage list, its tree, its links."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text()


@pytest.fixture(scope="module")
def stages(root: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(root / "dvc.yaml")["stages"])


def section(readme: str, title: str) -> str:
    """The text of one `## ` section."""
    return readme.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_stage_table_is_dvc_yaml(readme: str, stages: dict[str, Any]) -> None:
    named = re.findall(r"^\| ([a-z_, ]+) \|", section(readme, "The pipeline"), re.MULTILINE)
    listed = [name for row in named if row != "stage" for name in row.split(", ")]
    assert listed == list(stages)


def test_every_stage_has_its_script_and_package(root: Path, stages: dict[str, Any]) -> None:
    for name, stage in stages.items():
        command = stage.get("do", stage)["cmd"].split()
        assert command[:2] == ["python", "-m"]
        assert (root / f"{command[2].replace('.', '/')}.py").is_file(), name


def test_tree_is_the_repository(readme: str, root: Path) -> None:
    tree = section(readme, "The tree").split("```")[1]
    folder = ""
    for line in tree.strip().splitlines():
        name = line.split()[0]
        path = root / folder / name if line.startswith("  ") else root / name
        folder = folder if line.startswith("  ") else name
        assert path.exists(), f"README names {path.relative_to(root)}"
    named = set(re.findall(r"^  (\S+)", tree, re.MULTILINE))
    there = {path.name + "/" * path.is_dir() for path in (root / "distill").iterdir()}
    assert {name for name in there if not name.startswith("__")} <= named


@pytest.mark.parametrize("target", ["run", "test", "check", "doctor", "lock", "models", "setup"])
def test_make_targets_exist(root: Path, target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_distill_commands_exist(readme: str) -> None:
    from typer.main import get_command

    from distill.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"`?distill ([a-z]+)", readme.replace("distill use gpu", ""))) & known
    for command in re.findall(r"^distill ([a-z]+)", readme, re.MULTILINE):
        assert command in known
    for command in re.findall(r"`distill ([a-z]+)", readme):
        assert command in known


def test_every_param_named_exists(readme: str, root: Path) -> None:
    from distill import config

    params = config.load(root / "params.yaml").model_dump()
    for dotted in re.findall(r"^\| `([a-z_.]+)` \|", section(readme, "What a change re-runs"), re.MULTILINE):
        value: Any = params
        for key in dotted.split("."):
            assert key in value, dotted
            value = value[key]


def test_verdicts_page_is_the_code(root: Path) -> None:
    from distill.records import Method, Outcome
    from distill.verification.judge import read_labelled

    page = (root / "docs" / "verdicts.md").read_text()
    assert re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE) == [str(outcome) for outcome in Outcome]
    assert all(f"`{method}`" in page for method in Method if method is not Method.NONE)
    labelled = read_labelled(None)
    wrong = sum(not row.correct for row in labelled)
    assert f"{len(labelled)} labelled cases, {wrong} of them wrong" in page
    cases = (root / "tests" / "cases" / "math.jsonl").read_text().splitlines()
    assert f"holds {len(cases)} cases" in page


def test_curation_page_is_the_code(root: Path) -> None:
    from distill.curation import policies
    from distill.curation.quality import column_names
    from distill.settings import CheckSettings, CurateSettings

    page = (root / "docs" / "curation.md").read_text()
    checks, chosen = section(page, "Checks"), section(page, "Policies")
    assert {
        name for row in re.findall(r"^\| (`.*?`) \|", chosen, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    } == set(policies.shipped())
    assert set(re.findall(r"^\| `(\w+)` \|", checks, re.MULTILINE)) <= set(column_names())
    beyond = re.findall(r"\| (?:below )?([\d.,]+) \|$", checks, re.MULTILINE)
    limits = CheckSettings().model_dump().values()
    assert sorted(float(limit.replace(",", "")) for limit in beyond) == sorted([*map(float, limits), 0.0])
    assert f"similarity {CurateSettings().near_duplicate} and more" in page
    assert f"`common: {CurateSettings().contamination.common}`" in page.replace("\n", " ")


def test_benchmarks_page_is_the_code(root: Path) -> None:
    import dataclasses

    from distill import config
    from distill.records import Score

    page = (root / "docs" / "benchmarks.md").read_text()
    rows = re.findall(
        r"^\| `(\w+)` \| .*? \| .*? \| (.*?) \| (\w+) \| (.*?) \|$", section(page, "What ships"), re.MULTILINE
    )
    files = {path.stem: YAML(typ="safe").load(path) for path in (root / config.BENCHMARKS).glob("*.yaml")}
    assert {name for name, *_ in rows} == set(files)
    for name, k, verifier, licence in rows:
        (kind,) = {source.get("verifier", source["kind"]) for source in files[name]["sources"].values()}
        assert (k, verifier, licence) == (str(files[name].get("samples", "evaluate's")), kind, files[name]["licence"])
    columns = {name for row in re.findall(r"^\| (`.*?`) \|", section(page, "What is measured"), re.MULTILINE)
               for name in re.findall(r"`(\w+)`", row)}  # fmt: skip
    assert {field.name for field in dataclasses.fields(Score)} - {"schema_version"} <= columns


def test_ci_runs_what_a_person_types(root: Path) -> None:
    assert "make test" in (root / ".ci" / "run").read_text()


def test_no_machine_is_named(root: Path) -> None:
    """No absolute path of one machine stands in a tracked file."""
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"/(work|root|farm|home/[a-z]+)/")
    for name in tracked:
        path = root / name
        if path.suffix in {".safetensors", ".lock", ".png"} or "cases" in name or name == "tests/test_readme.py":
            continue
        assert not pattern.search(path.read_text(errors="ignore")), name
