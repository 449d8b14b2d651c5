"""What the interface answers, as plain JSON values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from marrowscope.differential.result import Differential
from marrowscope.review.api.columns import state_bits, type_codes
from marrowscope.review.case import ADJUDICATED, CaseState
from marrowscope.review.chain import Entry
from marrowscope.review.contents import earlier_version
from marrowscope.review.reading import Reading
from marrowscope.review.reviewed import Looked
from marrowscope.review.settling import calls
from marrowscope.review.workstation import Done, Workstation
from marrowscope.taxonomy import CELL_TYPES

KEYS: dict[str, str] = {
    "blast": "b",
    "promyelocyte": "p",
    "myelocyte": "y",
    "metamyelocyte": "t",
    "band_neutrophil": "n",
    "segmented_neutrophil": "s",
    "eosinophil": "e",
    "basophil": "a",
    "mast_cell": "q",
    "promonocyte": "o",
    "monocyte": "m",
    "erythroblast": "r",
    "proerythroblast": "1",
    "basophilic_erythroblast": "2",
    "polychromatic_erythroblast": "3",
    "orthochromatic_erythroblast": "4",
    "lymphocyte": "l",
    "plasma_cell": "c",
    "megakaryocyte": "k",
    "mitotic_cell": "i",
    "smudge": "u",
    "artefact": "x",
    "other": "0",
}
"""The key that gives the selected cells a type; rare types have none and are dragged to."""


def types_view() -> list[dict[str, Any]]:
    """All types: the code of a cell is the place in this list."""
    return [
        {
            "name": cell_type.name,
            "title": cell_type.title,
            "lineage": cell_type.lineage.value,
            "counted": cell_type.counted,
            "colour": cell_type.colour,
            "key": KEYS.get(cell_type.name),
        }
        for cell_type in CELL_TYPES.values()
    ]


def entry_view(entry: Entry) -> dict[str, Any]:
    """One row of the log."""
    return {
        "n": entry.n,
        "at": entry.at,
        "actor": entry.actor,
        "reading": entry.reading,
        "kind": entry.kind,
        "payload": {name: value for name, value in entry.content.items() if name != "key"},
        "hash": entry.hash,
    }


def change_view(done: Done, reading: Reading | None) -> dict[str, Any]:
    """An edit, with what the cells that it changed are now."""
    cells = []
    for slide, rows in done.touched.items() if reading is not None else ():
        state = reading.slides[slide] if reading is not None else None
        assert state is not None
        cells.append(
            {
                "slide": slide,
                "rows": rows.tolist(),
                "types": type_codes(state, rows).tolist(),
                "states": state_bits(state, rows).tolist(),
                "boxes": state.boxes[rows].round(2).tolist() if done.entry.kind not in _KEEP_BOXES else None,
            }
        )
    entry = done.entry
    return {
        "n": entry.n,
        "at": entry.at,
        "actor": entry.actor,
        "reading": entry.reading,
        "kind": entry.kind,
        "hash": entry.hash,
        "cells": cells,
    }


_KEEP_BOXES = frozenset({"retype", "confirm", "delete"})
"""Kinds of edits after which every box is where it was."""


def differential_view(differential: Differential) -> dict[str, Any]:
    """The differential, for the panel beside the cells."""
    return differential.model_dump(mode="json", exclude={"corrected", "convention"})


def looked_view(done: Looked) -> dict[str, int]:
    """What people did to the cells."""
    return {name: getattr(done, name) for name in Looked.__slots__}


def case_view(state: CaseState, workstation: Workstation, actor: str) -> dict[str, Any]:
    """Everything about a case but its cells and pixels."""
    readings = [name for name in state.readings if workstation.may_see(state, name, actor)]
    return {
        "case": state.number,
        "title": state.title,
        "status": state.status,
        "version": state.version,
        "amending": state.amending,
        "n": state.n,
        "hash": state.hash,
        "slides": [
            {
                "slide": slide.number,
                "label": slide.label,
                "pack": f"{slide.pack} {slide.pack_version}",
                "cells": slide.cells,
            }
            for slide in state.slides
        ],
        "readings": readings,
        "observers": list(state.observers),
        "finished": sorted(state.finished),
        "final": state.final,
        "words": dict(state.words),
        "earlier_version": earlier_version(workstation, state),
        "signed": [
            {
                "version": signed.version,
                "at": signed.at,
                "actor": signed.actor,
                "reason": signed.reason,
                **_public(signed.content),
            }
            for signed in state.signed
        ],
    }


def settling_view(state: CaseState, slide: int, cell: int) -> dict[str, Any]:
    """Of a cell of the adjudicated reading: who called it what, and the word that waits for another's."""
    proposal = state.readings[ADJUDICATED].proposal(slide, cell)
    return {
        "calls": [asdict(call) for call in calls(state, slide, cell)],
        "proposal": entry_view(proposal) if proposal else None,
    }


def _public(content: dict[str, Any]) -> dict[str, Any]:
    return {name: content[name] for name in ("name", "role", "files", "passed_over", "left_out") if name in content}
