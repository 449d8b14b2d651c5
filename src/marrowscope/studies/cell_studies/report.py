"""The page of a study of single cells: what the data are, the paper's tables, ours of the modern recipe, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marrowscope.studies.cell_studies import figures, sheets, tables
from marrowscope.studies.cell_studies.blocks import NAMES, RANDOM, paper_blocks
from marrowscope.studies.cell_studies.finished import FinishedJob, best_first, entries, read_job
from marrowscope.studies.cell_studies.papers import find_paper
from marrowscope.studies.jobs import failures
from marrowscope.studies.jobs import read_job as read_done
from marrowscope.studies.page import Block, Page, Table, Text, write_page
from marrowscope.studies.study import About

MODERN = "modern"
SMOKE = "Wiring only: few small pictures, one or two epochs. That everything runs is all that these figures say."

OURS = (
    "Ours, on the same cells and parts: classes drawn equally often, mirrored and turned, another stain and lamp in "
    "every view, AdamW over one cosine, smoothed labels, averaged weights, four mirror images at test. It chooses its "
    "epoch on the validation cells."
)


def write_report(
    about: About, facts: Mapping[str, Any], output: Path, page: Path, command: str, notes: Sequence[str] = ()
) -> list[Path]:
    """Write the page of a study, finished or not: Markdown, one HTML file, figures as SVG and PNG.

    Raises ``DataError`` for a finished job whose files are damaged.
    """
    jobs, missing = finished_jobs(facts, output)
    blocks: list[Block] = [_data(facts)]
    blocks += paper_blocks(about.name, [job for job in jobs if job.recipe != MODERN])
    blocks += _modern(about.name, jobs)
    blocks += _looked(about.name, jobs, facts["scale"])
    blocks += _not_done(missing, failures(output))
    intro = [f"{about.paper}.", f"Scale: {facts['scale']}. {about.scales[facts['scale']]}"]
    if facts["scale"] == "smoke":
        intro.append(SMOKE)
    if any("phantom" in arm["source"] for arm in facts["arms"]):
        intro.append("Phantom: the cells are drawn, not photographed. Nothing here says how a network does on people.")
    commands = "\n".join([*facts["commands"], command])
    written = Page(f"{about.name}: the paper's experiment, repeated", (*intro, *notes), commands, tuple(blocks))
    return [*write_page(written, page), *figures.write_pngs(written, page)]


def finished_jobs(facts: Mapping[str, Any], output: Path) -> tuple[list[FinishedJob], list[str]]:
    """The jobs of a study that are done, and the names of those that are not."""
    done, missing = [], []
    for name, arm in facts["jobs"].items():
        folder = output / "jobs" / name
        if read_done(folder) is None:
            missing.append(name)
        else:
            done.append(read_job(folder, arm))
    return done, missing


def _data(facts: Mapping[str, Any]) -> Table:
    rows, notes = [], []
    for arm in facts["arms"]:
        words = arm["words"] or "the data"
        rows.append((words, arm["source"], arm["how"], *(f"{arm[part]:,}" for part in ("train", "val", "test"))))
        notes += [f"Left out of {words}: {line}." for line in arm["skipped"]]
    notes.append(f"Classes: {', '.join(facts['arms'][0]['classes'])}.")
    head = ("Arm", "source", "parted", "training cells", "validation cells", "test cells")
    return Table("The data", head, tuple(rows), tuple(dict.fromkeys(notes)))


def _modern(paper: str, jobs: Sequence[FinishedJob]) -> list[Block]:
    """Our recipe on the same cells, beside the paper's recipe."""
    ours = [job for job in jobs if job.recipe == MODERN]
    if not ours:
        return []
    known = find_paper(paper)
    blocks: list[Block] = [
        Text(
            "The modern recipe",
            (OURS,),
        )
    ]
    for random in (False, True):
        both = [job for job in jobs if job.random == random]
        modern = entries([job for job in ours if job.random == random], known.networks)
        if not modern:
            continue
        heading = f", {RANDOM}" if random else ""
        stem = "modern-random" if random else "modern"
        everything = sorted(
            entries(both, known.networks), key=lambda entry: entry.first.scores.macro_f1.value, reverse=True
        )
        blocks.append(tables.scores_table(everything, f"Both recipes, best macro F1 first{heading}"))
        blocks.append(tables.cost_table(modern, f"Cost of the modern recipe{heading}"))
        for pairs in tables.compare(everything):
            where = f", {pairs.arm}{heading}" if pairs.arm else heading
            blocks.append(tables.pairs_table(pairs, f"McNemar's test between recipes and networks{where}"))
        blocks += figures.curves(modern, f"Training curves, modern{heading}", f"{stem}-curves")
        blocks.append(figures.reliability(modern, f"Reliability, modern{heading}", f"{stem}-reliability"))
        best = best_first(modern)[0]
        blocks.append(tables.classes_table(best, f"By class: modern, {best.label}{heading}"))
        blocks.append(figures.class_bars(best, f"Bars by class: modern, {best.label}{heading}", f"{stem}-bars"))
        blocks.append(figures.confusion(best, f"Confusion: modern, {best.label}{heading}", f"{stem}-confusion"))
    return blocks


def _looked(paper: str, jobs: Sequence[FinishedJob], scale: str) -> list[Block]:
    """A sheet of the best network of each recipe, apart by its start; at scale smoke of our recipe's alone, as it is
    small.
    """
    blocks: list[Block] = []
    for modern in (True,) if scale == "smoke" else (False, True):
        for random in (False, True):
            same = [job for job in jobs if (job.recipe == MODERN) == modern and job.random == random]
            suffix = (", modern" if modern else "") + (f", {RANDOM}" if random else "")
            name = figures.file_name("modern" if modern else "", "random" if random else "", "sheet")
            found = entries(same, find_paper(paper).networks, None if modern else NAMES[paper])
            blocks += sheets.sheet_blocks(found, suffix, name)
    return blocks


def _not_done(missing: Sequence[str], failed: Mapping[str, str]) -> list[Block]:
    rows = [(name, failed.get(name, "not run yet")) for name in missing]
    return [Table("Not in these tables", ("Job", "why"), tuple(rows))] if rows else []
