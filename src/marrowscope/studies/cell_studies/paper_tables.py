"""The tables of the four papers in their own form, with the paper's figures beside ours.

``heading`` follows the table's number in its title; a table with one shows only networks that were run. Ours are of
validation cells where the paper's are, and of test cells, which chose nothing, beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from marrowscope.evaluation.cell_scores import CellScores
from marrowscope.evaluation.intervals import Proportion
from marrowscope.studies.cell_studies.finished import Entry, FinishedJob, class_key, title_of
from marrowscope.studies.cell_studies.papers import meem_2023, senthilkumar_2023, shah_2025, veerasagar_2025
from marrowscope.studies.cell_studies.tables import as_estimate, brief, plain
from marrowscope.studies.numbers import NOT_RUN, NOTHING, figure
from marrowscope.studies.page import Table

PAPER, OURS = "paper", "ours"


def by_network(
    entries: Sequence[Entry], printed: Mapping[str, str], *, every: bool = True
) -> list[tuple[str, str, Entry | None]]:
    """Network, its name and its entry: those of the paper in its order, then the others that were run.

    With ``every`` those of the paper that were not run are there too, with None.
    """
    found: list[tuple[str, str, Entry | None]] = []
    for network, name in printed.items():
        mine = [entry for entry in entries if entry.first.network == network]
        found += [(network, name if len(mine) < 2 else entry.label, entry) for entry in mine]
        if not mine and every:
            found.append((network, name, None))
    return found + [
        (entry.first.network, entry.label, entry) for entry in entries if entry.first.network not in printed
    ]


def shah_table_1(entries: Sequence[Entry], heading: str = "") -> Table:
    """Training and validation accuracy."""
    rows = []
    for network, label, entry in by_network(entries, shah_2025.NETWORKS, every=not heading):
        printed = shah_2025.TABLE_1.get(network)
        rows.append(
            (
                label,
                *_beside(None if printed is None else printed[0], entry, lambda e: plain(e, _training_accuracy)),
                *_beside(
                    None if printed is None else printed[1],
                    entry,
                    lambda e: brief(e, lambda job: job.validation_scores.top1),
                ),
                NOT_RUN if entry is None else brief(entry, lambda job: job.scores.top1),
            )
        )
    head = (
        *("Model", "training accuracy, paper", "training accuracy, ours"),
        *("validation accuracy, paper", "validation accuracy, ours", "test accuracy, ours"),
    )
    chosen = any(entry.first.facts["recipe"]["keep"] != "last" for entry in entries)
    which = "The validation cells chose the epoch" if chosen else "The last epoch is kept"
    note = (
        "Ours of training: the epoch that was kept, on augmented cells while the network learns. "
        f"{which}; the test cells chose nothing."
    )
    return Table(f"Table 1{heading}: training and validation accuracy", head, tuple(rows), (note,))


def shah_table_2(entries: Sequence[Entry], heading: str = "", focus: str | None = None) -> Table:
    """Precision, recall and F1 of the hairy cells; of ``focus``, or our rarest class, where the data have none."""
    own = focus or _focus(entries)
    rows = []
    for network, label, entry in by_network(entries, shah_2025.NETWORKS, every=not heading):
        printed = shah_2025.TABLE_3.get(network, {}).get(shah_2025.FOCUS)
        cells: list[str] = []
        for name in ("precision", "recall", "f1"):
            ours = partial(_of, name=own, measure=name)
            cells += _beside(None if printed is None else getattr(printed, name), entry, ours)
        rows.append((label, *cells))
    known = class_key(own) == shah_2025.FOCUS if own else True
    title = entries[0].first.title(own) if entries and own else "hairy cells"
    mine = OURS if known else f"ours ({title})"
    head = ["Model"]
    for name in ("precision", "recall", "F1"):
        head += [f"{name}, {PAPER}", f"{name}, {mine}"]
    notes = []
    if not known:
        notes.append(
            f"The paper's figures are of hairy cells. The data at hand hold none; ours are of their rarest class, "
            f"{title}, and cannot be held against the paper's."
        )
    words = "hairy cells" if known else f"hairy cells in the paper, {title} in ours"
    return Table(f"Table 2{heading}: {words}", tuple(head), tuple(rows), tuple(notes))


def shah_table_3(entries: Sequence[Entry], heading: str = "") -> Table:
    """Precision, recall and F1 of every class by every network, paper / ours."""
    columns = by_network(entries, shah_2025.NETWORKS, every=not heading)
    ours = list(entries[0].first.classes) if entries else []
    by_key = {class_key(name): name for name in ours}
    paired = [(name, by_key.get(class_key(name))) for name in shah_2025.CLASSES]
    known = {class_key(name) for name in shah_2025.CLASSES}
    classes: list[tuple[str | None, str | None]] = [
        *paired,
        *((None, name) for name in ours if class_key(name) not in known),
    ]
    rows = []
    for theirs, mine in classes:
        title = f"{theirs} {_title(theirs)}" if theirs else entries[0].first.title(str(mine))
        for measure in ("precision", "recall", "f1"):
            cells = []
            for network, _, entry in columns:
                row = shah_2025.TABLE_3.get(network, {}).get(theirs or "")
                printed = NOTHING if row is None else f"{getattr(row, measure):.2f}"
                value = NOTHING
                if entry is not None and mine is not None and mine in entry.first.classes:
                    value = figure(entry.over_seeds(partial(_of_job, name=mine, measure=measure)).mean, 2)
                cells.append(f"{printed}\u00a0/\u00a0{value}")
            rows.append((title, "f1-score" if measure == "f1" else measure, *cells))
    impossible = "; ".join(
        f"{name} with {shah_2025.NETWORKS[network]}: {row.f1:.2f} is printed, its precision and recall give "
        f"{2 * row.precision * row.recall / (row.precision + row.recall):.2f}"
        for network, name, row in shah_2025.impossible()
    )
    notes = (
        (
            "Paper (validation cells of the MLL set) / ours (test cells of the data at hand). Intervals of ours are in "
            "the tables by class."
        ),
        f"Cannot be: {impossible}.",
    )
    head = ("Cell type", "Evaluation metric", *(label for _, label, _ in columns))
    return Table(f"Table 3{heading}: all classes, paper / ours", head, tuple(rows), notes)


def meem_table_3(entries: Sequence[Entry], heading: str = "") -> Table:
    """Loss, element-wise accuracy, precision, recall and AUC over all outputs, and the top-1 that they hide."""
    k = len(meem_2023.CLASSES)
    rows: list[tuple[str, ...]] = []
    for part, printed in meem_2023.TABLE_3.items():
        low, high = meem_2023.explained(part).top1
        rows.append(
            (
                f"{part}, paper",
                NOTHING,
                f"{printed.loss:.4f}",
                f"{printed.accuracy:.4f}",
                f"{printed.precision:.4f}",
                f"{printed.recall:.4f}",
                f"{printed.auc:.4f}",
                f"{low:.3f} to {high:.3f} (recomputed)",
                f"{1 - 1 / k:.4f}",
            )
        )
    for entry in entries:
        rows.append(
            (
                f"Training, {entry.label}",
                f"{entry.first.cells('train'):,}",
                plain(entry, lambda job: job.kept("train_loss"), 4),
                *([NOTHING] * 4),
                plain(entry, _training_accuracy, 4),
                figure(1 - 1 / len(entry.first.classes), 4),
            )
        )
        rows += [_meem_row(entry, part, read) for part, read in _PARTS.items()]
    head = ("Set", "cells", "Loss", "Accuracy (element-wise)", "Precision", "Recall", "AUC", "Top-1", "never yes")
    why = meem_2023.explained("Validation")
    notes = (
        (
            f"The paper's accuracy recomputed from its precision and recall over {k} outputs: 1 - "
            f"({why.false_positives:.4f} + {why.false_negatives:.4f}) / {k} = {why.accuracy:.4f}. Its top-1 lies "
            "between the printed recall and what is left if every cell without a yes was still ranked right, provided "
            "that outputs add up to 1."
        ),
        (
            "Never yes: the element-wise accuracy of a network that says no to everything. Loss: mean cross entropy of "
            "the outputs; that of training is the recipe's own loss. Training cells are not named again afterwards, so "
            "that only loss and top-1 of the epoch that was kept are known."
        ),
    )
    return Table(f"Table 3{heading}: evaluation", head, tuple(rows), tuple(notes))


def _meem_row(entry: Entry, part: str, read: Callable[[FinishedJob], CellScores]) -> tuple[str, ...]:
    def alone(measure: str) -> str:
        return plain(entry, lambda job: float(getattr(read(job).element_wise, measure).value), 4)

    return (
        f"{part}, {entry.label}",
        f"{read(entry.first).n:,}",
        plain(entry, lambda job: read(job).before.log_loss, 4),
        *(alone(measure) for measure in ("accuracy", "precision", "recall")),
        plain(entry, lambda job: read(job).element_wise.auc, 4),
        brief(entry, lambda job: read(job).top1),
        figure(read(entry.first).element_wise.silent, 4),
    )


_PARTS: dict[str, Callable[[FinishedJob], CellScores]] = {
    "Validation": lambda job: job.validation_scores,
    "Test": lambda job: job.scores,
}


def senthilkumar_section_4_2(entries: Sequence[Entry], heading: str = "") -> Table:
    """How many cells each part has, the paper's and ours of each arm."""
    arms = {entry.first.arm or entry.first.facts.get("source", OURS): entry.first for entry in entries}
    parts = {"Testing data": "test", "Training data": "train", "Validation data": "val"}
    rows = [
        (words, f"{senthilkumar_2023.CELLS[words]:,}", *(f"{job.cells(part):,}" for job in arms.values()))
        for words, part in parts.items()
    ]
    return Table(f"Section 4.2{heading}: cells", ("Data", PAPER, *arms), tuple(rows), ())


def senthilkumar_section_5_2(entries: Sequence[Entry], heading: str = "") -> Table:
    """Accuracy, precision, F1, misclassification, specificity in percent, and the recall that the paper leaves out."""
    rows = []
    for network, name in senthilkumar_2023.NETWORKS.items():
        run = any(entry.first.network == network for entry in entries)
        if heading and not run:
            continue
        printed = senthilkumar_2023.SECTION_5_2[network]
        numbers = (printed.accuracy, printed.precision, printed.f1, printed.misclassification, printed.specificity)
        rows.append((f"{name}, paper", NOTHING, *(NOTHING if v is None else f"{v:.2f}" for v in numbers), NOTHING))
        rows += [_senthilkumar_row(entry) for entry in entries if entry.first.network == network]
        if not run:
            rows.append((f"{name}, ours", *([NOT_RUN] * 7)))
    rows += [_senthilkumar_row(entry) for entry in entries if entry.first.network not in senthilkumar_2023.NETWORKS]
    notes = ["Ours: percent of the test cells, misclassification 100 - accuracy, so that the figures must agree."]
    for network, name in senthilkumar_2023.NETWORKS.items():
        notes.append(f"{name} in the paper: {', and '.join(senthilkumar_2023.disagreements(network))}.")
    if any(_positive(entry.first) is None for entry in entries):
        notes.append(
            "The data at hand hold no class of ALL cells: precision, F1, specificity and recall of ours are means over "
            "their classes and cannot be held against the paper's."
        )
    head = (
        "Model",
        "test cells",
        "Accuracy (%)",
        "Precision (%)",
        "F1 (%)",
        "Misclassification",
        "Specificity",
        "Recall",
    )
    return Table(f"Section 5.2{heading}: comparison", head, tuple(rows), tuple(notes))


def _positive(job: FinishedJob) -> str | None:
    return next((name for name in job.classes if class_key(name) == senthilkumar_2023.POSITIVE), None)


def _senthilkumar_row(entry: Entry) -> tuple[str, ...]:
    scores, name = entry.first.scores, _positive(entry.first)

    def share(read: Callable[[CellScores], Proportion]) -> str:
        return _percent(entry, lambda job: read(job.scores))

    def of(measure: str) -> str:
        if name is None:
            return plain(entry, lambda job: 100 * _mean_of(job.scores, measure), 1)
        if measure == "f1":
            return plain(entry, lambda job: 100 * job.scores.of(name).f1.value, 1)
        return share(lambda found: getattr(found.of(name), measure))

    return (
        f"{entry.label}, ours",
        f"{scores.n:,}",
        share(lambda found: found.top1),
        of("precision"),
        of("f1"),
        share(lambda found: Proportion(found.top1.total - found.top1.count, found.top1.total)),
        of("specificity"),
        of("recall"),
    )


def veerasagar_accuracies(entries: Sequence[Entry], heading: str = "") -> Table:
    """Training and test accuracy with the interval that the report leaves out."""
    training, test = veerasagar_2025.TRAINING, veerasagar_2025.TEST
    rows: list[tuple[str, ...]] = [
        (
            "EfficientNetB0 or VGG16, paper",
            f"{training.total:,}",
            NOTHING,
            f"{test.total:,}",
            f"{veerasagar_2025.TRAINING_ACCURACY:.2f} ({training.count:,} of {training.total:,})",
            NOTHING,
            f"{veerasagar_2025.TEST_ACCURACY:.2f} ({100 * test.interval[0]:.1f} to {100 * test.interval[1]:.1f})",
            NOTHING,
        )
    ]
    for _, label, entry in by_network(entries, veerasagar_2025.NETWORKS, every=not heading):
        if entry is None:
            rows.append((f"{label}, ours", *([NOT_RUN] * 7)))
            continue
        rows.append(
            (
                f"{label}, ours",
                *(f"{entry.first.cells(part):,}" for part in ("train", "val", "test")),
                plain(entry, lambda job: 100 * _training_accuracy(job), 2),
                _percent(entry, lambda job: job.validation_scores.top1),
                _percent(entry, lambda job: job.scores.top1),
                brief(entry, lambda job: job.scores.macro_f1),
            )
        )
    head = (
        *("Network", "training cells", "validation cells", "test cells", "training accuracy, %"),
        *("validation accuracy, %", "test accuracy, %", "macro F1"),
    )
    note = (
        "The paper prints no interval; that of its test accuracy is worked out from its count. Ours stops early by "
        "validation cells of its own, so that the test cells chose nothing."
    )
    return Table(f"Sections 7.2 and 8.1{heading}: accuracy", head, tuple(rows), (note,))


def _percent(entry: Entry, read: Callable[[FinishedJob], Proportion]) -> str:
    """A share in percent with its interval, or its spread over the seeds."""
    found = entry.over_seeds(lambda job: 100 * read(job).value)
    one = as_estimate(read(entry.first))
    whole = f"{100 * one.value:.1f} ({100 * one.low:.1f} to {100 * one.high:.1f})" if one.n else NOTHING
    return whole if found.folds < 2 else f"{found.mean:.1f} ± {found.sd:.1f}"


def _beside(printed: float | None, entry: Entry | None, ours: Callable[[Entry], str]) -> tuple[str, str]:
    return NOTHING if printed is None else f"{printed:.2f}", NOT_RUN if entry is None else ours(entry)


def _training_accuracy(job: FinishedJob) -> float:
    return job.kept("train_accuracy")


def _focus(entries: Sequence[Entry]) -> str | None:
    """The hairy cells of our data, else the class with the fewest test cells."""
    if not entries:
        return None
    for name in entries[0].first.classes:
        if class_key(name) == shah_2025.FOCUS:
            return name
    occurring = [row for row in entries[0].first.scores.per_class if row.support]
    return min(occurring, key=lambda row: row.support).name


def _of(entry: Entry, name: str | None, measure: str) -> str:
    if name is None or name not in entry.first.classes:
        return NOTHING
    return brief(entry, lambda job: getattr(job.scores.of(name), measure))


def _value(scores: CellScores, name: str, measure: str) -> float:
    return float(getattr(scores.of(name), measure).value)


def _of_job(job: FinishedJob, name: str, measure: str) -> float:
    return _value(job.scores, name, measure)


def _mean_of(scores: CellScores, measure: str) -> float:
    values = [_value(scores, name, measure) for name in scores.classes]
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")


def _title(name: str) -> str:
    return meem_2023.TABLE_1.get(name, title_of(name))
