"""train: fine-tune one student and write the folder that ships."""

import sys

from distill import layout, models, stage
from distill.config import Params
from distill.dataset import audit
from distill.training import checkpoint, launch, processes, sft

STUDENT = sys.argv[1] if len(sys.argv) > 1 else ""  # one without a name is refused as an unknown one


def body(params: Params) -> stage.Result:
    """Train, ship, say how far the loss fell."""
    settings, base = params.student(STUDENT), models.read_revision(layout.base_name(STUDENT))
    rows = layout.TOKENIZED / STUDENT
    proof = audit.read_report(rows)
    trained = sft.train(STUDENT, settings, base, rows, proof, params.seed)
    if not processes.is_main():
        return stage.Result(sft.describe(trained.metrics))
    metrics = checkpoint.ship(STUDENT, settings, base, trained, proof, rows)
    sft.finish(trained)
    return stage.Result(sft.describe(metrics), metrics)


if __name__ == "__main__":
    NAME = f"train_{STUDENT}"
    stage.run(NAME, launch.several(NAME, body, ["pipelines.train", STUDENT]))
