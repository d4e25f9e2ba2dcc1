"""Procedural clips: short videos to train on that nobody has to download.

A clip depends only on a seed and its number. A painted scene lies under a camera that pans, zooms
and turns, and a few shapes move over it, each on a smooth path of its own. Everything is drawn at
twice the side of a frame and reduced, so that edges move by parts of a pixel without jumps.

Places and steps are complex numbers, x + iy: a turn with a zoom is then one multiplication.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from vae_experiments.sources.procedural.frames import (
    SIDE,
    Surfaces,
    outline,
    palette,
    photograph,
    plain_picture,
    scene,
    to_bytes,
)
from vae_experiments.sources.procedural.textures import CANVAS, Array, Random

_STREAM = 3  # keeps clips apart from frames, textures and batches
_FINE = 2 * SIDE
_MIDDLE = complex(_FINE, _FINE) / 2
_MARGIN = 4  # pixels of the canvas that never come into view, and that lie empty around a shape


def clip(seed: int, number: int, frames: int, plain: float = 0.1) -> Array:
    """Paint one training clip, uint8 ``T SIDE SIDE 3``; the same seed and number, the same clip.

    ``plain`` is the fraction of clips of one colour or one gradient, some of which change slowly.
    """
    random = np.random.default_rng([seed, _STREAM, number])
    if random.random() < plain:
        return _plain(random, frames)
    shots, first_after_cut = [_shot(random, seed, number)], frames
    if frames > 1 and random.random() < 0.07:
        shots.append(_shot(random, seed, number))
        first_after_cut = int(random.integers(1, frames))
    if random.random() < 0.08:
        return np.repeat(shots[0].expose(0)[None], frames, 0)
    clip = np.stack([shots[moment >= first_after_cut].expose(moment) for moment in range(frames)])
    if random.random() < 0.12:
        noise = random.standard_normal(clip.shape, np.float32) * np.float32(random.uniform(1, 6))
        clip = np.clip(clip + noise, 0, 255).astype(np.uint8)
    return clip


def _plain(random: Random, frames: int) -> Array:
    """Show one plain picture, or let it become another one little by little."""
    first, last = plain_picture(random).astype(np.float32), plain_picture(random)
    change = 0.0 if random.random() < 0.5 else math.exp(random.uniform(-6, -2))
    shares = np.minimum(np.arange(frames, dtype=np.float32) * np.float32(change), 1)[:, None, None, None]
    return np.asarray(first + (last - first) * shares + 0.5).astype(np.uint8)


class _Swing(NamedTuple):
    """A change to and fro that never passes its reach: a sine, of which a clip mostly sees a part."""

    reach: float
    rate: float
    """Radians a frame."""
    phase: float

    def at(self, moment: float) -> float:
        return self.reach * math.sin(self.phase + self.rate * moment)


def _swing(random: Random, reach: float, speed: float) -> _Swing:
    """Make a swing that is at most so fast; a short one turns back slowly rather than tremble."""
    rate = min(speed / reach, 0.25) if reach > 0 else 0
    return _Swing(reach, rate, random.uniform(0, 2 * math.pi))


def _speed(random: Random, usual: float, none: float) -> float:
    """Draw a speed: none at all with that chance, else mostly about the usual one, and some high ones."""
    return 0 if random.random() < none else min(usual * math.exp(random.normal(0, 1)), 8 * usual)


@dataclass(frozen=True)
class _Camera:
    """Looks at a square of the canvas."""

    side: float
    direction: complex
    along: _Swing
    aside: _Swing
    zoom: _Swing
    turn: _Swing
    shake: _Swing

    def view(self, moment: float) -> tuple[complex, complex]:
        """Return the place that it looks at, and the step on the canvas of one fine pixel to the right."""
        path = complex(self.along.at(moment), self.aside.at(moment))
        shake = complex(self.shake.at(moment), self.shake.at(1.3 * moment + 50))
        place = complex(CANVAS, CANVAS) / 2 + self.direction * path + shake
        return place, cmath.rect(self.side / _FINE * math.exp(self.zoom.at(moment)), self.turn.at(moment))


def _camera(random: Random) -> _Camera:
    """Choose how the camera moves, and look at so little of the canvas that no border comes into view."""
    speed = _speed(random, usual=0.8, none=0.25)
    zoom = _swing(random, random.uniform(0.02, 0.3), _speed(random, usual=0.004, none=0.5))
    turn = _swing(random, random.uniform(0.02, 0.3), _speed(random, usual=0.005, none=0.6))
    shake = _Swing(random.uniform(0.3, 1.4), random.uniform(0.3, 1), random.uniform(0, 2 * math.pi))
    half = CANVAS / 2 * random.uniform(0.6, 0.92 - 0.05 * min(speed, 5))
    side = 2 * half / math.exp(zoom.reach) / (math.cos(turn.reach) + math.sin(turn.reach))
    room = CANVAS / 2 - _MARGIN - half
    pixel = side / SIDE
    return _Camera(
        side,
        cmath.rect(1, random.uniform(0, 2 * math.pi)),
        _swing(random, 0.9 * room, speed * pixel),
        _swing(random, 0.3 * room, speed * pixel * random.uniform(0, 0.7)),
        zoom,
        turn,
        shake if random.random() < 0.15 else _Swing(0, 0, 0),
    )


@dataclass(frozen=True)
class _Thing:
    """A shape that moves over the scene."""

    picture: Image.Image
    place: complex
    """Where it is on the canvas in the first frame."""
    drift: complex
    """Canvas pixels a frame."""
    sway: _Swing
    spin: float
    """Radians a frame."""
    growth: _Swing

    def draw(self, under: Image.Image, moment: float, centre: complex, step: complex) -> None:
        """Lay it over a fine picture of what the camera sees."""
        width, height = self.picture.size
        place = self.place + self.drift * moment + 1j * self.sway.at(moment)
        own = cmath.rect(math.exp(self.growth.at(moment)), self.spin * moment)
        # A fine pixel p shows this place of the shape's own picture: origin + turned * p.
        turned = step / own
        origin = complex(width, height) / 2 + (centre - place) / own - turned * _MIDDLE
        middle = (complex(width, height) / 2 - origin) / turned
        reach = math.hypot(width, height) / 2 / abs(turned)
        left, right = (int(np.clip(middle.real + side, 0, _FINE)) for side in (-reach, reach + 1))
        top, bottom = (int(np.clip(middle.imag + side, 0, _FINE)) for side in (-reach, reach + 1))
        if left < right and top < bottom:
            origin += turned * complex(left, top)
            tile = _look(self.picture, (right - left, bottom - top), origin, turned)
            under.paste(tile, (left, top), tile)


def _thing(random: Random, surfaces: Surfaces, camera: _Camera) -> _Thing:
    radius = math.exp(random.uniform(math.log(5), math.log(90)))
    aspect = math.exp(random.normal(0, 0.35))
    height, width = (int(np.clip(2 * radius * side, 6, CANVAS / 2)) for side in (aspect, 1 / aspect))
    pixel = camera.side / SIDE
    seen, _ = camera.view(0)
    return _Thing(
        _cut_out(random, surfaces, height, width),
        seen + complex(*random.uniform(-0.65, 0.65, 2)) * camera.side,
        cmath.rect(_speed(random, usual=1, none=0.15) * pixel, random.uniform(0, 2 * math.pi)),
        _swing(random, random.uniform(1, 30), _speed(random, usual=0.5, none=0.5)),
        random.choice([-1, 1]) * _speed(random, usual=0.015, none=0.5),
        _swing(random, random.uniform(0.05, 0.4), _speed(random, usual=0.006, none=0.5)),
    )


def _cut_out(random: Random, surfaces: Surfaces, height: int, width: int) -> Image.Image:
    """Cut a shape with smooth edges out of a surface, with nothing around it."""
    opacity = 1 if random.random() < 0.88 else random.uniform(0.3, 0.9)
    cover = Image.fromarray(to_bytes(outline(random, 2 * height, 2 * width) * opacity)).reduce(2)
    picture = Image.fromarray(to_bytes(surfaces.paint(height, width, small=height * width < 250)))
    picture.putalpha(cover)
    return ImageOps.expand(picture, _MARGIN, 0)


@dataclass(frozen=True)
class _Shot:
    """A scene, what moves in it, and the camera that takes it without interruption."""

    canvas: Image.Image
    things: tuple[_Thing, ...]
    camera: _Camera
    light: _Swing
    exposures: tuple[float, ...]
    """The moments, in frames, whose mean is one frame: several blur what is fast."""

    def expose(self, moment: float) -> Array:
        """Take one frame, uint8 ``SIDE SIDE 3``."""
        taken = [np.asarray(self._see(moment + delay)) for delay in self.exposures]
        light = self.light.at(moment)
        if len(taken) == 1 and not light:
            return taken[0]
        mean = np.mean(taken, 0, dtype=np.float32) * np.float32(math.exp(light))
        return np.asarray(np.clip(mean + 0.5, 0, 255)).astype(np.uint8)

    def _see(self, moment: float) -> Image.Image:
        centre, step = self.camera.view(moment)
        seen = _look(self.canvas, (_FINE, _FINE), centre - step * _MIDDLE, step)
        for thing in self.things:
            thing.draw(seen, moment, centre, step)
        return seen.reduce(2)


def _shot(random: Random, seed: int, number: int) -> _Shot:
    canvas = Image.fromarray(to_bytes(photograph(random, scene(random, seed, number))))
    # Painted edges are stairs, which a still frame hides by reducing them to half.
    canvas = canvas.filter(ImageFilter.GaussianBlur(0.7))
    surfaces = Surfaces(random, palette(random, int(random.integers(3, 9))), seed, number)
    camera = _camera(random)
    count = int(random.integers(1, 9)) if random.random() < 0.85 else 0
    things = tuple(_thing(random, surfaces, camera) for _ in range(count))
    light = _Swing(0, 0, 0)
    if random.random() < 0.2:
        light = _swing(random, random.uniform(0.05, 0.35), _speed(random, usual=0.015, none=0))
    shutter = random.uniform(0.3, 0.9) / 3 if random.random() < 0.2 else 0
    exposures = (0.0, shutter, 2 * shutter) if shutter else (0.0,)
    return _Shot(canvas, things, camera, light, exposures)


def _look(picture: Image.Image, size: tuple[int, int], origin: complex, step: complex) -> Image.Image:
    """Show a picture turned and scaled: pixel p of the result is what lies at origin + step * p."""
    rows = (step.real, -step.imag, origin.real, step.imag, step.real, origin.imag)
    return picture.transform(size, Image.Transform.AFFINE, rows, Image.Resampling.BICUBIC)
