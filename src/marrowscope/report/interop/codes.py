"""All codes that leave this program: our own, and the LOINC codes that may stand in their place one day.

A LOINC code is *unchecked* until somebody has held it against the release of LOINC that the laboratory uses: name,
specimen (bone marrow, never blood), method, property, status. Only a checked one is exported; until then the result
goes out under our own code, and the candidate stays in this file. To check one, set ``checked`` and say in ``seen``
against which release.
"""

from __future__ import annotations

from dataclasses import dataclass

from marrowscope.report.signature import COMMENT_FIELDS
from marrowscope.taxonomy import CELL_TYPES

SYSTEM = "urn:oid:2.25.328506564881250039443421771262361858403"
"""Our own code system in FHIR: the object identifier of a UUID (ITU-T X.667), as there is no domain to name."""

SCHEME = "99MARROW"
"""Our own coding scheme in HL7 v2 (table 0396: local schemes begin with 99) and in DICOM (PS3.3, 8.2: the same)."""

LOINC_SYSTEM, LOINC_SCHEME = "http://loinc.org", "LN"


@dataclass(frozen=True, slots=True)
class Loinc:
    """A LOINC code that may fit. ``seen`` tells where its name was read and what does not fit or is not known."""

    code: str
    name: str
    checked: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Code:
    """Our own code for one thing that is reported, its title, and the LOINC candidate where there is one."""

    code: str
    title: str
    loinc: Loinc | None = None

    @property
    def exported_loinc(self) -> Loinc | None:
        """The LOINC code, if it may be exported."""
        return self.loinc if self.loinc is not None and self.loinc.checked else None


_MIRROR = "name, specimen and status read in a public copy of LOINC, not in a release of LOINC itself"
_MANUAL = f"{_MIRROR}; its method is the manual count, which a count by program is not"

CANDIDATES: dict[str, Loinc] = {
    "me-ratio-with-blasts": Loinc(
        "11138-5",
        "Myeloid cells/Erythroid cells [# Ratio] in Bone marrow",
        False,
        f"{_MIRROR}; it does not say whether blasts are in",
    ),
    "erythroblast": Loinc("40689-2", "Erythroid cells/cells in Bone marrow by Manual count", False, _MANUAL),
    "plasma_cell": Loinc("11118-7", "", False, "nowhere; said to be plasma cells per 100 cells in bone marrow"),
    "lymphocyte": Loinc("11108-8", "Lymphocytes/cells in Bone marrow by Manual count", False, _MANUAL),
    "basophil": Loinc("11105-4", "Basophils/cells in Bone marrow by Manual count", False, _MANUAL),
    "eosinophil": Loinc("11152-6", "Eosinophils/cells in Bone marrow", False, _MIRROR),
}
"""LOINC codes that may fit, by our own code. The codes of blood differentials are not among them and never will be."""

_TITLES: dict[str, str] = {
    "differential": "Nucleated differential count of bone marrow",
    "cells-counted": "Cells counted in the differential",
    "count": "Cells of the type",
    "interval-95": "95 % interval",
    "per-mm2": "Cells per square millimetre",
    "myeloid": "Myeloid cells",
    "erythroid": "Erythroid cells",
    "me-ratio-with-blasts": "M:E ratio, blasts taken as myeloid",
    "me-ratio-without-blasts": "M:E ratio without blasts",
    "conclusion": "Conclusion",
    "marrow-smear": "Smear of a bone marrow aspirate",
    "pack": "Models that counted",
    **{f"comment-{name.lower().replace(' ', '-')}": f"Comment: {name}" for name in COMMENT_FIELDS},
    **{name: cell_type.title for name, cell_type in CELL_TYPES.items()},
}

CODES: dict[str, Code] = {name: Code(name, title, CANDIDATES.get(name)) for name, title in _TITLES.items()}
"""Everything that is reported, by our own code; cell types have the names of the taxonomy."""


def comment_code(heading: str) -> Code:
    """The code of a comment under one of the headings of the report."""
    return CODES[f"comment-{heading.lower().replace(' ', '-')}"]
