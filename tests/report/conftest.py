"""Contents of reports of many shapes, generated: cells are drawn discs, differentials are counted from their types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import cv2
import numpy as np
import polars as pl
import pytest
import shapely
from numpy.typing import NDArray

from marrowscope.cells.gallery import most_doubtful
from marrowscope.cells.table import cell_schema
from marrowscope.differential import counting
from marrowscope.differential.result import Differential
from marrowscope.differential.stopping import FixedCount
from marrowscope.differential.tally import tally
from marrowscope.geometry import Box, Size, Spacing
from marrowscope.packs.contract import ClassifierContract, DetectorContract, PackContract, TrainingData
from marrowscope.regions.region import Region, RegionFinding
from marrowscope.report.content import Evidence, ReportContent, SlideFacts
from marrowscope.report.signature import EarlierResult, Identifiers, Review, Signature, Work
from marrowscope.slides.protocol import Picture
from marrowscope.taxonomy import CELL_TYPES, PBC_TYPES, PHANTOM_TYPES

NORMAL = {
    "blast": 1.4, "promyelocyte": 3, "myelocyte": 9, "metamyelocyte": 12, "band_neutrophil": 13,
    "segmented_neutrophil": 19, "eosinophil": 3, "basophil": 0.3, "monocyte": 2.5, "proerythroblast": 1,
    "basophilic_erythroblast": 3, "polychromatic_erythroblast": 14, "orthochromatic_erythroblast": 6,
    "lymphocyte": 11, "plasma_cell": 1.8, "megakaryocyte": 0.6, "mitotic_cell": 0.6, "smudge": 2, "other": 0.6,
}  # fmt: skip
AML = NORMAL | {"blast": 90.0, "promyelocyte": 9, "monocyte": 12}


@dataclass(frozen=True)
class Recipe:
    """What a generated content is made of."""

    composition: dict[str, float]
    n: int = 530
    classes: tuple[str, ...] = PHANTOM_TYPES
    phantom: bool = True
    label: str = "marrow-0001"
    overview: tuple[int, int] = (1600, 1100)
    regions: int = 5
    seed: int = 0


RECIPES = {
    "normal": Recipe(NORMAL),
    "partial": Recipe(NORMAL, classes=PBC_TYPES, phantom=False, label="mosaic", regions=1, overview=(900, 900)),
    "aml": Recipe(AML, n=560, label="AML-17 / smear 2"),
    "empty": Recipe(NORMAL, n=0, regions=0),
    "one": Recipe({"myelocyte": 1.0}, n=1, regions=1),
    "all types": Recipe(
        {name: 1.0 for name in CELL_TYPES if name != "erythroblast"},
        n=3000,
        classes=tuple(name for name in CELL_TYPES if name != "erythroblast"),
        phantom=False,
        regions=60,
    ),
    "long name": Recipe(NORMAL, n=90, label="2026-11-20_" + "very_long_scanner_file_name_" * 8 + "40x.svs"),
    "strip": Recipe(NORMAL, n=320, overview=(2048, 90), regions=3),
    "tower": Recipe(NORMAL, n=320, overview=(120, 2048), regions=3),
}


@pytest.fixture(scope="session")
def content_of() -> Callable[[str], ReportContent]:
    """``content_of("normal")``: the content that a recipe makes, once a session."""
    made: dict[str, ReportContent] = {}

    def content(name: str) -> ReportContent:
        if name not in made:
            made[name] = make_content(RECIPES[name])
        return made[name]

    return content


@pytest.fixture(scope="session")
def signed_content(content_of: Callable[[str], ReportContent]) -> ReportContent:
    """The normal content, reviewed and signed, with everything that a person can enter."""
    content = content_of("normal")
    return replace(content, review=make_review(content.differential))


def make_review(differential: Differential) -> Review:
    """A review in which every field is filled; ``differential`` serves as the earlier result."""
    return Review(
        work=Work(cells=520, looked_at=312, retyped=41, added=3, deleted=2, unsure=17),
        signature=Signature(
            name="Dr. Ada Beispiel",
            role="Consultant haematologist",
            at=datetime(2026, 11, 27, 10, 14, 9, tzinfo=UTC),
            log_sha256="c4" * 32,
        ),
        comments={
            "Erythropoiesis": "Normoblastic, all stages seen.",
            "Granulopoiesis": "Left shift up to the myelocyte.\nToxic granules in some neutrophils.",
            "Dysplasia": "None in 100 cells of each lineage.",
        },
        conclusion="Reactive picture with a left shift.\n\nTo be read with the blood count and the trephine.",
        identifiers=Identifiers(
            patient_name="Doe, Jane",
            patient_id="4711-88",
            date_of_birth=date(1960, 3, 12),
            specimen_id="KM-2026-0815",
            site="Posterior iliac crest, left",
            collected=date(2026, 11, 26),
        ),
        earlier=EarlierResult.of(differential, "KM-2026-0304", date(2026, 5, 2)),
        observers=("Dr. Grace Muster",),
    )


def make_content(recipe: Recipe) -> ReportContent:
    rng = np.random.default_rng(recipe.seed)
    downsample = 16.0
    width, height = recipe.overview
    size = Size(int(width * downsample), int(height * downsample))
    finding = make_finding(recipe.regions, size, rng)
    pack = make_pack(recipe)
    cells = make_cells(recipe, finding, size, rng)
    shown = cells.sort("certainty", "cell_id").group_by("type", maintain_order=True).head(12)
    doubtful = most_doubtful(cells)
    shown = pl.concat([shown.select(cells.columns), doubtful]).unique("cell_id", keep="first", maintain_order=True)
    crops = {row["cell_id"]: draw_cell(row["type"], rng) for row in shown.iter_rows(named=True)}
    return ReportContent(
        slide=SlideFacts(
            label=recipe.label,
            size=size,
            spacing=Spacing.square(0.25),
            spacing_source="file",
            reader="openslide",
            bounds=Box(0, 0, size.width, size.height),
            properties={
                "vendor": "generic-tiff",
                "objective": "40",
                "stain": "May-Grünwald-Giemsa",
                "PatientName": "Doe",
            },
        ),
        pack=pack,
        pack_sha256="3f" * 32,
        differential=make_differential(pack, cells, finding),
        cells=cells,
        finding=finding,
        overview=draw_overview_picture(width, height, rng),
        overview_downsample=(downsample, downsample),
        crops=crops,
        crop_spacing=0.25,
        run={
            "time": "2026-11-20T19:06:08+00:00",
            "versions": {"marrowscope": "0.1.0", "onnxruntime": "1.24.0", "openslide": "4.0.0"},
            "options": {"cells": 500, "region": "auto", "seed": 0, "reference_ranges": "/home/doe/ranges.json"},
        },
        quality=("red cells measure 7.0 um: the spacing is plausible",),
        fields=tuple(
            Box(x, y, x + 768, y + 768)
            for region in finding.regions[:2]
            for x in np.arange(region.polygon.bounds[0] // 768 * 768, region.polygon.bounds[2], 768)
            for y in np.arange(region.polygon.bounds[1] // 768 * 768, region.polygon.bounds[3], 768)
            if region.polygon.intersects(shapely.box(x, y, x + 768, y + 768)) and rng.random() < 0.5
        ),
        evidence=Evidence("occlusion", {cell_id: draw_evidence(cell_id) for cell_id in doubtful["cell_id"]}),
        card='# A pack\n\nA cell whose largest probability is below 0.50 is "unsure". It is small.\n\n| unsure | 3 |\n',
    )


def make_finding(regions: int, size: Size, rng: np.random.Generator) -> RegionFinding:
    radius = min(size.width * 0.07, size.height * 0.35)
    found = []
    for number in range(regions):
        x = size.width * (0.30 + 0.6 * (number + 0.5) / regions)
        y = size.height * (0.5 + 0.3 * rng.uniform(-1, 1))
        turn = np.linspace(0, 2 * np.pi, 60)
        wobble = radius * (1 + 0.25 * np.sin(3 * turn + rng.uniform(0, 6))) * min(1.0, 5 / regions) ** 0.5
        ring = np.c_[x + wobble * np.cos(turn), y + 0.8 * wobble * np.sin(turn)]
        polygon = shapely.Polygon(ring, [ring[::-1] * 0.2 + 0.8 * ring.mean(0)] if number == 0 else [])
        found.append(Region(f"trail {number + 1}", polygon, 0.93 - 0.6 * number / max(regions, 1), "trail"))
    strip = shapely.box(size.width * 0.02, size.height * 0.05, size.width * 0.16, size.height * 0.95)
    outlines = [Region("blood", strip, 1.0, "blood")]
    outlines += [
        Region("particle", region.polygon.centroid.buffer(radius * 0.25), 1.0, "particle") for region in found[:3]
    ]
    notes = () if regions > 1 else ("no particle found",)
    return RegionFinding(tuple(found), tuple(outlines), notes, 3 if regions > 1 else 0)


def make_pack(recipe: Recipe) -> PackContract:
    return PackContract(
        name="phantom-16" if recipe.phantom else "blood-11",
        version="1.0.0",
        title="Phantom, sixteen types" if recipe.phantom else "Blood, eleven types",
        licence="Apache-2.0",
        intended_use="Demonstration and tests on phantoms." if recipe.phantom else "Research on stained smears.",
        phantom=recipe.phantom,
        training_data=(TrainingData(name="phantoms", licence="Apache-2.0", attribution="-", n="40,000 cells"),),
        classes=recipe.classes,
        pooled={"promonocyte": "monocyte"} if recipe.phantom else {},
        detector=DetectorContract(
            file="detector.onnx", sha256="a" * 64, spacing=0.5, tile=512, margin=64, stride=32, score_threshold=0.3
        ),
        classifier=ClassifierContract(file="classifier.onnx", sha256="b" * 64, spacing=0.25, crop=96),
    )


def make_cells(recipe: Recipe, finding: RegionFinding, size: Size, rng: np.random.Generator) -> pl.DataFrame:
    n, classes = recipe.n, recipe.classes
    folded = {
        name: name if name in classes else (CELL_TYPES[name].parent or "lymphocyte") for name in recipe.composition
    }
    weights = np.array(list(recipe.composition.values()))
    drawn = rng.choice(len(weights), n, p=weights / weights.sum())
    names = [folded[list(recipe.composition)[index]] for index in drawn]
    own = np.array([classes.index(name) for name in names], np.int64)
    probabilities = rng.dirichlet(np.full(len(classes), 0.15), n)
    certain = 1 - 0.6 * rng.beta(1, 9, n)
    probabilities *= ((1 - certain) / np.maximum(1e-9, probabilities.sum(1) - probabilities[np.arange(n), own]))[
        :, None
    ]
    probabilities[np.arange(n), own] = certain
    x, y = rng.uniform(60, size.width - 60, n), rng.uniform(60, size.height - 60, n)
    half = rng.uniform(18, 34, n)
    odd = np.random.default_rng(recipe.seed + 1).gamma(4, 0.15, n)
    words = ("blurred", "unsure", "anomalous")
    marks = np.c_[rng.random(n) < 0.02, certain < 0.8, (odd > 1) & recipe.phantom]
    flags = [[word for word, on in zip(words, row, strict=True) if on] for row in marks]
    regions = [region.name for region in finding.regions] or ["slide"]
    return pl.DataFrame(
        {
            "cell_id": np.arange(n),
            "x0": x - half, "y0": y - half, "x1": x + half, "y1": y + half,
            "score": rng.uniform(0.4, 1, n),
            "type": names,
            "certainty": certain,
            "anomaly": odd if recipe.phantom else [None] * n,
            "region": [regions[index] for index in rng.integers(0, len(regions), n)],
            "field": np.arange(n) // 40,
            "flags": flags,
            **{f"p_{name}": probabilities[:, column] for column, name in enumerate(classes)},
        },
        schema=cell_schema(classes),
    )  # fmt: skip


def make_differential(pack: PackContract, cells: pl.DataFrame, finding: RegionFinding) -> Differential:
    return counting.make_differential(
        tally(cells),
        pack,
        FixedCount(500),
        area_mm2=0.4423 if len(cells) else 0.0,
        fields=12 if len(cells) else 0,
        stopped="500 cells reached" if len(cells) >= 500 else "all regions counted",
        particles=finding.particles,
        notes=finding.notes,
    )


def draw_cell(name: str, rng: np.random.Generator, side: int = 96) -> Picture:
    """A stained disc with a nucleus on pink: enough to look at, cheap to make."""
    picture = np.full((side, side, 3), (236, 214, 214), np.uint8)
    for _ in range(5):
        cv2.circle(picture, tuple(map(int, rng.integers(0, side, 2))), 14, (222, 176, 172), -1, cv2.LINE_AA)
    middle, radius = side // 2, int(rng.integers(22, 32))
    cv2.circle(picture, (middle, middle), radius, (196, 180, 214), -1, cv2.LINE_AA)
    nucleus = int(radius * rng.uniform(0.5, 0.85))
    cv2.ellipse(
        picture,
        (middle, middle),
        (nucleus, int(nucleus * 0.8)),
        float(rng.uniform(0, 180)),
        0,
        360,
        (104, 56, 140),
        -1,
        cv2.LINE_AA,
    )
    noisy = cv2.GaussianBlur(picture, (0, 0), 1.2) + rng.normal(0, 3, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def draw_evidence(seed: int, side: int = 96) -> NDArray[np.float32]:
    """Two maps of a hill each, the first the higher one, with a dip beside it."""
    y, x = np.mgrid[:side, :side] / side

    def hill(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 0.03)

    places = np.random.default_rng(seed).uniform(0.3, 0.7, (3, 2))
    maps = np.stack([3 * hill(places[0]) - hill(places[2]), 1.5 * hill(places[1])])
    return maps.astype(np.float32)


def draw_overview_picture(width: int, height: int, rng: np.random.Generator) -> Picture:
    """Glass with a smear on it."""
    cloud = cv2.resize(rng.random((12, 16)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    smear = np.zeros((height, width), np.float32)
    cv2.ellipse(smear, (width // 2, height // 2), (int(width * 0.46), int(height * 0.42)), 0, 0, 360, 1.0, -1)
    depth = (cv2.GaussianBlur(smear, (0, 0), max(width, height) / 100) * (0.35 + 0.5 * cloud))[..., None]
    fine = rng.normal(0, 3, (height, width, 1))
    return np.clip((1 - depth) * (246, 245, 243) + depth * (196, 128, 160) + fine, 0, 255).astype(np.uint8)
