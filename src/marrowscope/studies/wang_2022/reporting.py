"""``marrowscope study report``: the paper's tables and figures made again, as Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marrowscope.errors import how_many
from marrowscope.evaluation.calls import confusion, make_calls
from marrowscope.studies.numbers import NOT_RUN
from marrowscope.studies.page import Block, Figure, Page, Text, write_page
from marrowscope.studies.svg import bars, heat_map
from marrowscope.studies.wang_2022 import paper
from marrowscope.studies.wang_2022.evaluate import confusion_percent
from marrowscope.studies.wang_2022.further import (
    WIRING,
    arms_table,
    differential_table,
    gains_table,
    model_and_observer,
    precision_table,
    table_4,
    table_5,
    table_6,
)
from marrowscope.studies.wang_2022.regions import RegionResult
from marrowscope.studies.wang_2022.results import ARM, Results, read_results
from marrowscope.studies.wang_2022.scales import Protocol
from marrowscope.studies.wang_2022.tables import table_1, table_2, table_3, title

TRAPS = (
    (
        "The paper splits tiles, so that tiles of one slide lie on both sides of its ten folds: tile-wise figures are "
        "those of slides that the model knows. Left-out slides and patients are the ones to quote."
    ),
    (
        "Its accuracy counts true negatives and is near 0.98 whatever happens. Its averages are over different sets of "
        "rows."
    ),
    (
        "Its tiles do not overlap and conflicts at their borders are not resolved; on the second data set its recall "
        "of blasts (0.34, 0.53) and monocytes (0.15, 0.21) falls, while the accuracy does not show it."
    ),
    (
        "It pools promonocytes with monocytes, so that blast equivalents cannot be seen. Its discussion swaps the "
        "sizes of lymphocytes and monocytes. It reports no detection AP and does not say how a detection is matched "
        "to a label."
    ),
    (
        "Ours: a cell is found by the best-scored free detection above 0.1 at IoU 0.5 or more; what is labelled as "
        "another type than the sixteen (basophil, smudge, other) is neither right nor wrong."
    ),
)


def write_report(output: Path, page: Path, command: str, notes: Sequence[str] = ()) -> list[Path]:
    """Write the page and its figures; the files, the page first. Raises ``DataError`` without a study."""
    return write_page(make_page(read_results(output), command, notes), page)


def make_page(results: Results, command: str, own: Sequence[str] = ()) -> Page:
    """The whole page of a study, finished or not, with the user's ``own`` lines."""
    what = f"The data are {results.data.words}."
    state = f"Scale {results.scale.name}: {WIRING if results.scale.wiring else f'{results.scale.words}.'}"
    notes = [f"{name}: {message}" for name, message in results.failed.items()]
    left = [name for name in results.facts["jobs"] if results.job(name) is None and name not in results.failed]
    blocks: list[Block] = [
        Text("State of the study", tuple(_state(results, notes, left))),
        arms_table(results),
        gains_table(results),
        *([gains_table(results, "plain-start")] if "plain-start" in results.plan.arms("tile") else []),
        *table_1(results),
        *table_2(results),
        *table_3(results),
        table_4(results),
        table_5(results),
        table_6(results),
        precision_table(results),
        differential_table(results),
        *_figures(results),
        Text("What to beware of", TRAPS),
    ]
    lines = "\n".join([*results.facts.get("commands", ()), command])
    heading = "wang-2022: do the parts fit together?" if results.scale.wiring else "wang-2022: ours beside the paper"
    return Page(heading, (what, state, *own, "This page was made by:"), lines, tuple(blocks))


def _state(results: Results, failed: list[str], left: list[str]) -> list[str]:
    done = [name for name in results.facts["jobs"] if results.job(name) is not None]
    seconds = sum(float((results.job(name) or {"seconds": 0})["seconds"]) for name in done)
    versions: dict[str, list[str]] = {}
    for name in done:
        for library, number in (results.job(name) or {"versions": {}})["versions"].items():
            if number not in versions.setdefault(library, []):
                versions[library].append(number)
    lines = [f"{len(done)} of {len(results.facts['jobs'])} jobs are done ({seconds / 60:.1f} minutes of work)."]
    if failed:
        lines.append(f"Failed, and missing from every number below: {'; '.join(failed)}.")
    if left:
        lines.append(f"Not started or not finished: {', '.join(left)}. The same command again goes on with them.")
    lines += results.plan.notes
    if versions:
        lines.append(
            "Made with " + ", ".join(f"{name} {' and '.join(found)}" for name, found in versions.items()) + "."
        )
    return lines


def _figures(results: Results) -> list[Block]:
    blocks = [*_figure_3(results.regions), _figure_6(results)]
    sevens: tuple[tuple[str, Protocol, str], ...] = (
        ("7", "tile", "tile-wise folds"),
        ("7-slides", "slide", "left-out slides"),
    )
    for name, protocol, words in sevens:
        scored = results.scored(protocol, ARM)
        if scored is None:
            blocks.append(Text(f"Fig. 7: confusion, {words}", (NOT_RUN,)))
            continue
        matrix = confusion(scored.calls)
        svg = heat_map(
            [f"{title(row)} ({n:,})" for row, n in zip(matrix.rows, matrix.counts.sum(axis=1), strict=True)],
            [title(column) for column in matrix.columns],
            confusion_percent(matrix.counts),
            f"labelled type (row) and type called (column), percent of the row; {words}",
        )
        note = f"Rows: labelled type (cells), columns: type called, percent of the row; {results.data.words}."
        blocks.append(Figure(f"Fig. 7: confusion, {words}", f"figure-{name}", svg, (note,)))
    blocks.append(_figure_10(results))
    return blocks


def _figure_3(regions: RegionResult | None) -> list[Block]:
    if regions is None:
        return [Text("Fig. 3: regions of each slide", (f"Regions: {NOT_RUN}.",))]
    slides = sorted(regions.detected)
    if not any(regions.detected[slide][0] for slide in slides):
        none = f"No region was found on any of {how_many(len(slides), 'slide')}: there is nothing to draw."
        return [Text("Fig. 3: regions of each slide", (none, regions.words))]
    blocks: list[Block] = []
    for which, (name, words) in enumerate(
        (("number", "number of regions of each slide"), ("size", "size of the regions of each slide, mm²"))
    ):
        svg = bars(slides, {"ours": [regions.detected[slide][which] for slide in slides]}, words)
        blocks.append(Figure(f"Fig. 3: {words}", f"figure-3-{name}", svg, (regions.words,)))
    return blocks


def _figure_6(results: Results) -> Figure:
    cells = results.data.tiles.cells.filter("owned")
    first = cells.filter(cells["tile"].is_in(results.data.rows("first")))
    ours = dict(first.group_by("type").len().iter_rows())
    names = list(paper.FIRST_CELLS)
    series = {
        "paper": [float(paper.FIRST_CELLS[name]) for name in names],
        "ours": [float(ours.get(name, 0)) for name in names],
    }
    note = (
        f"Paper: {sum(paper.FIRST_CELLS.values()):,} annotated cells; ours: {how_many(first.height, 'labelled cell')}, "
        f"{results.data.words}. Basophils, smudges and others are labelled but not trained, as in the paper."
    )
    svg = bars([title(name) for name in names], series, "annotated cells of the first cohort by type")
    return Figure("Fig. 6: annotated cells of the first cohort", "figure-6", svg, (note,))


def _figure_10(results: Results) -> Block:
    cells = model_and_observer(results, "1")
    if cells is None or not cells.height:
        return Text("Fig. 10: model and observer 1", (NOT_RUN,))
    calls = make_calls(cells["observer"].to_list(), cells["model"].to_list(), complete=False, types=results.classes)
    matrix = confusion(calls)
    svg = heat_map(
        [f"{title(row)} ({n:,})" for row, n in zip(matrix.rows, matrix.counts.sum(axis=1), strict=True)],
        [title(column) for column in matrix.columns[:-1]],
        confusion_percent(matrix.counts)[:, :-1],
        "observer 1 (row) and model (column), percent of the row",
    )
    note = (
        f"Rows: observer 1 (cells), columns: model, percent of the row; "
        f"{how_many(int(np.sum(matrix.counts)), 'cell')}, {results.data.words}."
    )
    return Figure("Fig. 10: model and observer 1", "figure-10", svg, (note,))
