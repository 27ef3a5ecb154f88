"""Names and shapes of the weights in a folder, read from the headers of its safetensors files.

A launch that gathers wrongly writes tensors of size 0, or one process's share, under the right names.
"""

import json
from pathlib import Path

from distill.errors import DataError

Shapes = dict[str, tuple[int, ...]]


def read_shapes(folder: Path) -> Shapes:
    """The shape of every weight in a folder; no weight is read."""
    from safetensors import safe_open

    shapes: Shapes = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return shapes


def require_shapes(base: Path, folder: Path) -> None:
    """Raise `DataError` unless a folder holds the weights that the base holds, each as large."""
    expected, found = read_shapes(base), read_shapes(folder)
    # A head that is the embedding's own tensor may be written or left out.
    tied = json.loads((base / "config.json").read_text()).get("tie_word_embeddings", False)
    names = (expected.keys() | found.keys()) - ({"lm_head.weight"} if tied else set())
    wrong = sorted(name for name in names if expected.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        raise DataError(
            f"{name} is {found.get(name, 'missing')} in the checkpoint and {expected.get(name, 'missing')} in its base "
            f"({len(wrong)} weights differ): the processes gathered less than the whole model; launch with ddp.yaml"
        )
