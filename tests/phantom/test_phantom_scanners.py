"""Scanners change the picture, the same everywhere on the slide and without seams between blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from marrowscope.geometry import Size
from marrowscope.phantom import PhantomError, PhantomOptions, render_phantom
from marrowscope.phantom.painter import paint
from marrowscope.phantom.pool import CellPool, Palette
from marrowscope.phantom.scanners import SCANNERS, Scanner
from marrowscope.phantom.smear import make_smear
from marrowscope.phantom.stains import MIXED, STAIN_NAMES, STAINS, make_stain

OPTIONS = PhantomOptions(cells=20, seed=6, size=Size(1500, 1600), stain="jenner-giemsa")


def test_plain_leaves_every_byte(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    assert SCANNERS["plain"].see(picture, 7, 9) is picture
    assert SCANNERS["plain"].margin == 0
    assert "scanner" not in OPTIONS.as_dict(), "truth files of version 1 stay as they were"


def test_two_blocks_join_without_a_seam() -> None:
    pool = CellPool(OPTIONS.seed, OPTIONS.spacing, OPTIONS.difficulty)
    scene = make_smear(OPTIONS, pool).scene
    palette = Palette(pool, make_stain(OPTIONS.stain, OPTIONS.difficulty, np.random.default_rng(1)))
    scanner = SCANNERS["vivid"]
    margin = scanner.margin
    assert margin > 0

    def block(x0: int, width: int) -> np.ndarray:
        size = Size(width + 2 * margin, 128 + 2 * margin)
        return scanner.see(paint(scene, palette, x0 - margin, 400 - margin, size), x0, 400)

    whole, left, right = block(900, 248), block(900, 124), block(1024, 124)
    assert whole.shape == (128, 248, 3)
    # The painter rounds its blur, so a pixel may differ by a level or two; sharpening makes it a few more.
    assert np.abs(whole.astype(int) - np.concatenate([left, right], axis=1)).max() <= 8


def test_each_part_of_a_scanner_does_what_it_says() -> None:
    step = np.full((60, 60, 3), 100, np.uint8)
    step[:, 30:] = 160
    sharp = Scanner("s", sharpen=1.0, radius=1.5)
    seen = sharp.see(step, 0, 0)
    assert seen.shape == (60 - 2 * sharp.margin,) * 2 + (3,)
    assert seen.min() < 95
    assert seen.max() > 165
    blurred = Scanner("b", sharpen=-1.0, radius=1.5).see(step, 0, 0)
    assert np.abs(np.diff(blurred[..., 0].astype(int), axis=1)).max() < 25
    dark = Scanner("d", gamma=1.5).see(step, 0, 0)
    assert dark[0, 0, 0] == round(255 * (100 / 255) ** 1.5)
    swapped = Scanner("c", colour=((0, 0, 1), (0, 1, 0), (1, 0, 0))).see(
        np.full((3, 3, 3), (10, 20, 30), np.uint8), 0, 0
    )
    assert swapped[1, 1].tolist() == [30, 20, 10]
    noisy = Scanner("n", noise=4.0)
    one = noisy.see(np.full((50, 50, 3), 120, np.uint8), 10, 1000)
    assert 3.5 < one.std() < 4.5
    assert (one[20:, :] == noisy.see(np.full((30, 50, 3), 120, np.uint8), 10, 1020)).all()


def test_a_slide_is_seen_through_its_scanner(tmp_path: Path) -> None:
    def mean(scanner: str) -> np.ndarray:
        from marrowscope.slides import open_slide

        options = PhantomOptions(cells=20, seed=6, size=Size(1024, 1024), scanner=scanner)
        truth = render_phantom(tmp_path / f"{scanner}.tif", options)
        assert truth.options.get("scanner", "plain") == scanner
        slide = open_slide(tmp_path / f"{scanner}.tif")
        pixels = slide.read(0, 0, 0, Size(1024, 1024)).reshape(-1, 3).astype(float)
        slide.close()
        return np.percentile(pixels, 5, axis=0)

    plain, vivid = mean("plain"), mean("vivid")
    assert (np.abs(plain - vivid) > 8).any()


def test_unknown_scanners_are_named() -> None:
    with pytest.raises(PhantomError, match="unknown scanner 'fax'; choose one of: plain, vivid"):
        PhantomOptions(cells=1, seed=1, scanner="fax")


def test_liu_is_outside_the_mixture() -> None:
    assert "liu" in STAINS
    assert "liu" not in STAIN_NAMES
    assert MIXED == ("may-gruenwald-giemsa", "wright-giemsa", "jenner-giemsa", "rapid")
    mixed = make_stain("random", "easy", np.random.default_rng(3))
    assert mixed.densities[0] == pytest.approx(MIXED_DENSITIES, abs=6e-4), "packs were trained on this mixture"


MIXED_DENSITIES = [1.016, 1.77, 0.648]
