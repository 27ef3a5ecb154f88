"""The folder that ships: whole weights in bf16, the base's tokenizer files as they were, a card; and the proof that it is the model trained.

    data/students/<student>/
      model.safetensors  config.json  generation_config.json  README.md
      tokenizer.json …        copied from the base, byte for byte: servers older than this transformers read them too
      adapter/                for LoRA, the adapter alone

No pickles, nothing of the trainer. Merging an adapter into bf16 weights loses part of it, so the log-probabilities of the folder as it is on
disk are compared with those of the model in memory before anything is called done.
"""

import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from distill import layout
from distill.config import StudentSettings
from distill.dataset.tokenize import Example, stop_ids
from distill.errors import DataError
from distill.models import ModelRevision
from distill.prompting import INSTRUCTION
from distill.training.sft import Trained

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
PARITY_ROWS = 8
PARITY_LIMIT = 0.05  # nats per token on average; bf16 rounding alone gives about 0.005
TEMPLATE = Path(__file__).parent / "card.md.jinja"
LIBRARIES = ("distill", "torch", "transformers", "trl", "peft")


def ship(
    student: str, settings: StudentSettings, base: ModelRevision, trained: Trained, examples: Sequence[Example]
) -> dict[str, Any]:
    """Write the student's folder and prove it. Returns the training metrics with `parity` added."""
    folder = layout.STUDENTS / student
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _write_weights(trained.model, settings, base, partial)
    _write_tokenizer(base, partial)
    _write_generation_config(base, trained.tokenizer, partial)
    parity = compare(trained.model, partial, examples[:PARITY_ROWS])
    if parity["mean_nats"] > PARITY_LIMIT:
        raise DataError(
            f"the checkpoint of {student} differs from the model trained by {parity['mean_nats']:.3f} nats per token, "
            f"more than {PARITY_LIMIT}; bf16 loses the adapter: raise students.{student}.lora.rank or learning_rate"
        )
    metrics = trained.metrics | {"parity": parity}
    (partial / "README.md").write_text(_card(student, settings, base, metrics))
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return metrics


def _write_weights(model: Any, settings: StudentSettings, base: ModelRevision, folder: Path) -> None:
    """Whole weights in bf16. An adapter is merged in fp32 first, so that rounding happens once."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if settings.method == "lora":
        model.save_pretrained(folder / "adapter")
        (folder / "adapter" / "README.md").unlink(missing_ok=True)
        whole = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)
        whole = PeftModel.from_pretrained(whole, folder / "adapter").merge_and_unload()
    else:
        whole = model
    weights = {name: value.detach().to(torch.bfloat16).cpu() for name, value in whole.state_dict().items()}
    whole.save_pretrained(folder, state_dict=weights)
    path = folder / "config.json"
    kept = json.loads((Path(str(base.path)) / "config.json").read_text())
    path.write_text(json.dumps(kept | json.loads(path.read_text()) | {"dtype": "bfloat16"}, indent=2) + "\n")


def _write_tokenizer(base: ModelRevision, folder: Path) -> None:
    for name in TOKENIZER_FILES:
        source = Path(str(base.path)) / name
        if source.exists():
            shutil.copyfile(source, folder / name)


def _write_generation_config(base: ModelRevision, tokenizer: Any, folder: Path) -> None:
    """The base's generation config, with every stop id in it."""
    source = Path(str(base.path)) / "generation_config.json"
    settings = json.loads(source.read_text()) if source.exists() else {}
    stops = sorted(stop_ids(tokenizer, base))
    settings["eos_token_id"] = stops[0] if len(stops) == 1 else stops
    (folder / "generation_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def compare(model: Any, folder: Path, examples: Sequence[Example]) -> dict[str, float]:
    """Mean and largest difference in the log-probability of trained tokens, in nats: in memory against on disk."""
    import torch
    from transformers import AutoModelForCausalLM

    shipped = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(model.device)
    gaps = torch.cat([(log_probabilities(model, e) - log_probabilities(shipped, e)).abs() for e in examples])
    return {"mean_nats": float(gaps.mean()), "max_nats": float(gaps.max()), "tokens": int(gaps.numel())}


def log_probabilities(model: Any, example: Example) -> Any:
    """The log-probability of each trained token of a row, (n_trained,), in fp32."""
    import torch

    ids = torch.tensor([example.input_ids], device=model.device)  # (1, seq)
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()  # (seq - 1, vocabulary)
    chosen = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]  # (seq - 1,)
    return chosen[example.n_prompt - 1 :]


def _card(student: str, settings: StudentSettings, base: ModelRevision, metrics: dict[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined

    from distill.models import read_revision

    teacher = read_revision(layout.TEACHER)
    manifest = json.loads((layout.DATASET / "manifest.json").read_text())
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(TEMPLATE.read_text())
    return template.render(
        student=student,
        settings=settings,
        base=base,
        metrics=metrics,
        teacher=teacher.model,
        teacher_revision=teacher.revision,
        instruction=INSTRUCTION,
        dataset_hash=next(iter(manifest["files"].values())),
        versions={name: version(name) for name in LIBRARIES},
    )
