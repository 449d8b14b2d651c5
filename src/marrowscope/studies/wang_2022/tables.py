"""Tables 1 to 3 of the paper with its figures and ours side by side: recall and accuracy by type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from marrowscope.errors import how_many
from marrowscope.evaluation.redrawing import Estimate, Spread, spread
from marrowscope.studies.numbers import NOT_RUN, NOTHING, figure, over_folds, with_spread
from marrowscope.studies.page import Table
from marrowscope.studies.wang_2022 import paper
from marrowscope.studies.wang_2022.evaluate import Scored
from marrowscope.studies.wang_2022.results import ARM, Results
from marrowscope.studies.wang_2022.scales import Protocol
from marrowscope.taxonomy import CELL_TYPES, WANG_2022_TYPES

Measure = Literal["recall", "accuracy"]
MEASURES: tuple[Measure, ...] = ("recall", "accuracy")
PROTOCOLS: dict[Protocol, str] = {"tile": "tile-wise", "slide": "leave-one-out", "patient": "patient-wise"}
PRINTED, RECOMPUTED, MEAN = "Average as printed", "Mean of the 16 types", "Mean of the types"
SHORT = (
    "Means of ours are over the types that have a labelled cell here and were trained, as many as stand beside the "
    "mean; those of the paper over all 16."
)


@dataclass(frozen=True)
class Column:
    """A head, a text for each row, and the texts of the two averages; ``short``: the mean is not over all 16 types."""

    head: str
    cells: Mapping[str, str]
    printed: str = NOTHING
    recomputed: str = NOTHING
    short: bool = False


def over_types(words: str, types: int) -> str:
    """A mean with the number of types that it is over, where that is not the sixteen."""
    return words if types == len(WANG_2022_TYPES) or words == NOTHING else f"{words}, {how_many(types, 'type')}"


def title(name: str) -> str:
    """A type as people write it; the pooled row says that it is one."""
    return CELL_TYPES[name].title if name in CELL_TYPES else name.replace("_", " ").capitalize()


def of_paper(head: str, name: str, measure: Measure) -> Column:
    """A printed column: its rows, its printed average, and the mean of its rows recomputed over the single types."""
    column, average = paper.COLUMNS[name], paper.AVERAGES[name]
    quoted = name in {"chandradevan", "yu"}
    mean = paper.mean_of(column, rows="all" if quoted else "types")

    def words(printed: paper.Printed) -> str:
        value, sd = getattr(printed, measure), getattr(printed, f"{measure}_sd")
        return figure(value) if sd is None else f"{value:.3f} ± {sd:.3f}"

    cells = {row: words(printed) for row, printed in column.items()}
    if "neutrophil" in column:  # printed across the two rows
        cells |= dict.fromkeys(("band_neutrophil", "segmented_neutrophil"), f"{words(column['neutrophil'])} (pooled)")
    recomputed = NOTHING if quoted else figure(getattr(mean, measure))
    return Column(head, cells, words(average), recomputed)


def of_ours(head: str, scored: Scored | None, measure: Measure) -> Column:
    """Mean ± sd over the folds; all cells together with their 95 % interval (Wilson; slides redrawn for the mean)."""
    if scored is None:
        return Column(head, dict.fromkeys(paper.ROWS, NOT_RUN), NOT_RUN, NOT_RUN)
    cells = {}
    for name in paper.ROWS:
        row = scored.pooled[name]
        found: Spread = getattr(scored, measure)(name)
        if row.why is not None:
            cells[name] = "not trained" if row.n else "no cell"
        else:
            share = getattr(row, measure)
            low, high = share.interval
            cells[name] = over_folds(found, Estimate(share.value, low, high, row.n, 0))
    types = len(scored.pooled.averaged)
    if measure == "recall":
        mean = over_folds(scored.macro_recall, scored.pooled.macro_recall)
    else:
        means = [spread([r.accuracy.value for r in table.rows if r.in_means]).mean for table in scored.folds.values()]
        mean = with_spread(spread(means))
    return Column(head, cells, NOTHING, over_types(mean, types), types < len(WANG_2022_TYPES))


def of_cells(head: str, counts: Mapping[str, int]) -> Column:
    total = sum(n for name, n in counts.items() if name != paper.POOLED)
    return Column(head, {name: f"{n:,}" for name, n in counts.items()}, NOTHING, f"{total:,} in all")


def by_type(heading: str, columns: Sequence[Column], notes: Sequence[str]) -> Table:
    """The seventeen rows of the paper and both averages; where ours lack types, it is said over how many they are."""
    rows = [(title(name), *(column.cells.get(name, NOTHING) for column in columns)) for name in paper.ROWS]
    rows.append((PRINTED, *(column.printed for column in columns)))
    short = any(column.short for column in columns)
    rows.append((MEAN if short else RECOMPUTED, *(column.recomputed for column in columns)))
    said = (*notes, SHORT) if short else tuple(notes)
    return Table(heading, ("", *(column.head for column in columns)), tuple(rows), said)


def labelled(scored: Scored | None) -> dict[str, int]:
    return {} if scored is None else {name: scored.pooled[name].n for name in paper.ROWS}


def _folds_note(results: Results) -> str:
    parts = []
    for protocol, words in PROTOCOLS.items():
        planned, done = results.plan.of(protocol, ARM), results.done(protocol, ARM)
        if planned:
            parts.append(f"{words}: {len(done)} of {len(planned)} planned folds done")
    return "; ".join(parts) + "."


OURS = (
    "Ours: mean ± standard deviation over the folds that hold a cell of the type; after the semicolon all cells "
    "together with their 95 % interval (Wilson over cells by type; slides redrawn for the mean)."
)
AVERAGES = (
    "The paper's printed averages are over different rows: 0.905 over 13 (erythroblasts pooled), 0.842 over 17 (pooled "
    "and single); 0.878 and 0.750 match no mean of their rows. The last row is the unweighted mean over the 16 types, "
    "recomputed from the printed rows (0.910, 0.853, 0.821, 0.833) and measured for ours."
)
ACCURACY = (
    "Accuracy is (TP + TN) / all: nearly every cell is a true negative of each type, so it is near 0.98 whatever a "
    "model does. It stands here because the paper prints it."
)


def table_1(results: Results) -> list[Table]:
    """First cohort: tile-wise folds and left-out slides, with the methods that the paper compares with."""
    tables = []
    for m in MEASURES:
        tile = results.scored("tile", ARM)
        columns = [
            of_cells("cells, paper", _with_pooled(paper.FIRST_CELLS)),
            of_cells("cells, ours", labelled(tile)),
            of_paper("Chandradevan 2019", "chandradevan", m),
            of_paper("Yu 2019", "yu", m),
            of_paper("paper, tile-wise", "tile-wise", m),
            of_ours("ours, tile-wise", tile, m),
            of_ours("plain, tile-wise", results.scored("tile", "plain"), m),
            of_paper("paper, leave-one-out", "leave-one-out", m),
            of_ours("ours, leave-one-out", results.scored("slide", ARM), m),
        ]
        if results.plan.of("patient", ARM):
            columns.append(of_ours("ours, patient-wise", results.scored("patient", ARM), m))
        notes = [OURS, AVERAGES, _folds_note(results)] if m == "recall" else [ACCURACY]
        notes.append(
            "Chandradevan and Yu: small pictures, regions chosen by hand, other data, as the paper quotes them."
        )
        tables.append(by_type(f"Table 1, {m}: first cohort", columns, notes))
    return tables


def table_2(results: Results) -> list[Table]:
    """Second cohort by the best fold's model, and by the models of all folds."""
    tables = []
    for m in MEASURES:
        best = results.of_best("tile", ARM)
        columns = [
            of_cells("cells, paper", paper.SECOND_CELLS),
            of_cells("cells, ours", labelled(best)),
            of_paper("paper, tile-wise model", "second tile-wise", m),
            of_ours("ours, best tile-wise model", best, m),
            of_ours("ours, all tile-wise models", results.scored("tile", ARM, second=True), m),
            of_ours("plain, best tile-wise model", results.of_best("tile", "plain"), m),
            of_paper("paper, left-out model", "second leave-one-out", m),
            of_ours("ours, best left-out model", results.of_best("slide", ARM), m),
        ]
        notes = [
            (
                "The best model is the one with the highest macro recall on its own held-out tiles; the second cohort "
                "chooses nothing. With all models together every cell is seen once by each, so that brackets (over "
                "cells) are too narrow there."
            ),
            AVERAGES if m == "recall" else ACCURACY,
        ]
        tables.append(by_type(f"Table 2, {m}: second cohort", columns, notes))
    return tables


def table_3(results: Results) -> list[Table]:
    """Slides with a disease only."""
    tables = []
    for m in MEASURES:
        columns = [
            of_paper("paper, first, tile-wise", "diseased first tile-wise", m),
            of_ours("ours, first, tile-wise", results.scored("tile", ARM, diseased=True), m),
            of_paper("paper, first, leave-one-out", "diseased first leave-one-out", m),
            of_ours("ours, first, leave-one-out", results.scored("slide", ARM, diseased=True), m),
            of_paper("paper, second, tile-wise", "diseased second tile-wise", m),
            of_ours("ours, second, best tile-wise", results.of_best("tile", ARM, diseased=True), m),
            of_paper("paper, second, leave-one-out", "diseased second leave-one-out", m),
            of_ours("ours, second, best left-out", results.of_best("slide", ARM, diseased=True), m),
        ]
        notes = ["Slides whose diagnosis is not normal.", OURS if m == "recall" else ACCURACY]
        tables.append(by_type(f"Table 3, {m}: slides with a disease", columns, notes))
    return tables


def _with_pooled(counts: Mapping[str, int]) -> dict[str, int]:
    single = {name: n for name, n in counts.items() if name in paper.ROWS}
    stages = (name for name in single if CELL_TYPES[name].parent == paper.POOLED)
    return {**single, paper.POOLED: sum(single[name] for name in stages)}
