"""The sheet of a network: test cells with maps of the evidence as one photograph, and a table of what maps point at.

Drawn as SVG with the pictures in it and made to one JPEG by typst, as pages keep photographs.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import how_many
from marrowscope.evaluation.intervals import Proportion
from marrowscope.report.evidence import LIMITS, MEANING, named, overlay
from marrowscope.slides.protocol import Picture
from marrowscope.studies.cell_studies.explained import Explained, Pointing, explained
from marrowscope.studies.cell_studies.figures import file_name
from marrowscope.studies.cell_studies.finished import Entry, FinishedJob, best_first
from marrowscope.studies.cell_studies.plots import as_png
from marrowscope.studies.cell_studies.tables import as_estimate
from marrowscope.studies.numbers import with_interval
from marrowscope.studies.page import Block, Photograph, Table, Text
from marrowscope.studies.svg import drawing

SIDE, GAP, FINE = 104, 4, 2
"""Px of a picture and between two of one cell; a picture is drawn so many times finer."""

WIDTH, MARGIN, TOP, LINE = 1016, 8, 30, 15
ACROSS = {2: 4, 3: 3}
"""Cells beside each other, by the pictures that each has."""

SCALE, LARGEST = 1.5, 250_000
"""Pixels of the photograph to one of the drawing, and its largest size in bytes."""

FEW = 4
"""A map with fewer rows or columns of places is said to be too coarse to point at a cell."""

LEGEND = ("the cell", "evidence: called", "evidence: label")
LETTER, BOLD, SMALLEST = 0.61, 0.69, 9.0
"""Width of a letter of the widest likely font in parts of its size, of a bold one, and the smallest size, px."""


def sheet_blocks(entries: Sequence[Entry], suffix: str, name: str) -> list[Block]:
    """Two sheets of the best network of the first arm, by macro F1 on validation cells, and its pointing game; else a
    sentence why not.
    """
    if not entries:
        return []
    first = [entry for entry in entries if entry.first.arm == entries[0].first.arm]
    best = best_first(first)[0]
    found = explained(best.first)
    if isinstance(found, str):
        return [Text(f"Where {best.label} looked{suffix}", (f"No maps: {found}",))]
    wrong = best.first.test.called[found.cells] != best.first.test.labels[found.cells]
    blocks: list[Block] = []
    if not wrong.all():
        title = f"Called as labelled: where {best.label} looked{suffix}"
        blocks.append(_of_right(best, found, np.flatnonzero(~wrong), title, file_name(name, "right", best.label)))
    if wrong.any():
        title = f"Called otherwise: where {best.label} looked{suffix}"
        blocks.append(_of_wrong(best, found, np.flatnonzero(wrong), title, file_name(name, "wrong", best.label)))
    return [*blocks, _pointing(found.pointing, f"What the maps of {best.label} point at{suffix}")]


def _of_right(entry: Entry, found: Explained, places: NDArray[np.intp], title: str, name: str) -> Photograph:
    what = f"{entry.label}: of each class the test cell called right that it was least certain of"
    alt = f"{how_many(len(places), 'test cell')} that {entry.label} called as labelled, each beside its map (Grad-CAM)"
    return Photograph(title, name, as_jpeg(draw_sheet(entry.first, found, places, what)), WIDTH, alt, _meaning(found))


def _of_wrong(entry: Entry, found: Explained, places: NDArray[np.intp], title: str, name: str) -> Photograph:
    test = entry.first.test
    many = f"{len(places)} of {how_many(int((test.called != test.labels).sum()), 'test cell')}"
    what = f"{entry.label}: the most certain {many} called otherwise than labelled"
    second = (
        "The second map is the evidence for the class labelled, on the scale of the first. Of cells called otherwise "
        "for certain some may be labelled wrong."
    )
    notes = (second,) if len(places) < len(found.cells) else (*_meaning(found), second)
    alt = f"{many} that {entry.label} called otherwise than labelled, each beside its two maps (Grad-CAM)"
    return Photograph(title, name, as_jpeg(draw_sheet(entry.first, found, places, what)), WIDTH, alt, notes)


def _meaning(found: Explained) -> tuple[str, ...]:
    """What the maps of a sheet show, and what they do not."""
    few = " So few hardly tell the cell from what is around it." if min(found.places) < FEW else ""
    return (
        (
            "Each cell as the network is fed it, then in grey the evidence for the class called: from green to yellow "
            "it grows, the line runs at half of the largest of that cell."
        ),
        (
            f"{MEANING['Grad-CAM']} {LIMITS} This network's maps have {found.places[0]} × {found.places[1]} places, "
            f"drawn smoothly.{few}"
        ),
    )


def draw_sheet(job: FinishedJob, found: Explained, places: NDArray[np.intp], what: str) -> str:
    """Some of the cells found as SVG, :data:`WIDTH` px wide, with the pictures in it; ``what`` is the line above.

    Either all were called right or none.
    """
    cell = found.cells[places[0]]
    pictures = 2 if job.test.called[cell] == job.test.labels[cell] else 3
    across, high = ACROSS[pictures], LINE * (pictures - 1) + SIDE + 32
    step = (WIDTH - 2 * MARGIN) // across
    parts = []
    for number, place in enumerate(places):
        row, column = divmod(number, across)
        parts += _card(job, found, int(place), MARGIN + column * step, TOP + row * high, step - 2 * GAP)
    return drawing("".join(parts), WIDTH, TOP + high * -(-len(places) // across), what)


def _card(job: FinishedJob, found: Explained, place: int, left: int, top: int, room: int) -> list[str]:
    """One cell, ``room`` px wide: what it was called and labelled, its picture, its maps and what each is."""
    cell = found.cells[place]
    called, label = int(job.test.called[cell]), int(job.test.labels[cell])
    titles = [named(job.title(job.classes[k]), float(job.test.probabilities[cell, k])) for k in (called, label)]
    lines = titles[:1] if called == label else [f"called {titles[0]}", f"labelled {titles[1]}"]
    parts = []
    for number, line in enumerate(lines):
        size, words = _fitted(line, room, LETTER if number else BOLD)
        style = f'font-size="{size:g}"' + ("" if number else ' font-weight="bold"')
        parts.append(f'<text x="{left}" y="{top + 11 + LINE * number}" {style}>{escape(words)}</text>')
    top += LINE * len(lines) + 1
    large = [cv2.resize(part[place], (FINE * SIDE, FINE * SIDE), interpolation=cv2.INTER_CUBIC)
             for part in (found.pictures, found.called, found.labelled)]  # fmt: skip
    strongest = float(max(large[1].max(), large[2].max()))
    shown = [large[0], *(overlay(large[0], evidence, strongest) for evidence in large[1 : len(lines) + 1])]
    for number, (picture, legend) in enumerate(zip(shown, LEGEND, strict=False)):
        x = left + number * (SIDE + GAP)
        legend = legend if not number or large[number].max() > 0 else f"no {legend}"
        parts.append(f'<image x="{x}" y="{top}" width="{SIDE}" height="{SIDE}" href="{_png_uri(picture)}"/>')
        parts.append(f'<text x="{x}" y="{top + SIDE + 11}" font-size="10" fill="#444">{legend}</text>')
    return parts


def _fitted(words: str, room: int, letter: float) -> tuple[float, str]:
    """Size of the letters at which the words have room, and the words, cut where they would be too small to read."""
    size = min(12.0, max(SMALLEST, room / (letter * len(words))))
    most = int(room / (letter * size))
    return size, words if len(words) <= most else f"{words[: most - 1]}…"


def _png_uri(picture: Picture) -> str:
    """Without loss, as the photograph loses some in the end."""
    data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    return f"data:image/png;base64,{b64encode(data.tobytes()).decode('ascii')}"


def as_jpeg(svg: str) -> bytes:
    """The drawing as JPEG, as good as :data:`LARGEST` allows."""
    drawn = cv2.imdecode(np.frombuffer(as_png(svg, scale=SCALE), np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    jpeg = b""
    for quality in (90, 82, 74, 64, 50):
        jpeg = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(jpeg) <= LARGEST:
            break
    return jpeg


def _pointing(found: Pointing | str, title: str) -> Block:
    """What the maps point at, beside chance and the middle, or a sentence why that was not measured."""
    if isinstance(found, str):
        return Text(title, (f"Not measured: {found}.",))
    rows = (
        ("Grad-CAM of the class called", _share(found.learnt)),
        ("the same, weights of every layer in random order", _share(found.shuffled)),
        ("always the middle of the picture", _share(found.middle)),
        ("chance: share of a picture that its cell covers", f"{found.covered:.3f}"),
    )
    left = f"; of {how_many(found.without, 'more cell')} none was found" if found.without else ""
    notes = (
        (
            f"Pointing game (Zhang et al., ECCV 2016) on {found.learnt.total} test cells spread evenly over the test "
            f"part. The place of a cell is a mask made by its colour, not checked by hand{left}. Brackets are 95 % "
            "intervals (Wilson)."
        ),
        (
            "Cells lie in the middle of their pictures, so that what always points there does well without having "
            "seen any; benchmarks/explanations.py --network moves the cells, too."
        ),
    )
    return Table(title, ("Map", "largest value on the cell"), rows, notes)


def _share(found: Proportion) -> str:
    return with_interval(as_estimate(found))
