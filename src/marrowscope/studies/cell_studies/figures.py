"""Figures of the studies of single cells: curves, confusion, reliability, bars by class, pairs of networks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marrowscope.files import whole_file
from marrowscope.studies.cell_studies.finished import Entry
from marrowscope.studies.cell_studies.plots import Panel, as_png, charts, pair_map
from marrowscope.studies.cell_studies.tables import Pairs
from marrowscope.studies.page import Figure, Page
from marrowscope.studies.svg import bars, heat_map

TRAINING, VALIDATION = "training cells", "validation cells"


def file_name(*words: str) -> str:
    """Words as the name of a file: lower case, hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def curves(entries: Sequence[Entry], title: str, name: str) -> list[Figure]:
    """Accuracy and loss over the epochs, a panel a network (its first seed)."""
    found = []
    for measure, up in (("accuracy", "accuracy"), ("loss", "loss")):
        panels = []
        for entry in entries:
            history = entry.first.history
            epochs = history["epoch"].cast(float).to_list()
            lines = {}
            for line, column in ((TRAINING, f"train_{measure}"), (VALIDATION, f"val_{measure}")):
                if column in history.columns:
                    lines[line] = (epochs, [float("nan") if v is None else float(v) for v in history[column].to_list()])
            panels.append(Panel(entry.label, lines))
        svg = charts(
            panels,
            f"{measure} over the epochs",
            "epoch",
            up,
            up_range=(0.0, 1.0) if measure == "accuracy" else None,
        )
        note = (
            "Training cells are augmented, and measured while the network still learns; validation cells as they are "
            "after each epoch."
        )
        found.append(Figure(f"{title}: {measure}", file_name(name, measure), svg, (note,)))
    return found


def confusion(entry: Entry, title: str, name: str) -> Figure:
    """Confusion of the first seed on its test cells, percent of each row."""
    job = entry.first
    counts = job.scores.confusion
    total = counts.sum(axis=1, keepdims=True)
    percent = np.full(counts.shape, np.nan)
    np.divide(100.0 * counts, total, out=percent, where=total > 0)
    titles = [job.title(word) for word in job.classes]
    rows = [f"{words} ({n:,})" for words, n in zip(titles, total[:, 0], strict=True)]
    svg = heat_map(rows, titles, percent, f"confusion of {entry.label}, percent of the row")
    empty = [words for words, n in zip(titles, total[:, 0], strict=True) if n == 0]
    notes = [f"Rows: labelled class (test cells), columns: class called, percent of the row; {job.scores.n:,} cells."]
    if empty:
        notes.append(f"No test cell of: {', '.join(empty)}.")
    return Figure(title, name, svg, tuple(notes))


def reliability(entries: Sequence[Entry], title: str, name: str) -> Figure:
    """How often cells were called right against how sure the network was, a panel a network (its first seed)."""
    panels = []
    for entry in entries:
        scores, lines, dots = entry.first.scores, {}, {}
        words = [f"ECE {scores.before.error.value:.3f}"]
        for line, found in (("as it is", scores.before), ("with temperature", scores.after)):
            if found is None:
                continue
            lines[line] = ([b.certainty for b in found.bins], [b.right.value for b in found.bins])
            dots[line] = [1.2 + 4.5 * float(np.sqrt(b.right.total / scores.n)) for b in found.bins]
            if found is scores.after:
                words.append(f"ECE {found.error.value:.3f} at T {found.temperature:.2f}")
        panels.append(Panel(entry.label, lines, "\n".join(words), dots))
    svg = charts(
        panels,
        "share of cells called right against the certainty of the network",
        "certainty (mean of the bin)",
        "share called right",
        across_range=(0.0, 1.0),
        up_range=(0.0, 1.0),
        diagonal=True,
    )
    note = (
        "15 bins of equal width; the area of a dot is the share of the test cells in it. Below the diagonal a network "
        "is surer than it is right."
    )
    return Figure(title, name, svg, (note,))


def class_bars(entry: Entry, title: str, name: str) -> Figure:
    """Precision, recall, F1 and specificity of each class of the first seed."""
    job = entry.first
    rows = job.scores.per_class
    series = {
        "precision": [row.precision.value for row in rows],
        "recall": [row.recall.value for row in rows],
        "F1": [row.f1.value for row in rows],
        "specificity": [row.specificity.value for row in rows],
    }
    names = [f"{job.title(row.name)} ({row.support:,})" for row in rows]
    svg = bars(names, series, f"{entry.label}, by class (test cells)")
    return Figure(title, name, svg, ("Intervals are in the table by class.",))


def pairs_figure(pairs: Pairs, title: str, name: str) -> Figure:
    """McNemar's test of every pair: by how much the row is right more often, and the adjusted p."""
    svg = pair_map(pairs.labels, pairs.gain, pairs.p, "accuracy of the row minus that of the column")
    note = (
        f"Percentage points on {pairs.n:,} test cells; p of McNemar's exact test, adjusted by Holm. Blue: the row is "
        "better, orange: worse, grey: the adjusted p is 0.05 or more."
    )
    return Figure(title, name, svg, (note,))


def write_pngs(page: Page, path: Path, *, scale: float = 2.0) -> list[Path]:
    """Every figure of the page as PNG beside the SVG that ``write_page`` wrote for ``path``; the files."""
    written = []
    for block in page.blocks:
        if isinstance(block, Figure):
            written.append(path.parent / path.stem / f"{block.name}.png")
            written[-1].parent.mkdir(parents=True, exist_ok=True)
            with whole_file(written[-1]) as beside:
                beside.write_bytes(as_png(block.svg, scale=scale))
    return written
