"""Flags on what was counted: is it marrow, is it enough, could it be seen. One flag for each doubt.

ICSH 2008 gives the numbers of cells. The other limits are ours, chosen to be crossed rarely by a good smear, and each
stands here with its reason.
"""

from __future__ import annotations

from math import sqrt

from marrowscope.differential.counted import ERYTHROBLASTS, Counted, percent
from marrowscope.differential.pooling import DIFFERENT_BELOW
from marrowscope.differential.result import Agreement, Flag, Verdict
from marrowscope.regions.finder import SMALL_MM2

LEAST_CELLS = 300
"""ICSH: the fewest cells of a differential."""

PRECISE_CELLS = 500
"""ICSH: cells when a precise percentage of an abnormal type is needed, on at least two smears."""

UNSURE_ABOVE = 0.10
"""Share of unsure cells above which a person should go through them first."""

ANOMALOUS_ABOVE = 0.10
"""Share of anomalous cells above which what was measured on held-out cells says little of these."""

BLURRED_ABOVE = 0.20
"""Share of cells out of focus above which the scan, not the smear, limits the count."""

PRECURSORS_UNDER = 0.20
NEUTROPHILS_FROM = 0.40
"""Few precursors and many mature neutrophils: halfway between healthy marrow (about 45 % precursors, a third mature
neutrophils: Bain 1996) and blood (none, and 40-75 %)."""

PACKED_PER_MM2 = 2 / (sqrt(3) * 0.012**2)
"""Discs of 12 um, side by side and as close as they can lie: about 8,000 per mm2. More cells must lie on each other."""

PRECURSORS = ERYTHROBLASTS | {"blast", "promyelocyte", "myelocyte", "metamyelocyte"}
NEUTROPHILS = frozenset({"band_neutrophil", "segmented_neutrophil"})


def adequacy_flags(counted: Counted, agreement: Agreement | None = None) -> tuple[Flag, ...]:
    """Every doubt about the smear and the number of cells."""
    return (
        *_particles(counted),
        *_enough(counted),
        *_unsure(counted),
        *_anomalous(counted),
        *_focus(counted),
        *_dilution(counted),
        *_thickness(counted),
        *_smears(agreement),
    )


def _flag(
    code: str,
    title: str,
    text: str,
    *,
    verdict: Verdict = "note",
    value: float | None = None,
    limit: float | None = None,
) -> Flag:
    return Flag(code=code, title=title, verdict=verdict, value=value, threshold=limit, text=text)


def why_not_looked(region: str) -> str:
    """Why nobody looked for particles, by the option that said where to count (auto, whole, or a file)."""
    told = {
        "auto": f"the slide is a picture or smaller than {SMALL_MM2:g} mm², and was counted as a whole",
        "whole": "it was asked to count the whole slide (--region whole)",
    }
    return told.get(region, "the region was given in a file (--region)")


def _particles(counted: Counted) -> list[Flag]:
    if counted.particles is None:
        text = f"Particles: nobody looked for them{counted.not_looked and '; '}{counted.not_looked}."
        return [_flag("adequacy-particles", "Particles", text, verdict="not assessable")]
    if counted.particles == 0:
        text = "No particle was found: the smear may not represent the marrow."
        return [_flag("adequacy-particles", "No particle found", text, value=0)]
    return []


def _enough(counted: Counted) -> list[Flag]:
    limit = next((limit for limit in (LEAST_CELLS, PRECISE_CELLS) if counted.n < limit), None)
    if limit is None:
        return []
    needed = "a differential" if limit == LEAST_CELLS else "a precise percentage of an abnormal type, on two smears"
    text = f"{counted.n:,} cells counted: fewer than the {limit} that ICSH asks for {needed}."
    if counted.rule.kind == "sequence":
        text += " Adaptive counting ends when thresholds are decided; the other percentages are less precise."
    return [_flag("adequacy-cells", "Few cells", text, value=counted.n, limit=limit)]


def _unsure(counted: Counted) -> list[Flag]:
    if counted.unsure <= UNSURE_ABOVE * counted.n:
        return []
    share = counted.unsure / counted.n
    text = f"Review: {counted.unsure:,} of {counted.n:,} cells ({percent(share)}) are unsure; look at them first."
    return [_flag("unsure", "Unsure cells", text, value=100 * share, limit=100 * UNSURE_ABOVE)]


def _anomalous(counted: Counted) -> list[Flag]:
    share, anomaly = counted.anomalous, counted.contract.anomaly
    if share <= ANOMALOUS_ABOVE:
        return []
    usual = f" (about {100 * (1 - anomaly.quantile):.2g} % would be usual)" if anomaly else ""
    text = (
        f"{100 * share:.0f} % of the cells are unlike those that the pack was trained on{usual}: another stain, camera "
        "or types that it does not know; percentages are less sure than their intervals say."
    )
    return [_flag("anomalous", "Anomalous cells", text, value=100 * share, limit=100 * ANOMALOUS_ABOVE)]


def _focus(counted: Counted) -> list[Flag]:
    blurred, detected = counted.tally.blurred, counted.tally.detected
    if blurred <= BLURRED_ABOVE * detected:
        return []
    share = blurred / detected
    text = f"Out of focus: {percent(share)} of the cells found. Scan again before relying on maturation stages."
    return [_flag("adequacy-focus", "Out of focus", text, value=100 * share, limit=100 * BLURRED_ABOVE)]


def _dilution(counted: Counted) -> list[Flag]:
    """Blood in the aspirate. With a pack that cannot see every precursor, few precursors prove nothing."""
    code, title = "adequacy-dilution", "Diluted with blood"
    if counted.contract.partial or not counted.sees(*PRECURSORS - {"erythroblast"}, *NEUTROPHILS):
        text = "Dilution with blood is not assessable: the pack cannot see every precursor."
        return [_flag(code, title, text, verdict="not assessable")]
    precursors, neutrophils = counted.count(*PRECURSORS), counted.count(*NEUTROPHILS)
    if precursors >= PRECURSORS_UNDER * counted.n or neutrophils < NEUTROPHILS_FROM * counted.n:
        return []
    text = (
        f"Perhaps diluted with blood: precursors {counted.shown(*PRECURSORS)}, band and segmented neutrophils "
        f"{counted.shown(*NEUTROPHILS)}."
    )
    return [_flag(code, title, text, value=100 * precursors / counted.n, limit=100 * PRECURSORS_UNDER)]


def _thickness(counted: Counted) -> list[Flag]:
    density = counted.nucleated / counted.area_mm2 if counted.area_mm2 > 0 else 0.0
    if density <= PACKED_PER_MM2:
        return []
    text = f"Too thick: {density:,.0f} nucleated cells per mm², more than fit side by side; cells lie on each other."
    return [_flag("adequacy-thickness", "Too thick", text, value=density, limit=PACKED_PER_MM2)]


def _smears(agreement: Agreement | None) -> list[Flag]:
    if agreement is None or agreement.p_value >= DIFFERENT_BELOW:
        return []
    return [_flag("smears-differ", "Smears differ", agreement.text, value=agreement.p_value, limit=DIFFERENT_BELOW)]
