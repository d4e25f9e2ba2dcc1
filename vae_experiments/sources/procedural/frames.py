"""Procedural frames: pictures to train on that nobody has to download.

A frame is uint8 ``SIDE x SIDE x 3`` and depends only on a seed and its number. Shapes of all sizes
lie over each other as fallen leaves do (Lee, Mumford, Huang: Occlusion models for natural images,
2001), under uneven light, seen through an imperfect lens. Flat areas and gradients of any colour
are among them on purpose: without them whole colours were never learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vae_experiments.sources.procedural.textures import CANVAS, Array, Random, spectral_noise, texture

SIDE = 192
"""Side of a frame in pixels: the canvas is reduced to it, so that edges are as smooth as a camera's."""

_STREAM = 0  # keeps textures and frames of the same number apart
_TEXTURES_AT_ONCE = 60  # how many textures lie ready for a frame
_FRAMES_A_TEXTURE = 12  # how many frames later the oldest of them is gone
_FILTERS = [Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.BICUBIC]


def frame(seed: int, number: int, plain: float = 0.1) -> Array:
    """Paint one training frame, uint8 ``SIDE SIDE 3``; the same seed and number, the same frame.

    ``plain`` is the fraction of frames of one colour or one gradient.
    """
    random = np.random.default_rng([seed, _STREAM, number])
    if random.random() < plain:
        return plain_picture(random)
    return _reduce(random, photograph(random, scene(random, seed, number)))


def plain_picture(random: Random) -> Array:
    """One colour, or two with a smooth change between them, anywhere in the colour cube."""
    colours = random.random((2, 3), np.float32)
    if random.random() < 0.4:
        colours = colours.round()  # a corner of the cube: black, white, red, yellow...
    if random.random() < 0.4:
        colours[1] = colours[0]
    return to_bytes(colours[0] + (colours[1] - colours[0]) * ramp(random, SIDE, SIDE)[..., None])


def scene(random: Random, seed: int, number: int) -> Array:
    """Lay shapes over a background, large ones rare and small ones common."""
    surfaces = Surfaces(random, palette(random, int(random.integers(3, 12))), seed, number)
    canvas = surfaces.paint(CANVAS, CANVAS)
    if random.random() < 0.2:
        canvas = (canvas + surfaces.paint(CANVAS, CANVAS)) / 2
    radii = _radii(random)
    # Whatever lies under this many shapes is out of focus.
    defocus_at = int(random.integers(len(radii))) if len(radii) and random.random() < 0.3 else -1
    for index, radius in enumerate(radii):
        stamp(random, canvas, surfaces, radius)
        if index == defocus_at:
            canvas = _blur(canvas, random.uniform(1, 6))
    if random.random() < 0.25:
        canvas = _lines(random, canvas, surfaces.colours)
    return canvas


def _radii(random: Random) -> Array:
    """Choose how many shapes there are and their radii in pixels, with a density of radius^-3."""
    many = random.random()
    if many < 0.08:
        return np.empty(0)
    if many < 0.28:
        return random.uniform(0.05, 0.4, random.integers(1, 8)) * CANVAS
    count = int(math.exp(random.uniform(math.log(10), math.log(350))))
    smallest = math.exp(random.uniform(math.log(3), math.log(25)))
    largest = CANVAS * random.uniform(0.15, 0.6)
    share = random.random(count)
    return 1 / np.sqrt(share / largest**2 + (1 - share) / smallest**2)


def palette(random: Random, count: int) -> Array:
    """Choose colours that belong together, ``count 3`` in [0, 1].

    Brightness varies most and saturation little, as in nature, but a heavy tail and a few colours
    from anywhere keep the whole cube in use.
    """
    cast = random.normal(0, 0.06, 3)
    saturation = abs(random.normal(0, 0.16)) + (0.25 * random.random() if random.random() < 0.25 else 0)
    light = np.clip(random.normal(random.uniform(0.15, 0.75), random.uniform(0.08, 0.32), count), 0, 1)
    warm, green = random.normal(0, 1, count), random.normal(0, 0.5, count)
    if random.random() < 0.6:
        warm = warm * 0.35 + random.normal()
    hue = np.stack([(warm + green / 2) * 0.7, -green / 2, (green / 2 - warm) * 0.7], -1)
    colours = light[:, None] + saturation * hue + cast * 2 * np.minimum(light, 1 - light)[:, None]
    if random.random() < 0.2:
        anywhere = random.random(count) < 0.3
        colours[anywhere] = random.random((int(anywhere.sum()), 3))
    return np.clip(colours, 0, 1).astype(np.float32)


def _lines(random: Random, canvas: Array, colours: Array) -> Array:
    """Draw a few thin lines over everything: wires, twigs, cracks."""
    picture = Image.fromarray(to_bytes(canvas))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(1, 25))):
        red, green, blue = (colours[random.integers(len(colours))] * 255).astype(int).tolist()
        ends = random.uniform(-0.1, 1.1, (int(random.integers(2, 5)), 2)) * CANVAS
        width = int(math.exp(random.uniform(0.5, 2.5)))
        draw.line(ends.ravel().tolist(), fill=(red, green, blue), width=width)
    return np.asarray(picture, np.float32) / 255


def photograph(random: Random, canvas: Array) -> Array:
    """Do what lens, light and exposure do; the canvas comes back in [0, 1]."""
    canvas = np.clip(canvas, 0, 1.15)
    if random.random() < 0.35:
        canvas = _blur(canvas, math.exp(random.uniform(-0.7, 1.8)))
    if random.random() < 0.3:
        reach = np.linspace(-1, 1, CANVAS, dtype=np.float32) ** 2
        canvas *= (1 - random.uniform(0.05, 0.25) * (reach[:, None] + reach))[..., None].astype(np.float32)
    if random.random() < 0.4:
        clouds = Image.fromarray(spectral_noise(random, 96, 2.4))
        light = np.asarray(clouds.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC))
        canvas *= np.exp(np.float32(random.uniform(0.05, 0.35)) * light)[..., None]
    exposed: Array = np.clip(canvas, 0, 1) ** np.float32(math.exp(random.normal(0, 0.25)))
    return exposed


def _reduce(random: Random, canvas: Array) -> Array:
    """Cut out a part, reduce it with antialiasing to a frame, and sometimes add sensor noise."""
    side = CANVAS if random.random() < 0.7 else int(random.integers(SIDE, CANVAS))
    y, x = random.integers(0, CANVAS - side + 1, 2)
    picture = Image.fromarray(to_bytes(canvas[y : y + side, x : x + side]))
    pixels = np.asarray(picture.resize((SIDE, SIDE), _FILTERS[random.integers(3)]))
    if random.random() < 0.15:
        noise = random.standard_normal(pixels.shape, np.float32) * random.uniform(1, 8)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    return pixels


def _blur(canvas: Array, radius: float) -> Array:
    blurred = Image.fromarray(to_bytes(canvas)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred, np.float32) / 255


def to_bytes(picture: Array) -> Array:
    """Turn values in [0, 1] into bytes; what is outside becomes black or white."""
    return np.asarray(np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


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
        first, second = (self.colours[random.integers(len(self.colours))] for _ in range(2))
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
            mix = np.clip(surface * 0.5 + 0.5, 0, 1) * min(1, depth * 2)
            return np.asarray(first + (second - first) * mix)
        return np.asarray(first * (1 + depth * surface))

    def _texture(self, height: int, width: int) -> Array:
        random = self.random
        chosen = self.number // _FRAMES_A_TEXTURE + int(random.integers(_TEXTURES_AT_ONCE))
        y, x = random.integers(0, CANVAS - height + 1), random.integers(0, CANVAS - width + 1)
        part = texture(self.seed, chosen)[y : y + height, x : x + width]
        return part[:: random.choice([-1, 1]), :: random.choice([-1, 1])]


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
