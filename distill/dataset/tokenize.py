"""tokenize: the data set as token ids and labels for one student, in the student's own chat template.

    data/tokenized/<student>/
      rows.parquet   id, source, input_ids, labels (-100 where nothing is trained), n_prompt, n_tokens
      audit.json     what was proven of every row, what was dropped, the histogram of lengths

Templates are full of traps for reasoning (R1's deletes the chain of past turns, hybrid ones add an empty one), so a template renders the
prompt alone. The reply is tokenised as it is, up to and including the token that ends a turn, and `audit` proves the result.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill import layout
from distill.config import StudentSettings
from distill.dataset import audit
from distill.errors import DataError
from distill.models import ModelRevision
from distill.prompting import THINK_OPEN, Message, is_prefilled, render_prompt

IGNORED = -100  # the label that cross-entropy skips
MARK = "ANSWER"  # stands for a reply when a template is asked how it ends a turn


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a student's training: ids and labels, (seq,) each; the first `n_prompt` are not trained."""

    id: str
    source: str
    input_ids: list[int]
    labels: list[int]
    n_prompt: int

    @property
    def n_tokens(self) -> int:
        """The length of the row."""
        return len(self.input_ids)


def tokenize(student: str, settings: StudentSettings, base: ModelRevision, seed: int) -> dict[str, Any]:
    """Tokenise the exported data set for a student and write it with its audit. Returns the audit.

    Raises `DataError` when a row fails the audit, or when no row fits `max_length`.
    """
    tokenizer = load_tokenizer(base)
    rows = _choose(read_dataset(layout.DATASET), settings.max_rows, seed)
    stop = end_of_turn(tokenizer, base)
    encoded = [(row, encode(row, tokenizer, stop)) for row in rows]
    fitting = [(row, example) for row, example in encoded if example.n_tokens <= settings.max_length]
    if not fitting:
        longest = max(example.n_tokens for _, example in encoded)
        raise DataError(
            f"no row fits students.{student}.max_length {settings.max_length}; the longest has {longest} tokens"
        )
    dropped = Counter(example.source for _, example in encoded if example.n_tokens > settings.max_length)
    report = audit.prove(fitting, tokenizer, stop, settings.max_length) | {
        "rows_in": len(rows),
        "too_long_by_source": dict(sorted(dropped.items())),
    }
    _write(layout.TOKENIZED / student, [example for _, example in fitting], report)
    return report


def read_dataset(folder: Path) -> list[dict[str, Any]]:
    """The rows of the exported data set. Raises `DataError` before export ran."""
    import pyarrow.parquet as pq

    files = sorted((folder / "data").glob("*.parquet"))
    if not files:
        raise DataError(f"{folder} holds no data set; `dvc repro` writes it")
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def read_examples(student: str) -> list[Example]:
    """What `tokenize` wrote."""
    import pyarrow.parquet as pq

    path = layout.TOKENIZED / student / "rows.parquet"
    if not path.exists():
        raise DataError(f"{path} is missing; `dvc repro` writes it")
    table = pq.read_table(path, columns=["id", "source", "input_ids", "labels", "n_prompt"])
    return [Example(**row) for row in table.to_pylist()]


def load_tokenizer(base: ModelRevision) -> Any:
    """The base's tokenizer. Raises `DataError` when it has no chat template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.path)
    if not tokenizer.chat_template:
        raise DataError(
            f"{base.model} has no chat template; take its -Instruct version, or put a chat_template.jinja beside it"
        )
    return tokenizer


def stop_ids(tokenizer: Any, base: ModelRevision) -> set[int]:
    """The ids at which a server stops this model: the generation config's, and the tokenizer's end of sequence."""
    path = Path(str(base.path)) / "generation_config.json"
    named = json.loads(path.read_text()).get("eos_token_id") if path.exists() else None
    ids = named if isinstance(named, list) else [named]
    return {int(token) for token in [*ids, tokenizer.eos_token_id] if token is not None}


def end_of_turn(tokenizer: Any, base: ModelRevision) -> int:
    """The stop id with which the model's own template ends a reply.

    Raises `DataError` when what the template writes there would not stop a server.
    """
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": MARK}]
    rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    tail = tokenizer(rendered.rpartition(MARK)[2], add_special_tokens=False).input_ids
    stops = stop_ids(tokenizer, base)
    found = next((token for token in tail if token in stops), None)
    if found is None:
        raise DataError(
            f"{base.model}: its template ends a turn with none of the stop ids {sorted(stops)} of its generation config"
        )
    return int(found)


def encode(row: dict[str, Any], tokenizer: Any, stop: int) -> Example:
    """Ids and labels of one row: the prompt as a server builds it, masked, then the reply and the stop id."""
    *asked, reply = row["messages"]
    prompt, text = render_prompt(tokenizer, asked), expected_reply(tokenizer, asked, reply["content"])
    prompt_ids = tokenizer(prompt, add_special_tokens=False).input_ids
    reply_ids = [*tokenizer(text, add_special_tokens=False).input_ids, stop]
    labels = [IGNORED] * len(prompt_ids) + reply_ids
    return Example(row["id"], row["source"], prompt_ids + reply_ids, labels, len(prompt_ids))


def expected_reply(tokenizer: Any, asked: Sequence[Message], content: str) -> str:
    """The text the student writes: without the opening tag where the template has already written it."""
    prefilled = is_prefilled(render_prompt(tokenizer, asked))
    return content.removeprefix(f"{THINK_OPEN}\n") if prefilled else content


def _choose(rows: list[dict[str, Any]], most: int | None, seed: int) -> list[dict[str, Any]]:
    """At most `most` rows, taken from the sources in turn, by a seeded and stable draw."""
    if most is None or len(rows) <= most:
        return rows
    drawn = sorted(rows, key=lambda row: hashlib.sha256(f"{seed}{row['id']}".encode()).hexdigest())
    place: Counter[str] = Counter()
    ranked = []
    for order, row in enumerate(drawn):
        ranked.append((place[row["source"]], order, row))
        place[row["source"]] += 1
    return sorted((row for _, _, row in sorted(ranked, key=lambda item: item[:2])[:most]), key=lambda row: row["id"])


def _write(folder: Path, examples: list[Example], report: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    ids = pa.list_(pa.int32())
    schema = pa.schema(
        [("id", pa.string()), ("source", pa.string()), ("input_ids", ids), ("labels", ids), ("n_prompt", pa.int32())]
        + [("n_tokens", pa.int32())]
    )
    columns = [{name: getattr(example, name) for name in schema.names} for example in examples]
    pq.write_table(pa.Table.from_pylist(columns, schema=schema), partial / "rows.parquet", compression="zstd")
    (partial / "audit.json").write_text(json.dumps(report, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
