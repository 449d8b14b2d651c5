"""The sheet of a network: test cells with maps of the evidence as one photograph, and a table of what maps point at.

Drawn as SVG with the pictures in it and made to one JPEG by typst, as pages keep photographs.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from marrowscope.errors import how_many
from marrowscope.evaluation.intervals import Proportion
from marrowscope.report.evidence import LIMITS, MEANING, named, overlay
from marrowscope.slides.protocol import Picture
from marrowscope.studies.cell_studies.explained import Explained, Pointing, explained
from marrowscope.studies.cell_studies.figures import file_name
from marrowscope.studies.cell_studies.finished import Entry, FinishedJob
from marrowscope.studies.cell_studies.plots import as_png
from marrowscope.studies.cell_studies.tables import as_estimate
from marrowscope.studies.page import Block, Photograph, Table, Text
from marrowscope.studies.svg import _svg
from marrowscope.studies.wang_2022.tables import with_interval

SIDE, GAP, FINE = 104, 4, 2
"""Px of a picture and between two of one cell; a picture is drawn so many times finer."""

WIDTH, MARGIN, LINE = 1016, 8, 15
ACROSS = {2: 4, 3: 3}
"""Cells beside each other, by the pictures that each has."""

SCALE, LARGEST = 1.5, 380_000
"""Pixels of the photograph to one of the drawing, and its largest size in bytes."""

LEGEND = ("the cell", "evidence: called", "evidence: label")
WHAT = "Test cells and, in grey under colour, where the evidence for a class lay (Grad-CAM)"
LETTER, BOLD, SMALLEST = 0.61, 0.69, 9.0
"""Width of a letter of the widest likely font in parts of its size, of a bold one, and the smallest size, px."""


def sheet_blocks(entries: Sequence[Entry], suffix: str, name: str) -> list[Block]:
    """The sheet of the best network by macro F1, of the first arm, and its pointing game; else a sentence why not."""
    if not entries:
        return []
    first = [entry for entry in entries if entry.first.arm == entries[0].first.arm]
    best = max(first, key=lambda entry: entry.first.scores.macro_f1.value)
    title, found = f"Where {best.label} looked{suffix}", explained(best.first)
    if isinstance(found, str):
        return [Text(title, (f"No maps: {found}",))]
    pointing = _pointing(found.pointing, f"What the maps of {best.label} point at{suffix}")
    return [_sheet(best, found, title, file_name(name, best.label)), pointing]


def _sheet(entry: Entry, found: Explained, title: str, name: str) -> Photograph:
    job = entry.first
    wrong = job.test.called[found.cells] != job.test.labels[found.cells]
    mistakes = int((job.test.called != job.test.labels).sum())
    notes = (
        (
            "Each cell as the network is fed it, then in grey the evidence for the class called and, where the label "
            "is another, for that: from green to yellow it grows, the line runs at half of the largest of that cell."
        ),
        (
            f"{MEANING['Grad-CAM']} {LIMITS} This network's maps have {found.places[0]} × {found.places[1]} places, "
            "drawn smoothly. Of cells called otherwise for certain some may be labelled wrong."
        ),
    )
    alt = (
        f"{how_many(int((~wrong).sum()), 'test cell')} that {entry.label} called as labelled and {wrong.sum()} of "
        f"{mistakes:,} that it called otherwise, each beside maps (Grad-CAM) of the evidence"
    )
    return Photograph(title, name, as_jpeg(draw_sheet(job, found)), WIDTH, alt, notes)


def draw_sheet(job: FinishedJob, found: Explained) -> str:
    """The cells as SVG, :data:`WIDTH` px wide, with the pictures in it: first those called right."""
    wrong = job.test.called[found.cells] != job.test.labels[found.cells]
    mistakes = int((job.test.called != job.test.labels).sum())
    parts, top = list[str](), 32
    for cells, pictures, words in (
        (np.flatnonzero(~wrong), 2, "Called as labelled: of each class the least certain"),
        (np.flatnonzero(wrong), 3, f"Called otherwise: the most certain {wrong.sum()} of {mistakes:,}"),
    ):
        if not len(cells):
            continue
        parts.append(f'<text x="{MARGIN}" y="{top + 14}" font-size="14" font-weight="bold">{escape(words)}</text>')
        top += 24
        across, high = ACROSS[pictures], LINE * (pictures - 1) + SIDE + 32
        step = (WIDTH - 2 * MARGIN) // across
        for number, place in enumerate(cells):
            row, column = divmod(number, across)
            parts += _card(job, found, int(place), MARGIN + column * step, top + row * high, step - 2 * GAP)
        top += high * -(-len(cells) // across) + 6
    return _svg("".join(parts), WIDTH, top, WHAT)


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
