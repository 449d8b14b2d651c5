"""The differential as a value: what ``differential.json`` holds (schema version 1).

Percentages are of the nucleated differential count (NDC); ``low`` and ``high`` are percentages too, of the 95 %
interval named in ``convention``. Raw values are kept at full precision; ``percent_rounded`` adds up to 100.0.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA = 1

Verdict = Literal["above", "below", "not decided", "not assessable", "note"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class TypeRow(_Frozen):
    """One row of the NDC table. A type that the pack cannot see has ``assessable`` False and no numbers."""

    type: str
    title: str
    lineage: str
    assessable: bool
    count: int | None
    percent: float | None
    percent_rounded: float | None
    low: float | None
    high: float | None
    reference_low: float | None = None
    reference_high: float | None = None
    recognised: bool = True
    """False where the pack cannot see the type and no person named it, called fewer than half of its held-out cells
    right, or had none."""
    note: str | None = None
    """For instance "includes promonocytes"."""


class OtherCount(_Frozen):
    """Cells outside the NDC: megakaryocytes (with ``per_mm2``), smudged nuclei, mitotic cells, unsure cells."""

    type: str
    title: str
    count: int
    per_mm2: float | None = None


class Ratio(_Frozen):
    """M:E ratio. ``high`` None means open above (no erythroblast seen); ``withheld`` says why there is no value."""

    title: str
    myeloid: int
    erythroid: int
    value: float | None
    low: float | None
    high: float | None
    includes: tuple[str, ...]
    withheld: str | None = None


class Flag(_Frozen):
    """An advisory flag: value, interval, threshold and verdict; ``text`` is the whole sentence for a reader."""

    code: str
    title: str
    verdict: Verdict
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    count_more: int | None = None
    text: str


class CorrectedRow(_Frozen):
    """One type of the corrected differential, percent; all ``percent_rounded`` add up to 100.0."""

    type: str
    percent: float
    percent_rounded: float
    low: float
    high: float


class Correction(_Frozen):
    """The differential corrected for the pack's own confusions; it stands beside the raw one, never in its place.

    ``low`` and ``high`` of the rows are of a bootstrapped 95 % interval that carries both the sampling error of the
    slide and what is not known of the confusions. Without ``rows``, ``withheld`` says why.
    """

    method: str
    assumption: str
    data: str | None
    """Data and split on which the confusions were counted; None when the pack carries none."""
    rows: tuple[CorrectedRow, ...] = ()
    withheld: str | None = None


class Agreement(_Frozen):
    """Test whether the smears of a case agree (chi-squared on the pooled table, rare types merged)."""

    smears: tuple[str, ...]
    statistic: float
    degrees: int
    p_value: float
    text: str


class Convention(_Frozen):
    """How the numbers were made, printed in every report."""

    interval: Literal["wilson", "sequence"]
    level: float = 0.95
    rule: str
    """The counting rule in one sentence (which types count, what was asked for, why counting stopped)."""
    source: str = "ICSH 2008 (Lee et al.)"


class Differential(_Frozen):
    """One differential of a slide or of a case."""

    schema_version: Literal[1] = 1
    title: str
    """"Nucleated differential count" or "Partial differential: classified among N types"."""
    partial: bool
    phantom: bool
    total: int
    """Cells in the NDC (the denominator)."""
    detected: int
    """Nucleated cells found in the counted fields: all types but platelets and artefacts, which are in ``others``."""
    unsure: int
    rows: tuple[TypeRow, ...]
    others: tuple[OtherCount, ...]
    ratios: tuple[Ratio, ...]
    flags: tuple[Flag, ...]
    convention: Convention
    area_mm2: float
    fields: int
    stopped: str
    """Why counting ended: "500 cells reached", "all regions counted", "blasts 20 % decided", ..."""
    agreement: Agreement | None = None
    corrected: Correction | None = None
    """None only in differentials of earlier versions."""
    notes: tuple[str, ...] = ()


def schema_json() -> str:
    """JSON schema of ``differential.json``, as ``docs/schemas/differential.schema.json`` holds it."""
    return json.dumps(Differential.model_json_schema(mode="serialization"), indent=2) + "\n"
