"""Packs as contracts only: the differential needs no models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from marrowscope.packs.contract import DetectorContract, PackContract
from marrowscope.taxonomy import NDC_TYPES, PBC_TYPES, PHANTOM_TYPES

NORMAL = {
    "blast": 7,
    "promyelocyte": 39,
    "myelocyte": 38,
    "metamyelocyte": 20,
    "band_neutrophil": 100,
    "segmented_neutrophil": 65,
    "eosinophil": 11,
    "basophil": 1,
    "monocyte": 6,
    "proerythroblast": 4,
    "basophilic_erythroblast": 11,
    "polychromatic_erythroblast": 90,
    "orthochromatic_erythroblast": 40,
    "lymphocyte": 65,
    "plasma_cell": 3,
    "megakaryocyte": 4,
    "mitotic_cell": 2,
    "smudge": 9,
    "other": 1,
}
"""500 cells of a healthy adult marrow (Bain 1996), and sixteen that are not in the differential."""


def contract(classes: Sequence[str], pooled: dict[str, str] | None = None, name: str = "test") -> PackContract:
    return PackContract(
        name=name,
        version="1.0.0",
        title="test",
        licence="CC0-1.0",
        intended_use="tests",
        training_data=(),
        classes=tuple(classes),
        pooled=pooled or {},
        detector=DetectorContract(
            file="detector.onnx", sha256="0" * 64, spacing=0.5, tile=512, margin=64, stride=32, score_threshold=0.3
        ),
    )


@pytest.fixture(scope="session")
def make_contract() -> Callable[..., PackContract]:
    return contract


@pytest.fixture(scope="session")
def phantom() -> PackContract:
    """As ``phantom-16``: promonocytes are counted within monocytes, no mast cells, not partial."""
    return contract(PHANTOM_TYPES, {"promonocyte": "monocyte"}, "phantom-16")


@pytest.fixture(scope="session")
def blood() -> PackContract:
    """As ``blood-11``: no blasts, no plasma cells, erythroblasts pooled; partial."""
    return contract(PBC_TYPES, name="blood-11")


@pytest.fixture(scope="session")
def complete() -> PackContract:
    """Every type of the differential told apart."""
    return contract([*NDC_TYPES, "megakaryocyte", "mitotic_cell", "smudge"], name="complete")


@pytest.fixture
def normal() -> dict[str, int]:
    return dict(NORMAL)
