"""Planted faults: each stops the stage where it matters, in one sentence that names the fault and its cure.

A fault is planted before a stage, and the stages run as `dvc repro` runs them: params are read, rows are tokenised and
proven, the student is trained and shipped. All of it is real but for the fault.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from planted import ROWS, STAGES, Pipeline, written
from students import make_rows, make_tokenizer, write_dataset

from distill import layout
from distill.dataset import tokenize as tokenizing
from distill.errors import ConfigError, DataError, DistillError
from distill.training import sft
from distill.training.device import Placement
from distill.training.watch import WINDOW, Watch

MODEL = Path("base/model.safetensors")
LORA = {"method": "lora", "lora": {"rank": 8, "alpha": 16}}


# ------------------------------------------------------------------ the faults


def settings(**changed: Any) -> Callable[[Pipeline], None]:
    return lambda pipeline: pipeline.student.update(changed)


def dotted_key(pipeline: Pipeline) -> None:
    pipeline.tree["students"]["tiny.v2"] = dict(pipeline.student)


def encoded(spoil: Callable[[list[int], list[int], int, Any], tuple[list[int], list[int]]]) -> Any:
    """Rows as another tokenising would write them: `spoil` takes ids, labels, the prompt's length and the chat."""

    def plant(pipeline: Pipeline) -> None:
        encode = tokenizing.encode

        def spoiled(row: dict[str, Any], chat: Any) -> Any:
            example = encode(row, chat)
            ids, labels = spoil(list(example.input_ids), list(example.labels), example.n_prompt, chat)
            return replace(example, input_ids=ids, labels=labels)

        pipeline.patch.setattr(tokenizing, "encode", spoiled)

    return plant


def reply(rewrite: Callable[[str], str]) -> Any:
    """Another reply in the row's place, trained as replies are."""

    def spoil(ids: list[int], labels: list[int], n: int, chat: Any) -> tuple[list[int], list[int]]:
        new = [*chat.ids(rewrite(chat.text(ids[n:-1]))), chat.end_of_turn]
        return ids[:n] + new, labels[:n] + new

    return encoded(spoil)


def style(name: str) -> Callable[[Pipeline], None]:
    """A base whose tokenizer and template are of another kind."""
    return lambda _: make_tokenizer(name).save_pretrained("base")


def r1_with_the_opening_taught_twice(pipeline: Pipeline) -> None:
    style("r1")(pipeline)
    edit_config(vocab_size=len(make_tokenizer("r1")))(pipeline)
    reply(lambda text: "<think>\n" + text)(pipeline)


def edit_config(**changed: Any) -> Callable[[Pipeline], None]:
    def edit(_: Pipeline) -> None:
        path = Path("base/config.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    return edit


def rows(n: int) -> Callable[[Pipeline], None]:
    def replace_rows(_: Pipeline) -> None:
        shutil.rmtree(layout.DATASET)
        write_dataset(layout.DATASET, make_rows(24))
        if n == 0:
            import pyarrow.parquet as pq

            part = layout.DATASET / "data" / "train-00000.parquet"
            pq.write_table(pq.read_table(part).slice(0, 0), part)

    return replace_rows


def some_replies_too_long(pipeline: Pipeline) -> None:
    shutil.rmtree(layout.DATASET)
    made = make_rows(24)
    for row in made[:3]:
        row["messages"][1]["content"] = f"<think>\n{'long ' * 200}\n</think>\n\n1"
    write_dataset(layout.DATASET, made)
    pipeline.student["max_left_out"] = 0.1


def append_to_weights(_: Pipeline) -> None:
    with MODEL.open("ab") as file:
        file.write(b"x")


def lose_a_shard(_: Pipeline) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    Path("base/model.safetensors.index.json").write_text(json.dumps(index))
    MODEL.rename("base/model-00001-of-00002.safetensors")


def lose_a_weight(_: Pipeline) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(MODEL)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, MODEL, metadata={"format": "pt"})


def other_rows(_: Pipeline) -> None:
    shutil.copyfile(next((layout.DATASET / "data").glob("*.parquet")), ROWS / "part-00000.parquet")


def full_disk(pipeline: Pipeline) -> None:
    usage = shutil.disk_usage(".")._replace(free=1_000_000)
    pipeline.patch.setattr(shutil, "disk_usage", lambda _: usage)


def gpu_without_flash_attention(pipeline: Pipeline) -> None:
    pipeline.patch.setattr(sft, "place", lambda: Placement("cuda", "sdpa", 1))


def diverge(pipeline: Pipeline) -> None:
    """From the step on at which a window is full, losses come ten times as large."""
    note = Watch.on_log

    def on_log(self: Any, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        if logs and "loss" in logs and state.global_step > WINDOW:
            logs = logs | {"loss": 10 * logs["loss"]}
        note(self, args, state, control, logs, **more)

    pipeline.patch.setattr(Watch, "on_log", on_log)


def drifted_template(pipeline: Pipeline) -> None:
    """The rows were proven against a template that is not the one that ships."""
    pipeline.audit["probe"]["prompt_ids"].append(1)


@dataclass(frozen=True)
class Fault:
    """A fault, the stage that has to stop, and what its sentence names: the thing and the cure."""

    plant: Callable[[Pipeline], object]
    stage: str
    error: type[DistillError]
    named: str
    cure: str
    planted: str = ""  # before which stage; before the one that stops, if not said
    given: dict[str, Any] = field(default_factory=dict)  # settings that are no fault, in which it shows
    steps: bool = False  # whether it can show only in a step


AUDIT = r"audit of tiny: row 0{20} fails the check "
FAULTS = {
    # params: nothing is touched
    "rank that vLLM refuses": Fault(
        settings(**LORA | {"lora": {"rank": 24}}), "load", ConfigError,
        r"students.tiny.lora.rank", "must be 1, 8, 16, 32, 64, 128, 256, 320 or 512, got 24"),
    "adapter on lm_head": Fault(
        settings(**LORA | {"lora": {"target_modules": ["q_proj", "lm_head"]}}), "load", ConfigError,
        r"students.tiny.lora.target_modules: lm_head gets no adapter", "use all-linear, which leaves it out"),
    "adapter on the embedding": Fault(
        settings(**LORA | {"lora": {"target_modules": ["embed_tokens"]}}), "load", ConfigError,
        r"students.tiny.lora.target_modules: embed_tokens gets no adapter", "use all-linear, which leaves it out"),
    "modules_to_save": Fault(
        settings(**LORA | {"lora": {"modules_to_save": ["lm_head"]}}), "load", ConfigError,
        r"students.tiny.lora: modules_to_save", "remove it, or train everything with method: full"),
    "DoRA": Fault(
        settings(**LORA | {"lora": {"use_dora": True}}), "load", ConfigError,
        r"students.tiny.lora: use_dora", "remove it, plain LoRA of a higher rank is served"),
    "full with a lora block": Fault(
        settings(lora={"rank": 8}), "load", ConfigError,
        r"students.tiny: method is full but a lora block is given", "remove lora or set method: lora"),
    "lora without its block": Fault(
        settings(method="lora"), "load", ConfigError,
        r"students.tiny: method is lora but the lora block is missing", "add lora: {rank: 16, alpha: 32}"),
    "dotted student key": Fault(
        dotted_key, "load", ConfigError, r"'tiny.v2' cannot name a student", "use letters, digits and _"),
    # rows: none is written
    "missing EOS": Fault(
        encoded(lambda ids, labels, n, _: (ids[:-1], labels[:-1])), "tokenize", DataError,
        AUDIT + "stop: its last id is", "end every row with the token that ends a turn"),
    "padding masked where it ends the turn": Fault(
        encoded(lambda ids, labels, n, _: (ids, [*labels[:-1], -100])), "tokenize", DataError,
        AUDIT + r"mask: its last id \d+ is not trained", "labels must be -100 on the prompt and"),
    "prompt trained": Fault(
        encoded(lambda ids, labels, n, _: (ids, list(ids))), "tokenize", DataError,
        AUDIT + "mask: its prompt is trained", "labels must be -100 on the prompt and"),
    "stripped chain": Fault(
        reply(lambda text: text.rpartition("</think>\n\n")[2]), "tokenize", DataError,
        AUDIT + "chain: it opens 0 chains and closes 0", "a reply must be one <think>…</think> and an answer"),
    "empty chain before the chain": Fault(
        reply(lambda text: "<think>\n\n</think>\n\n" + text), "tokenize", DataError,
        AUDIT + "chain: it opens 2 chains and closes 2", "a reply must be one <think>…</think> and an answer"),
    "chain opened by template and reply": Fault(
        r1_with_the_opening_taught_twice, "tokenize", DataError,
        AUDIT + "chain: it opens 2 chains and closes 1", "a reply must be one <think>…</think> and an answer"),
    "truncated row": Fault(
        encoded(lambda ids, labels, n, _: (ids[:-6], labels[:-6])), "tokenize", DataError,
        AUDIT + r"truncated: it ends after \d+ of \d+ characters", "leave rows that are too long out whole"),
    "prompt of another template": Fault(
        encoded(lambda ids, labels, n, chat: ([chat.end_of_turn, *ids[1:]], labels)), "tokenize", DataError,
        AUDIT + "prompt: a server builds other ids", "run `dvc repro models tokenize` again"),
    "tokenizer of another vocabulary": Fault(
        edit_config(vocab_size=100), "tokenize", DataError,
        AUDIT + r"vocabulary: it holds id \d+, and the model has 100", "copy the base's own tokenizer files"),
    "date in the prompt": Fault(
        style("llama32"), "tokenize", DataError,
        r"the chat template of \S*base writes today's date", r'begins with {%- set date_string = "26 Jul 2024" %}'),
    "base without a template": Fault(
        lambda _: Path("base/chat_template.jinja").unlink(), "tokenize", DataError,
        r"base has no chat template", "name one that fits its control tokens as the student's chat_template"),
    "too many rows too long": Fault(
        some_replies_too_long, "tokenize", DataError,
        r"3 of 24 rows are left out for tiny, more than students.tiny.max_left_out 0.1", "raise max_length", "load"),
    "empty data set": Fault(
        rows(0), "tokenize", DataError, r"no row is left for tiny: the data set is empty", "look at data/funnel.json"),
    # before a model is loaded
    "rows of another base": Fault(
        lambda p: p.audit.update(base="sha256:other"), "train", DataError,
        r"the rows of tiny were made for sha256:other", "`dvc repro models tokenize@tiny`"),
    "base that changed": Fault(
        append_to_weights, "train", DataError, r"the files of \S*base changed", "`dvc repro models tokenize@tiny`"),
    "shard of the base missing": Fault(
        lose_a_shard, "train", DataError, r"base lacks model-00002-of-00002.safetensors", "fetch the model again"),
    "no rows": Fault(
        lambda _: (ROWS / "part-00000.parquet").unlink(), "train", DataError,
        r"tokenized/tiny holds no rows", "`dvc repro tokenize@tiny` makes and proves them again"),
    "rows that nobody audited": Fault(
        other_rows, "train", DataError, r"part-00000.parquet is not the file that was audited", "`dvc repro tokenize@"),
    "more rows than were audited": Fault(
        lambda _: shutil.copyfile(ROWS / "part-00000.parquet", ROWS / "part-00001.parquet"), "train", DataError,
        r"part-00001.parquet is not in its audit", "`dvc repro tokenize@tiny`"),
    "fewer rows than were audited": Fault(
        lambda p: p.audit["files"].update({"part-00009.parquet": ""}), "train", DataError,
        r"part-00009.parquet is missing", "`dvc repro tokenize@tiny`"),
    "rows beyond the context": Fault(
        edit_config(max_position_embeddings=64), "train", ConfigError,
        r"rows of tiny have up to \d+ tokens but its context is 64",
        "lower students.tiny.max_length, or set students.tiny.rope.max_position_embeddings", "load"),
    "packs whose rows see each other": Fault(
        gpu_without_flash_attention, "train", ConfigError,
        r"packing is bfd, but sdpa computes attention across", "install flash-attn (or kernels), or set packing: none",
        given={"packing": "bfd"}),
    "batch that cannot be dealt": Fault(
        lambda p: p.patch.setattr(sft, "place", lambda: Placement("cpu", "sdpa", 3)), "train", ConfigError,
        r"batch_size 8 is no multiple of the 3 processes", "set batch_size to one, or DISTILL_PROCESSES"),
    "disk too small for the checkpoints": Fault(
        full_disk, "train", DataError, r"tiny needs about \S+ GB of disk .* has 0.001 GB left", "make room, or make"),
    # in the step where it shows, or before the folder that ships is there
    "weights that would be random": Fault(
        lose_a_weight, "train", DataError,
        r"lacks 1 weights that its config.json names, model.layers.1.mlp.up_proj", "fetch the model again",
        "load", steps=True),
    "loss that is no number": Fault(
        settings(learning_rate=1e30), "train", DataError,
        r"the loss of tiny is (nan|inf) at step \d+", "lower students.tiny.learning_rate", "load", steps=True),
    "loss that diverges": Fault(
        diverge, "train", DataError,
        r"the loss of tiny diverges: at step 4\d", "lower students.tiny.learning_rate", given={"epochs": 20},
        steps=True),
    "template that drifted": Fault(
        drifted_template, "ship", DataError, r"asks tiny in another way", "serve", steps=True),
}  # fmt: skip


@pytest.mark.training
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_stopped(pipeline: Pipeline, name: str) -> None:
    fault = FAULTS[name]
    pipeline.student.update(fault.given)
    load_base, loaded = sft.load_base, []
    pipeline.patch.setattr(sft, "load_base", lambda *given: [loaded.append(given), load_base(*given)][1])
    with pytest.raises(DistillError) as caught:
        pipeline.run(fault.planted or fault.stage, fault.plant)
    sentence = str(caught.value)
    assert (type(caught.value), "\n" in sentence) == (fault.error, False), sentence
    assert re.search(fault.named, sentence), sentence
    assert fault.cure in sentence
    assert pipeline.reached == list(STAGES[: STAGES.index(fault.stage)]), "it is stopped too late, or too early"
    assert written() == pipeline.before, "something is written that a later stage would take up"
    assert bool(loaded) is fault.steps, "a model is loaded for nothing"
