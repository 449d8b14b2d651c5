"""Quality notes and the method statement: how the numbers came about, so that another laboratory could repeat them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marrowscope.cells.table import FLAGS
from marrowscope.report.content import ReportContent
from marrowscope.report.facts import date_words, spacing_words
from marrowscope.report.view import INTERVALS, NARROW, FactView, percent_words, tidy, whole
from marrowscope.taxonomy import CELL_TYPES

STITCHING = "A cell belongs to the tile whose core holds its centre; boxes that overlap more than IoU {:g} are one cell"

_OPTIONS = ("cells", "region", "specimen", "seed", "count_mitoses")
"""Options that a report repeats."""


def quality_notes(content: ReportContent) -> tuple[str, ...]:
    """Notes from the slide, the overview and the cells, each once; those on the numbers stand beside the table."""
    beside_the_table = set(content.differential.notes)
    notes = [*content.quality, *(note for note in content.finding.notes if note not in beside_the_table)]
    if content.finding.particles:
        number = content.finding.particles
        notes.append(f"{whole(number)} {'particle' if number == 1 else 'particles'} seen on the overview")
    if content.differential.agreement is not None:
        notes.append(content.differential.agreement.text)
    flagged = content.cells.get_column("flags").explode(keep_nulls=False, empty_as_null=False)
    counts = dict(flagged.value_counts().iter_rows())
    notes += [
        f"{whole(counts[flag])} of {whole(len(content.cells))} cells flagged “{flag}”: {meaning}"
        for flag, meaning in FLAGS.items()
        if counts.get(flag)
    ]
    return tuple(dict.fromkeys(_sentence(note) for note in notes))


def _sentence(note: str) -> str:
    note = tidy(note.strip())
    return f"{note[:1].upper()}{note[1:]}" + ("" if note.endswith((".", "!", "?")) else ".")


def method_statement(content: ReportContent) -> tuple[FactView, ...]:
    """Pack, convention, detection, classification, stitching, spacing, versions, options."""
    pack, differential = content.pack, content.differential
    told_apart = tuple(name for name in pack.classes if name not in pack.named_by_people)
    convention, detector, classifier = differential.convention, pack.counts_with, pack.classifier
    facts = [
        FactView("Pack", f"{pack.title} ({pack.name} {pack.version}); licence {pack.licence}"),
        FactView("Pack SHA-256", content.pack_sha256),
        FactView("Intended use", pack.intended_use),
        FactView("Trained on", "; ".join(f"{data.name}, {data.n} ({data.licence})" for data in pack.training_data)),
        FactView(f"Types told apart ({len(told_apart)})", _titles(told_apart)),
    ]
    if pack.named_by_people:
        facts.append(
            FactView("Named by people", _titles(tuple(name for name in CELL_TYPES if name in pack.named_by_people)))
        )
    if pack.pooled:
        pooled = "; ".join(_titles((inner, outer), " within ") for inner, outer in pack.pooled.items())
        facts.append(FactView("Pooled", pooled))
    if pack.cannot_see:
        facts.append(FactView("Not assessable", _titles(pack.cannot_see)))
    interval = f"{percent_words(100 * convention.level)}, {INTERVALS[convention.interval]}"
    facts += [
        FactView("Convention", f"{convention.source}. {_sentence(convention.rule)}"),
        FactView("Intervals", f"{interval}, on {whole(differential.total)} cells; sampling error only"),
        FactView(
            "Detection",
            f"{_um(detector.spacing)}, tiles of {detector.tile}{NARROW}px, margin {detector.margin}{NARROW}px, "
            f"score at least {detector.score_threshold:g}",
        ),
    ]
    if classifier is not None:
        facts.append(
            FactView(
                "Classification",
                f"{_um(pack.cell_pictures[0])}, crops of {classifier.crop}{NARROW}px, "
                f"temperature {classifier.temperature:g}{', not calibrated' if classifier.certainty_doubt else ''}, "
                f"unsure below {classifier.unsure_below:g}",
            )
        )
        if classifier.prior:
            expected = sorted(zip(classifier.prior, pack.classes, strict=True), reverse=True)
            shares = ", ".join(f"{CELL_TYPES[name].title.lower()} {percent_words(100 * p)}" for p, name in expected)
            facts.append(FactView("Types expected before a cell is seen", shares))
    if told := unsure_by_card(content.card):
        facts.append(FactView("Unsure cells, by the pack’s card", told))
    facts.append(FactView("Stitching", STITCHING.format(detector.iou_threshold)))
    if content.case is None:
        facts.append(FactView("Spacing", f"{spacing_words(content)}; slide read with {content.slide.reader}"))
    if options := _options(content.run.get("options")):
        facts.append(FactView("Options", options))
    if isinstance(versions := content.run.get("versions"), Mapping):
        facts.append(FactView("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    if date := date_words(content):
        facts.append(FactView("Date of the count", date))
    return tuple(facts)


def unsure_by_card(card: str) -> str:
    """What the pack's card (Markdown) says of unsure cells: its sentences, not its tables nor what leads to them."""
    lines = (line.lstrip("-*# ") for line in card.splitlines() if not line.startswith("|"))
    paragraphs = "\n".join(lines).split("\n\n")
    whole_sentences = [told for words in paragraphs for told in re.split(r"(?<=[.])\s+", " ".join(words.split()))]
    sentences = [part for told in whole_sentences if not told.endswith(":") for part in re.split(r"(?<=;)\s+", told)]
    told = [tidy(words.rstrip(";").replace("**", "")) for words in sentences if re.search(r"\bunsure\b", words, re.I)]
    return " ".join(_sentence(sentence) for sentence in told)


def program(content: ReportContent) -> str:
    """Name and version of this program, as the run tells it."""
    versions = content.run.get("versions")
    version = versions.get("marrowscope", "") if isinstance(versions, Mapping) else ""
    return f"marrowscope {version}".strip()


def _options(options: Any) -> str:
    """The options that shape a count. Of a region file not even the name is told: it may name a person."""
    if not isinstance(options, Mapping):
        return ""
    told = {name: options[name] for name in _OPTIONS if options.get(name) is not None}
    if told.get("region") not in (None, "auto", "whole"):
        told["region"] = "from a file"
    if options.get("reference_ranges") is not None:
        told["reference_ranges"] = "the laboratory’s own"
    return ", ".join(f"{name.replace('_', ' ')}: {_words(value)}" for name, value in told.items())


def _words(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _um(spacing: float) -> str:
    return f"{spacing:g}{NARROW}µm/px"


def _titles(names: tuple[str, ...], between: str = ", ") -> str:
    titles = [CELL_TYPES[name].title for name in names]
    return between.join([titles[0], *(title.lower() for title in titles[1:])])
