"""``marrowscope train``: train a model of a pack, from its recipe and its data."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from marrowscope.cli import INTERRUPTED
from marrowscope.errors import MarrowscopeError
from marrowscope.learning.asked import require_cell_training, require_folder, require_recipe, require_weights
from marrowscope.packs.metrics import DetectorMetrics, RegionMetrics

app = typer.Typer(
    no_args_is_help=True,
    help="Train a cascade, detector, classifier or region model, or a network that names cells.",
)

Recipe = Annotated[str, typer.Option("--recipe", help="Recipe: blood-11 or phantom-16.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for the model, its metrics and checkpoints.")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Other number of epochs than the recipe's.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the output folder.")]
Force = Annotated[bool, typer.Option("--force", help="Train anew what is already trained.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads to compute with; default: all cores.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")]

# Of the training of a network that names cells, which marrowscope tune tunes.
CellData = Annotated[Path, typer.Option("--data", help="Folder with a folder a class, a labels.csv, or a public set.")]
CellNetwork = Annotated[
    str, typer.Option("--network", help="mobilenetv4-small, mobilenetv2, resnet50, convnext-tiny, vit-small, ...")
]
CellRecipe = Annotated[
    str, typer.Option("--recipe", help="modern, or a paper's: shah-2025, meem-2023, senthilkumar-2023, ...")
]
Layout = Annotated[str, typer.Option("--layout", help="How the folder is laid out; auto looks for itself.")]
CellWeights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="Start weights: a file (.safetensors, .pth; of mobilenetv2 .npz), or hub. Without: from random weights.",
    ),
]
CellSpacing = Annotated[
    float | None, typer.Option("--spacing", min=0.01, help="Um per pixel of the pictures; needed to count with it.")
]
Split = Annotated[
    str | None, typer.Option("--split", help="given, patient, stratified or random; default: what the set allows.")
]
Val = Annotated[float, typer.Option("--val", help="Share of the cells to choose and calibrate on.")]
Side = Annotated[int | None, typer.Option("--side", min=32, help="Pixels a side that the network sees.")]
CellSeed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]


@app.command("detector")
def detector(
    recipe: Recipe,
    output: Output,
    data: Annotated[Path | None, typer.Option("--data", help="Folder with txl_pbc, bccd and pbc (blood-11).")] = None,
    epochs: Epochs = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=1_000_000, help="Seed; below 1,000,000 lie the tests.")
    ] = None,
    resume: Resume = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train a detector of nucleated cells: detector.onnx, metrics.json, recipe.json."""
    require_recipe("detector", recipe)
    if data is not None:
        require_folder(data)
    prepare(threads)
    from marrowscope.learning.detector.command import train_detector_command

    metrics = train_detector_command(recipe, data, output, epochs=epochs, seed=seed, resume=resume)
    _tell(metrics, output, as_json)


@app.command("classifier")
def classifier(
    recipe: Recipe,
    data: Annotated[Path, typer.Option("--data", help="Folder of the labelled cells.")],
    output: Output,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Start weights (npz), or an earlier best.ckpt.")
    ] = None,
    epochs: Epochs = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")] = 0,
    resume: Resume = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train a classifier of cell types: classifier.onnx, linear_head.npz, metrics.json."""
    require_recipe("classifier", recipe)
    require_weights(weights)
    require_folder(data)
    prepare(threads)
    from marrowscope.learning.classifier.command import train_classifier_command

    metrics = train_classifier_command(recipe, data, output, weights=weights, epochs=epochs, seed=seed, resume=resume)
    typer.echo(json.dumps(metrics, indent=2) if as_json else f"model and metrics in {output}")


@app.command("cascade")
def cascade(
    data: Annotated[Path, typer.Option("--data", help="Folder that marrowscope annotations tiles wrote.")],
    output: Output,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            help="modern: small, needs --weights. scratch: without. paper: wang-2022, for a GPU. plain: one head. "
            "plain-start: plain with the start of modern. tiny: a toy to try the way, learns nothing.",
        ),
    ] = "modern",
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", help="Start weights: a .safetensors, .pth or .npz file, a folder of these, or hub (timm's)."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Other number of steps than the recipe's.")
    ] = None,
    held_out: Annotated[
        float, typer.Option("--held-out", help="Share of the patients to measure on, which training never sees.")
    ] = 0.2,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of every random choice.")] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from the last checkpoint in the output folder; a finished training is left as it is and only "
            "measured and exported again. Recipe, --steps, --seed, --held-out, tiles and labels must be the same, or "
            "nothing is done; --weights is not compared.",
        ),
    ] = False,
    force: Force = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train a cascade that finds cells and names their types, on your own slides: detector.onnx, metrics.json.

    [bold]marrowscope annotations tiles slides/*.svs --annotations labels -o tiles[/bold] makes the data, and
    [bold]marrowscope packs build --name our-lab --detector RUN --recipe our-lab.json -o our-lab[/bold] the pack.
    """
    from marrowscope.annotations import read_tiles
    from marrowscope.cli.console import Stages
    from marrowscope.learning.cascade.places import FILES, go_on_words, nothing_to_resume, require_place

    if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes the first; before torch, which takes long
        require_place(output, FILES, resume=resume, force=force, can_resume=True)
        if not (data / "tiles.json").is_file():
            read_tiles(data)  # says what is there instead
        require_recipe("cascade", recipe)
        require_weights(weights, folder=True)
        if resume and (line := nothing_to_resume(output, FILES)):
            typer.echo(line, err=True)
    prepare(threads)
    from marrowscope.learning.cascade.command import first_process, train_cascade_command

    try:
        with Stages(lines=True, shown=first_process()) as stages:
            metrics = train_cascade_command(
                recipe, data, output,
                weights=weights, steps=steps, seed=seed, resume=resume, force=force, held_out=held_out,
                progress=stages.report,
            )  # fmt: skip
    except KeyboardInterrupt:
        typer.secho(f"marrowscope: interrupted; nothing half-written. {go_on_words(output)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    _tell(metrics, output, as_json)


@app.command("cells")
def cells(
    data: CellData,
    output: Output,
    network: CellNetwork = "mobilenetv4-small",
    recipe: CellRecipe = "modern",
    layout: Layout = "auto",
    weights: CellWeights = None,
    split: Split = None,
    val: Val = 0.15,
    test: Annotated[float, typer.Option("--test", help="Share of the cells to report on, never trained on.")] = 0.2,
    side: Side = None,
    epochs: Epochs = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Only these, with commas between: the set's words or types.")
    ] = None,
    spacing: CellSpacing = None,
    tuned: Annotated[
        Path | None, typer.Option("--tuned", help="best.json of marrowscope tune: its values in place of the recipe's.")
    ] = None,
    seed: CellSeed = 0,
    resume: Resume = False,
    force: Force = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train a network that names single cells, on your own folder of cells: classifier.onnx, metrics.json.

    [bold]marrowscope train cells --data MY-CELLS -o RUN[/bold], then
    [bold]marrowscope packs build --name our-cells --classifier RUN -o our-cells[/bold].
    """
    from marrowscope.cli.console import Stages, stderr
    from marrowscope.learning.cascade.places import nothing_to_resume, require_place
    from marrowscope.learning.transfer.files import FILES
    from marrowscope.learning.transfer.tuned import read_tuned

    first = os.environ.get("LOCAL_RANK", "0") == "0"  # of several processes

    def tell(line: str) -> None:
        if first:
            stderr.print(line, markup=False, highlight=False, soft_wrap=True)

    require_cell_training(data, network, recipe, layout=layout, weights=weights)
    if first:  # before torch, which takes long
        require_place(output, FILES, resume=resume, force=force, can_resume=True)
        if resume and (line := nothing_to_resume(output, FILES)):
            tell(line)
    if tuned is not None:
        read_tuned(tuned)
    prepare(threads)
    from marrowscope.learning.transfer.command import train_cells_command

    chosen = None if classes is None else [word.strip() for word in classes.split(",") if word.strip()]
    try:
        with Stages(lines=True, shown=first) as stages:
            metrics = train_cells_command(
                data, output, classes=chosen,
                network=network, recipe=recipe, layout=layout, weights=weights, split=split, val=val, test=test,
                side=side, epochs=epochs, spacing=spacing, tuned=tuned, seed=seed, resume=resume, force=force,
                threads=threads, progress=stages.report, tell=tell,
            )  # fmt: skip
    except KeyboardInterrupt:
        typer.secho("marrowscope: interrupted; nothing half-written. Type the same with --resume to go on.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    for sentence in dict.fromkeys([*metrics["notes"], *metrics["limits"]]):
        tell(f"note: {sentence}")
    if as_json:
        typer.echo(json.dumps(metrics, indent=2))
        return
    scores = metrics["test"]
    typer.echo(f"{scores['n']:,} test cells, parted {metrics['how']}")
    for name, words in (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("balanced_accuracy", "balanced accuracy")):
        spread = scores[name]["interval"]
        interval = "({:.3f} to {:.3f})".format(*spread) if spread else "(every redraw of these cells gives the same)"
        typer.echo(f"  {words:<18} {scores[name]['value']:.3f}  {interval}")
    typer.echo(f"  {'calibration error':<18} {scores['calibration_error']['after']:.3f}")
    typer.echo(f"classifier and metrics in {output}")


@app.command("regions")
def regions(
    data: Annotated[
        Path,
        typer.Option("--data", help="Folder of phantoms, or of slides each with a QuPath GeoJSON of the same name."),
    ],
    output: Output,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            help="trails: small, needs --weights. paper_trails: 512 px, for a GPU, too. scratch_trails: without. "
            "tiny_trails: a toy to try the way, learns nothing.",
        ),
    ] = "trails",
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", help="Start weights: a .safetensors, .pth or .npz file, a folder of these, or hub (timm's)."
        ),
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(help="Um per pixel of the slides, for those that do not say.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of every random choice.")] = None,
    force: Force = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train a model that boxes particles with their trails on the overview: model.pt, regions.onnx, metrics.json.

    In QuPath: draw polygons of the class particle and trail, then File > Export objects as GeoJSON, NAME.geojson beside
    the slide; all other classes are left out. A fifth of the slides is held out and measured on.
    [bold]marrowscope packs build ... --regions RUN[/bold] puts the model into a pack.
    """
    require_recipe("regions", recipe)
    require_weights(weights, folder=True)
    require_folder(data)
    prepare(threads)
    from marrowscope.cli.console import Stages
    from marrowscope.learning.trails.command import train_regions_command

    with Stages(lines=True) as stages:
        metrics = train_regions_command(
            recipe, data, output, weights=weights, seed=seed, spacing=spacing, force=force, progress=stages.report
        )
    _tell(metrics, output, as_json)


def _tell(metrics: DetectorMetrics | RegionMetrics, output: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(metrics.model_dump_json(indent=2))
        return
    for evaluation in metrics.evaluations:
        typer.echo(f"{evaluation.data} ({evaluation.n})")
        for one in evaluation.measured:
            interval = "" if one.low is None or one.high is None else f"  ({one.low:.3f} to {one.high:.3f})"
            typer.echo(f"  {one.name:<10} {one.value:.3f}{interval}")
    for note in metrics.notes if isinstance(metrics, RegionMetrics) else ():
        typer.echo(note)
    typer.echo(f"model and metrics in {output}")


def prepare(threads: int | None) -> None:
    """Check that the extra is installed and say how many threads to compute with."""
    if find_spec("torch") is None or find_spec("lightning") is None:
        raise MarrowscopeError("training needs more than counting: pip install 'marrowscope[train]'")
    if threads is not None:
        from marrowscope.learning.threads import use_threads

        use_threads(threads)
