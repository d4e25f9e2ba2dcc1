"""Patterns: clips that are drawn, each frame a pure function of its moment in seconds."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from fractions import Fraction
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from vae_experiments.files import digest_of
from vae_experiments.options import setting
from vae_experiments.sources.frame_rate import FPS_HELP, FPS_RULE, parse_fps
from vae_experiments.sources.source import SIZE_RULE, Source, SourceInfo
from vae_experiments.tensors import Size, parse_size, to_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from vae_experiments.tensors import Frames, Pixels

    Plane: TypeAlias = np.ndarray
    Colours: TypeAlias = np.ndarray

MAX_PIXELS = 4096 * 4096
TURN = 2 * math.pi


class Canvas(NamedTuple):
    """Where each pixel lies, measured in short sides from the centre, so that any size looks alike."""

    x: Plane
    y: Plane
    right: float
    bottom: float
    pixel: float

    @classmethod
    def of(cls, size: Size) -> Canvas:
        """Lay a canvas over a frame: ``x`` is 1 x W, ``y`` is H x 1, both at the pixels' centres."""
        import numpy as np

        short = min(size)
        x = (np.arange(size.width) + 0.5 - size.width / 2) / short
        y = (np.arange(size.height) + 0.5 - size.height / 2) / short
        return cls(x[None, :], y[:, None], size.width / short / 2, size.height / short / 2, 1 / short)

    def cover(self, distance: Plane) -> Plane:
        """Turn a signed distance to an edge (negative inside) into the fraction of each pixel inside."""
        return (0.5 - distance / self.pixel).clip(0, 1)


class Pattern(Source, group="source"):
    """Draws its frames: nothing to download, any size, any length, the same on every machine."""

    size: str = setting("width and height of a frame, as 256 or 480x272", default="256", unit="pixels")
    frames: int = setting("how many frames", default=24, minimum=1)
    fps: str = setting(FPS_HELP, default="8")

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            SettingError: a value breaks its rule.
        """
        super().__post_init__()
        size = self.parsed("size", parse_size, SIZE_RULE)
        if size.width * size.height > MAX_PIXELS:
            raise self.error_for("size", f"must be at most {MAX_PIXELS / 1e6:.1f} million pixels a frame")
        self.parsed("fps", parse_fps, FPS_RULE, "the default is 8")

    @property
    def info(self) -> SourceInfo:
        """What will come; all of it is known from the settings."""
        return SourceInfo.steady(parse_size(str(self.size)), parse_fps(self.fps), self.frames)

    def chunks(self, count: int) -> Iterator[Frames]:
        """Yield the frames in order, ``count`` at a time, shape ``T 3 H W``."""
        import numpy as np

        canvas = Canvas.of(self.info.size)
        for first in range(0, self.frames, count):
            numbers = range(first, min(first + count, self.frames))
            yield to_frames(np.stack([self._pixels(number, canvas) for number in numbers]))

    @abstractmethod
    def draw(self, seconds: float, canvas: Canvas) -> Colours:
        """Paint the moment ``seconds`` after the start as an array H W 3 in [0, 1]."""

    def digest(self) -> str:
        """Identify the frames by all settings, those of a plugin's own too, and by two drawn frames.

        The drawn frames stand for this program: a version that draws otherwise is another source.
        """
        info = self.info
        canvas = Canvas.of(info.size)
        ends = [sha256(self._pixels(number, canvas).tobytes()).hexdigest() for number in (0, self.frames - 1)]
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return digest_of(settings | {"size": info.size, "fps": str(info.fps)}, ends)

    def _pixels(self, number: int, canvas: Canvas) -> Pixels:
        import numpy as np

        # A moment is a fraction of whole numbers, rounded once: no drift however long the clip.
        colours = self.draw(float(Fraction(number) / parse_fps(self.fps)), canvas)
        pixels: Pixels = np.round(colours.clip(0, 1) * 255).astype(np.uint8)
        return pixels


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
        sky = _between((0.10, 0.16, 0.36), (0.62, 0.38, 0.46), _height(canvas))
        sky = sky + 0.05 * np.sin(3 * canvas.x - 2 * canvas.y + 0.6 * seconds)[..., None]
        light = np.hypot(canvas.x - across + 0.35 * radius, canvas.y - down + 0.35 * radius) / (1.5 * radius)
        disc = _between((1.0, 0.96, 0.80), (0.98, 0.66, 0.26), light.clip(0, 1) ** 1.5)
        return _between(sky + glow * np.array([0.26, 0.16, 0.04]), disc, canvas.cover(distance - radius))


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
        bars = 0.75 * np.array([(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)])
        place = (canvas.x[0] + canvas.right) / (2 * canvas.right) * len(bars) + 0.61 * seconds
        width = canvas.pixel / (2 * canvas.right) * len(bars)
        bar = np.floor(place).astype(int)
        # The pixel that an edge runs through takes its fraction of both bars: motion without jumps.
        share = ((place - bar - 1 + width / 2) / width).clip(0, 1)
        upper = _between(bars[bar % len(bars)], bars[(bar + 1) % len(bars)], share)
        ramp = 0.5 - 0.5 * np.cos(TURN * (canvas.x[0] / (2 * canvas.right) - 0.11 * seconds))
        lower = np.repeat(ramp[:, None], 3, axis=1)
        return _between(upper[None], lower[None], canvas.cover(0.36 * canvas.bottom - canvas.y))


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
        painted = _between((0.95, 0.93, 0.88), (0.82, 0.86, 0.90), _height(canvas))
        for shape in _SHAPES:
            x = _bounce(shape.start[0] + shape.speed[0] * seconds, canvas.right - shape.radius)
            y = _bounce(shape.start[1] + shape.speed[1] * seconds, canvas.bottom - shape.radius)
            along, across = _turned(canvas.x - x, canvas.y - y, shape.spin * seconds)
            painted = _between(painted, shape.colour, canvas.cover(_distance(along, across, shape)))
        return painted


def _between(
    first: Colours | tuple[float, ...], second: Colours | tuple[float, ...], share: Plane
) -> Colours:
    """Mix two colours: the first where the share is 0, the second where it is 1."""
    import numpy as np

    mixed: Colours = np.asarray(first) * (1 - share[..., None]) + np.asarray(second) * share[..., None]
    return mixed


def _height(canvas: Canvas) -> Plane:
    """Return how far down each pixel lies, H x W: 0 is the top edge, and 1 the bottom."""
    down: Plane = 0.5 + canvas.y / canvas.bottom / 2 + 0 * canvas.x
    return down


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
