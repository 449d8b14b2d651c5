"""The verification of a pack laid out for print: words, tables and plots of ``verification.html``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from markupsafe import Markup

from marrowscope.evaluation.by_type import TypeScores
from marrowscope.evaluation.calls import NEIGHBOURING_STAGES, Confusion
from marrowscope.evaluation.differential_error import DifferentialError
from marrowscope.evaluation.judging import JudgedSlide
from marrowscope.evaluation.redrawing import Estimate, in_digits
from marrowscope.evaluation.summary import Summary
from marrowscope.report.agreement_plot import agreement_plot
from marrowscope.report.verification_words import (
    NONE,
    SLIDES_FOR_PLOTS,
    as_ratio,
    error_notes,
    in_hundred,
    limits_of,
    several,
    share_words,
    signed,
    slide_notes,
    spread_words,
    time_words,
    title_of,
    type_notes,
    value_words,
)
from marrowscope.report.verified import Verification, VerifiedSlide
from marrowscope.report.view import FactView, FigureView, printable, tidy, whole


@dataclass(frozen=True, slots=True)
class TypeView:
    """One row by type; ``why`` stands in the place of the numbers of a type that is not assessable."""

    title: str
    n: str
    why: str | None
    recall: str
    tolerant: str
    precision: str
    f1: str
    accuracy: str
    ap50: str
    ap50_95: str
    pooled: bool


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """``share`` of its row in 0..1 for the shade; ``kind`` is right, near or empty."""

    count: str
    share: float
    kind: str
    dark: bool


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    title: str
    n: str
    cells: tuple[ConfusionCell, ...]


@dataclass(frozen=True, slots=True)
class ErrorView:
    """One row of the error of the differential, percentage points."""

    title: str
    n: str
    bias: str
    absolute: str
    rmse: str
    limits: str
    inside: str


@dataclass(frozen=True, slots=True)
class VerificationPage:
    """The parts of the page in the order in which they stand."""

    title: str
    subject: str
    banner: str
    figures: tuple[FigureView, ...]
    facts: tuple[FactView, ...]
    slides: tuple[tuple[str, ...], ...]
    slide_notes: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    types: tuple[TypeView, ...]
    means: TypeView
    type_notes: tuple[str, ...]
    columns: tuple[str, ...]
    confusion: tuple[ConfusionRow, ...]
    errors: tuple[ErrorView, ...]
    error_notes: tuple[str, ...]
    plots: tuple[tuple[str, Markup], ...]
    limits: tuple[str, ...]
    criteria: tuple[tuple[str, str], ...]
    program: str


_SWITCH = {"True": "yes", "False": "no"}


def verification_page(content: Verification) -> VerificationPage:
    """Word, tabulate and draw everything that a verification shows."""
    summary, pack, versions, phantom = content.summary, content.pack, content.versions, content.phantom
    used = content.judged
    program = f"marrowscope {versions.get('marrowscope', '')}"
    on_phantoms = " on phantoms" if phantom else ""
    n_slides = several(len(used), "slide")
    plotted = [error for error in summary.differential if error.n >= SLIDES_FOR_PLOTS]
    return VerificationPage(
        title=f"Verification{on_phantoms}: {pack.name} {pack.version}",
        subject=f"{printable(pack.title)}; {n_slides}, {several(summary.strict.right.total, 'labelled cell')}",
        banner="PHANTOM: generated cells; nothing here says how the pack does on slides of patients" if phantom else "",
        figures=_figures(summary),
        facts=_facts(content),
        slides=tuple(_slide_row(slide, one) for slide, one in zip(used, summary.slides, strict=True)),
        slide_notes=tuple(map(tidy, slide_notes(summary))),
        failed=tuple(
            (printable(slide.name), printable(slide.error)) for slide in content.slides if slide.error is not None
        ),
        types=_types(summary),
        means=_means(summary),
        type_notes=tuple(map(tidy, type_notes(summary))),
        columns=tuple(map(title_of, summary.confusion.columns)),
        confusion=_confusion(summary.confusion),
        errors=tuple(_error(error) for error in summary.differential),
        error_notes=tuple(map(tidy, error_notes(summary))),
        plots=tuple(
            (title_of(error.type), Markup(agreement_plot(error.agreement, title_of(error.type)))) for error in plotted
        ),
        limits=tuple(map(tidy, limits_of(content))),
        criteria=_criteria(summary),
        program=f"{program}, {pack.name} {pack.version}",
    )


def _figures(summary: Summary) -> tuple[FigureView, ...]:
    strict, tolerant = summary.strict, summary.tolerant
    over = f"unweighted over {len(strict.averaged)} types"
    figures = [
        FigureView(
            "Mean recall",
            *value_words(strict.macro_recall, 100),
            f"{over}; tolerant {in_hundred(tolerant.macro_recall)}",
        ),
        FigureView("Mean F1", *value_words(strict.macro_f1, 100), f"{over}; tolerant {in_hundred(tolerant.macro_f1)}"),
        FigureView(
            "Cells called right",
            *value_words(strict.right_redrawn, 100),
            f"of {whole(strict.right.total)}; tolerant {in_hundred(tolerant.right_redrawn)}",
        ),
        FigureView(
            "Cohen's kappa", *value_words(summary.kappa, 1), f"of {whole(summary.kappa.n)} cells that were found"
        ),
    ]
    if summary.detection:
        cells = summary.detection[0]
        figures.append(FigureView("AP50, any type", *value_words(cells.ap50, 1), f"AP50:95 {as_ratio(cells.ap50_95)}"))
    return tuple(figures)


def _facts(content: Verification) -> tuple[FactView, ...]:
    pack, options = content.pack, content.options
    told = {
        "Pack": f"{pack.name} {pack.version}",
        "Its hash": f"SHA-256 {content.pack_sha256}",
        "Trained on": "; ".join(f"{data.name} ({data.n})" for data in pack.training_data),
        "Program": ", ".join(f"{name} {number}" for name, number in content.versions.items()),
        "Options": ", ".join(
            f"{name.replace('_', ' ')} {_SWITCH.get(str(value), value)}"
            for name, value in options.items()
            if value is not None
        ),
        "Made": content.time.strftime("%d %B %Y, %H:%M"),
        "Time": time_words(content.summary.time),
    }
    return tuple(FactView(name, tidy(words)) for name, words in told.items())


def _slide_row(slide: VerifiedSlide, judged: JudgedSlide) -> tuple[str, ...]:
    return (
        printable(slide.name),
        printable(slide.labels or NONE),
        "every cell" if judged.complete else "some cells",
        whole(judged.asked + judged.outside + judged.border),
        whole(judged.met),
        whole(judged.missed),
        whole(judged.outside + judged.border),
        whole(slide.counted),
        whole(judged.met),
        whole(judged.unlabelled),
        whole(judged.passed.total),
        f"{slide.seconds:.1f}" if isfinite(slide.seconds) else NONE,
    )


def _types(summary: Summary) -> tuple[TypeView, ...]:
    precisions = {found.type: found for found in summary.detection}
    rows = []
    for row in summary.strict.rows:
        found = precisions.get(row.type)
        rows.append(_type(row, summary.tolerant[row.type], (found.ap50, found.ap50_95) if found else None))
    return tuple(rows)


def _type(row: TypeScores, tolerant: TypeScores, found: tuple[Estimate, Estimate] | None) -> TypeView:
    title = "All erythroblasts" if row.pooled else title_of(row.type)
    return TypeView(
        title=title,
        n=whole(row.n),
        why=f"not assessable: {row.why}" if row.why else None,
        recall=share_words(row.recall),
        tolerant=share_words(tolerant.recall),
        precision=share_words(row.precision),
        f1=in_hundred(row.f1),
        accuracy=share_words(row.accuracy, spread=False),
        ap50=as_ratio(found[0]) if found else NONE,
        ap50_95=as_ratio(found[1], spread=False) if found else NONE,
        pooled=row.pooled,
    )


def _means(summary: Summary) -> TypeView:
    strict, averaged = summary.strict, set(summary.strict.averaged)
    found = [found for found in summary.detection if found.type in averaged and isfinite(found.ap50.value)]

    def mean(values: Iterable[float], digits: int = 2) -> str:
        numbers = list(values)
        return in_digits(sum(numbers) / len(numbers), digits) if numbers else NONE

    rows = [strict[name] for name in strict.averaged]
    return TypeView(
        title=f"Mean over {len(averaged)} types",
        n=whole(sum(row.n for row in rows)),
        why=None,
        recall=in_hundred(strict.macro_recall),
        tolerant=in_hundred(summary.tolerant.macro_recall),
        precision=mean((100 * row.precision.value for row in rows if row.precision.total), 1),
        f1=in_hundred(strict.macro_f1),
        accuracy=mean((100 * row.accuracy.value for row in rows), 1),
        ap50=mean(found.ap50.value for found in found),
        ap50_95=mean(found.ap50_95.value for found in found),
        pooled=False,
    )


def _confusion(found: Confusion) -> tuple[ConfusionRow, ...]:
    rows = []
    for name, counts in zip(found.rows, found.counts, strict=True):
        total = int(counts.sum())
        if not total:
            continue
        cells = []
        for column, count in zip(found.columns, counts.tolist(), strict=True):
            share = count / total
            kind = "right" if column == name else "near" if column in NEIGHBOURING_STAGES.get(name, ()) else ""
            cells.append(ConfusionCell(whole(count) if count else "", round(share, 3), kind, share > 0.45))
        rows.append(ConfusionRow(title_of(name), whole(total), tuple(cells)))
    return tuple(rows)


def _error(error: DifferentialError) -> ErrorView:
    agreement = error.agreement
    limits = NONE
    if error.n >= SLIDES_FOR_PLOTS:
        limits = f"{signed(agreement.lower.value)} to {signed(agreement.upper.value)}"
    inside = f"{error.inside.count} of {error.inside.total}" if error.inside.total else NONE
    return ErrorView(
        title=title_of(error.type),
        n=whole(error.n) if error.n else "not assessable",
        bias=spread_words(agreement.bias, signed, " to "),
        absolute=spread_words(error.mean_absolute, "{:.1f}".format),
        rmse=spread_words(error.rmse, "{:.1f}".format),
        limits=limits,
        inside=inside,
    )


def _criteria(summary: Summary) -> tuple[tuple[str, str], ...]:
    """What a laboratory may set a limit for, with what was found."""
    rows = [
        ("Mean recall over the types, %", in_hundred(summary.strict.macro_recall)),
        ("Mean F1 over the types, %", in_hundred(summary.strict.macro_f1)),
        ("Cells called right, a neighbouring stage accepted, %", in_hundred(summary.tolerant.right_redrawn)),
        ("Cohen's kappa", as_ratio(summary.kappa)),
        ("Labelled cells missed, %", share_words(summary.strict.missed)),
    ]
    if summary.detection:
        rows.append(("AP50, cells of any type", as_ratio(summary.detection[0].ap50)))
    known = [error for error in summary.differential if error.n]
    if known:
        worst = max(known, key=lambda error: abs(error.mean_difference.value))
        found = f"{signed(worst.mean_difference.value)} ({title_of(worst.type).lower()})"
        rows.append(("Largest bias of a type in the differential, points", found))
    return tuple((name, found) for name, found in rows)
