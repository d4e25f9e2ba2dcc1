"""Procedural textures: what surfaces in the training frames look like.

A texture is a float32 array of ``CANVAS x CANVAS`` in about [-1, 1] that depends only on a seed and
its number. Noise whose amplitude falls as a power of the frequency is the commonest, because
natural pictures have that spectrum.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Callable

CANVAS = 384
"""Side of a texture, and of the canvas on which frames are painted, in pixels."""

Array: TypeAlias = np.ndarray
Random: TypeAlias = np.random.Generator
_Mark: TypeAlias = list[tuple[int, Array]]

_STREAM = 1  # keeps textures and frames of the same number apart


@lru_cache(maxsize=128)
def texture(seed: int, number: int) -> Array:
    """Paint one texture; the same seed and number always give the same one. Do not write to it."""
    random = np.random.default_rng([seed, _STREAM, number])
    painters: list[Callable[[Random], Array]] = [_noise, _pattern, _strokes, _marks]
    surface = painters[random.choice(4, p=[0.55, 0.23, 0.14, 0.08])](random)
    if random.random() < 0.3:
        surface = surface + 0.35 * spectral_noise(random, CANVAS, random.uniform(0.6, 2))
    return np.ascontiguousarray(surface, np.float32)


def spectral_noise(random: Random, size: int, falloff: float, angle: float = 0, stretch: float = 1) -> Array:
    """Draw noise of ``size x size`` with amplitude 1 / frequency^falloff, mean 0, deviation 1.

    A stretch above 1 draws the noise out along one direction, as in wood, water and fabric.
    """
    down, across = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    along = across * math.cos(angle) + down * math.sin(angle)
    aside = down * math.cos(angle) - across * math.sin(angle)
    frequency = np.hypot(along, aside * stretch)
    frequency[0, 0] = np.inf
    parts = random.standard_normal((2, *frequency.shape), np.float32)
    noise = np.fft.irfft2((parts[0] + 1j * parts[1]) * frequency**-falloff, s=(size, size))
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-8), np.float32)


def _noise(random: Random) -> Array:
    angle, stretch = 0.0, 1.0
    if random.random() < 0.35:
        angle, stretch = random.uniform(0, math.pi), math.exp(random.uniform(0, 2.2))
    return 0.5 * spectral_noise(random, CANVAS, random.uniform(0.5, 2.2), angle, stretch)


class _Plane(NamedTuple):
    """Where each pixel lies on a surface that repeats, in pixels."""

    along: Array
    aside: Array
    period: float


def _pattern(random: Random) -> Array:
    """Repeat something: waves, stripes, checks, bricks, dots, cells, blobs or rings."""
    plane = _Plane(*_coordinates(random), math.exp(random.uniform(math.log(5), math.log(90))))
    patterns: list[Callable[[Random, _Plane], Array]]
    patterns = [_waves, _checks, _stripes, _bricks, _dots, _cells, _blobs, _rings]
    repeat = patterns[random.choice(8, p=[2 / 9, *[1 / 9] * 7])]
    return np.asarray(repeat(random, plane) * 0.8)


def _coordinates(random: Random) -> tuple[Array, Array]:
    """Turn the axes by any angle, and sometimes warp them."""
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.float32)
    angle = random.uniform(0, math.pi)
    along = x * math.cos(angle) + y * math.sin(angle)
    aside = y * math.cos(angle) - x * math.sin(angle)
    if random.random() < 0.4:
        warp = spectral_noise(random, CANVAS, 2) * random.uniform(2, 14)
        along, aside = along + warp, aside + np.roll(warp, CANVAS // 4, 0)
    return along.astype(np.float32), aside.astype(np.float32)


def _waves(random: Random, plane: _Plane) -> Array:
    hardness = random.uniform(1, 8) if random.random() < 0.5 else 1
    return np.asarray(np.clip(np.sin(2 * np.pi * plane.along / plane.period) * hardness, -1, 1))


def _checks(_random: Random, plane: _Plane) -> Array:
    turns = 2 * np.pi / plane.period
    return np.asarray(np.sign(np.sin(turns * plane.along) * np.sin(turns * plane.aside)))


def _stripes(random: Random, plane: _Plane) -> Array:
    along, _, period = plane
    return np.where(np.abs((along % period) / period - 0.5) < random.uniform(0.03, 0.3), 1, -1)


def _bricks(random: Random, plane: _Plane) -> Array:
    along, aside, height = plane
    length = height * random.uniform(1.5, 3)
    shifted = (along + np.floor(aside / height) % 2 * length / 2) % length
    return np.where((shifted < length * 0.07) | (aside % height < height * 0.12), -1, 0.6)


def _dots(random: Random, plane: _Plane) -> Array:
    along, aside, period = plane
    squared = ((along % period) / period - 0.5) ** 2 + ((aside % period) / period - 0.5) ** 2
    return np.where(squared < random.uniform(0.02, 0.18), 1, -1)


def _cells(random: Random, plane: _Plane) -> Array:
    """Distances to the nearest of scattered points, one point in each square of a grid.

    Source: Worley, A cellular texture basis function, 1996.
    """
    u, v = plane.along / plane.period, plane.aside / plane.period
    column, row = np.floor(u).astype(int), np.floor(v).astype(int)
    points = random.random((2, 64, 64), np.float32)
    nearest = np.full(u.shape, np.inf, np.float32)
    second = nearest.copy()
    for down, right in product((-1, 0, 1), repeat=2):
        at = (row + down) % 64, (column + right) % 64
        distance = np.hypot(column + right + points[0][at] - u, row + down + points[1][at] - v)
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    if random.random() < 0.5:
        return np.asarray(nearest * 1.8 - 1)
    return np.asarray(np.clip((second - nearest) * 6 - 1, -1, 1))


def _blobs(random: Random, _plane: _Plane) -> Array:
    noise = spectral_noise(random, CANVAS, random.uniform(1.2, 2.2))
    return np.asarray(np.sign(noise + random.uniform(-0.6, 0.6)))


def _rings(random: Random, plane: _Plane) -> Array:
    x, y = random.uniform(-CANVAS, 2 * CANVAS, 2)
    return np.asarray(np.sin(2 * np.pi * np.hypot(plane.along - x, plane.aside - y) / plane.period))


def _strokes(random: Random) -> Array:
    """Comb hair, grass or feathers: many short strokes that follow one flow."""
    picture = Image.new("L", (CANVAS, CANVAS), int(random.integers(0, 120)))
    draw = ImageDraw.Draw(picture)
    flow = spectral_noise(random, CANVAS, random.uniform(1.8, 2.6)) * random.uniform(0.2, 1.5)
    flow += random.uniform(0, 2 * math.pi)
    count, step, width = int(random.integers(200, 1400)), random.uniform(2, 18), int(random.integers(1, 5))
    # All strokes grow at once, a joint at a time.
    joints = [random.uniform(0, CANVAS, (count, 2))]
    for _ in range(4):
        column, row = (joints[-1] % CANVAS).astype(int).T
        angle = flow[row, column]
        joints.append(joints[-1] + step * np.stack([np.cos(angle), np.sin(angle)], -1))
    shades = random.integers(0, 256, count).tolist()
    for line, shade in zip(np.stack(joints, 1).reshape(count, -1).tolist(), shades, strict=True):
        draw.line(line, fill=shade, width=width)
    return _from_picture(picture)


def _marks(random: Random) -> Array:
    """Set rows of marks made of lines and arcs, for what writing does to a picture."""
    paper = int(random.integers(0, 256))
    ink = int(random.integers(0, 256)) if abs(paper - 128) < 40 else 255 - paper
    picture = Image.new("L", (CANVAS, CANVAS), paper)
    draw = ImageDraw.Draw(picture)
    height = random.uniform(10, 60)
    width = max(1, int(height * random.uniform(0.08, 0.2)))
    marks = [
        [(int(random.integers(0, 3)), random.integers(0, 3, 4) / 2) for _ in range(random.integers(2, 5))]
        for _ in range(14)
    ]
    leading = height * random.uniform(1.3, 1.7)
    for y in np.arange(random.uniform(-height, height), CANVAS, leading):
        for x in np.arange(random.uniform(-5, 30), CANVAS, height * 0.75):
            if random.random() < 0.85:
                mark = marks[random.integers(14)]
                _set_mark(draw, random, mark, (float(x), float(y), height), fill=ink, width=width)
    if random.random() < 0.4:
        picture = picture.rotate(random.uniform(-30, 30), Image.Resampling.BILINEAR, fillcolor=paper)
    return _from_picture(picture)


def _set_mark(
    draw: ImageDraw.ImageDraw, random: Random, mark: _Mark, place: tuple[float, float, float], **pen: Any
) -> None:
    x, y, height = place
    for kind, (left, top, right, bottom) in mark:
        ends = [x + left * height * 0.55, y + top * height, x + right * height * 0.55, y + bottom * height]
        if kind < 2 or abs(ends[2] - ends[0]) < 2 or abs(ends[3] - ends[1]) < 2:
            draw.line(ends, **pen)
        else:
            box = [min(ends[0::2]), min(ends[1::2]), max(ends[0::2]), max(ends[1::2])]
            draw.arc(box, int(random.integers(0, 180)), int(random.integers(180, 400)), **pen)


def _from_picture(picture: Image.Image) -> Array:
    return np.asarray(picture, np.float32) / 127.5 - 1
