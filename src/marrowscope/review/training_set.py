"""The cells that people looked at, as a set of pictures to learn from: what the review knows goes back into training.

Layout, as ``marrowscope train cells --data`` and ``marrowscope data check`` read it::

    labels.csv                       file,label,patient,slide,spacing,predicted
    README.txt
    promyelocyte/case-3-0-000017.png

Pictures are cut out of the slides at the spacing of the pack's classifier, as it saw them. ``patient`` is the case, so
that the cells of one patient stay together when the set is parted; it is a number, never a name.
"""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np

from marrowscope.geometry import Size
from marrowscope.review.case import CaseState
from marrowscope.review.counted import TYPE_NAMES
from marrowscope.review.workstation import Refused, Workstation
from marrowscope.slides.sampling import Sampler

COLUMNS = ("file", "label", "patient", "slide", "spacing", "predicted")
"""Of ``labels.csv``; ``predicted`` is the model's type, empty for a cell that it missed."""

README = """\
{cells} cells of case {case} that people looked at, {changed} of them of another type than the model's.
Types are those of the reading "{reading}" at row {n} of the log of the case.
Pictures: {side} x {side} pixels at {spacing:g} um per pixel, PNG. labels.csv tells the type of each.

    marrowscope data check FOLDER
    marrowscope train cells --data FOLDER -o run --spacing {spacing:g}

A set of one case has one patient: put several together (one folder, one labels.csv) before you train on it.
"""


def write_training_set(workstation: Workstation, state: CaseState, path: Path) -> int:
    """Write the zip archive; the number of its cells.

    Raises ``Refused`` when nobody has looked at a cell, or observers are still reading; ``ReviewError`` where slide or
    pack are not found.
    """
    if state.read_blind:
        raise Refused("observers still read this case: its cells are known when both have finished")
    reading = state.readings[state.final]
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(COLUMNS)
    cells = changed = 0
    spacing, side = workstation.counted(state.slides[0]).pack.contract.cell_pictures
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # PNG is packed already
        for told in state.slides:
            counted, view = workstation.counted(told), reading.slides[told.number]
            sampler = Sampler(counted.slide, spacing)
            for row in np.flatnonzero(view.looked & ~view.removed).tolist():
                label = TYPE_NAMES[view.types[row]]
                predicted = TYPE_NAMES[counted.cells.types[row]] if row < view.counted else ""
                name = f"{label}/case-{state.number}-{told.number}-{row:06d}.png"
                centre = (view.boxes[row, :2] + view.boxes[row, 2:]) / 2
                u, v = np.floor(sampler.from_level0(centre[None])[0] + 0.5).astype(int) - side // 2
                picture = sampler.read(int(u), int(v), Size(side, side))
                archive.writestr(name, cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())
                rows.writerow((name, label, f"case-{state.number}", told.number, f"{spacing:g}", predicted))
                cells, changed = cells + 1, changed + (predicted != label)
        if not cells:
            raise Refused("nobody has looked at a cell of this case yet: confirm or correct some first")
        archive.writestr("labels.csv", table.getvalue())
        facts = {"cells": cells, "changed": changed, "side": side, "spacing": spacing}
        archive.writestr("README.txt", README.format(case=state.number, reading=state.final, n=state.n, **facts))
    return cells
