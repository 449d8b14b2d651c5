"""``marrowscope packs``: list, show, verify, add and build packs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from marrowscope.errors import PackError
from marrowscope.packs.building import add_pack, require_finished, require_free
from marrowscope.packs.checking import check_models
from marrowscope.packs.loading import BUILT_IN, CONTRACT_FILE, Pack, known_packs, load_pack, load_pack_folder
from marrowscope.packs.metrics import poor_accuracy
from marrowscope.packs.recipes import RECIPES, cook, read_recipe

app = typer.Typer(no_args_is_help=True, help="List, show, verify, add and build packs of models.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
PackName = Annotated[str, typer.Argument(metavar="PACK", help="Name of a pack, or its folder.")]


@app.command("list")
def list_packs(as_json: AsJson = False) -> None:
    """List the built-in and the added packs and whether their files are whole."""
    rows = [_row(name, folder) for name, folder in known_packs().items()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("pack", "version", "classes", "for", "origin", "files", box=None, pad_edge=False)
    for row in rows:
        if row["problem"]:
            table.add_row(row["name"], "", "", "", row["origin"], f"[red]{row['problem']}[/red]")
        else:
            use = "phantoms only" if row["phantom"] else row["title"]
            use += "" if row["counts"] else " (pictures of single cells: classify)"
            table.add_row(
                row["name"], row["version"], str(len(row["classes"])), use, row["origin"], "[green]ok[/green]"
            )
    Console().print(table if rows else "no packs: add one with marrowscope packs add DIR")


@app.command("show")
def show(pack: PackName, as_json: AsJson = False) -> None:
    """Show a pack's model card; with --json its contract, folder and hash."""
    loaded = load_pack(pack)
    if as_json:
        contract = loaded.contract.model_dump(mode="json")
        cannot_see = list(loaded.contract.cannot_see)
        typer.echo(json.dumps({**_identity(loaded), "cannot_see": cannot_see, "contract": contract}, indent=2))
        return
    console = Console()
    console.print(Markdown(loaded.card))
    console.print(f"\nfolder {loaded.folder}\nsha256 {loaded.sha256}", highlight=False, soft_wrap=True)


@app.command("verify")
def verify(pack: PackName, as_json: AsJson = False) -> None:
    """Verify a pack: contract, hashes, and a run of its models on small inputs. Exits with 1 when it is broken."""
    try:
        loaded = load_pack(pack)
        check_models(loaded.files, loaded.contract)
    except PackError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"pack": pack, "ok": False, "problem": str(error)}, indent=2))
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"pack": pack, "ok": True, "problem": None, **_identity(loaded)}, indent=2))
    else:
        typer.echo(f"{_title(loaded)} is whole: contract, hashes and models agree (sha256 {loaded.sha256[:12]})")


@app.command("add")
def add(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the pack.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Put it in the place of another version.")] = False,
) -> None:
    """Verify a pack and copy it to your packs, so that its name alone finds it."""
    added = add_pack(folder, force=force)
    typer.echo(f"{_title(added)} copied to {added.folder}; use it with --pack {added.contract.name}")


@app.command("build")
def build(
    name: Annotated[str, typer.Option(help="Name of the pack; built-in recipes: " + ", ".join(RECIPES))],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the new pack.", show_default=False)],
    detector: Annotated[
        str | None,
        typer.Option(
            help="Folder that marrowscope train detector or train cascade wrote, or a pack to take the detector of; "
            "without it the pack names pictures of single cells and counts none."
        ),
    ] = None,
    classifier: Annotated[
        Path | None,
        typer.Option(help="Folder with a trained classifier or network; not for a cascade, which names types itself."),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(help="Folder that marrowscope train regions wrote; without it no model says where to count."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="JSON with title, licence, data and use; needed for a detector of your own."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a pack that is there.")] = False,
) -> None:
    """Build a pack from trained models: contract, model card, hashes, and a run of the models.

    [bold]marrowscope packs build --name our-lab --detector run --recipe our-lab.json -o our-lab[/bold] counts slides;
    [bold]... --name ours --classifier run -o ours[/bold] names pictures of single cells (marrowscope classify);
    [bold]... --name ours --classifier run --detector blood-11 -o ours[/bold] counts with the detector of another pack.
    """
    finder = _detector(detector)
    if finder is None and classifier is None:
        raise PackError("a pack needs models: give --classifier RUN, --detector RUN or both")
    if recipe is None and name not in RECIPES and isinstance(finder, Path):
        known = ", ".join(RECIPES)
        raise PackError(f"there is no built-in recipe for {name!r} (there are: {known}); give one with --recipe FILE")
    require_free(output, force=force)
    if isinstance(finder, Path):
        require_finished(finder)
    told = read_recipe(recipe) if recipe else RECIPES.get(name)
    built = cook(name, told, finder, classifier, output, regions=regions, force=force)
    typer.echo(f"{_title(built)} built in {built.folder} (sha256 {built.sha256[:12]})")
    confusion = built.contract.confusion
    if confusion is not None and (poor := poor_accuracy(np.array(confusion.counts, np.int64))):
        typer.echo(f"note: {poor}", err=True)


def _detector(given: str | None) -> Pack | Path | None:
    """What ``--detector`` names: a pack by its name or folder, or a folder that training wrote."""
    if given is None:
        return None
    if given in known_packs() or (Path(given) / CONTRACT_FILE).is_file():
        return load_pack(given)
    if not Path(given).is_dir():
        raise PackError(
            f"--detector names neither a folder nor a pack: {given}; packs are {', '.join(known_packs())}, a folder is "
            "what marrowscope train detector or train cascade wrote"
        )
    return Path(given)


def _title(pack: Pack) -> str:
    return f"{pack.contract.name} {pack.contract.version}"


def _identity(pack: Pack) -> dict[str, Any]:
    return {
        "name": pack.contract.name,
        "version": pack.contract.version,
        "folder": str(pack.folder),
        "sha256": pack.sha256,
    }


def _row(name: str, folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "folder": str(folder),
        "origin": "built-in" if folder.parent == BUILT_IN else "added",
        "problem": None,
    }
    try:
        pack = load_pack_folder(folder)
    except PackError as error:
        return {**row, "problem": str(error)}
    contract = pack.contract
    return {
        **row,
        **_identity(pack),
        "title": contract.title,
        "phantom": contract.phantom,
        "counts": contract.detector is not None,
        "classes": list(contract.classes),
    }
