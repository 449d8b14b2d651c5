"""Whole phantom slides: deterministic, honest, readable, whole or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import openslide
import pytest
import shapely
from shapely.ops import unary_union

from marrowscope.errors import OutputError
from marrowscope.geometry import Size
from marrowscope.phantom import PhantomError, PhantomOptions, Truth, read_truth, render_phantom, truth_path
from marrowscope.phantom.diagnoses import DIAGNOSES, blood_composition, marrow_composition
from marrowscope.phantom.morphology import MORPHOLOGY
from marrowscope.phantom.painter import paint, turn
from marrowscope.phantom.pool import CellPool, Palette
from marrowscope.phantom.scatter import boxes_of
from marrowscope.phantom.smear import make_smear, size_for
from marrowscope.phantom.stains import make_stain
from marrowscope.taxonomy import PHANTOM_TYPES

TINY = PhantomOptions(cells=25, seed=4, size=Size(1500, 2100))


def _digest(path: Path) -> tuple[str, str]:
    slide, truth = path.read_bytes(), truth_path(path).read_bytes()
    return hashlib.sha256(slide).hexdigest(), hashlib.sha256(truth).hexdigest()


def _nuclear(picture: np.ndarray) -> np.ndarray:
    """Pixels with the purple of chromatin."""
    red, green, blue = np.moveaxis(picture.astype(np.int16), -1, 0)
    return (green < 150) & (blue > green + 25) & (blue > red - 35)


def test_same_seed_same_bytes_with_any_number_of_threads(tmp_path: Path) -> None:
    digests = []
    for name, threads in (("a", 1), ("b", 3), ("c", 2)):
        path = tmp_path / f"{name}.tif"
        render_phantom(path, TINY, threads=threads)
        digests.append(_digest(path))
    assert digests[0] == digests[1] == digests[2]
    other = tmp_path / "other.tif"
    render_phantom(other, PhantomOptions(cells=25, seed=5, size=TINY.size))
    assert _digest(other)[0] != digests[0][0]
    assert _digest(other)[1] != digests[0][1]


def test_openslide_opens_it_with_spacing(small_slide: tuple[Path, Truth]) -> None:
    path, truth = small_slide
    with openslide.OpenSlide(path) as slide:
        assert slide.dimensions == tuple(truth.size) == (2600, 4224)
        assert slide.level_count >= 3
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        assert slide.detect_format(path) == "generic-tiff"


def test_truth_is_written_as_it_is_returned(small_slide: tuple[Path, Truth]) -> None:
    path, truth = small_slide
    read = read_truth(path)
    assert read.cells.equals(truth.cells)
    assert (read.size, read.spacing, read.options, read.notes) == (
        truth.size,
        truth.spacing,
        truth.options,
        truth.notes,
    )
    assert read.smear.equals(truth.smear)
    assert all(a.equals(b) for a, b in zip(read.trails, truth.trails, strict=True))
    assert read_truth(truth_path(path)).cells.equals(truth.cells)


def test_cells_lie_where_the_truth_says(small_slide: tuple[Path, Truth], small_options: PhantomOptions) -> None:
    _, truth = small_slide
    cells = truth.cells
    assert cells["in_trail"].sum() == small_options.cells
    assert not (cells["in_trail"] & cells["in_blood"]).any()
    x, y = ((cells["x0"] + cells["x1"]) / 2).to_numpy(), ((cells["y0"] + cells["y1"]) / 2).to_numpy()
    trail, blood = cells["in_trail"].to_numpy(), cells["in_blood"].to_numpy()
    # an outline is uneven, so the centre of its box may lie a little off the cell's centre
    assert shapely.contains_xy(unary_union(truth.trails).buffer(12), x[trail], y[trail]).all()
    assert truth.blood is not None
    assert blood.any()
    assert shapely.contains_xy(truth.blood, x[blood], y[blood]).all()
    assert shapely.contains_xy(truth.smear, x[~blood], y[~blood]).all()
    assert truth.blood.distance(truth.smear) > 50 / 0.25  # glass lies between
    assert not shapely.contains_xy(unary_union(truth.particles), x, y).any()


def test_boxes_overlap_only_a_little(small_slide: tuple[Path, Truth]) -> None:
    boxes = small_slide[1].cells.select("x0", "y0", "x1", "y1").to_numpy()
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    overlap = shared / (area[:, None] + area[None, :] - shared)
    np.fill_diagonal(overlap, 0)
    assert overlap.max() < 0.3
    assert (overlap > 0).any()  # cells do touch


def test_every_box_holds_a_nucleus_and_the_rest_holds_none(small_slide: tuple[Path, Truth]) -> None:
    path, truth = small_slide
    with openslide.OpenSlide(path) as slide:
        picture = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., :3]
    purple = _nuclear(picture)
    empty = np.ones(purple.shape, bool)
    for name, x0, y0, x1, y1 in truth.cells.select("type", "x0", "y0", "x1", "y1").iter_rows():
        window = slice(max(0, int(y0)), int(y1) + 1), slice(max(0, int(x0)), int(x1) + 1)
        # the box is larger than the cell, and the rim of a nucleus is blurred: half of the least share must be seen
        assert purple[window].mean() > 0.5 * MORPHOLOGY[name].nuclear_share[0], (name, x0, y0)
        empty[window] = False
    for particle in truth.particles:
        left, top, right, bottom = (int(v) for v in particle.buffer(20).bounds)
        empty[max(0, top) : bottom, max(0, left) : right] = False
    assert purple[empty].mean() < 0.002


@pytest.mark.parametrize("difficulty", ["easy", "paper"])
def test_no_cell_is_hidden_and_boxes_are_tight(difficulty: str) -> None:
    options = PhantomOptions(cells=350, seed=8, difficulty=difficulty, density=1800)
    pool = CellPool(options.seed, options.spacing, options.difficulty)
    smear = make_smear(options, pool)
    cells = smear.scene.cells
    owner = np.full((smear.scene.size.height, smear.scene.size.width), -1, np.int32)
    whole = np.zeros(len(cells))
    boxes = boxes_of(cells, pool)
    for i in range(len(cells)):
        alpha = pool.cell(int(cells.kind[i]), int(cells.variant[i])).alpha
        sprite = np.dstack([alpha] * 4)
        turned, column, row = turn(sprite, cells.turn[i], bool(cells.mirrored[i]), cells.x[i], cells.y[i])
        rows, columns = np.nonzero(turned[..., 3] > 127)
        rows, columns = rows + row, columns + column
        drawn = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert np.abs(boxes[i] - drawn).max() < 1.6, i
        inside = (rows >= 0) & (rows < owner.shape[0]) & (columns >= 0) & (columns < owner.shape[1])
        owner[rows[inside], columns[inside]] = i
        whole[i] = inside.sum()
    visible = np.bincount(owner[owner >= 0], minlength=len(cells)) / whole
    assert visible.min() > 0.6


def test_blocks_join_without_a_seam() -> None:
    options = PhantomOptions(cells=60, seed=21, size=Size(2048, 2048))
    pool = CellPool(options.seed, options.spacing, options.difficulty)
    scene = make_smear(options, pool).scene
    palette = Palette(pool, make_stain(options.stain, options.difficulty, np.random.default_rng(1)))
    whole = paint(scene, palette, 600, 600, Size(900, 900))
    left = paint(scene, palette, 600, 600, Size(424, 900))
    right = paint(scene, palette, 1024, 600, Size(476, 900))
    difference = np.abs(whole.astype(int) - np.hstack([left, right]))
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.01


def test_levels_agree_with_level_0(small_slide: tuple[Path, Truth]) -> None:
    with openslide.OpenSlide(small_slide[0]) as slide:
        coarse = np.asarray(slide.read_region((0, 0), 1, slide.level_dimensions[1]).convert("L")).astype(float)
        fine = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("L"))
    height, width = coarse.shape
    mean = fine[: height * 4, : width * 4].reshape(height, 4, width, 4).mean(axis=(1, 3))
    assert abs((mean - coarse).mean()) < 0.3
    for axis in (0, 1):  # not off by a pixel
        assert np.abs(mean - np.roll(coarse, 1, axis=axis)).mean() > 2.5 * np.abs(mean - coarse).mean()


@pytest.mark.parametrize("diagnosis", DIAGNOSES)
def test_diagnoses_meet_their_definitions(diagnosis: str) -> None:
    marrow = dict(zip(PHANTOM_TYPES, 100 * marrow_composition(diagnosis), strict=True))
    assert sum(marrow.values()) == pytest.approx(100)
    assert blood_composition(diagnosis).sum() == pytest.approx(1)
    assert all(share > 0 for share in marrow.values())
    blasts = marrow["blast"]
    assert {"normal": blasts < 5, "aml": blasts >= 20, "all": blasts >= 20, "mds": 5 <= blasts < 10, "cml": blasts < 10,
            "cmml": blasts < 20 and marrow["monocyte"] >= 10, "mm": marrow["plasma_cell"] >= 10}[diagnosis]  # fmt: skip


def test_types_follow_the_diagnosis() -> None:
    options = PhantomOptions(cells=1500, seed=2, diagnosis="mm")
    smear = make_smear(options, CellPool(2, 0.25, "easy"))
    counts = np.bincount(smear.scene.cells.kind[smear.in_trail], minlength=len(PHANTOM_TYPES))
    expected = marrow_composition("mm") * 1500
    often = expected >= 5
    assert (((counts - expected)[often] ** 2 / expected[often]).sum()) < 45  # chi-squared, about 14 degrees


def test_the_size_follows_the_cells() -> None:
    assert size_for(PhantomOptions(cells=20_000, seed=1)).area > 3 * size_for(PhantomOptions(cells=5_000, seed=1)).area
    assert size_for(PhantomOptions(cells=5, seed=1, size=Size(700, 800))) == (700, 800)


def test_a_slide_that_is_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PhantomError, match="ask for fewer cells"):
        render_phantom(tmp_path / "x.tif", PhantomOptions(cells=5000, seed=1, size=Size(3000, 3000)))
    assert not list(tmp_path.iterdir())


def test_an_interrupted_rendering_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_phantom(tmp_path / "x.tif", TINY, stop)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot write"):
        render_phantom(tmp_path / "file" / "x.tif", TINY)


def test_progress_counts_every_block(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    render_phantom(tmp_path / "x.tif", TINY, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 6) for i in range(1, 7)]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_slide(tmp_path: Path) -> None:
    """A slide of eight times the area (147 MB more of raw pixels) takes at most 40 MB more."""

    def peak(height: int) -> float:
        code = (
            "import resource; from marrowscope.geometry import Size; from marrowscope.phantom import *; "
            f"render_phantom(r'{tmp_path / 'x.tif'}', PhantomOptions(cells=40, seed=1, size=Size(2048, {height}))); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    assert peak(8 * 3072) - peak(3072) < 40
