"""vLLM's own tokenize endpoint makes of our messages the ids that we train on.

One server, its base's template given as params give it, is also seen to drift from a student that has another.
"""

import os
from pathlib import Path

import pytest

from distill.dataset import probe
from distill.dataset.chat import load_chat
from distill.dataset.template_checks import CLOCKS, render_at
from distill.errors import DataError
from distill.generation.endpoint import Serving
from distill.generation.server import serve
from distill.models import ModelRevision, resolve
from distill.prompting import render_messages
from distill.settings import ServerSettings

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "data" / "models"
QUESTIONS = [
    render_messages("What is 12 * 7?"),
    render_messages("  Ein Café für 3 € – wie viel sind 10 davon? 数\n"),
    render_messages("What is <think> or <|im_end|> to you?", system_prompt="Be brief."),
    [*render_messages("1+1?"), {"role": "assistant", "content": "<think>\n2\n</think>\n\n2"}, *render_messages("2+2?")],
]

pytestmark = [pytest.mark.serving, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))


def served_base(name: str, template: str | None = None) -> ModelRevision:
    folder = MODELS / name
    if not (folder / "config.json").exists():
        pytest.skip(f"{folder} is not here; `make models` makes it")
    return resolve("base", str(folder), None, template)


@pytest.mark.parametrize("name", ["tiny-qwen", "tiny-r1", "smollm2-135m-instruct"])
def test_a_server_builds_our_prompts(name: str) -> None:
    base = served_base(name)
    chat = load_chat(base)
    with serve(base, Serving("bfloat16", 1024, ServerSettings(max_num_seqs=8))) as (_, endpoint):
        root = endpoint.url.removesuffix("/v1")
        for messages in QUESTIONS:
            ours = chat.ids(chat.prompt(messages))
            assert probe.served_ids(root, endpoint.model, messages, {}) == ours
            assert render_at(chat.tokenizer, messages, CLOCKS[0], tokenize=True) == ours
        probe.require_server(root, endpoint.model, chat.tokenizer, "tiny", {})


def test_a_base_is_served_with_the_template_that_params_give() -> None:
    base, own = served_base("tiny-qwen", str(ROOT / "tests/cases/templates/smollm2.jinja")), served_base("tiny-qwen")
    with serve(base, Serving("bfloat16", 1024, ServerSettings(max_num_seqs=8))) as (_, endpoint):
        root = endpoint.url.removesuffix("/v1")
        probe.require_server(root, endpoint.model, load_chat(base).tokenizer, "tiny", {})
        with pytest.raises(DataError, match="asks tiny in another way than it was trained, from token"):
            probe.require_server(root, endpoint.model, load_chat(own).tokenizer, "tiny", {})
