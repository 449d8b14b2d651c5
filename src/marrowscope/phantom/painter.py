"""Paint a rectangle of a scene: plasma, red cells, particles, fat, platelets, cells, dust, focus, light, noise.

The canvas holds transmittance (255 = all light passes). Red cells are multiplied in, so that overlaps darken as they
do on glass; nucleated cells lie on top and cover what is below them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil, cos, floor, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.geometry import Size
from marrowscope.phantom.elements import CLUMP_GRAINS, PLASMA_GRAINS, noise_tile
from marrowscope.phantom.pool import Palette, Sprite
from marrowscope.phantom.scene import BLOCK, Cells, Scene, Specks
from marrowscope.phantom.stains import transmittance
from marrowscope.slides.protocol import Picture

DEFOCUS_UM = 0.5
"""Blur (sigma, um) where a slide is most out of focus."""

_NOISE = 2
"""Camera noise: uniform steps up and down of so many grey levels."""


SpriteOf = Callable[[int, int], Sprite]
Lay = Callable[[Picture, Sprite, int, int], None]


def paint(scene: Scene, palette: Palette, x0: int, y0: int, size: Size) -> Picture:
    """RGB of the rectangle of ``size`` pixels whose top left corner is ``(x0, y0)``, level-0 pixels."""
    blur = max(DEFOCUS_UM / scene.spacing, 0.3)
    pad = ceil(4 * blur) + 1  # so that blurring does not see the border
    left, top = x0 - pad, y0 - pad
    outer = Size(size.width + 2 * pad, size.height + 2 * pad)
    specks = [scene.specks(*block) for block in _blocks(scene, left, top, outer)]
    canvas = np.full((outer.height, outer.width, 3), 255, np.uint8)
    thickness = scene.maps.window("thickness", left, top, outer)
    if float(thickness.max()) > 0.004:
        _lay_plasma(canvas, thickness, palette, left, top)
        _lay_red_cells(canvas, specks, palette, left, top)
        particle = scene.maps.window("particle", left, top, outer)
        if float(particle.max()) > 0.02:
            _lay_particle(canvas, particle, scene, palette, left, top)
        _lay_fat(canvas, scene, left, top)
        _lay_platelets(canvas, specks, palette, left, top)
        _lay_cells(canvas, scene.cells, palette.cell, _cover_at, left, top)
    _lay_dust(canvas, specks, palette, left, top)
    defocus = scene.maps.window("defocus", left, top, outer)
    if float(defocus.max()) > 0.02:
        blurred = cv2.GaussianBlur(canvas, (0, 0), blur)
        canvas = np.asarray(cv2.blendLinear(canvas, blurred, 1 - defocus, defocus), np.uint8)
    inner = canvas[pad:-pad, pad:-pad]
    light = scene.maps.window("light", x0, y0, size)
    lamp = cv2.merge([light * float(v) for v in palette.stain.light])
    picture = cv2.multiply(inner, np.minimum(lamp, 253).astype(np.uint8), scale=1 / 255)
    noise = _noise_tile()
    rows, columns = (np.arange(y0, y0 + size.height) % BLOCK, np.arange(x0, x0 + size.width) % BLOCK)
    grain = noise if (rows[0], columns[0], size) == (0, 0, (BLOCK, BLOCK)) else noise[np.ix_(rows, columns)]
    return np.asarray(cv2.subtract(cv2.add(picture, grain), np.full_like(grain, _NOISE)), np.uint8)


@lru_cache(maxsize=1)
def _noise_tile() -> NDArray[np.uint8]:
    tile = np.random.default_rng(8).integers(0, 2 * _NOISE + 1, (BLOCK, BLOCK, 3), dtype=np.uint8)
    tile.setflags(write=False)
    return tile


@lru_cache(maxsize=8)
def _ground(grains: tuple[tuple[float, float], ...], spacing: float) -> NDArray[np.float32]:
    return noise_tile(grains, spacing, BLOCK)


def _tile_window(tile: NDArray[np.float32], left: int, top: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    side = len(tile)
    return tile[np.ix_(np.arange(top, top + shape[0]) % side, np.arange(left, left + shape[1]) % side)]


def _lay_plasma(canvas: Picture, thickness: NDArray[np.float32], palette: Palette, left: int, top: int) -> None:
    texture = _tile_window(_ground(PLASMA_GRAINS, palette.pool.spacing), left, top, canvas.shape)
    amount = np.minimum(thickness * 4, 1) * (0.35 + 0.65 * thickness) * texture
    for channel, clear in enumerate(palette.stain.plasma):
        shade = cv2.convertScaleAbs(amount, alpha=255 * (1 - float(clear)))
        canvas[..., channel] = 255 - shade


def _lay_red_cells(canvas: Picture, blocks: Sequence[Specks], palette: Palette, left: int, top: int) -> None:
    for block in blocks:
        for which, (x, y) in zip(block.red, block.red_xy, strict=True):
            _multiply(canvas, palette.red[which], x - left, y - top)


def _lay_platelets(canvas: Picture, blocks: Sequence[Specks], palette: Palette, left: int, top: int) -> None:
    for block in blocks:
        for which, (x, y) in zip(block.platelet, block.platelet_xy, strict=True):
            _cover(canvas, palette.platelets[which], x - left, y - top)


def _lay_dust(canvas: Picture, blocks: Sequence[Specks], palette: Palette, left: int, top: int) -> None:
    for block in blocks:
        for which, (x, y) in zip(block.dust, block.dust_xy, strict=True):
            _cover(canvas, palette.specks[which], x - left, y - top)


def _lay_particle(
    canvas: Picture, particle: NDArray[np.float32], scene: Scene, palette: Palette, left: int, top: int
) -> None:
    """A clump: translucent blue-purple ground with a fibrous edge, indistinct cells upon cells."""
    texture = _tile_window(_ground(CLUMP_GRAINS, scene.spacing), left, top, canvas.shape) - 1
    cover = np.clip((particle - 0.5 + 0.16 * texture) * 5, 0, 1)
    dyes = np.zeros((1, 1, 6), np.float32)
    dyes[..., :3] = (0.28, 0.3, 0.35)
    ground = transmittance(dyes, palette.stain)[0, 0].astype(np.float32)
    shade = np.clip(1 - 0.08 * texture, 0.7, 1.2)
    for channel in range(3):
        layer = canvas[..., channel].astype(np.float32)
        canvas[..., channel] = np.clip(layer + (ground[channel] * shade - layer) * (0.9 * cover), 0, 255).astype(
            np.uint8
        )
    _lay_cells(canvas, scene.ghosts, palette.ghost, _multiply_at, left, top)


def _lay_fat(canvas: Picture, scene: Scene, left: int, top: int) -> None:
    height, width = canvas.shape[:2]
    x, y, radius, ratio, direction = scene.fat.T - np.array([[left], [top], [0], [0], [0]])
    edge = 0.6 / scene.spacing
    for i in np.flatnonzero((x > -radius) & (x < width + radius) & (y > -radius) & (y < height + radius)):
        centre = (round(x[i] * 16), round(y[i] * 16))
        for long, colour in ((radius[i], (206, 196, 216)), (radius[i] - edge, (250, 249, 251))):
            axes = (round(long * 16), round(long * ratio[i] * 16))
            cv2.ellipse(canvas, centre, axes, float(direction[i]), 0, 360, colour, -1, cv2.LINE_AA, 4)


def _lay_cells(canvas: Picture, cells: Cells, sprite_of: SpriteOf, lay: Lay, left: int, top: int) -> None:
    height, width = canvas.shape[:2]
    for i in cells.near(left, top, left + width, top + height):
        sprite = sprite_of(int(cells.kind[i]), int(cells.variant[i]))
        x, y = cells.x[i] - left, cells.y[i] - top
        turned, column, row = turn(sprite, float(cells.turn[i]), bool(cells.mirrored[i]), float(x), float(y))
        lay(canvas, turned, column, row)


def turn(sprite: Sprite, angle: float, mirrored: bool, x: float, y: float) -> tuple[Sprite, int, int]:
    """The sprite mirrored, turned about its centre and moved so that the centre lies at ``(x, y)`` of the canvas.

    Returns it with the canvas pixel of its top left corner. A point ``(u, v)`` of the drawing (um or pixels from its
    centre) goes to ``R(angle) (u, v)``, after ``u -> -u`` when mirrored.
    """
    side = sprite.shape[0]
    column, row = floor(x - side / 2), floor(y - side / 2)
    flip = -1.0 if mirrored else 1.0
    c, s = cos(angle), sin(angle)
    linear = np.array([[c * flip, -s], [s * flip, c]])
    middle = side / 2 - 0.5
    shift = np.array([x - column - 0.5, y - row - 0.5]) - linear @ [middle, middle]
    matrix = np.column_stack([linear, shift])
    size, edges = (side + 1, side + 1), cv2.BORDER_REPLICATE
    turned = cv2.warpAffine(sprite, matrix, size, flags=cv2.INTER_LINEAR, borderMode=edges)
    return np.asarray(turned, np.uint8), column, row


def _blocks(scene: Scene, left: int, top: int, size: Size) -> list[tuple[int, int]]:
    """Blocks whose specks may reach into the canvas."""
    columns = range((left - scene.reach) // BLOCK, (left + size.width + scene.reach) // BLOCK + 1)
    rows = range((top - scene.reach) // BLOCK, (top + size.height + scene.reach) // BLOCK + 1)
    return [(column, row) for row in rows for column in columns]


def _clip(canvas: Picture, sprite: Sprite, column: int, row: int) -> tuple[Picture, Sprite] | None:
    height, width = canvas.shape[:2]
    h, w = sprite.shape[:2]
    if column >= width or row >= height or column + w <= 0 or row + h <= 0:
        return None
    if column >= 0 and row >= 0 and column + w <= width and row + h <= height:
        return canvas[row : row + h, column : column + w], sprite
    c0, r0 = max(column, 0), max(row, 0)
    c1, r1 = min(column + w, width), min(row + h, height)
    return canvas[r0:r1, c0:c1], sprite[r0 - row : r1 - row, c0 - column : c1 - column]


def _multiply(canvas: Picture, sprite: Sprite, x: float, y: float) -> None:
    _multiply_at(canvas, sprite, round(x) - sprite.shape[1] // 2, round(y) - sprite.shape[0] // 2)


def _multiply_at(canvas: Picture, sprite: Sprite, column: int, row: int) -> None:
    pair = _clip(canvas, sprite, column, row)
    if pair is not None:
        pair[0][:] = cv2.multiply(pair[0], pair[1], scale=1 / 255)


def _cover(canvas: Picture, sprite: Sprite, x: float, y: float) -> None:
    _cover_at(canvas, sprite, round(x) - sprite.shape[1] // 2, round(y) - sprite.shape[0] // 2)


def _cover_at(canvas: Picture, sprite: Sprite, column: int, row: int) -> None:
    pair = _clip(canvas, sprite, column, row)
    if pair is None:
        return
    below, above = pair
    alpha = above[..., 3:].astype(np.uint16)
    mixed = below * (255 - alpha) + above[..., :3] * alpha
    below[:] = (mixed + 127) // 255
