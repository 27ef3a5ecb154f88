"""The closing table in the terminal: base, student and teacher, each with n, k and standard error."""

from distill import config, layout
from distill.errors import DistillError
from distill.report.summary import Summary, collect


def print_summary() -> None:
    """Print the table, one sentence per student, and where to look next."""
    from rich.console import Console

    if not layout.SUMMARY.exists():
        raise DistillError(f"{layout.SUMMARY} is not there yet; `dvc repro` writes it")
    summary = collect(config.load())
    console = Console(highlight=False)
    console.print()
    console.print(_table(summary))
    console.print()
    for student in summary.students:
        console.print(summary.headline(student), soft_wrap=True)
    console.print()
    console.print(f"page      {layout.REPORT / 'index.html'}")
    console.print(f"data set  {layout.DATASET}")
    for student in summary.students:
        console.print(f"student   {layout.STUDENTS / student}")


def _table(summary: Summary) -> object:
    """One row per model, one column per benchmark, narrow enough for 80 characters."""
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        title="pass@1 in %, ± standard error; under each benchmark its problems x samples",
        title_justify="left",
    )
    table.add_column("model")
    for benchmark in summary.benchmarks:
        row = summary.result(layout.TEACHER, benchmark)  # every model is asked the same
        table.add_column(f"{benchmark}\n{row['n']} x {row['k']}", justify="right")
    groups = [[layout.base_name(student), student] for student in summary.students]
    for models in [*groups, [layout.TEACHER]]:
        for model in models:
            cells = (_cell(summary, model, benchmark) for benchmark in summary.benchmarks)
            table.add_row(model, *cells, style="bold" if model in summary.students else "")
        if models[-1] in summary.students:
            gains = (_gain(summary, models[-1], benchmark) for benchmark in summary.benchmarks)
            better = summary.difference(models[-1])["low"] > 0
            table.add_row("  gain, 95 %", *gains, style="green" if better else "red")
            table.add_section()
    return table


def _cell(summary: Summary, model: str, benchmark: str) -> str:
    row = summary.result(model, benchmark)
    return f"{100 * row['mean']:.1f} ± {100 * row['se']:.1f}"


def _gain(summary: Summary, student: str, benchmark: str) -> str:
    row = summary.difference(student, benchmark)
    return f"{100 * row['mean']:+.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
