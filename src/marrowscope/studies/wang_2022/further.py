"""Tables 4 to 6 of the paper, and what it lacks: the comparison of the arms, AP, the error of the differential."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import nan
from statistics import fmean

import polars as pl

from marrowscope.errors import how_many
from marrowscope.evaluation.calls import TOLERANT_RULE, kappa
from marrowscope.evaluation.redrawing import LEAST, Estimate, spread
from marrowscope.evaluation.timing import time_for_cells
from marrowscope.studies.numbers import NOT_RUN, NOTHING, figure, with_interval, with_spread
from marrowscope.studies.page import Table
from marrowscope.studies.wang_2022 import paper
from marrowscope.studies.wang_2022.evaluate import differentials, fold_gain, macro_gain, precisions
from marrowscope.studies.wang_2022.regions import RegionFold
from marrowscope.studies.wang_2022.results import ARM, Results
from marrowscope.studies.wang_2022.tables import PROTOCOLS, over_types, title
from marrowscope.taxonomy import WANG_2022_TYPES


def arms_table(results: Results) -> Table:
    """Every arm and protocol in one line each: strict and tolerant, on held-out tiles and on the second cohort."""
    rows = []
    for protocol, words in PROTOCOLS.items():
        for arm in results.plan.arms(protocol):
            scored = results.scored(protocol, arm)
            planned = len(results.plan.of(protocol, arm))
            if scored is None:
                rows.append((f"{arm}, {words}", f"0 of {planned}", *[NOT_RUN] * 7))
                continue
            second = results.scored(protocol, arm, second=True)
            rows.append(
                (
                    f"{arm}, {words}",
                    f"{len(results.done(protocol, arm))} of {planned}",
                    f"{scored.pooled.right.total:,}",
                    with_spread(scored.macro_recall),
                    with_interval(scored.pooled.macro_recall),
                    with_interval(scored.tolerant.macro_recall),
                    with_interval(scored.pooled.macro_f1),
                    figure(scored.pooled.missed.value),
                    NOTHING if second is None else with_spread(second.macro_recall),
                )
            )
    head = (
        *("", "folds", "cells", "macro recall, mean ± sd", "macro recall, all cells", "the same, tolerant"),
        *("macro F1, all cells", "missed", "macro recall, second cohort"),
    )
    notes = (
        (
            f"Macro recall is the unweighted mean over the types with a labelled cell ({_types(results)}). Brackets: "
            "95 % intervals, slides redrawn. The second cohort: mean ± sd over the models of the folds."
        ),
        TOLERANT_RULE,
        "Not every cell is labelled: F1 takes its precision among the labelled cells alone.",
    )
    return Table("Comparison of the detectors", head, tuple(rows), notes)


def _types(results: Results) -> str:
    trained, all_types = len(results.plan.trained), len(WANG_2022_TYPES)
    return f"at most {all_types}" if trained == all_types else f"at most {trained}, for no more than these were trained"


def gains_table(results: Results, other: str = "plain") -> Table:
    """Cascade against a plain arm on the folds that both have, and how much of the second-cohort loss comes back."""
    table = _gains_table(results, other)
    if not results.scale.wiring:
        return table
    return replace(table, head=table.head[:-1], rows=tuple(row[:-1] for row in table.rows), notes=(WIRING,))


def _gains_table(results: Results, other: str) -> Table:
    cascade, plain = results.scored("tile", ARM), results.scored("tile", other)
    head = ("", "value (95 % interval)", "wanted")
    heading = f"Cascade against the detector {other}"
    if cascade is None or plain is None:
        return Table(heading, head, (("gain in macro recall", NOT_RUN, ">= 0.03"),))
    mean, low, high, folds = fold_gain(cascade, plain)
    rows = [(f"gain in macro recall, tile-wise, {folds} folds", _interval(mean, low, high), ">= 0.03")]
    if set(cascade.folds) == set(plain.folds):
        rows.append(("the same, all cells, slides redrawn", with_interval(macro_gain(cascade.calls, plain.calls)), ""))
    second = [results.scored("tile", arm, second=True) for arm in (ARM, other)]
    if second[0] is not None and second[1] is not None:
        loss = {
            arm: own.macro_recall.mean - elsewhere.macro_recall.mean
            for arm, own, elsewhere in ((ARM, cascade, second[0]), (other, plain, second[1]))
        }
        same = second[0].folds.keys() == second[1].folds.keys()
        rows += [
            (f"loss on the second cohort, {other}", figure(loss[other]), ""),
            ("loss on the second cohort, cascade", figure(loss[ARM]), ""),
            (
                f"share of the loss of {other} that the cascade does not have",
                figure(1 - loss[ARM] / loss[other] if loss[other] > 0 else nan, 2),
                ">= 0.5",
            ),
            *(
                [
                    (
                        "gain on the second cohort, slides redrawn",
                        with_interval(macro_gain(second[0].calls, second[1].calls)),
                        "",
                    )
                ]
                if same
                else []
            ),
        ]
    notes = (
        (
            "Paired over folds (Student's t; folds share most of their training tiles, so that this interval is a "
            "guide and not a proof) and over slides, which both detectors share; of the second cohort all models of "
            "the folds together. Loss: macro recall on held-out tiles minus that on the second cohort."
        ),
        *((START_NOTE,) if other == "plain" and "plain-start" in results.plan.arms("tile") else ()),
    )
    return Table(heading, head, tuple(rows), notes)


WIRING = "Wiring only, two folds and a tiny network: our figures mean nothing."

START_NOTE = (
    "The plain detector learns from random numbers, the cascade starts from ImageNet as in the paper: what stands here "
    "is the whole recipe. The next table compares with the same start, and is what stages and tricks bring."
)


def table_4(results: Results) -> Table:
    """Regions by object and by slide."""
    found, rows = results.regions, []
    measures = ("recall", "precision", "accuracy", "iou")
    for words, folds in (("object", found and found.objects), ("slide", found and found.slides)):
        printed = paper.REGIONS[words]
        cells = [_printed_region(printed, measure) for measure in measures]
        rows.append((f"paper, by {words}", *cells))
        rows.append((f"ours, by {words}", *(_region(folds or (), measure) for measure in measures)))
    notes = ["Found: IoU > 0.5, of one region by object, of all regions together by slide. Mean ± sd over folds."]
    if found is not None:
        notes.append(found.words)
    return Table("Table 4: particles and cellular trails", ("", *measures[:3], "IoU"), tuple(rows), tuple(notes))


def _printed_region(printed: paper.PrintedRegions, measure: str) -> str:
    sd = {"iou": printed.iou_sd, "recall": printed.recall_sd, "accuracy": printed.recall_sd}.get(measure, 0.0)
    return f"{getattr(printed, measure):.3f} ± {sd:.3f}"


def _region(folds: Sequence[RegionFold], measure: str) -> str:
    return with_spread(spread([getattr(fold, measure) for fold in folds])) if folds else NOT_RUN


def table_5(results: Results) -> Table:
    """Times: the paper's hardware beside ours."""
    job = results.job("time")
    head = ("", *(f"paper: {hardware.accelerator}" for hardware in paper.HARDWARE), "ours")
    if job is None:
        ours, processor, notes = [NOT_RUN] * 5, NOT_RUN, []
    else:
        facts = job["facts"]
        slides, processor = facts["slides"], f"{facts['processor']}, {how_many(facts['threads'], 'thread')}"
        whole = [one["regions_seconds"] + one["cells_seconds"] + one["stitch_seconds"] for one in slides]
        parts = [one["part"] for one in slides]
        fit = time_for_cells([part["cells"] for part in parts], [part["seconds"] for part in parts])
        seconds = with_interval(fit.seconds, 2) if fit.seconds.value > 0 else "needs slides of different sizes"
        ours = [
            f"{fmean(one['transfer_seconds'] for one in slides):.2f}",
            f"{fmean(one['regions_seconds'] for one in slides):.2f}",
            f"{fmean(whole):.2f}",
            seconds + (" (extrapolated)" if fit.extrapolated else ""),
            f"{fmean(one['cells'] for one in slides):,.0f} cells in {fmean(one['tiles'] for one in slides):.0f} tiles",
        ]
        of_slides = how_many(len(slides), "slide")
        notes = [
            f"Ours: {of_slides} of the second cohort, {results.data.words}; they are far smaller than scans.",
            "Slides this small are taken as a whole: the classical finder looks for no regions in them.",
        ]
    xeon, core = paper.HARDWARE
    rows = (
        ("processor", xeon.processor, core.processor, processor),
        ("reading the regions, s", f"{paper.TRANSFER_SECONDS['local disk']:g} (local disk)", NOTHING, ours[0]),
        ("the same from a remote disk, s", f"{paper.TRANSFER_SECONDS['remote NAS']:g}", NOTHING, NOTHING),
        ("finding regions, s", NOTHING, NOTHING, ours[1]),
        ("a slide, without reading, s", f"{xeon.slide_seconds:g}", f"{core.slide_seconds:g}", ours[2]),
        ("500 cells, s", f"{xeon.seconds_500:g}", f"{core.seconds_500:g}", ours[3]),
        ("a slide holds", NOTHING, NOTHING, ours[4]),
    )
    notes.append(
        "500 cells by least squares through seconds against cells, of parts of the slides of many sizes; the model "
        "runs as in a pack, in ONNX Runtime. Chandradevan 2019: "
        f"{paper.CHANDRADEVAN_SECONDS_500:g} s for 500 cells, as the paper quotes it."
    )
    return Table("Table 5: time", head, rows, tuple(notes))


def model_and_observer(results: Results, reader: str) -> pl.DataFrame | None:
    """Labelled cells with the type that the tile-wise held-out models and an observer gave them; phantoms only.

    Columns slide, observer, model. As in the paper at most 2,154 cells, drawn at random (seed 2022).
    """
    scored, readers = results.scored("tile", ARM), results.data.readers
    if scored is None or readers is None:
        return None
    named = scored.cells.drop_nulls("called").join(readers, on="id")
    table = named.select("slide", pl.col(f"reader_{reader}").alias("observer"), pl.col("called").alias("model"))
    wanted = paper.KAPPA["model and observer 1"].cells
    return table.sample(wanted, seed=2022) if table.height > wanted else table


def table_6(results: Results) -> Table:
    """Kappa within and between observers, and of the model with each."""
    found: dict[str, Estimate | None] = dict.fromkeys(paper.KAPPA)
    readings = results.data.readings
    if readings is not None:
        wide = readings.with_columns((pl.col("reader") + "-" + pl.col("occasion").cast(pl.String)).alias("who")).pivot(
            on="who", index=["slide", "cell"], values="type"
        )
        again = [name for name in ("1-2", "2-2") if name in wide.columns]
        once = wide.filter(pl.all_horizontal(pl.col(name).is_null() for name in again)) if again else wide
        for name, one, two, read in (
            ("observer 1, twice", "1-1", "1-2", wide),
            ("observer 2, twice", "2-1", "2-2", wide),
            ("observer 1 and 2", "1-1", "2-1", once),
        ):
            if {one, two} <= set(read.columns) and (both := read.drop_nulls([one, two])).height:
                found[name] = _kappa(both, one, two)
    for reader in ("1", "2"):
        cells = model_and_observer(results, reader)
        if cells is not None and cells.height:
            found[f"model and observer {reader}"] = _kappa(cells, "observer", "model")
    rows = []
    for name, printed in paper.KAPPA.items():
        ours = found[name]
        rows.append(
            (
                name,
                f"{printed.kappa:.3f} ({printed.words})",
                f"{printed.cells:,}",
                NOT_RUN if ours is None else with_interval(ours),
                NOTHING if ours is None else f"{ours.n:,}",
            )
        )
    notes = (
        (
            "Cohen's kappa, unweighted; brackets: 95 % intervals, slides redrawn (cells, with fewer "
            "than five slides). Observers of a phantom are "
            "simulated: their kappa is a property of the data, fixed before any model was trained, and no finding."
        ),
        (
            "Model: held-out tile-wise folds, labelled cells that it found, against what each observer called them "
            "before they agreed. The paper's model was trained on labels of the same observers; so is ours."
        ),
    )
    return Table("Table 6: agreement", ("", "paper", "cells, paper", "ours", "cells, ours"), tuple(rows), notes)


def _kappa(cells: pl.DataFrame, one: str, two: str) -> Estimate:
    """Slides are redrawn, or cells where there are fewer than five slides."""
    slides = cells["slide"].to_list()
    return kappa(cells[one].to_list(), cells[two].to_list(), slides if len(set(slides)) >= 5 else None)


def precision_table(results: Results) -> Table:
    """AP of each type, held-out tiles and second cohort, both arms; what the paper lacks."""
    heading = "Average precision (not in the paper)"
    if results.data.truth is None:
        return Table(heading, ("", "ours"), (("AP50", "needs the whole truth: phantoms only"),))
    columns: dict[str, dict[str | None, tuple[Estimate, Estimate]]] = {}
    for words, second in (("held-out", False), ("second cohort", True)):
        for arm in results.plan.arms("tile"):
            if not results.done("tile", arm):
                continue
            if second:
                best = results.best("tile", arm)
                rows = results.data.rows("second")
                if best is None or not rows:
                    continue
                table = results.detections(best, second=True)
            else:
                table, rows = results.held_out("tile", arm)
            found = precisions(results.data, table, rows)
            columns[f"{arm}, {words}"] = {one.type: (one.ap50, one.ap50_95) for one in found}
    if not columns:
        return Table(heading, ("", "ours"), (("AP50", NOT_RUN),))

    def line(words: str, pick: Callable[[dict[str | None, tuple[Estimate, Estimate]]], str]) -> tuple[str, ...]:
        return (words, *(pick(column) for column in columns.values()))

    def mean(column: dict[str | None, tuple[Estimate, Estimate]], which: int) -> str:
        found = spread([column[name][which].value for name in results.plan.trained if name in column])
        return over_types(figure(found.mean), found.folds)

    def of_type(name: str) -> tuple[str, ...]:
        seen = name in results.plan.trained
        return line(f"{title(name)}, AP50", lambda c: with_interval(c[name][0]) if seen else "not trained")

    rows_ = [
        line("any cell, AP50", lambda c: with_interval(c[None][0])),
        line("any cell, AP50:95", lambda c: with_interval(c[None][1])),
        line("mean of the types, AP50", lambda c: mean(c, 0)),
        line("mean of the types, AP50:95", lambda c: mean(c, 1)),
        *map(of_type, results.classes),
    ]
    notes = (
        (
            "Against every true cell of the tiles, labelled or not; brackets: 95 % intervals, slides redrawn. "
            f"A type with fewer than {LEAST} cells has none. Held-out: all finished tile-wise folds together. Second "
            "cohort: the best fold's model."
        ),
    )
    return Table(heading, ("", *columns), tuple(rows_), notes)


def differential_table(results: Results) -> Table:
    """Error of the differential itself, in percentage points; what the paper lacks."""
    heading, head = (
        "Error of the differential (not in the paper)",
        ("", "bias", "mean absolute error", "limits of agreement"),
    )
    if results.data.truth is None or not results.done("tile", ARM):
        reason = NOT_RUN if results.data.truth is not None else "needs the whole truth: phantoms only"
        return Table(heading, head, (("all types", reason, NOTHING, NOTHING),))
    table, rows = results.held_out("tile", ARM)
    errors, cells = differentials(results.data, table, rows)
    lines = [
        (
            title(one.type),
            with_interval(one.mean_difference, 2),
            with_interval(one.mean_absolute, 2),
            f"{figure(one.agreement.lower.value, 2)} to {figure(one.agreement.upper.value, 2)}",
        )
        for one in errors
    ]
    absolute = fmean(one.mean_absolute.value for one in errors)
    lines.append(("Mean over the types", NOTHING, figure(absolute, 2), NOTHING))
    notes = (
        (
            f"Percentage points of the ICSH differential, counted minus true, over {how_many(errors[0].n, 'slide')} "
            f"({how_many(cells, 'true cell')} in the held-out tiles); a type that a slide lacks counts with 0. "
            "Detections with a score of at least 0.5, no correction for known errors of the classifier."
        ),
    )
    return Table(heading, head, tuple(lines), notes)


def _interval(value: float, low: float, high: float) -> str:
    return with_interval(Estimate(value, low, high, 0, 0))
