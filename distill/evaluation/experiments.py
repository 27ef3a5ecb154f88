"""Where the scores of an experiment are: in a folder, or at a Git revision or under the name of a DVC experiment.

find("tiny_qwen")    -> Side("tiny_qwen", "data/scores", model="tiny_qwen", models=("smollm2_135m", …), …)
find("../other")     -> Side("../other", "../other/data/scores", model=None, models=("teacher", "tiny_qwen", …), …)
find("try-rank-64")  -> Side("try-rank-64", "data/scores at try-rank-64", model=None, models=(…), …)
side.read("tiny_qwen")  -> {"easy": {"9f31…": (1, 4), …}, "hard": {…}}   # right samples and samples of each problem
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill import layout
from distill.errors import DataError, DistillError
from distill.records import Outcome

FILE = "scores.parquet"
COLUMNS = ("benchmark", "problem_id", "verdict")
Tallies = dict[str, dict[str, tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a model, or an experiment (`model` is None) with all that it holds."""

    name: str
    place: str
    model: str | None
    models: tuple[str, ...]
    content: Callable[[str], bytes]

    def read(self, model: str) -> Tallies:
        """Per benchmark and problem the right samples and the samples of one of its models."""
        return tally_file(self.content(model), f"{model}/{FILE} of {self.place}")


def find(name: str) -> Side:
    """What a name stands for: a model of data/scores/, else a folder, else a revision. Raises `DistillError`."""
    here = _in_folder(layout.SCORES)
    if name in here:
        return _folder_side(name, layout.SCORES, name, here)
    return _folder(name, Path(name)) if Path(name).is_dir() else _revision(name, here)


def _folder(name: str, folder: Path) -> Side:
    """A checkout, its data/, the scores/ in it, or the folder of one model."""
    for scores in (folder / layout.SCORES, folder / layout.SCORES.name, folder):
        if models := _in_folder(scores):
            return _folder_side(name, scores, None, models)
    if (folder / FILE).is_file():
        model = folder.resolve().name
        return Side(name, str(folder.parent), model, (model,), lambda _: (folder / FILE).read_bytes())
    raise DistillError(f"{name} holds no scores: neither <model>/{FILE} nor scores/<model>/{FILE} is in it")


def _folder_side(name: str, scores: Path, model: str | None, models: tuple[str, ...]) -> Side:
    return Side(name, str(scores), model, models, lambda which: (scores / which / FILE).read_bytes())


def _in_folder(scores: Path) -> tuple[str, ...]:
    return tuple(sorted(path.parent.name for path in scores.glob(f"[!.]*/{FILE}")))


def _revision(name: str, here: tuple[str, ...]) -> Side:
    """The scores at a Git revision or of a DVC experiment; DVC asks a remote where its cache has none."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    try:
        files = DVCFileSystem(rev=name)
        models = tuple(sorted(Path(str(path)).parent.name for path in files.glob(f"{layout.SCORES}/*/{FILE}")))
    except SCMError as error:
        known = ", ".join(here) or "no model"
        raise DistillError(
            f"{name!r} is no model of {layout.SCORES} (it holds {known}), no folder, and no Git revision ({error})"
        ) from error
    except DvcException as error:
        raise DistillError(f"DVC cannot read the revision {name} ({error})") from error
    if not models:
        raise DistillError(f"the revision {name} holds no {layout.SCORES}/<model>/{FILE}; give one that was evaluated")
    return Side(name, f"{layout.SCORES} at {name}", None, models, lambda model: _fetched(files, name, model))


def _fetched(files: Any, revision: str, model: str) -> bytes:
    from dvc.exceptions import DvcException

    path = f"{layout.SCORES}/{model}/{FILE}"
    try:
        with files.open(path, "rb") as opened:
            return bytes(opened.read())
    except (DvcException, OSError) as error:
        raise DataError(
            f"{path} of {revision} is neither in DVC's cache nor in a remote ({error}); "
            f"run `dvc repro` in a checkout of {revision}"
        ) from error


def tally_file(content: bytes, where: str) -> Tallies:
    """Count a Parquet file of Score rows. Raises `DataError`, naming `where`, when it is none."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content), columns=list(COLUMNS))
        right = pc.equal(table["verdict"], str(Outcome.CORRECT)).cast(pa.int64())
    except (pa.ArrowException, KeyError, OSError) as error:
        raise DataError(f"{where} cannot be read as scores ({error}); `dvc repro` writes them") from error
    counted = table.append_column("right", right).group_by(["benchmark", "problem_id"])
    found: Tallies = {}
    for row in counted.aggregate([("right", "sum"), ("right", "count")]).to_pylist():
        found.setdefault(row["benchmark"], {})[row["problem_id"]] = (row["right_sum"], row["right_count"])
    return found
