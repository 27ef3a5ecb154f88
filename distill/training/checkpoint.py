"""The folder that ships: whole weights, the base's tokenizer files as they were, a card, and no pickle.

    data/students/<student>/
      model.safetensors  config.json   as transformers and vLLM read them
      generation_config.json           the base's, with every id that ends a turn
      tokenizer.json …                 the base's, byte for byte: servers older than this transformers read them too
      README.md                        base, data, teacher, recipe with its sources, versions, loss, figures
      adapter/                         for LoRA, the adapter alone

The folder that is measured is the folder that ships: the proof of `merge` reads it back from disk.
"""

import json
import shutil
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from distill import layout
from distill.dataset import probe
from distill.dataset.examples import read_examples
from distill.models import ModelRevision, looks_local
from distill.prompting import INSTRUCTION
from distill.students import StudentSettings
from distill.training import merge
from distill.training.architecture import shape
from distill.training.sft import Trained
from distill.training.shapes import require_shapes

TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)
CARD = Path(__file__).parent / "card.md.jinja"
LIBRARIES = ("distill", "torch", "transformers", "trl", "peft")


def ship(
    student: str,
    settings: StudentSettings,
    base: ModelRevision,
    trained: Trained,
    audit: dict[str, Any],
    tokenized: Path,
) -> dict[str, Any]:
    """Write a trained model as the student's folder and prove it on its rows. Returns the metrics with `parity`.

    Raises `DataError` when what is on disk is not the model that was trained; the old folder is left then.
    """
    folder = layout.STUDENTS / student
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    merge.write_weights(trained.model, settings, base, partial)
    require_shapes(Path(str(base.path)), partial)
    _write_config(base, settings, partial)
    _write_generation_config(base, audit["stop_ids"], partial)
    _copy_tokenizer(base, partial)
    probe.require_folder(partial, audit, student)
    examples = list(islice(read_examples(tokenized), merge.PARITY_ROWS))
    parity = merge.measure_parity(trained.model, partial, examples)
    merge.require_parity(student, settings, parity, partial)
    metrics = trained.metrics | {"parity": parity}
    (partial / "README.md").write_text(render_card(student, settings, base, metrics, audit))
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return metrics


def render_card(
    student: str, settings: StudentSettings, base: ModelRevision, metrics: dict[str, Any], audit: dict[str, Any]
) -> str:
    """The model card in Markdown; all it says comes from the run's settings, metrics and audit."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, autoescape=False)
    return environment.from_string(CARD.read_text()).render(
        student=student,
        settings=settings,
        base=base,
        on_hub=not looks_local(base.model),
        metrics=metrics,
        recipe=metrics["recipe"],
        audit=audit,
        data=audit["dataset"],
        question=json.dumps(f"What is 12 * 7?\n\n{INSTRUCTION}"),
        versions={name: version(name) for name in LIBRARIES},
    )


def _write_config(base: ModelRevision, settings: StudentSettings, folder: Path) -> None:
    """The config that was trained with, in the type that ships: transformers would drop keys that only vLLM reads."""
    config = shape(base, settings)
    name = "torch_dtype" if "torch_dtype" in config else "dtype"  # as versions before 5 called it
    (folder / "config.json").write_text(json.dumps(config | {name: settings.ship_dtype}, indent=2) + "\n")


def _write_generation_config(base: ModelRevision, stop_ids: list[int], folder: Path) -> None:
    """The base's generation config, stopping at every id that ends a turn."""
    source = Path(str(base.path)) / "generation_config.json"
    settings = json.loads(source.read_text()) if source.exists() else {}
    settings["eos_token_id"] = stop_ids[0] if len(stop_ids) == 1 else stop_ids
    (folder / "generation_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def _copy_tokenizer(base: ModelRevision, folder: Path) -> None:
    for name in TOKENIZER_FILES:
        source = Path(str(base.path)) / name
        if source.exists():
            shutil.copyfile(source, folder / name)
    if base.chat_template:
        _write_template(base.chat_template, folder)


def _write_template(template: str, folder: Path) -> None:
    """Ship the template that the student was trained with, and no other: older servers read tokenizer_config.json."""
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    if settings.pop("chat_template", None) is not None:
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
