"""train: fine-tune one student and write the folder that ships."""

import sys

from distill import layout, models, stage
from distill.config import Params
from distill.dataset import audit
from distill.training import checkpoint, sft


def body(params: Params) -> stage.Result:
    """Train, ship, say how far the loss fell."""
    student = sys.argv[1]
    settings, base = params.student(student), models.read_revision(layout.base_name(student))
    rows = layout.TOKENIZED / student
    proof = audit.read_report(rows)
    trained = sft.train(student, settings, base, rows, proof, params.seed)
    metrics = checkpoint.ship(student, settings, base, trained, proof, rows)
    sft.finish(trained)
    return stage.Result(sft.describe(metrics), metrics)


if __name__ == "__main__":
    stage.run(f"train_{sys.argv[1]}", body)
