"""train: fine-tune one student and ship its checkpoint."""

import sys

from distill import layout, models, stage
from distill.config import Params
from distill.dataset.tokenize import read_examples
from distill.training import checkpoint, sft


def body(params: Params) -> stage.Result:
    """Train, ship, say how far the loss fell."""
    student = sys.argv[1]
    settings = params.student(student)
    base = models.read_revision(layout.base_name(student))
    examples = read_examples(student)
    trained = sft.train(student, settings, base, examples, params.seed)
    metrics = checkpoint.ship(student, settings, base, trained, examples)
    first, last = metrics["loss"][0][1], metrics["loss"][-1][1]
    line = (
        f"{metrics['rows']:,} rows x {settings.epochs} epochs, {metrics['steps']} steps, loss {first:.2f} -> {last:.2f}"
    )
    return stage.Result(f"{line}, {metrics['tokens_per_second']:,.0f} tokens/s", metrics)


if __name__ == "__main__":
    stage.run(f"train_{sys.argv[1]}", body)
