"""The model card of a pack, written from its contract and from what training measured (Mitchell et al. 2019)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from math import isnan
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from marrowscope.evaluation.classification import class_scores
from marrowscope.evaluation.intervals import Proportion
from marrowscope.packs.contract import PackContract
from marrowscope.packs.metrics import ClassifierMetrics, DetectorMetrics, Evaluation, ModelMetrics, RegionMetrics, Share
from marrowscope.taxonomy import CELL_TYPES


def write_card(
    contract: PackContract,
    limits: Sequence[str],
    detector: DetectorMetrics | str | None,
    classifier: ClassifierMetrics | None,
    *,
    regions: RegionMetrics | None = None,
    elsewhere: Sequence[Evaluation] = (),
    unknown: Sequence[Evaluation] = (),
) -> str:
    """Markdown text of ``card.md``: purpose, classes, data, models, results with 95 % intervals, limits.

    ``detector`` is what training says of it, or the card of the pack that it was taken from.
    ``elsewhere`` are the classifier's results in other laboratories, ``unknown`` those of its anomaly score on types
    that it was not trained on; ``regions`` is what training says of a region model. Without a ``classifier`` the
    detector names types itself.
    """
    measured = None if isinstance(detector, str) else detector, classifier, regions
    parts = (
        _head(contract),
        _data(contract),
        _taken_detector(detector) if isinstance(detector, str) else _detector(detector) if detector else (),
        _types_of_detector(contract) if classifier is None else _classifier(classifier, contract),
        _specimens(contract),
        () if classifier is None else _not_known(classifier, unknown),
        _elsewhere(elsewhere),
        () if regions is None else _regions(regions),
        _limits((*limits, *(limit for metrics in measured if metrics for limit in metrics.limits))),
        ("## Licence", "", f"Models and card: {contract.licence}. The licences of the data stand above."),
    )
    return "\n\n".join(text for part in parts if (text := "\n".join(part))) + "\n"


def _head(contract: PackContract) -> Iterator[str]:
    yield from (f"# {contract.name} {contract.version}: {contract.title}", "")
    yield "**Research use only. Not for diagnosis.**"
    if contract.phantom:
        yield "**Trained on phantoms and measured on phantoms: every number on this page is about phantoms.**"
    yield from ("", "## Purpose", "", contract.intended_use, "", "## What it names", "")
    count = len(contract.classes)
    yield f"{count} class{'' if count == 1 else 'es'}: {', '.join(_spoken(contract, k) for k in contract.classes)}."
    for inner, outer in contract.pooled.items():
        yield f"{CELL_TYPES[inner].title}s are counted among {_spoken(contract, outer)}s."
    if contract.detector is None:
        yield from ("", "It names pictures of single cells (`marrowscope classify`); it finds none and counts none.")
        return
    unseen = _titles(contract.cannot_see) or "nothing of the nucleated differential"
    yield from ("", f'**What it cannot see** (every report says "not assessable", never 0 %): {unseen}.')


def _data(contract: PackContract) -> Iterator[str]:
    yield from ("## Training data", "", "| source | licence | how much | attribution |", "|---|---|---|---|")
    for source in contract.training_data:
        yield f"| {source.name} | {source.licence} | {source.n} | {source.attribution} |"


def _detector(metrics: DetectorMetrics) -> Iterator[str]:
    yield from ("## Detector", "", f"{_sentence(metrics.architecture)} Trained on {metrics.training.rstrip('.')}.", "")
    chosen = f" ({metrics.threshold_chosen})" if metrics.threshold_chosen else ""
    yield (
        f"Input: RGB tiles of {metrics.tile} px at {metrics.spacing:g} um/px with a margin of {metrics.margin} px. "
        f"Detections that score below {metrics.score_threshold:.2f}{chosen} are dropped."
    )
    yield from _measured(metrics)


def _taken_detector(card: str) -> Iterator[str]:
    """What the card of another pack says of its detector."""
    whose = card.partition("\n")[0].removeprefix("# ").partition(":")[0]
    section = card.partition("\n## Detector\n")[2].partition("\n## ")[0].strip()
    yield from ("## Detector", "", f"Taken from the pack {whose}, whose card says of it:", "", section or "nothing.")


def _classifier(metrics: ClassifierMetrics, contract: PackContract) -> Iterator[str]:
    counts = metrics.confusion
    trained = f"Trained on {metrics.n_train:,} cells: {metrics.training_data.rstrip('.')}."
    yield from ("## Cell classifier", "", f"{_sentence(metrics.architecture)} {trained}", "")
    if metrics.spacing is None:
        source = f"whole pictures of single cells, of any scale, resized to {metrics.crop} px"
    else:
        source = f"crops of {metrics.crop} px at {metrics.spacing:g} um/px around the cell's centre"
    how = "not calibrated: temperature" if metrics.certainty_doubt else "calibrated with temperature"
    chosen = "validation data"
    if metrics.validation is not None:
        chosen = f"{metrics.validation.n:,} validation cells, of which {metrics.validation.wrong:,} got a wrong name"
    yield (
        f"Input: RGB {source}. Probabilities are {how} {metrics.temperature:.3f}; a cell whose largest probability is "
        f'below {metrics.unsure_below:.2f} is "unsure". Both were chosen on {chosen}.'
    )
    yield from _measured(metrics)
    yield from (
        "",
        "| class | cells | recall | precision | F1 | most often mistaken for |",
        "|---|---|---|---|---|---|",
    )
    for k, scores in enumerate(class_scores(counts)):
        recall, precision = _proportion(scores.recall), _proportion(scores.precision)
        f1 = "none" if isnan(scores.f1) else f"{scores.f1:.3f}"
        title, mistaken = contract.title_of(metrics.classes[k]), _mistaken(counts[k], k, contract)
        yield f"| {title} | {scores.recall.total:,} | {recall} | {precision} | {f1} | {mistaken} |"
    yield from ("", f"Trained with `{_portable(metrics.command)}`.")


def _types_of_detector(contract: PackContract) -> Iterator[str]:
    """Of a detector that names types itself: what it called the held-out cells that it found."""
    if contract.confusion is None:
        return
    counts = np.array(contract.confusion.counts, dtype=np.int64)
    yield from ("## Types", "")
    yield (
        "The detector names types itself; a cell whose largest probability is below "
        f'{contract.counts_with.unsure_below:.2f} is "unsure". Measured on {contract.confusion.data}.'
    )
    yield ""
    yield from ("| type | n | found ones called right | called right |", "|---|---|---|---|")
    for name, n, right in zip(contract.classes, counts.sum(1), np.diag(counts), strict=True):
        share = _proportion(Proportion(int(right), int(n))) if n else "not measured"
        yield f"| {CELL_TYPES[name].title} | {n} | {right} | {share} |"


def _specimens(contract: PackContract) -> Iterator[str]:
    if not contract.specimens:
        return
    yield from ("## What it expects of a specimen", "")
    yield (
        "Training saw every class equally often. A count weighs the classes by how common they are in the specimen "
        "(Bayes' rule; `--specimen`), a mean over a normal one and six diseases; `any` weighs none. Share expected, "
        "and recall and precision under it on the test split, whose own mix is another:"
    )
    names = list(contract.specimens)
    heads = [f"{name}: {what}" for name in names for what in ("expected", "recall", "precision")]
    yield from ("", f"| class | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|")
    scores = [class_scores(np.array(one.confusion.counts, np.int64)) for one in contract.specimens.values()]
    for k, title in enumerate(contract.title_of(name) for name in contract.classes):
        cells = [
            f"{100 * specimen.prior[k]:.1f} % | {_rounded(of[k].recall)} | {_rounded(of[k].precision)}"
            for specimen, of in zip(contract.specimens.values(), scores, strict=True)
        ]
        yield f"| {title} | {' | '.join(cells)} |"


def _not_known(metrics: ClassifierMetrics, unknown: Sequence[Evaluation]) -> Iterator[str]:
    """The unsure rule with its coverage and accuracy, and the anomaly score."""
    yield from ("## What it does not know", "")
    if metrics.test.unsure:
        yield "Cells called unsure below a certainty, on the test split; the line in bold is the pack's:"
        yield from ("", "| unsure below | cells that keep a name | of those right |", "|---|---|---|")
        for row in metrics.test.unsure:
            bold = "**" if row.below == metrics.unsure_below else ""
            yield f"| {bold}{row.below:.2f}{bold} | {_share(row.named)} | {_share(row.right)} |"
        yield ""
    if metrics.anomaly is None:
        yield "It has no anomaly score: a cell of a type that it does not know may get a name without any warning."
        return
    anomaly = metrics.anomaly
    yield (
        f"Cells are called anomalous when their layers in the network are farther from those of known cells than in "
        f"{anomaly.quantile:.0%} of {anomaly.n_validation:,} validation cells; of the test cells "
        f"{_share(anomaly.above)} are. They stay in the count, and are listed."
    )
    yield from _evaluations(unknown)


def _elsewhere(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    if evaluations:
        yield "## Cells of other laboratories"
        yield from _evaluations(evaluations)


def _regions(metrics: RegionMetrics) -> Iterator[str]:
    yield from ("## Where it counts", "")
    yield f"{_sentence(metrics.architecture)} Trained on {metrics.training.rstrip('.')}."
    yield (
        f"\nInput: an overview of the slide, {metrics.contract.side} px on its longer side. Boxes round particles with "
        f"their trails that score below {metrics.contract.score_threshold:.2f} are dropped; cells are counted where it "
        "is thin and sharp inside them."
    )
    yield from _evaluations(metrics.evaluations)


def _limits(limits: Sequence[str]) -> Iterator[str]:
    yield from ("## Limits", "")
    for limit in limits:
        yield f"- {limit}"
    yield "- Intervals are sampling error over the cells or pictures of one source: another laboratory differs by more."


def _measured(metrics: ModelMetrics) -> Iterator[str]:
    yield from _evaluations(metrics.evaluations)


def _evaluations(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    for evaluation in evaluations:
        yield from ("", f"Measured on {evaluation.data} ({evaluation.n}):", "")
        yield from ("| measure | value | 95 % interval |", "|---|---|---|")
        for measured in evaluation.measured:
            bounds = [bound for bound in (measured.low, measured.high) if bound is not None]
            yield f"| {measured.name} | {measured.value:.3f} | {' to '.join(f'{bound:.3f}' for bound in bounds)} |"
        if evaluation.note:
            yield from ("", evaluation.note)


def _rounded(proportion: Proportion) -> str:
    return f"{proportion.value:.3f}" if proportion.total else "none"


def _proportion(proportion: Proportion) -> str:
    if not proportion.total:
        return "none"
    low, high = proportion.interval
    return f"{proportion.value:.3f} ({low:.3f} to {high:.3f})"


def _share(share: Share) -> str:
    if share.value is None or share.interval is None:
        return "none"
    return f"{share.value:.3f} ({share.interval[0]:.3f} to {share.interval[1]:.3f})"


def _mistaken(row: NDArray[np.int64], k: int, contract: PackContract) -> str:
    wrong = np.where(np.arange(len(row)) == k, 0, row)
    return f"{contract.title_of(contract.classes[int(wrong.argmax())])} ({wrong.max()})" if wrong.any() else ""


def _portable(command: str) -> str:
    """The command with every path cut to its last part: where somebody keeps files is nobody else's affair."""
    return shlex.join(PurePath(word).name if "/" in word or "\\" in word else word for word in shlex.split(command))


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _spoken(contract: PackContract, name: str) -> str:
    """A class within a sentence; a pack's own words are left as they are ("ALL", "HEM")."""
    return contract.title_of(name) if contract.titles or name not in CELL_TYPES else CELL_TYPES[name].title.lower()


def _titles(names: Sequence[str]) -> str:
    return ", ".join(CELL_TYPES[name].title.lower() for name in names)
