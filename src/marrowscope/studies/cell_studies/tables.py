"""What every study of single cells should print: scores with intervals, by class, cost, and pairs of networks.

Where a network was trained several times with other seeds, a number is mean ± standard deviation over the seeds and,
after a semicolon, that of the first seed with its 95 % interval over cells (or patients).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan

import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import how_many
from marrowscope.evaluation.cell_scores import McNemar, holm, mcnemar
from marrowscope.evaluation.classification import LEAST_ERRORS, TEMPERATURES, at_bound
from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.redrawing import Estimate
from marrowscope.studies.cell_studies.finished import Entry, FinishedJob, start_words
from marrowscope.studies.cell_studies.plots import p_value
from marrowscope.studies.numbers import NOTHING, figure, over_folds, with_interval
from marrowscope.studies.page import Table

SEEDS = "Several seeds: mean ± standard deviation over them; after a semicolon the first seed with its 95 % interval."
INTERVALS = (
    "Brackets are 95 % intervals: Wilson for proportions, bootstrap over {units} for F1, balanced accuracy and ECE, "
    "DeLong for AUC. Intervals over cells take them as independent, which cells of one patient are not."
)
ELEMENT_WISE = (
    "Element-wise: each of the k outputs of a cell is judged alone, yes above 0.5, as Keras's binary accuracy does. Of "
    "the k answers k - 1 are rightly no whatever the cell is, so that a network which never says yes already has "
    "(k - 1) / k. Where a cell is called wrong one output is missed and mostly one more is false: about "
    "1 - 2 (1 - top-1) / k."
)


def as_estimate(share: Proportion) -> Estimate:
    """A proportion with its Wilson interval in the form of the other numbers."""
    low, high = share.interval if share.total else (nan, nan)
    return Estimate(share.value, low, high, share.total, share.total)


def told(entry: Entry, read: Callable[[FinishedJob], Estimate | Proportion]) -> str:
    """A number of an entry with its interval and, of several seeds, their spread."""

    def of(job: FinishedJob) -> Estimate:
        found = read(job)
        return as_estimate(found) if isinstance(found, Proportion) else found

    return over_folds(entry.over_seeds(lambda job: of(job).value), of(entry.first))


def plain(entry: Entry, read: Callable[[FinishedJob], float], digits: int = 3) -> str:
    """A number without an interval: mean, and ± over several seeds."""
    found = entry.over_seeds(read)
    return figure(found.mean, digits) + ("" if found.folds < 2 else f" ± {figure(found.sd, digits)}")


def brief(entry: Entry, read: Callable[[FinishedJob], Estimate | Proportion]) -> str:
    """A number with its interval, or the mean ± standard deviation over several seeds: for tables with many columns."""
    return told(entry, read) if len(entry.jobs) < 2 else plain(entry, lambda job: read(job).value)


def how_to_read(entries: Sequence[Entry]) -> tuple[str, ...]:
    """What brackets are, and what several seeds look like where there are several."""
    units = "patients" if any(entry.first.test.patients for entry in entries) else "cells"
    seeds = (SEEDS,) if any(len(entry.jobs) > 1 for entry in entries) else ()
    return (INTERVALS.format(units=units), *seeds)


def scores_table(entries: Sequence[Entry], title: str, notes: Sequence[str] = ()) -> Table:
    """One row a network on its test cells: top-1, element-wise, macro F1, balanced accuracy, AUC and calibration."""
    head = (
        *("Network", "start", "test cells", "top-1", "macro F1", "balanced accuracy", "macro AUC"),
        *("ECE", "ECE, with temperature", "temperature"),
    )
    rows = []
    for entry in entries:
        scores = entry.first.scores
        after = scores.after is not None
        rows.append(
            (
                entry.label,
                start_words(entry.first.start),
                f"{scores.n:,}",
                told(entry, lambda job: job.scores.top1),
                told(entry, lambda job: job.scores.macro_f1),
                told(entry, lambda job: job.scores.balanced_accuracy),
                plain(entry, lambda job: job.scores.macro_auc),
                told(entry, lambda job: job.scores.before.error),
                told(entry, _error_after) if after else NOTHING,
                plain(entry, _temperature, 2) if after else NOTHING,
            )
        )
    calibration = (
        "ECE: expected calibration error over 15 bins of the largest output; its bootstrap leans upwards. The "
        "temperature is fitted on the validation cells, never on these."
    )
    found = [_temperature(job) for entry in entries for job in entry.jobs]
    if any(at_bound(temperature) for temperature in found):
        low, high = TEMPERATURES
        calibration += f" One of {low:g} or {high:g} ended at the bound of its search and is no measurement."
    if 1 in found:
        calibration += f" It stays at 1 where fewer than {LEAST_ERRORS} validation cells were wrong and asked for less."
    return Table(title, head, tuple(rows), (*notes, calibration))


def _error_after(job: FinishedJob) -> Estimate:
    after = job.scores.after
    return after.error if after is not None else Estimate(nan, nan, nan, 0, 0)


def _temperature(job: FinishedJob) -> float:
    after = job.scores.after
    return after.temperature if after is not None else nan


def two_accuracies_table(entries: Sequence[Entry], title: str) -> Table:
    """Top-1 and element-wise accuracy side by side, with what saying nothing would get."""
    rows = []
    for entry in entries:
        top1, alone = entry.first.scores.top1, entry.first.scores.element_wise
        k = len(entry.first.classes)
        rows.append(
            (
                entry.label,
                str(k),
                brief(entry, lambda job: job.scores.top1),
                brief(entry, lambda job: job.scores.element_wise.accuracy),
                figure(1 - 2 * (1 - top1.value) / k),
                figure(alone.silent),
                brief(entry, lambda job: job.scores.element_wise.precision),
                brief(entry, lambda job: job.scores.element_wise.recall),
            )
        )
    head = ("Network", "k", "top-1", "element-wise", "1 - 2 (1 - top-1) / k", "never yes", "precision", "recall")
    note = "Precision and recall are those of all outputs together above 0.5. Intervals of element-wise figures take "
    return Table(title, head, tuple(rows), (ELEMENT_WISE, note + "outputs as independent and are too narrow."))


def classes_table(entry: Entry, title: str) -> Table:
    """Every class of one network (its first seed) against the rest."""
    job, rows = entry.first, []
    for row in job.scores.per_class:
        shares = (row.precision, row.recall)
        rows.append(
            (
                job.title(row.name),
                f"{row.support:,}",
                *(with_interval(as_estimate(share)) for share in shares),
                with_interval(row.f1),
                with_interval(as_estimate(row.specificity)),
                with_interval(row.auc),
                with_interval(as_estimate(row.misclassification)),
            )
        )
    scores = job.scores
    count = len(scores.classes)
    mean = (
        *("Mean over the classes", f"{scores.n:,}"),
        *(_mean([getattr(row, name).value for row in scores.per_class]) for name in ("precision", "recall")),
        with_interval(scores.macro_f1),
        *(_mean([getattr(row, name).value for row in scores.per_class]) for name in ("specificity", "auc")),
        figure(sum(row.misclassification.value for row in scores.per_class) / count),
    )
    head = ("", "test cells", "precision", "recall", "F1", "specificity", "AUC", "misclassification")
    few = [job.title(row.name) for row in scores.per_class if 0 < row.support < 30]
    notes = ["Misclassification: false positives and false negatives of the class as a share of all test cells."]
    if few:
        notes.append(f"Fewer than 30 test cells, read the interval and not the number: {', '.join(few)}.")
    return Table(title, head, (*rows, mean), tuple(notes))


def _mean(values: Sequence[float]) -> str:
    known = [value for value in values if not np.isnan(value)]
    return figure(float(np.mean(known))) if known else NOTHING


def cost_table(entries: Sequence[Entry], title: str) -> Table:
    """What each network took: parameters, arithmetic, time, speed, memory, energy; means over the seeds."""
    rows = []
    for entry in entries:
        job = entry.first
        learnt, every = job.parameters
        rows.append(
            (
                entry.label,
                figure(every / 1e6, 2),
                figure(learnt / 1e6, 2),
                figure(job.number("flops") / 1e9, 2),
                str(len(job.history)),
                plain(entry, lambda job: job.number("seconds") / 60, 1),
                plain(entry, lambda job: job.number("images_per_second"), 0),
                plain(entry, lambda job: 100 * job.number("feed_share"), 1),
                plain(entry, lambda job: 100 * job.number("views_share"), 1),
                plain(entry, lambda job: job.peak_memory, 0),
                _significant(entry.over_seeds(lambda job: 1000 * job.energy[0]).mean),
                figure(entry.first.scores.macro_f1.value),
            )
        )
    head = (
        *("Network", "parameters, millions", "learnt, millions", "GFLOP a picture", "epochs", "training, minutes"),
        *(
            "pictures a second",
            "feed, % of the time",
            "views, % of the time",
            "peak memory, MB",
            "energy, Wh",
            "macro F1",
        ),
    )
    hows = sorted({how for entry in entries for job in entry.jobs if (how := job.energy[1])})
    where = sorted({str(job.facts["device"]) for entry in entries for job in entry.jobs if job.facts.get("device")})
    notes = [
        (
            "GFLOP: a multiplication and an addition are two. Feed and views: the shares of the training time in which "
            "the network waited for a batch, and in which its pictures were augmented. Memory: of the GPU where there "
            "is one, else of the process."
        ),
        *([f"Energy: {'; '.join(hows)}."] if hows else []),
        *([f"Measured on: {'; '.join(where)}."] if where else []),
    ]
    return Table(title, head, tuple(rows), tuple(notes))


def _significant(value: float) -> str:
    return NOTHING if np.isnan(value) else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Every pair of networks on the same test cells: ``tests[row, column]`` for row < column, first seeds.

    ``gain (m, m)`` is the share of cells that the row alone has right minus that of the column alone, in percentage
    points; ``p (m, m)`` is adjusted by Holm; both nan on the diagonal. ``arm`` is that of a study with several.
    """

    labels: tuple[str, ...]
    tests: dict[tuple[int, int], McNemar]
    gain: NDArray[np.float64]
    p: NDArray[np.float64]
    n: int
    arm: str


def compare(entries: Sequence[Entry]) -> list[Pairs]:
    """McNemar's exact test between the networks of each set of test cells that two or more of them share."""
    groups: list[list[Entry]] = []
    for entry in entries:
        mine = next((group for group in groups if _same_cells(group[0].first, entry.first)), None)
        if mine is None:
            groups.append([entry])
        else:
            mine.append(entry)
    return [_pairs(group) for group in groups if len(group) > 1]


def _pairs(entries: Sequence[Entry]) -> Pairs:
    reference = entries[0].first
    labels = reference.test.labels[np.argsort(reference.test.rows)]
    called = [entry.first.test.called[np.argsort(entry.first.test.rows)] for entry in entries]
    n, m = len(labels), len(entries)
    between = list(combinations(range(m), 2))
    tests = {(a, b): mcnemar(labels, called[a], called[b]) for a, b in between}
    gain, p = np.full((m, m), np.nan), np.full((m, m), np.nan)
    for (a, b), value in zip(between, holm([tests[pair].p for pair in between]), strict=True):
        more = 100 * (tests[a, b].only_first - tests[a, b].only_second) / n
        gain[a, b], gain[b, a] = more, -more
        p[a, b] = p[b, a] = value
    arms = {entry.first.arm for entry in entries}
    arm = reference.arm if len(arms) == 1 else ""
    return Pairs(tuple(entry.label for entry in entries), tests, gain, p, n, arm)


def _same_cells(one: FinishedJob, other: FinishedJob) -> bool:
    a, b = one.test, other.test
    if len(a) != len(b) or one.classes != other.classes or sorted(a.files) != sorted(b.files):
        return False
    first, second = np.argsort(a.rows), np.argsort(b.rows)
    return bool((a.rows[first] == b.rows[second]).all() and (a.labels[first] == b.labels[second]).all())


def pairs_table(pairs: Pairs, title: str) -> Table:
    """``12 : 30, p 0.04``: cells that only the row, only the column called right, and the adjusted p."""
    rows = []
    for row, label in enumerate(pairs.labels):
        cells = []
        for column in range(len(pairs.labels)):
            if row == column:
                cells.append(NOTHING)
                continue
            test = pairs.tests[min(row, column), max(row, column)]
            mine, theirs = (test.only_first, test.only_second) if row < column else (test.only_second, test.only_first)
            cells.append(f"{mine} : {theirs}, p {p_value(float(pairs.p[row, column]))}")
        rows.append((label, *cells))
    note = (
        f"{pairs.n:,} test cells, the same for all. Cells that the network of the row alone called right, against "
        "those that the network of the column alone called right; p of McNemar's exact test, adjusted by Holm for "
        f"{how_many(len(pairs.tests), 'pair')}. First seeds."
    )
    return Table(title, ("Right alone", *pairs.labels), tuple(rows), (note,))
