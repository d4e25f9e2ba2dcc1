"""Shapes and their surfaces: the things that lie about in a training frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vae_experiments.training.procedural.textures import CANVAS, Array, Random, texture

_TEXTURES_AT_ONCE = 60  # how many textures lie ready for a frame
_FRAMES_A_TEXTURE = 12  # how many frames later the oldest of them is gone


@dataclass(frozen=True)
class Surfaces:
    """Paints areas with the colours and textures of one frame."""

    random: Random
    colours: Array
    seed: int
    number: int

    def paint(self, height: int, width: int, *, small: bool = False) -> Array:
        """Fill an area, ``height width 3`` in about [0, 1]: flat, a gradient or a texture."""
        random, kind = self.random, self.random.random()
        first, second = self._colour(), self._colour()
        if kind < (0.6 if small else 0.18):
            area = np.broadcast_to(first, (height, width, 3)).copy()
        elif kind < 0.4:
            mix = ramp(random, height, width) * random.uniform(0.2, 1)
            area = first + (second - first) * mix[..., None]
        else:
            area = self._textured(first, second, height, width)
        if not small and random.random() < 0.5:
            area *= 1 + slope(random.normal(0, 0.25, 2), height, width)[..., None]
        return np.asarray(area, np.float32)

    def _textured(self, first: Array, second: Array, height: int, width: int) -> Array:
        surface = self._texture(height, width)[..., None]
        depth = math.exp(self.random.normal(-1.5, 0.8))
        if self.random.random() < 0.5:
            return np.asarray(
                first + (second - first) * (np.clip(surface * 0.5 + 0.5, 0, 1) * min(1, depth * 2))
            )
        return np.asarray(first * (1 + depth * surface))

    def _texture(self, height: int, width: int) -> Array:
        random = self.random
        chosen = self.number // _FRAMES_A_TEXTURE + int(random.integers(_TEXTURES_AT_ONCE))
        y, x = random.integers(0, CANVAS - height + 1), random.integers(0, CANVAS - width + 1)
        part = texture(self.seed, chosen)[y : y + height, x : x + width]
        return part[:: random.choice([-1, 1]), :: random.choice([-1, 1])]

    def _colour(self) -> Array:
        colour: Array = self.colours[self.random.integers(len(self.colours))]
        return colour


def slope(steepness: Array, height: int, width: int) -> Array:
    """A plane through 0 in the middle that changes by ``steepness`` from the middle to the edges."""
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(steepness[0])
    across = np.linspace(-1, 1, width, dtype=np.float32)[None] * np.float32(steepness[1])
    return np.asarray(down + across)


def ramp(random: Random, height: int, width: int) -> Array:
    """A plane from 0 to 1 in a random direction."""
    plane = slope(random.standard_normal(2), height, width)
    return np.asarray((plane - plane.min()) / (np.ptp(plane) + 1e-6))


def stamp(random: Random, canvas: Array, surfaces: Surfaces, radius: float) -> None:
    """Put one shape of about this radius somewhere on the canvas, over what is there."""
    aspect = math.exp(random.normal(0, 0.4))
    height, width = (int(np.clip(2 * radius * side, 3, CANVAS)) for side in (aspect, 1 / aspect))
    centre = random.uniform(-0.1, 1.1, 2) * CANVAS
    top, left = int(centre[0] - height / 2), int(centre[1] - width / 2)
    rows = slice(max(0, -top), min(height, CANVAS - top))
    columns = slice(max(0, -left), min(width, CANVAS - left))
    if rows.stop - rows.start < 2 or columns.stop - columns.start < 2:
        return
    cover = outline(random, height, width)[rows, columns, None]
    if random.random() < 0.12:
        cover = cover * random.uniform(0.3, 0.9)
    area = surfaces.paint(rows.stop - rows.start, columns.stop - columns.start, small=radius < 6)
    if radius > 14 and random.random() < 0.25:
        area = area * _roundness(random, height, width)[rows, columns, None]
    under = canvas[top + rows.start : top + rows.stop, left + columns.start : left + columns.stop]
    under += cover.astype(np.float32) * (area - under)


def outline(random: Random, height: int, width: int) -> Array:
    """Draw a filled shape that fits the box: 1 inside, 0 outside, sometimes with a soft edge."""
    picture = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(picture)
    kind = random.integers(7)
    if kind < 2:
        draw.ellipse([1, 1, width - 2, height - 2], fill=255)
    elif kind == 2:
        draw.rectangle([1, 1, width - 2, height - 2], fill=255)
    else:
        angles, radii = [_polygon, _turned_rectangle, _pebble, _star][kind - 3](random)
        corners = np.stack([np.cos(angles) * width, np.sin(angles) * height], -1) * radii[:, None]
        draw.polygon((corners / 2 + [width / 2, height / 2]).ravel().tolist(), fill=255)
    if min(height, width) > 12 and random.random() < 0.25:
        picture = picture.filter(ImageFilter.GaussianBlur(math.exp(random.uniform(-0.5, 1.8))))
    return np.asarray(picture, np.float32) / 255


def _polygon(random: Random) -> tuple[Array, Array]:
    count = int(random.integers(3, 7))
    return np.sort(random.uniform(0, 2 * math.pi, count)), np.ones(count)


def _turned_rectangle(random: Random) -> tuple[Array, Array]:
    corner, turn = random.uniform(0.2, 1.3), random.uniform(0, 2 * math.pi)
    return np.array([corner, math.pi - corner, math.pi + corner, -corner]) + turn, np.ones(4)


def _pebble(random: Random) -> tuple[Array, Array]:
    angles = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    radii = np.ones(40)
    for lobes in range(2, 6):
        radii += random.normal(0, 0.35 / lobes) * np.cos(lobes * angles + random.uniform(0, 2 * math.pi))
    radii = np.clip(radii, 0.15, 1.5)
    return angles, radii / radii.max()


def _star(random: Random) -> tuple[Array, Array]:
    points = 2 * int(random.integers(3, 9))
    angles = np.linspace(0, 2 * math.pi, points, endpoint=False) + random.uniform(0, 2 * math.pi)
    return angles, np.where(np.arange(points) % 2, 1, random.uniform(0.2, 0.8))


def _roundness(random: Random, height: int, width: int) -> Array:
    """Shade the box like a ball under a lamp."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    bulge = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    lamp = random.normal(0, 0.6, 2)
    return np.asarray(np.clip(0.45 + 0.6 * (bulge + x * lamp[0] + y * lamp[1]), 0.1, 1.6), np.float32)
