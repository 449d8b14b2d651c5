"""The suspicious pairs side by side in one HTML file, without scripts or anything outside the file: people look."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from marrowscope.files import whole_file
from marrowscope.learning.datasets.copies import WORDS
from marrowscope.learning.datasets.findings import CheckReport, Finding, Likeness
from marrowscope.learning.datasets.gathering import gather
from marrowscope.learning.datasets.inspecting import read_reduced

SIDE = 160
"""Longest side of a small picture, pixels."""

MOST_PAIRS = 200
"""Pairs shown of one finding, the least alike first: those are the doubtful ones. None is shown twice."""


def write_contact_sheet(path: Path, report: CheckReport, folders: Sequence[Path]) -> None:
    """Write ``path``: every finding, and below it its pairs as small pictures. ``folders`` are those checked.

    Raises :class:`marrowscope.errors.OutputError` when the file cannot be written.
    """
    paths = {one.name: (one.path, _said(one.label, one.split)) for one in gather(folders).pictures}
    shown: dict[int, list[Likeness]] = {}
    for finding in report.findings:
        before = {pair for pairs in shown.values() for pair in pairs}
        fresh = [pair for pair in finding.pairs if pair not in before]
        shown[id(finding)] = sorted(fresh, key=lambda pair: pair.likeness)[:MOST_PAIRS]
    names = {name for pairs in shown.values() for pair in pairs for name in (pair.first, pair.second)}
    pictures = {name: _small(paths[name][0]) for name in sorted(names)}
    environment = Environment(
        loader=PackageLoader("marrowscope.learning.datasets", "."), autoescape=True, undefined=StrictUndefined
    )

    def pairs_of(finding: Finding) -> list[dict[str, object]]:
        return [
            {
                "how": WORDS[pair.how],
                "likeness": f"{pair.likeness:.2f}",
                "sides": [(name, paths[name][1], pictures[name]) for name in (pair.first, pair.second)],
            }
            for pair in shown[id(finding)]
        ]

    html = environment.get_template("contact_sheet.html.j2").render(
        report=report, total=sum(report.sets.values()), pairs_of=pairs_of
    )
    with whole_file(path) as beside:
        beside.write_text(html, encoding="utf-8")


def _said(label: str | None, split: str | None) -> str:
    return ", ".join(word for word in (label, split) if word)


def _small(path: Path) -> str:
    """A JPEG file as a data address, so that the sheet stands alone."""
    pixels, _ = read_reduced(path, least_side=2 * SIDE)
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
