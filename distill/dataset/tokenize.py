"""tokenize: the data set as token ids and labels for one student, in the student's own chat template.

    data/tokenized/<student>/
      part-00000.parquet   the rows, see `examples`
      audit.json           what was proven of every row, what was left out, the histogram of lengths

Rows go through in batches, so a data set may be larger than memory. The same data set, student and seed give the
same bytes. The page about them, `data/tokenized/<student>.html`, lies beside the folder: a page that is worded anew
trains nothing again.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from distill import layout
from distill.dataset import audit, left_out
from distill.dataset.chat import Chat, load_chat
from distill.dataset.examples import IGNORED, Example, read_batches, read_examples, write_examples
from distill.errors import DataError
from distill.models import ModelRevision
from distill.students import StudentSettings


def tokenize(student: str, settings: StudentSettings, base: ModelRevision, seed: int) -> dict[str, Any]:
    """Tokenise the exported data set for a student, prove the result, and return the audit.

    Rows that are too long, spell a control token or hold no single chain are left out and counted by source. Raises
    `DataError` when too many are, or all, and when one that is kept fails the audit.
    """
    chat = load_chat(base)
    wanted = choose(layout.DATASET, settings.max_rows, seed)
    folder = layout.TOKENIZED / student
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    lost: left_out.Counts = {}
    rows = (row for row in read_dataset(layout.DATASET) if wanted is None or row["id"] in wanted)
    files = write_examples(partial, _encode_all(rows, chat, settings.max_length, lost))
    report = audit.prove(_pairs(layout.DATASET, partial), chat, settings.max_length, student)
    report["left_out"] = left_out.sort(lost)
    left_out.require_few(report, settings.max_left_out, student)
    report |= {"files": files, "dataset": _lineage(layout.DATASET), "base": base.revision}
    (partial / audit.FILE).write_text(json.dumps(report, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return report


def describe(report: dict[str, Any]) -> str:
    """An audit as one line: `1,020 rows, 161,000 trained tokens of 236,000, 3 too long (2 gcd, 1 products)`."""
    kept = f"{report['rows']:,} rows, {report['trained_tokens']:,} trained tokens of {report['tokens']:,}"
    return ", ".join([kept, *left_out.describe(report)])


def read_dataset(folder: Path, columns: tuple[str, ...] = ("id", "source", "messages")) -> Iterator[dict[str, Any]]:
    """The rows of the exported data set in id order. Raises `DataError` before export ran."""
    files = sorted((folder / "data").glob("*.parquet"))
    if not files:
        raise DataError(f"{folder} holds no data set; `dvc repro` writes it")
    return read_batches(files, columns)


def choose(dataset: Path, most: int | None, seed: int) -> set[str] | None:
    """Ids of at most `most` rows, None for all: the sources in turn, within each by the hash of seed and id.

    A row that joins the data set displaces at most one other.
    """
    rows = [(row["source"], row["id"]) for row in read_dataset(dataset, ("source", "id"))] if most else []
    if most is None or len(rows) <= most:
        return None
    place: Counter[str] = Counter()
    ranked: list[tuple[int, str, str]] = []
    for drawn, source, name in sorted((_draw(seed, name), source, name) for source, name in rows):
        ranked.append((place[source], drawn, name))
        place[source] += 1
    return {name for _, _, name in sorted(ranked)[:most]}


def encode(row: dict[str, Any], chat: Chat) -> Example:
    """Ids and labels of one row: the prompt as a server builds it, masked, then the reply and the end of its turn.

    Prompt and reply are tokenised apart, as they are when a server answers.
    """
    *asked, answer = row["messages"]
    prompt = chat.prompt(asked)
    prompt_ids = chat.ids(prompt)
    reply_ids = [*chat.ids(chat.reply(prompt, answer["content"])), chat.end_of_turn]
    labels = [IGNORED] * len(prompt_ids) + reply_ids
    return Example(row["id"], row["source"], prompt_ids + reply_ids, labels, len(prompt_ids))


def _encode_all(
    rows: Iterable[dict[str, Any]], chat: Chat, max_length: int, lost: left_out.Counts
) -> Iterator[Example]:
    for row in rows:
        example = encode(row, chat)
        if reason := left_out.reason(row, example, chat, max_length):
            lost.setdefault(reason, Counter())[row["source"]] += 1
        else:
            yield example


def _pairs(dataset: Path, tokenized: Path) -> Iterator[tuple[dict[str, Any], Example]]:
    """Each tokenised row beside its row of the data set; both are in id order."""
    rows = read_dataset(dataset)
    for example in read_examples(tokenized):
        row = next((row for row in rows if row["id"] == example.id), None)
        if row is None:
            raise DataError(f"row {example.id} is not in {dataset}, or not in order; run `dvc repro export` again")
        yield row, example


def _lineage(dataset: Path) -> dict[str, Any]:
    """Which data set these ids were made of, and who wrote it, for the student's card."""
    path = dataset / "manifest.json"
    manifest = json.loads(path.read_text())
    rows = read_dataset(dataset, ("teacher", "teacher_revision"))
    first = next((row for row in rows if row["teacher"] != "given"), {"teacher": "given", "teacher_revision": "given"})
    return {
        "rows": manifest["rows"],
        "manifest_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "policy": manifest.get("policy"),
        "sampling": manifest.get("sampling"),
        "teacher": first["teacher"],
        "teacher_revision": first["teacher_revision"],
    }


def _draw(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
