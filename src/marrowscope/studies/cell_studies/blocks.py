"""The blocks of a study's page, in order: the paper's tables, what they lack, figures, and what to beware of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from marrowscope.studies.cell_studies import figures, paper_tables, tables
from marrowscope.studies.cell_studies.finished import Entry, FinishedJob, best_first, entries
from marrowscope.studies.cell_studies.papers import (
    find_paper,
    meem_2023,
    senthilkumar_2023,
    shah_2025,
    veerasagar_2025,
)
from marrowscope.studies.page import Block, Table, Text

RANDOM = "random initialisation: not the paper's transfer learning"
"""The heading of everything about networks that began at random weights where the paper began at learnt ones."""

SHOWN_IN_FULL = 3
"""Of so many networks, the best by macro F1 on validation cells, confusion, bars and classes; scores of all."""

WHY_RANDOM = (
    "No learnt weights were at hand for these networks, so that all their layers were trained from random weights. "
    "They show what the recipe does on these data without transfer and cannot be held against the paper's figures, "
    "which stand beside them in its own form."
)

PaperTable = Callable[[Sequence[Entry], str], Table]

PAPER_TABLES: dict[str, tuple[PaperTable, ...]] = {
    "shah-2025": (paper_tables.shah_table_1, paper_tables.shah_table_2, paper_tables.shah_table_3),
    "meem-2023": (paper_tables.meem_table_3,),
    "senthilkumar-2023": (paper_tables.senthilkumar_section_4_2, paper_tables.senthilkumar_section_5_2),
    "veerasagar-2025": (paper_tables.veerasagar_accuracies,),
}
NAMES = {
    "shah-2025": shah_2025.NETWORKS,
    "meem-2023": meem_2023.NETWORKS,
    "senthilkumar-2023": senthilkumar_2023.NETWORKS,
    "veerasagar-2025": veerasagar_2025.NETWORKS,
}


def paper_blocks(paper: str, jobs: Sequence[FinishedJob], *, in_full: int = SHOWN_IN_FULL) -> list[Block]:
    """The blocks of one paper from the finished jobs of its study, few or all.

    Networks that began at random weights though the paper's did not have their own blocks, headed ``RANDOM``. Raises
    ``DataError`` for an unknown paper.
    """
    known = find_paper(paper)
    learnt = entries([job for job in jobs if not job.random], known.networks, NAMES[paper])
    scratch = entries([job for job in jobs if job.random], known.networks, NAMES[paper])
    blocks: list[Block] = [Text("What to beware of in this paper", known.traps())]
    if jobs:
        blocks.append(Text("How to read our numbers", tables.how_to_read(learnt + scratch)))
    if learnt or not scratch:
        blocks += _of_start(paper, learnt, "", in_full)
    if scratch:
        blocks.append(Text(RANDOM[0].upper() + RANDOM[1:], (WHY_RANDOM,)))
        blocks += _of_start(paper, scratch, f", {RANDOM}", in_full)
    blocks += _silent(learnt + scratch)
    return blocks


def _of_start(paper: str, found: list[Entry], heading: str, in_full: int) -> list[Block]:
    stem = "random" if heading else ""
    blocks: list[Block] = [table(found, heading) for table in PAPER_TABLES[paper]]
    if not found:
        return blocks
    blocks.append(tables.scores_table(found, f"Scores on the test cells{heading}"))
    blocks.append(tables.two_accuracies_table(found, f"Top-1 and element-wise accuracy{heading}"))
    blocks.append(tables.cost_table(found, f"Cost{heading}"))
    for pairs in tables.compare(found):
        where = f", {pairs.arm}{heading}" if pairs.arm else heading
        blocks.append(tables.pairs_table(pairs, f"McNemar's test between networks{where}"))
        name = figures.file_name(stem, "mcnemar", pairs.arm)
        blocks.append(figures.pairs_figure(pairs, f"Networks against each other{where}", name))
    blocks += figures.curves(found, f"Training curves{heading}", figures.file_name(stem, "curves"))
    blocks.append(figures.reliability(found, f"Reliability{heading}", figures.file_name(stem, "reliability")))
    for entry in best_first(found)[:in_full]:
        title = f"{entry.label}{heading}"
        blocks.append(tables.classes_table(entry, f"By class: {title}"))
        blocks.append(
            figures.class_bars(entry, f"Bars by class: {title}", figures.file_name(stem, "bars", entry.label))
        )
        name = figures.file_name(stem, "confusion", entry.label)
        blocks.append(figures.confusion(entry, f"Confusion: {title}", name))
    return blocks


def _silent(found: Sequence[Entry]) -> list[Block]:
    """What each recipe chose where the paper is silent."""
    rows: list[tuple[str, ...]] = []
    for recipe in {entry.first.recipe: entry.first.facts["recipe"] for entry in found}.values():
        for field, why in (recipe.get("silent") or {}).items():
            rows.append((str(recipe["name"]), field, why))
    if not rows:
        return []
    return [Table("Where the paper is silent", ("Recipe", "field", "ours, and why"), tuple(rows))]
