"""Makes and measures the embedded models."""

from pathlib import Path
from typing import Annotated

import typer

from distill.errors import DistillError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Out = Annotated[Path, typer.Option(help="The model's folder.")]
Minutes = Annotated[float, typer.Option(help="Wall-clock time of the training itself.")]


@app.command()
def tiny_r1(minutes: Minutes = 40, out: Out = Path("data/models/tiny-r1")) -> None:
    """Train the teacher, DeepSeek-V3's architecture in small, on worked chains."""
    from distill.embedded import pretrain

    pretrain.build_teacher(out, minutes)


@app.command()
def tiny_qwen(minutes: Minutes = 5, out: Out = Path("data/models/tiny-qwen")) -> None:
    """Train the student's base on direct answers."""
    from distill.embedded import pretrain

    pretrain.build_student_base(out, minutes)


@app.command()
def smollm2(out: Out = Path("data/models/smollm2-135m-instruct")) -> None:
    """Make SmolLM2-135M-Instruct from its package; nothing happens where it is already."""
    from distill.embedded import smollm2

    typer.echo(smollm2.build(out))


@app.command()
def measure(
    model: Path,
    n: Annotated[int, typer.Option(help="Problems per task and range.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.8,
) -> None:
    """Print a model's accuracy on fresh problems, per task."""
    from distill.embedded.measure import print_accuracy

    print_accuracy(model, n, temperature)


def main() -> None:
    """Run the command line; a known fault is one sentence and an exit code, never a traceback."""
    try:
        app()
    except DistillError as error:
        typer.echo(f"distill.embedded: {error}", err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
