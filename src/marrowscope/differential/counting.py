"""From counts to a differential: rows, others, ratios and flags, by the rules of ICSH 2008."""

from __future__ import annotations

from marrowscope.differential.adequacy import adequacy_flags
from marrowscope.differential.correction import correct, withheld
from marrowscope.differential.counted import ERYTHROBLASTS, Counted, listed
from marrowscope.differential.deciding import not_recognised
from marrowscope.differential.flags import percentage_flags
from marrowscope.differential.intervals import odds
from marrowscope.differential.references import ReferenceRanges, load_references
from marrowscope.differential.result import (
    Agreement,
    Convention,
    Differential,
    Flag,
    OtherCount,
    Ratio,
    TypeRow,
)
from marrowscope.differential.stopping import StoppingRule
from marrowscope.differential.tally import Tally
from marrowscope.packs.contract import OPTIONAL_TYPES, PackContract
from marrowscope.taxonomy import CELL_TYPES

MYELOID = (
    "promyelocyte",
    "myelocyte",
    "metamyelocyte",
    "band_neutrophil",
    "segmented_neutrophil",
    "eosinophil",
    "basophil",
    "promonocyte",
    "monocyte",
)
"""The M of M:E, without blasts: which of those are myeloid is the reviewer's word."""


def make_differential(
    tally: Tally,
    contract: PackContract,
    rule: StoppingRule,
    *,
    area_mm2: float,
    fields: int,
    stopped: str,
    particles: int | None = None,
    not_looked: str = "",
    references: ReferenceRanges | None = None,
    agreement: Agreement | None = None,
    notes: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
    not_corrected: str | None = None,
    phantom: bool = False,
) -> Differential:
    """Make the differential of a slide, or of a case whose smears were added up.

    ``area_mm2`` and number of ``fields`` that were counted; ``stopped``: why counting ended, from the ``rule``;
    ``particles`` seen on the slide (None: nobody looked, and ``not_looked`` says why); ``warnings`` are doubts
    about the slide, which become its first flags; ``references`` default to the adult ranges of the package;
    ``not_corrected`` says why there is no corrected differential, whatever the pack knows of its confusions;
    ``phantom``: the slide is generated, whatever the pack was made for.
    Raises ``ValueError`` when cells carry a type that the pack does not have.
    """
    counted = Counted(contract, tally, rule, area_mm2, particles, not_looked)
    references = references or load_references()
    rows = _rows(counted, references)
    return Differential(
        title=_title(contract),
        partial=contract.partial,
        phantom=contract.phantom or phantom,
        total=counted.n,
        detected=counted.nucleated,
        unsure=counted.unsure,
        rows=rows,
        others=_others(counted),
        ratios=_ratios(counted),
        flags=(*map(_warning, warnings), *percentage_flags(counted), *adequacy_flags(counted, agreement)),
        convention=Convention(interval=rule.kind, rule=_convention(rule, stopped)),
        area_mm2=area_mm2,
        fields=fields,
        stopped=stopped,
        agreement=agreement,
        corrected=correct(counted) if not_corrected is None else withheld(contract, not_corrected),
        notes=(*notes, *_notes(counted, rows, references)),
    )


def _warning(text: str) -> Flag:
    """A doubt about the slide itself, ahead of every flag on what was counted on it."""
    return Flag(code="slide", title="Slide", verdict="note", text=text)


def _title(contract: PackContract) -> str:
    if contract.partial:
        return f"Partial differential: classified among {contract.told_apart} types"
    return "Nucleated differential count"


def _rows(counted: Counted, references: ReferenceRanges) -> tuple[TypeRow, ...]:
    """One row for each class that counts and for each type that the pack cannot see, in the order of the taxonomy."""
    contract = counted.contract
    seen = [name for name in CELL_TYPES if name in contract.classes and name in counted.rule.counted]
    rounded = counted.rounded
    rows = []
    for cell_type in CELL_TYPES.values():
        name = cell_type.name
        if name not in seen and name not in contract.cannot_see:
            continue
        named = name in contract.named_by_people
        reference = references.of(name)
        share = counted.share(name) if name in rounded else None
        remarks = [
            None if named else _unrecognised(contract, name),
            _remark(contract, name),
            None if named else reference.remark,
        ]
        rows.append(
            TypeRow(
                type=name,
                title=cell_type.title,
                lineage=cell_type.lineage,
                assessable=name in seen,
                recognised=name in seen and (named or not_recognised(contract, name) is None),
                count=counted.count(name) if name in seen else None,
                percent=100 * share.k / share.n if share else None,
                percent_rounded=rounded.get(name),
                low=100 * share.low if share else None,
                high=100 * share.high if share else None,
                reference_low=None if named else reference.low,
                reference_high=None if named else reference.high,
                note="; ".join(filter(None, remarks)) or None,
            )
        )
    return tuple(rows)


def _unrecognised(contract: PackContract, name: str) -> str | None:
    """That the pack does not know this type, by its own held-out cells; a flag says with how many, where one is."""
    if not_recognised(contract, name) is None or contract.confusion is None:
        return None
    measured = sum(contract.confusion.counts[contract.classes.index(name)])
    return f"not {'recognised' if measured else 'measured'} on held-out cells"


def _remark(contract: PackContract, name: str) -> str | None:
    """What a row's number holds, or where the cells of a row without a number went."""
    if outer := contract.pooled.get(name):
        kind = CELL_TYPES[outer].title.lower()
        if name in contract.classes:
            return f"only those that a person told apart; others are counted as {kind}"
        return f"not told apart, counted as {kind}"
    if name in contract.named_by_people:
        return "at least so many: those that a person named"
    inner = [CELL_TYPES[inner].title.lower() + "s" for inner, outer in contract.pooled.items() if outer == name]
    if inner:
        return f"includes {listed(inner)}"
    if name == "erythroblast":
        apart = [CELL_TYPES[other].title.lower() for other in contract.classes if CELL_TYPES[other].parent == name]
        return f"all stages but {listed(apart)}" if apart else "stages not told apart"
    return None


def _others(counted: Counted) -> tuple[OtherCount, ...]:
    area = counted.area_mm2
    return tuple(
        OtherCount(
            type=name,
            title=CELL_TYPES[name].title,
            count=counted.count(name),
            per_mm2=counted.count(name) / area if name == "megakaryocyte" and area > 0 else None,
        )
        for name in CELL_TYPES
        if name in counted.contract.classes and name not in counted.rule.counted
    )


def _ratios(counted: Counted) -> tuple[Ratio, ...]:
    return (
        _ratio(counted, "M:E ratio, blasts taken as myeloid", ("blast", *MYELOID)),
        _ratio(counted, "M:E ratio without blasts", MYELOID),
    )


def _ratio(counted: Counted, title: str, myeloid: tuple[str, ...]) -> Ratio:
    """M:E with the interval of M / (M + E) turned into odds; withheld where a part of it cannot be seen."""
    contract = counted.contract
    includes = tuple(name for name in myeloid if name in contract.classes)
    m, e = counted.count(*includes), counted.count(*ERYTHROBLASTS)
    # A type that is counted inside another one of its own side changes nothing; neither does a rare one that is unseen.
    missing = [
        CELL_TYPES[name].title.lower()
        for side in (myeloid, sorted(ERYTHROBLASTS - {"erythroblast"}))
        for name in side
        if not counted.sees(name) and contract.pooled.get(name) not in side and name not in OPTIONAL_TYPES
    ]
    withheld = None
    if contract.partial:
        withheld = f"withheld: the differential is partial, classified among {contract.told_apart} types"
    elif missing:
        withheld = f"withheld: the pack cannot tell apart {listed(missing)}"
    elif m + e == 0:
        withheld = "withheld: no myeloid cell and no erythroblast was counted"
    if withheld:
        return Ratio(
            title=title, myeloid=m, erythroid=e, value=None, low=None, high=None, includes=includes, withheld=withheld
        )
    low, high = odds(*counted.rule.interval_of_part(m, m + e))
    return Ratio(title=title, myeloid=m, erythroid=e, value=m / e if e else None, low=low, high=high, includes=includes)


def _convention(rule: StoppingRule, stopped: str) -> str:
    mitoses = "are counted too" if "mitotic_cell" in rule.counted else "are not counted"
    return (
        "Counted: blasts, promyelocytes, myelocytes, metamyelocytes, band and segmented neutrophils, eosinophils, "
        "basophils, mast cells, promonocytes, monocytes, lymphocytes, plasma cells and erythroblasts of all stages; "
        f"mitotic cells {mitoses}. M:E takes monocytes in and is given with and without blasts. {rule.sentence} "
        f"Counting ended: {stopped}."
    )


def _notes(counted: Counted, rows: tuple[TypeRow, ...], references: ReferenceRanges) -> tuple[str, ...]:
    notes = []
    if counted.unsure:
        notes.append(
            f"{counted.unsure:,} of the {counted.n:,} cells are unsure; each is counted under its most probable type, "
            "because leaving them out would favour the types that are easy to tell."
        )
    if counted.contract.certainty_doubt:
        notes.append(counted.contract.certainty_doubt)
    if "megakaryocyte" not in counted.contract.classes:
        notes.append("Megakaryocytes are not assessable with this pack.")
    if any(row.reference_low is not None for row in rows):
        notes.append(references.sentence)
    return tuple(notes)
