"""A mistake in params.yaml is one sentence with the key's full name, before anything is touched."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from distill import config
from distill.errors import ConfigError

ROOT = Path(__file__).parents[2]
PROFILES = sorted((ROOT / "pipelines" / "profiles").glob("*.yaml"))
STAGES = ["models", "problems", "generate", "verify", "curate", "export", "tokenize", "train", "evaluate", "report"]


@pytest.fixture(scope="module")
def laptop() -> Any:
    return YAML(typ="safe").load(ROOT / "params.yaml")


def edit(path: str, value: Any) -> Callable[[Any], None]:
    """A change of one key, by its dotted name."""

    def apply(tree: Any) -> None:
        *blocks, key = path.split(".")
        for block in blocks:
            tree = tree[block]
        tree[key] = value

    return apply


MISTAKES = [
    (edit("students.tiny_qwen.learning_rte", 1.0), "students.tiny_qwen.learning_rte is not a known key; did you mean"),
    (edit("sed", 1), "sed is not a known key; did you mean seed?"),
    (edit("students.tiny_qwen.epochs", "3"), "students.tiny_qwen.epochs must be a valid integer, got '3'"),
    (edit("students.tiny_qwen.epochs", 0), "students.tiny_qwen.epochs must be greater than 0, got 0"),
    (edit("students.smollm2_135m.lora.rank", 7), "students.smollm2_135m.lora.rank must be 1, 8, 16"),
    (edit("students.tiny_qwen.lora", {"rank": 16}), "students.tiny_qwen: method is full but a lora block is given"),
    (edit("students.smollm2_135m.lora", None), "students.smollm2_135m: method is lora but the lora block is missing"),
    (edit("generate.max_tokens", 10**6), "generate.max_tokens is 1000000 but teacher.max_model_len is"),
    (edit("generate.temperature", -1.0), "generate.temperature must be greater than or equal to 0, got -1.0"),
    (edit("problems.train.gcd.kind", "gymm"), "problems.train.gcd.kind must be 'gym', 'file', 'dataset', got 'gymm'"),
    (edit("problems.train.gcd.n", 0), "problems.train.gcd.n must be greater than 0, got 0"),
    (edit("problems.eval.easy", {}), "problems.eval.easy Dictionary should have at least 1 item"),
    (edit("problems.eval.easy", 5), "problems.eval.easy must be a valid dictionary, got 5"),
    (edit("problems.eval.easy.gcd.n", 0), "problems.eval.easy.gcd.n must be greater than 0, got 0"),
    (
        edit("problems.eval.easy", {"benchmark": "aime24", "sample": 4}),
        "problems.eval.easy.sample is not a known key; did you mean samples?",
    ),
    (edit("problems.train", {}), "problems.train Dictionary should have at least 1 item"),
    (edit("curate", {"memory_limit": "lots"}), "curate.memory_limit"),
    (edit("curate.near_duplicate", 0.2), "curate.near_duplicate must be greater than 0.5, got 0.2"),
    (edit("curate.contamination", {"drop_by": ["exat"]}), "curate.contamination.drop_by.0 must be 'exact', 'ngram_8'"),
    (
        edit("curate.checks", {"tail_ration": 0.1}),
        "curate.checks.tail_ration is not a known key; did you mean tail_ratio",
    ),
    (edit("export.formats", ["sharegtp"]), "export.formats.0 must be 'prompt_completion', 'sharegpt' or 'alpaca'"),
    (
        edit("problems.given", {"gcd": {"kind": "file", "path": "x.jsonl"}}),
        "problems: gcd is a source of train and of given",
    ),
    (
        edit("curate.contamination", {"rules": ["exact"]}),
        "curate.contamination: drop_by names ngram_13, which",
    ),
    (lambda tree: tree["students"].update({"a.b": tree["students"]["tiny_qwen"]}), "'a.b' cannot name a student"),
    (lambda tree: tree.pop("teacher"), "teacher is missing"),
]


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES, ids=[sentence[:40] for _, sentence in MISTAKES])
def test_a_mistake_is_one_sentence(laptop: Any, mistake: Callable[[Any], None], sentence: str) -> None:
    tree = copy.deepcopy(laptop)
    mistake(tree)
    with pytest.raises(ConfigError) as caught:
        config.parse(tree, "params.yaml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["all", "train", "given", "a-b"])
def test_a_name_that_no_split_may_have_is_refused_at_load(laptop: Any, tmp_path: Path, name: str) -> None:
    tree = copy.deepcopy(laptop)
    tree["problems"]["eval"][name] = tree["problems"]["eval"]["easy"]
    YAML().dump(tree, tmp_path / "params.yaml")
    with pytest.raises(ConfigError, match=f"problems.eval.{name}: a split's name is letters, digits and _"):
        config.load(tmp_path / "params.yaml")


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_profiles_are_valid(profile: Path) -> None:
    config.load(profile)


def test_the_default_is_the_laptop_profile() -> None:
    assert (ROOT / "params.yaml").read_text() == (ROOT / "pipelines/profiles/laptop.yaml").read_text()


def test_broken_yaml_and_a_missing_file(tmp_path: Path) -> None:
    broken = tmp_path / "params.yaml"
    broken.write_text("seed: [1\n")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        config.load(broken)
    with pytest.raises(ConfigError, match="is missing"):
        config.load(tmp_path / "absent.yaml")


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    """YAML 1.2: 2e-4 is a number. PyYAML's 1.1 rules would make it a string."""
    text = (ROOT / "params.yaml").read_text().replace("learning_rate: ", "learning_rate: 2e-4 #", 1)
    (tmp_path / "params.yaml").write_text(text)
    assert config.load(tmp_path / "params.yaml").students["tiny_qwen"].learning_rate == 2e-4


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_stops_on_a_typo_before_touching_anything(stage: str, tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("temperature:", "temprature:", 1)
    (tmp_path / "params.yaml").write_text(text)
    argument = {"tokenize": ["tiny_qwen"], "train": ["tiny_qwen"], "evaluate": ["teacher"]}.get(stage, [])
    environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"pipelines.{stage}", *argument]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == ConfigError.exit_code
    assert "generate.temprature is not a known key; did you mean temperature?" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_use_does_not_lose_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    profiles = tmp_path / "pipelines" / "profiles"
    profiles.mkdir(parents=True)
    for path in PROFILES:
        (profiles / path.name).write_text(path.read_text())
    config.use_profile("smoke")
    assert (tmp_path / "params.yaml").read_text() == (profiles / "smoke.yaml").read_text()
    (tmp_path / "params.yaml").write_text((tmp_path / "params.yaml").read_text() + "# mine\n")
    with pytest.raises(ConfigError, match="settings that no profile has"):
        config.use_profile("laptop")
    config.use_profile("laptop", overwrite=True)
    with pytest.raises(ConfigError, match="no profile 'lptop'"):
        config.use_profile("lptop")
