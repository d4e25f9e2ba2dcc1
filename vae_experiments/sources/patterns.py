"""Patterns: clips that are drawn, each frame a pure function of its moment in seconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.sources.pattern import Pattern

if TYPE_CHECKING:
    from vae_experiments.sources.pattern import Canvas, Colours, Plane

TURN = 2 * math.pi


class MovingCircle(Pattern):
    """A bright circle that wanders over a soft evening sky."""

    def draw(self, seconds: float, canvas: Canvas) -> Colours:
        """Paint one moment as H W 3 in [0, 1]."""
        import numpy as np

        radius = 0.17
        # Two periods without a common multiple: the circle never takes the same way twice.
        across = (canvas.right - 1.3 * radius) * math.sin(TURN * (seconds / 5.3 - 0.12))
        down = (canvas.bottom - 1.3 * radius) * math.sin(TURN * (seconds / 3.7 + 0.08))
        distance = np.hypot(canvas.x - across, canvas.y - down)
        glow = np.exp(-((distance / (2.1 * radius)) ** 2))[..., None]
        sky = _between(
            (0.10, 0.16, 0.36), (0.62, 0.38, 0.46), 0.5 + canvas.y / canvas.bottom / 2 + 0 * canvas.x
        )
        sky = sky + 0.05 * np.sin(3 * canvas.x - 2 * canvas.y + 0.6 * seconds)[..., None]
        light = np.hypot(canvas.x - across + 0.35 * radius, canvas.y - down + 0.35 * radius) / (1.5 * radius)
        disc = _between((1.0, 0.96, 0.80), (0.98, 0.66, 0.26), light.clip(0, 1) ** 1.5)
        return _over(sky + glow * np.array([0.26, 0.16, 0.04]), disc, canvas.cover(distance - radius))


class Rainbow(Pattern):
    """Bands of every hue that travel across the frame and sway."""

    def draw(self, seconds: float, canvas: Canvas) -> Colours:
        """Paint one moment as H W 3 in [0, 1]."""
        import numpy as np

        sway = 0.10 * np.sin(TURN * (0.9 * canvas.y - 0.21 * seconds))
        hue = 0.9 * canvas.x + 0.35 * canvas.y + sway - 0.17 * seconds
        painted: Colours = _wheel(hue) * (0.86 + 0.14 * np.cos(TURN * (canvas.y - 0.13 * seconds)))[..., None]
        return painted


class Bars(Pattern):
    """Television's colour bars, sliding sideways over a grey ramp that slides back."""

    def draw(self, seconds: float, canvas: Canvas) -> Colours:
        """Paint one moment as H W 3 in [0, 1]."""
        import numpy as np

        # White, yellow, cyan, green, magenta, red, blue: each further bar is darker to the eye.
        bars = 0.75 * np.array(
            [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)], dtype=float
        )
        place = (canvas.x[0] + canvas.right) / (2 * canvas.right) * len(bars) + 0.61 * seconds
        width = canvas.pixel / (2 * canvas.right) * len(bars)
        bar = np.floor(place).astype(int)
        # The pixel that an edge runs through takes its fraction of both bars: motion without jumps.
        share = ((place - bar - 1 + width / 2) / width).clip(0, 1)[:, None]
        upper = bars[bar % len(bars)] * (1 - share) + bars[(bar + 1) % len(bars)] * share
        ramp = 0.5 - 0.5 * np.cos(TURN * (canvas.x[0] / (2 * canvas.right) - 0.11 * seconds))
        lower = np.repeat(ramp[:, None], 3, axis=1)
        below = canvas.cover(0.36 * canvas.bottom - canvas.y)[..., None]
        painted: Colours = upper[None] * (1 - below) + lower[None] * below
        return painted


class Checkerboard(Pattern):
    """A checkerboard that turns, drifts and breathes: straight edges at every angle."""

    def draw(self, seconds: float, canvas: Canvas) -> Colours:
        """Paint one moment as H W 3 in [0, 1]."""
        import numpy as np

        tiles = 6 * math.exp(0.25 * math.sin(TURN * seconds / 7.1))
        along, across = _turned(canvas.x, canvas.y, 0.2 + 0.3 * seconds)
        light = _wave(tiles * along + 0.5 * seconds, tiles * canvas.pixel)
        light = light * _wave(tiles * across + 0.23 * seconds, tiles * canvas.pixel)
        shade = 1 - 0.22 * np.hypot(canvas.x / canvas.right, canvas.y / canvas.bottom)[..., None] ** 2
        return _between((0.10, 0.17, 0.30), (0.96, 0.92, 0.82), (light + 1) / 2) * shade


class Plasma(Pattern):
    """Slow clouds of colour: everything is smooth and everything moves."""

    def draw(self, seconds: float, canvas: Canvas) -> Colours:
        """Paint one moment as H W 3 in [0, 1]."""
        import numpy as np

        x, y = canvas.x, canvas.y
        field = np.sin(5.1 * x + 0.9 * seconds) + np.sin(4.3 * y - 1.1 * seconds)
        field = field + np.sin(3.7 * (x + y) + 0.7 * seconds)
        ring = np.hypot(x - 0.4 * math.sin(0.6 * seconds), y - 0.4 * math.cos(0.47 * seconds))
        field = field + np.sin(7.9 * ring - 1.3 * seconds)
        bright = 0.62 + 0.38 * np.cos(2.1 * field + 0.5 * seconds)
        painted: Colours = _wheel(0.17 * field + 0.04 * seconds) * bright[..., None]
        return painted


class _Shape(NamedTuple):
    """One of the bouncing shapes: corners (0 is a circle), place and way in frames a second."""

    corners: int
    radius: float
    start: tuple[float, float]
    speed: tuple[float, float]
    spin: float
    colour: tuple[float, float, float]


_SHAPES = (
    _Shape(0, 0.14, (0.20, 0.30), (0.31, 0.23), 0.0, (0.95, 0.36, 0.27)),
    _Shape(4, 0.15, (0.70, 0.15), (-0.22, 0.29), 0.9, (0.16, 0.60, 0.70)),
    _Shape(3, 0.16, (0.45, 0.80), (0.26, -0.35), -1.3, (0.98, 0.76, 0.24)),
    _Shape(6, 0.10, (0.85, 0.60), (-0.41, -0.19), 1.7, (0.45, 0.32, 0.66)),
    _Shape(0, 0.07, (0.10, 0.90), (0.53, 0.44), 0.0, (0.33, 0.67, 0.36)),
)


class BouncingShapes(Pattern):
    """Flat shapes that turn, pass over each other and bounce off the edges of the frame."""

    def draw(self, seconds: float, canvas: Canvas) -> Colours:
        """Paint one moment as H W 3 in [0, 1]."""
        painted = _between(
            (0.95, 0.93, 0.88), (0.82, 0.86, 0.90), 0.5 + canvas.y / canvas.bottom / 2 + 0 * canvas.x
        )
        for shape in _SHAPES:
            x = _bounce(shape.start[0] + shape.speed[0] * seconds, canvas.right - shape.radius)
            y = _bounce(shape.start[1] + shape.speed[1] * seconds, canvas.bottom - shape.radius)
            along, across = _turned(canvas.x - x, canvas.y - y, shape.spin * seconds)
            painted = _over(painted, shape.colour, canvas.cover(_distance(along, across, shape)))
        return painted


def _between(first: tuple[float, ...], second: tuple[float, ...], share: Plane) -> Colours:
    """Mix two colours: the first where the share is 0, the second where it is 1."""
    import numpy as np

    mixed: Colours = np.array(first) * (1 - share[..., None]) + np.array(second) * share[..., None]
    return mixed


def _over(below: Colours, colour: Colours | tuple[float, ...], cover: Plane) -> Colours:
    """Lay a colour over a picture where it covers it."""
    import numpy as np

    laid: Colours = below * (1 - cover[..., None]) + np.asarray(colour) * cover[..., None]
    return laid


def _wheel(hue: Plane) -> Colours:
    """Return the colour of each hue (1 is a full turn); cosines, because HSV's corners show as bands."""
    import numpy as np

    wheel: Colours = 0.5 + 0.5 * np.cos(TURN * (hue[..., None] - np.array([0, 1 / 3, 2 / 3])))
    return wheel


def _turned(x: Plane, y: Plane, angle: float) -> tuple[Plane, Plane]:
    """Turn coordinates by an angle in radians."""
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def _wave(place: Plane, pixel: float) -> Plane:
    """Return a square wave of period 2 in [-1, 1] whose edges are one pixel wide."""
    import numpy as np

    to_edge = 0.5 - np.abs((place % 1) - 0.5)
    sign = 1 - 2 * (np.floor(place) % 2)
    smooth: Plane = sign * (2 * to_edge / pixel).clip(0, 1)
    return smooth


def _bounce(way: float, reach: float) -> float:
    """Fold an endless way (1 is one crossing) into a place between -reach and reach."""
    return max(reach, 0.0) * (1 - 2 * abs(way % 2 - 1))


def _distance(x: Plane, y: Plane, shape: _Shape) -> Plane:
    """Return the signed distance to a shape's edge around the origin, negative inside."""
    import numpy as np

    if shape.corners == 0:
        circle: Plane = np.hypot(x, y) - shape.radius
        return circle
    apothem = shape.radius * math.cos(math.pi / shape.corners)
    sides = [TURN * side / shape.corners for side in range(shape.corners)]
    polygon: Plane = np.max([x * math.cos(side) + y * math.sin(side) for side in sides], axis=0) - apothem
    return polygon
