"""`distill`: a thin skin over the library. Every command is a few lines; heavy imports wait until it runs."""

from pathlib import Path
from typing import Annotated

import typer

from distill import layout
from distill.errors import DistillError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Distil a reasoning teacher into small students. `dvc repro` runs the pipeline; these commands look at it.",
)
cache = typer.Typer(no_args_is_help=True, help="Look after .distill/requests, where every answer of a model is.")
app.add_typer(cache, name="cache")


@app.command()
def doctor() -> None:
    """Say what is here, what is missing, and the cure."""
    from distill import doctor

    raise typer.Exit(doctor.report())


@app.command()
def use(
    profile: str,
    overwrite: Annotated[bool, typer.Option(help="Drop settings in params.yaml that no profile holds.")] = False,
) -> None:
    """Make a profile of pipelines/profiles/ the active params.yaml."""
    from distill import config

    config.use_profile(profile, overwrite)
    typer.echo(f"params.yaml is now the profile {profile}; `dvc repro` runs it")


@app.command()
def check() -> None:
    """Check params.yaml; nothing is run."""
    from distill import config

    params = config.load()
    typer.echo(f"{config.PARAMS_FILE} is fine: teacher {params.teacher.model}, students {', '.join(params.students)}")


@app.command()
def summary() -> None:
    """Print the closing table: base, student and teacher, each with n, k and standard error."""
    from distill.report import table

    table.print_summary()


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A model of data/scores/, a folder with scores, or a Git revision.")],
    b: Annotated[str, typer.Argument(help="The same; a DVC experiment goes by its name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Set two models or two experiments side by side, question by question, and say whether they differ."""
    from distill.evaluation import compare as comparing

    found = comparing.compare(a, b)
    typer.echo(found.as_json()) if as_json else comparing.print_comparison(found)


@app.command()
def status() -> None:
    """Say how far generate and evaluate are, also while they run."""
    from distill import config
    from distill.generation import view

    price = config.load().price
    lines = [view.describe(found, price) for found in view.read_all()]
    typer.echo("\n".join(lines) or "no model has been asked anything here yet")


@app.command()
def sql(query: str) -> None:
    """Ask the store and the scores one question, read-only: "FROM funnel", or the name of a query of the report."""
    from distill.curation import inspect
    from distill.report import numbers

    inspect.print_answer(*numbers.answer(query))


@app.command()
def show(trace: str) -> None:
    """Show one trace by its id, or the start of it: problem, chain, answer, verdict."""
    from distill.curation import inspect

    inspect.print_trace(layout.STORE, trace)


@app.command()
def grade(
    pairs: Annotated[str, typer.Argument(help="JSON lines with gold, and answer or text; - reads standard input")],
    answer_line: Annotated[bool, typer.Option(help="Take an `Answer:` line where a text has no box.")] = False,
) -> None:
    """Grade any file of answers by the pipeline's rules: one JSON object a line, in order."""
    import json
    import sys

    from distill import config
    from distill.settings import VerifySettings
    from distill.verification.pairs import grade_lines

    settings = config.load().verify if Path(config.PARAMS_FILE).exists() else VerifySettings()
    try:
        lines = sys.stdin.readlines() if pairs == "-" else Path(pairs).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DistillError(f"{pairs} cannot be read ({error})") from error
    for row in grade_lines(lines, "standard input" if pairs == "-" else pairs, settings, answer_line):
        typer.echo(json.dumps(row, ensure_ascii=True))


@app.command()
def verify(
    audit: Annotated[bool, typer.Option("--audit", help="List verdicts and references that deserve a look.")] = False,
) -> None:
    """Say what the verdicts are; with --audit, which of them to look at."""
    from distill import config, shards
    from distill.records import Problem, TraceAnswer, Verdict
    from distill.verification import grade, judge

    if not layout.VERDICTS.exists():
        raise DistillError(f"{layout.VERDICTS} is not there yet; `dvc repro verify` writes it")
    problems = shards.read_rows(layout.TRAIN_PROBLEMS, Problem)
    problem_of = {row.id: row.problem_id for row in shards.iterate_rows(layout.TRACES, TraceAnswer)}
    verdicts = shards.read_rows(layout.VERDICTS, Verdict)
    if not audit:
        typer.echo(grade.describe(grade.summarise({row.id: row.source for row in problems}, problem_of, verdicts)))
        return
    from distill.report import audit as page
    from distill.verification.audit import find

    suspects = find(problems, verdicts, problem_of, judge.accepted(config.load()))
    typer.echo(page.describe(suspects, len(verdicts), page.write(suspects, len(verdicts))))


@app.command()
def judge() -> None:
    """Measure the judge of params.yaml on the labelled set: how many wrong answers it calls right."""
    from distill import config
    from distill.verification.judge import measure

    typer.echo(measure(config.load()).line())


@app.command()
def push(
    repository: Annotated[str, typer.Argument(help="Where to, as user/data-set.")],
    public: Annotated[bool, typer.Option("--public", help="For everyone to see; without it, for you alone.")] = False,
) -> None:
    """Upload data/dataset to the Hugging Face hub. Nothing else here ever does."""
    from distill.dataset import push as hub

    typer.echo(hub.push(layout.DATASET, repository, public))


@cache.command("stats")
def cache_stats() -> None:
    """Say what the cache holds: answers, tokens and size, by request key."""
    from distill.generation import upkeep

    for held in upkeep.holdings():
        answers = f"{held.answers:,} answers ({held.cut:,} cut, {held.completion_tokens:,} tokens)"
        torn = f", {held.torn_lines} torn lines" if held.torn_lines else ""
        size = f"{held.megabytes:,.1f} MB in {held.segments} segments"
        typer.echo(f"{held.key}  {answers}, {held.failures:,} failures{torn}, {size}")


@cache.command("compact")
def cache_compact() -> None:
    """Put the many segments of the cache into one per request key; no answer is lost."""
    from distill.generation import upkeep

    before, after = upkeep.compact()
    typer.echo(f"{before} segments are {after} now")


@cache.command("import")
def cache_import(folder: Path) -> None:
    """Take in the answers of another cache, a colleague's .distill/requests say; `dvc repro` then finds them."""
    from distill.generation import upkeep

    copied, answers = upkeep.import_from(folder)
    typer.echo(f"{answers:,} answers in {copied} segments imported" if copied else "all of it was here already")


@app.command()
def report(open_page: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False) -> None:
    """Say where the report page is, or open it."""
    page = layout.REPORT / "index.html"
    if not page.exists():
        raise DistillError(f"{page} is not there yet; `dvc repro` writes it")
    typer.launch(page.absolute().as_uri()) if open_page else typer.echo(page)


@app.command()
def serve(name: Annotated[str, typer.Argument(help="teacher, a student, or <student>_base")] = layout.TEACHER) -> None:
    """Serve a model of the pipeline by vLLM until Ctrl-C, to talk to it."""
    from distill.generation import server

    server.serve_until_interrupted(name)


def main() -> None:
    """Run the command line; a known fault is one sentence and an exit code, never a traceback."""
    try:
        app()
    except DistillError as error:
        typer.echo(f"distill: {error}", err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
