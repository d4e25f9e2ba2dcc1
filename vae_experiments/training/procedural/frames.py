"""Procedural frames: pictures to train on that nobody has to download.

A frame is uint8 ``SIDE x SIDE x 3`` and depends only on a seed and its number. Shapes of all sizes
lie over each other as fallen leaves do (Lee, Mumford, Huang: Occlusion models for natural images,
2001), under uneven light, seen through an imperfect lens. Flat areas and gradients of any colour
are among them on purpose: without them whole colours were never learned.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vae_experiments.training.procedural.shapes import Surfaces, ramp, stamp
from vae_experiments.training.procedural.textures import CANVAS, Array, Random, spectral_noise

SIDE = 192
"""Side of a frame in pixels: the canvas is reduced to it, so that edges are as smooth as a camera's."""

_STREAM = 0  # keeps textures and frames of the same number apart
_FILTERS = [Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.BICUBIC]


def frame(seed: int, number: int, plain: float = 0.1) -> Array:
    """Paint one training frame, uint8 ``SIDE SIDE 3``; the same seed and number, the same frame.

    ``plain`` is the fraction of frames of one colour or one gradient.
    """
    random = np.random.default_rng([seed, _STREAM, number])
    if random.random() < plain:
        return plain_picture(random)
    canvas = scene(random, seed, number)
    canvas = photograph(random, canvas)
    return _reduce(random, canvas)


def plain_picture(random: Random) -> Array:
    """One colour, or two with a smooth change between them, anywhere in the colour cube."""
    colours = random.random((2, 3), np.float32)
    if random.random() < 0.4:
        colours = colours.round()  # a corner of the cube: black, white, red, yellow...
    if random.random() < 0.4:
        colours[1] = colours[0]
    picture = colours[0] + (colours[1] - colours[0]) * ramp(random, SIDE, SIDE)[..., None]
    return to_bytes(picture)


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
        draw.line(
            ends.ravel().tolist(), fill=(red, green, blue), width=int(math.exp(random.uniform(0.5, 2.5)))
        )
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
