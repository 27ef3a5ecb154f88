"""What an answer is known by: the key holds what decides an answer, and nothing else."""

from pathlib import Path

import pytest
from fakes import TEACHER, make_problems

from distill.errors import ConfigError
from distill.generation import endpoint
from distill.generation.endpoint import Serving
from distill.generation.request import context_of, recipe
from distill.models import ModelRevision
from distill.settings import RepetitionSettings, SamplingSettings, ServerSettings

SAMPLING = SamplingSettings()


def key(
    model: ModelRevision = TEACHER, sampling: SamplingSettings = SAMPLING, dtype: str = "bfloat16", seed: int = 17
) -> str:
    return recipe(model, sampling, dtype, seed).key


@pytest.mark.parametrize("change", [{"max_tokens": 64}, {"samples": 9}])
def test_the_key_does_not_hold(change: dict[str, int]) -> None:
    assert key(sampling=SAMPLING.model_copy(update=change)) == key()


def test_the_pipelines_name_for_a_model_is_not_in_the_key() -> None:
    """So a base that is another student's teacher is asked once."""
    assert key(model=ModelRevision("another_name", "big-model", None, "r1")) == key()


SAMPLING_CHANGES = [
    {"temperature": 1.0},
    {"top_p": 1.0},
    {"system_prompt": "Be brief."},
    {"repetition": RepetitionSettings()},
]


@pytest.mark.parametrize("change", SAMPLING_CHANGES)
def test_sampling_is_in_the_key(change: dict[str, object]) -> None:
    assert key(sampling=SAMPLING.model_copy(update=change)) != key()


def test_weights_dtype_and_seed_are_in_the_key() -> None:
    keys = {key(), key(model=ModelRevision("teacher", "big-model", None, "r2")), key(dtype="float32"), key(seed=18)}
    assert len(keys) == 4


def test_every_sample_has_a_seed_of_its_own() -> None:
    asked = recipe(TEACHER, SAMPLING, "bfloat16", 17)
    labels = {asked.seed_label(problem.id, index) for problem in make_problems(50) for index in range(8)}
    assert len(labels) == 400
    assert all(0 <= label < 2**31 for label in labels)


def test_the_context_is_the_models_own_where_that_is_smaller(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')
    model = ModelRevision("small", str(tmp_path), str(tmp_path), "sha256:0")
    assert context_of(model, 1024) == 512
    assert context_of(model, 256) == 256
    assert context_of(TEACHER, 1024) == 1024


URLS = [
    ("http://host:8000", ["http://host:8000/v1"]),
    ("https://host/v1/", ["https://host/v1"]),
    ("https://host/api/v1", ["https://host/api/v1"]),
    ("http://a:1, http://b:2/v1,", ["http://a:1/v1", "http://b:2/v1"]),
    ("", []),
]


@pytest.mark.parametrize(("given", "used"), URLS)
def test_urls_end_in_v1(given: str, used: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILL_TEACHER_URL", given)
    monkeypatch.setenv("DISTILL_TEACHER_API_KEY", "s3cret")
    found = endpoint.from_environment(TEACHER)
    assert [place.url for place in found] == used
    assert "s3cret" not in repr(found)


def test_a_url_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILL_TEACHER_URL", "http://a:1,host:8000")
    with pytest.raises(ConfigError, match=r"must be like https://host/v1.*'host:8000'"):
        endpoint.from_environment(TEACHER)


@pytest.mark.parametrize(("variable", "value"), [("DISTILL_TEACHER_URL", "host:8000"), ("DISTILL_CONCURRENCY", "many")])
def test_a_wrong_environment_is_one_sentence(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    read = endpoint.from_environment if variable.endswith("URL") else endpoint.concurrency
    with pytest.raises(ConfigError, match=variable):
        read(TEACHER if variable.endswith("URL") else ServerSettings())  # type: ignore[operator]


def test_concurrency_is_the_servers_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISTILL_CONCURRENCY")
    assert endpoint.concurrency(Serving("bfloat16", 1024, ServerSettings(max_num_seqs=7)).server) == 7
