"""The command line and the doctor."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from distill import doctor
from distill.cli import app

ROOT = Path(__file__).parents[2]


def test_help_imports_nothing_heavy() -> None:
    """`distill --help` answers at once because the libraries that take seconds wait for a command that needs them."""
    heavy = "('torch', 'vllm', 'duckdb', 'pandas', 'pydantic')"
    code = f"import sys, distill.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_help() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    for command in ("doctor", "use", "check", "summary", "sql", "show", "report", "serve"):
        assert command in shown.output


def test_check_names_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert "params.yaml is fine" in CliRunner().invoke(app, ["check"]).output


def test_a_missing_store_is_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "distill.cli", "sql", "FROM funnel"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("distill: data/store.duckdb is missing")
    assert done.stderr.count("\n") == 1


def test_doctor_finds_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["python"].cure == ""
    assert findings["torch"].value != "missing"
    assert findings["data/models/tiny-r1"].fatal
    assert "make models" in findings["data/models/tiny-r1"].cure
    (tmp_path / "params.yaml").write_text("sed: 1\n")
    assert {finding.name: finding for finding in doctor.examine()}["params.yaml"].fatal
