"""``marrowscope regions``: where on a slide counting would take place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from marrowscope.geometry import Spacing
    from marrowscope.regions import RegionFinding
    from marrowscope.slides import Slide


def command(
    slide: Annotated[Path, typer.Argument(help="Slide file: SVS, NDPI, MRXS, SCN, BIF, DICOM, TIFF, PNG, JPEG.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the results, one folder a slide in it; default: only print."),
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(help="Um per pixel, for slides that do not say; overrides those that do.")
    ] = None,
    region: Annotated[
        str, typer.Option(help="Where to count: auto, whole, or a GeoJSON file (from QuPath, say).")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print for programs instead of the table.")] = False,
) -> None:
    """Show where on a slide counting would take place, best part first.

    Prints each region with its score, its area, and its position in mm from the slide's top left corner, for a scanner
    that scans only what is needed. With [bold]-o results[/bold] it writes regions.geojson (QuPath opens it) and
    regions.png into the slide's folder; where that holds a finished count, whose regions.geojson is part of its
    record, the new files are regions-preview.geojson and regions-preview.png.
    """
    from marrowscope.cli.console import Stages, say_where, stdout
    from marrowscope.regions import choose_regions
    from marrowscope.runs import output_names
    from marrowscope.slides import open_slide, require_spacing

    opened = open_slide(slide, spacing)
    try:
        um = require_spacing(opened)
        with Stages() as stages:
            finding = choose_regions(opened, um, region, lambda done: stages.report("regions", done))
        written = _write(opened, um, finding, output / output_names([slide])[0]) if output else []
        facts = _facts(opened, um, finding)
    finally:
        opened.close()
    if as_json:
        typer.echo(json.dumps({**facts, "files": [str(path) for path in written]}, indent=2))
        return
    stdout.print(_table(opened.name, facts))
    for note in finding.notes:
        stdout.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    if written:
        if written[0].stem == "regions-preview":
            say_where("", written[0].parent, " holds a finished count: its regions.geojson stays as it is")
        say_where("look at ", written[-1])


def _write(slide: Slide, spacing: Spacing, finding: RegionFinding, folder: Path) -> list[Path]:
    import cv2

    from marrowscope.files import whole_file
    from marrowscope.regions import save_regions
    from marrowscope.regions.picture import draw_regions

    name = "regions-preview" if (folder / "run.json").exists() else "regions"
    outlines, picture = folder / f"{name}.geojson", folder / f"{name}.png"
    save_regions(finding, outlines, slide)
    encoded = cv2.imencode(".png", draw_regions(slide, spacing, finding)[..., ::-1])[1]
    with whole_file(picture) as beside:
        beside.write_bytes(encoded.tobytes())
    return [outlines, picture]


def _facts(slide: Slide, spacing: Spacing, finding: RegionFinding) -> dict[str, Any]:
    """What ``--json`` prints; mm from the slide's top left corner."""
    rows = []
    for rank, region in enumerate(finding.regions, 1):
        x0, y0, x1, y1 = region.polygon.bounds
        rows.append(
            {
                "rank": rank,
                "name": region.name,
                "kind": region.kind,
                "score": round(region.score, 3),
                "area_mm2": round(spacing.area_mm2(region.polygon.area), 4),
                "x_mm": round(x0 * spacing.x / 1000, 4),
                "y_mm": round(y0 * spacing.y / 1000, 4),
                "width_mm": round((x1 - x0) * spacing.x / 1000, 4),
                "height_mm": round((y1 - y0) * spacing.y / 1000, 4),
            }
        )
    area = sum(region.polygon.area for region in finding.regions)
    return {
        "slide": slide.name,
        "spacing_um": [spacing.x, spacing.y],
        "slide_mm2": round(spacing.area_mm2(slide.bounds.area), 4),
        "regions_mm2": round(spacing.area_mm2(area), 4),
        "share_of_slide": round(area / slide.bounds.area, 4),
        "particles": finding.particles,
        "regions": rows,
        "notes": list(finding.notes),
    }


def _table(name: str, facts: dict[str, Any]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    share = f"{facts['regions_mm2']:.2f} of {facts['slide_mm2']:.2f} mm2 ({facts['share_of_slide']:.1%}) to scan"
    particles = facts["particles"]
    seen = "" if particles is None else f"; {particles or 'no'} particle{'s' if particles != 1 else ''} seen"
    title = Text(f"{name}: where to count", "table.title")
    table = Table(title=title, caption=share + seen, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("region")
    for heading in ("score", "area mm2", "x mm", "y mm", "width mm", "height mm"):
        table.add_column(heading, justify="right")
    for row in facts["regions"]:
        places = (row["area_mm2"], row["x_mm"], row["y_mm"], row["width_mm"], row["height_mm"])
        table.add_row(Text(row["name"]), f"{row['score']:.2f}", *(f"{value:.2f}" for value in places))
    return table
