"""What every pattern shares: its settings, its canvas, and the step from a drawing to frames."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from fractions import Fraction
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from vae_experiments.files import digest_of
from vae_experiments.options import setting
from vae_experiments.sources.frame_rate import FPS_HELP, FPS_RULE, parse_fps
from vae_experiments.sources.source import Source, SourceInfo
from vae_experiments.tensors import Size, parse_size, to_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from vae_experiments.tensors import Frames, Pixels

    Plane: TypeAlias = np.ndarray
    Colours: TypeAlias = np.ndarray

MAX_PIXELS = 4096 * 4096


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
        try:
            size = parse_size(str(self.size))
        except ValueError:
            raise self.error_for("size", "must be one or two whole numbers, as 256 or 480x272") from None
        if size.width * size.height > MAX_PIXELS:
            raise self.error_for("size", f"must be at most {MAX_PIXELS / 1e6:.1f} million pixels a frame")
        try:
            parse_fps(self.fps)
        except ValueError:
            raise self.error_for("fps", FPS_RULE, "the default is 8") from None

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
        size = parse_size(str(self.size))
        canvas = Canvas.of(size)
        ends = [sha256(self._pixels(number, canvas).tobytes()).hexdigest() for number in (0, self.frames - 1)]
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return digest_of(settings | {"size": size, "fps": str(parse_fps(self.fps))}, ends)

    def _pixels(self, number: int, canvas: Canvas) -> Pixels:
        import numpy as np

        # A moment is a fraction of whole numbers, rounded once: no drift however long the clip.
        colours = self.draw(float(Fraction(number) / parse_fps(self.fps)), canvas)
        pixels: Pixels = np.round(colours.clip(0, 1) * 255).astype(np.uint8)
        return pixels
