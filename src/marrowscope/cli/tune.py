"""``marrowscope tune``: find the values that a network for cells is best trained with."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer

from marrowscope.cli.train import (
    CellData,
    CellNetwork,
    CellRecipe,
    CellSeed,
    CellSpacing,
    CellWeights,
    Epochs,
    Layout,
    Side,
    Split,
    Threads,
    Val,
    prepare,
)
from marrowscope.errors import MarrowscopeError, how_many
from marrowscope.learning.asked import require_cell_training


def command(
    data: CellData,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the tuning; a second run goes on in it.")],
    network: CellNetwork = "mobilenetv4-small",
    recipe: CellRecipe = "modern",
    layout: Layout = "auto",
    spacing: CellSpacing = None,
    weights: CellWeights = None,
    split: Split = None,
    val: Val = 0.15,
    test: Annotated[
        float, typer.Option("--test", help="Share of the cells to report on in the end; no trial has them.")
    ] = 0.2,
    side: Side = None,
    epochs: Epochs = None,
    seed: CellSeed = 0,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Trainings in all, earlier ones included.")] = 20,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", min=0.0, help="Start no further trial after so many minutes; the one that runs then ends."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Throw away the tuning in OUT and begin anew.")] = False,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Try learning rates, batches, optimisers, weight decays and unfrozen depths: best.json, trials.csv, tuning.html.

    Trials are judged by the macro F1 on the validation cells; the test cells, those that [bold]train cells[/bold] with
    the same options holds out, are never looked at. The same command goes on after an interruption, or with more
    --trials. [bold]marrowscope train cells ... --tuned OUT/best.json[/bold] trains with what was found.
    """
    require_cell_training(data, network, recipe, layout=layout, weights=weights)
    prepare(threads)
    if find_spec("optuna") is None:
        raise MarrowscopeError("tuning needs one package more: pip install 'marrowscope[train]'")
    from marrowscope.cli.console import Stages, say_where, stderr, stdout
    from marrowscope.learning.transfer.tuning_command import tune_cells_command
    from marrowscope.studies.tuning_page import WORDS, doubt_of, score_words, write_tuning_page

    def tell(line: str) -> None:
        stderr.print(line, markup=False, highlight=False, soft_wrap=True)

    with Stages(lines=True) as stages:
        found = tune_cells_command(
            data, output,
            network=network, recipe=recipe, layout=layout, spacing=spacing, weights=weights, split=split,
            val=val, test=test, side=side,
            epochs=epochs, seed=seed, trials=trials, minutes=minutes, force=force, threads=threads,
            progress=stages.report, tell=tell,
        )  # fmt: skip
        stages.report("writing the page", 0.0)
        page = write_tuning_page(found)
    doubt = doubt_of(found)
    for sentence in [*found.notes, *([doubt] if doubt else [])]:
        tell(f"note: {sentence}")
    if found.left:
        ended = [trial.seconds for trial in found.trials if trial.state != "failed"]
        each = f" (a trial took {mean(ended):.0f} s on the average)" if ended else ""
        left = f"{how_many(found.left, 'trial')} not started, as the time was up{each}"
        tell(f"{left}: run the same command again to go on")
    if as_json:
        typer.echo(json.dumps(found.best, indent=2, ensure_ascii=False))
    elif found.best is None or found.best_trial is None:
        stdout.print("no trial is complete yet", highlight=False)
    else:
        score = found.best["validation"]
        of = f"{how_many(score['n'], 'validation cell')}, trial {found.best['trial']} of {len(found.trials)}"
        shown = f"macro F1 {score_words(score['macro_f1'], score['interval'])} on {of}"
        stdout.print(shown, highlight=False, soft_wrap=True)
        for name, value in found.best_trial.values.items():
            stdout.print(f"  {WORDS[name]:<18} {value}", markup=False, highlight=False)
        say_where("page in ", page)
        stdout.print(f"next: {found.best['command']}", markup=False, highlight=False, soft_wrap=True)
