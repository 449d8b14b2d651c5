"""``marrowscope study``: run the experiment of a paper and set its figures beside ours."""

from __future__ import annotations

import json
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from marrowscope.cli.console import Stages, say_where, stderr, stdout
from marrowscope.errors import MarrowscopeError, how_many

app = typer.Typer(no_args_is_help=True, help="Run the experiment of a paper and set its figures beside ours.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Study, as marrowscope study list names it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print for programs.")]


@app.command("list")
def list_studies(as_json: AsJson = False) -> None:
    """List the studies: paper, data and scales."""
    from marrowscope.studies.study import STUDIES, find_study

    abouts = [find_study(name).ABOUT for name in STUDIES]
    if as_json:
        entries = [{"name": a.name, "paper": a.paper, "data": a.data, "scales": dict(a.scales)} for a in abouts]
        typer.echo(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    for about in abouts:
        stdout.print(f"[bold]{about.name}[/bold]  {about.paper}", highlight=False)
        stdout.print(f"  data: {about.data}", highlight=False)
        for scale, words in about.scales.items():
            stdout.print(f"  --scale {scale}: {words}", highlight=False)


@app.command("run")
def run(
    name: Name,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the study; a second run goes on in it.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="Folder of the cohort, of labelled tiles, or of pictures of cells; a second set where the study takes "
            "two. The studies of cells draw their own at --scale smoke.",
        ),
    ] = None,
    scale: Annotated[
        str, typer.Option("--scale", help="smoke, cpu, gpu or full; marrowscope study list says how long each takes.")
    ] = "smoke",
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Jobs (folds) at a time, each a process.")] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of each job.")] = 2,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.0, help="Start no further job after so many minutes.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            help="Start weights of backbones or networks: a file, a folder with NAME.pth (.safetensors, .npz), or hub.",
        ),
    ] = None,
    networks: Annotated[
        str | None,
        typer.Option(
            "--networks",
            metavar="NAME,...",
            help="Networks of a study of cells; all: those of the paper. [default: all]",
        ),
    ] = None,
    recipes: Annotated[
        str | None,
        typer.Option(
            "--recipes", metavar="NAME,...", help="Recipes of a study of cells. [default: the paper's, modern]"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of each network of a study of cells.")] = 1,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Where OUT was begun with another scale, recipe or data: throw away its jobs that do not fit and make "
            "them again. Those that fit stay.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a study job by job: what is done stays done, a crashed job stops no other (exit code 1 at the end)."""
    if find_spec("torch") is None:
        raise MarrowscopeError("a study trains models, and that needs more: pip install 'marrowscope[train]'")
    from marrowscope.studies.jobs import State
    from marrowscope.studies.study import RunOptions, find_study

    def tell(line: str) -> None:
        stderr.print(line, markup=False, highlight=False, soft_wrap=True)

    with Stages() as stages:
        options = RunOptions(
            scale,
            jobs,
            threads,
            minutes,
            weights,
            force,
            tell,
            networks=() if networks is None else _words(networks),
            recipes=() if recipes is None else _words(recipes),
            seeds=seeds,
            further=tuple(data[1:]) if data else (),
        )
        result = find_study(name).run(data[0] if data else None, output, options, stages.report)
    if as_json:
        typer.echo(json.dumps({"jobs": result.states, "failures": result.failures}, indent=2))
    for job, message in result.failures.items():
        stderr.print(f"{job} failed: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    done, waiting = result.count(State.DONE, State.EARLIER), result.count(State.WAITING)
    if not as_json:
        say_where(f"{done} of {how_many(len(result.states), 'job')} done in ", output)
        if result.complete:
            words = ["marrowscope", "study", "report", str(output)]
            stdout.print(f"next: {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)
    if waiting:
        left = "1 job was" if waiting == 1 else f"{waiting} jobs were"
        tell(f"{left} not started, as the time was up: run the same command again to go on")
    if result.failures or result.count(State.BLOCKED):
        raise typer.Exit(1)


@app.command("report")
def report(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a study, finished or not.")],
    page: Annotated[
        Path | None, typer.Option("-o", "--output", help="Markdown page to write; default: OUT/report.md.")
    ] = None,
    notes: Annotated[
        list[str] | None,
        typer.Option("--note", help="A line of yours for the page, such as the machine; may be given again."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the paper's tables with its figures beside ours: Markdown, figures as SVG, and one HTML file.

    Of studies of cells the best networks are explained when a page is first written: a few cells with maps, which needs
    torch and the pictures, and takes some ten seconds each.
    """
    from marrowscope.studies.study import find_study

    name = _study_in(output)
    page = page or output / "report.md"
    command = shlex.join(["marrowscope", "study", "report", str(output), "-o", str(page)])
    with Stages() as stages:
        stages.report("writing the page", 0.0)
        written = find_study(name).report(output, page, command, notes or [])
    if as_json:
        typer.echo(json.dumps([str(path) for path in written], indent=2))
        return
    say_where("page in ", written[0])
    say_where("and as one file in ", written[1])


@app.command("export")
def export(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a study.")],
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job that learns, such as tile-fold-0/cascade.")],
    run_folder: Annotated[Path, typer.Option("-o", "--output", help="Folder for the model and metrics.json.")],
) -> None:
    """Make files for a pack of a trained model: for [bold]marrowscope packs build --detector FOLDER[/bold], of a study
    of cells [bold]--classifier FOLDER[/bold].
    """
    from marrowscope.studies.study import find_study

    find_study(_study_in(output)).export(output, job, run_folder)
    say_where("model and metrics in ", run_folder)


def _words(given: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in given.split(",") if word.strip())


def _study_in(output: Path) -> str:
    try:
        return str(json.loads((output / "study.json").read_text(encoding="utf-8"))["study"])
    except (OSError, ValueError, KeyError) as error:
        raise MarrowscopeError(f"{output} holds no study: begin with marrowscope study run") from error
