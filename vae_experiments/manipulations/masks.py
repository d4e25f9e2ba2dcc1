"""Masks: where a manipulation acts, drawn in a word or read from another picture or video.

    circle(0.5, 0.5, 0.3)              centre x and y as fractions of width and height, radius as a share
                                       of the shorter side
    box(0.2, 0.2, 0.8, 0.8)            left, top, right and bottom
    circle(ramp(0,1), 0.5, 0.2, soft=0.2)   each number may be a schedule; ``soft`` widens the edge
    outside circle(0.5, 0.5, 0.3)      everywhere else
    clip.mp4, mask.png, checkerboard   white is changed, black is not

Nothing of it is sharper than a latent cell.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vae_experiments.schedules import Schedule, parse_schedule, read_call
from vae_experiments.tensors import Joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Frames, Latents, Size

MASKS = (
    "circle(x,y,radius), box(left,top,right,bottom) in fractions of the frame, with soft=0.1 for a soft edge and "
    "'outside' in front for the rest; or a picture, a video or a pattern whose white parts count"
)
SHAPES = {"circle": 3, "box": 4}
OUTSIDE = "outside"
HARD = parse_schedule("0")
LUMA = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True)
class Mask:
    """A region that changes over time: drawn (``shape`` and ``numbers``) or read (``path``)."""

    shape: str = ""
    numbers: tuple[Schedule, ...] = ()
    soft: Schedule = HARD
    path: str = ""
    outside: bool = False

    @classmethod
    def read(cls, text: str) -> Mask:
        """Read a mask; an empty text is everywhere.

        Raises:
            ValueError: the text breaks the grammar; the message says where.
        """
        text = text.strip()
        outside = text.startswith(f"{OUTSIDE} ")
        text = text.removeprefix(OUTSIDE).strip() if outside else text
        if not (text.partition("(")[0].strip().isidentifier() and text.endswith(")")):
            return cls(path=text, outside=outside)
        name, plain, named = read_call(text)
        if name not in SHAPES:
            raise ValueError(f"there is no {name}()")
        if len(plain) != SHAPES[name] or set(named) - {"soft"}:
            raise ValueError(f"{name}() takes {SHAPES[name]} numbers, and soft= if you like")
        soft = parse_schedule(named.get("soft", "0"))
        return cls(name, tuple(map(parse_schedule, plain)), soft, "", outside)

    def over(self, clip: Clip) -> Callable[[Latents, int], Tensor]:
        """Begin a clip: give what tells the share, ``T 1 h w``, for latents from a number on."""
        if self.path:
            cover = _read(clip, self.path)
        elif self.shape:
            cover = self._drawn(clip)
        else:
            return _everywhere
        return (lambda latents, at: 1 - cover(latents, at)) if self.outside else cover

    @property
    def needs_length(self) -> bool:
        """Whether only the clip's length says where it is."""
        return any(schedule.needs_length for schedule in (*self.numbers, self.soft))

    def _drawn(self, clip: Clip) -> Callable[[Latents, int], Tensor]:
        import torch

        paint = functools.lru_cache(maxsize=1)(self._painted)

        def cover(latents: Latents, at: int) -> Tensor:
            seconds = [clip.seconds(number) for number in range(at, at + len(latents))]
            schedules = (*self.numbers, self.soft)
            parts = []
            for moment in seconds:
                numbers = tuple(schedule.at(moment, clip.timeline) for schedule in schedules)
                parts.append(paint(numbers, clip.pixels(latents), clip.stride, latents.shape[-2:]))
            return torch.cat(parts)

        return cover

    def _painted(self, numbers: tuple[float, ...], size: Size, stride: int, cells: Sequence[int]) -> Tensor:
        """Draw one moment over a frame, and average it over each latent cell, ``1 1 h w``.

        In float64, in which what is symmetric stays so.
        """
        import torch

        *places, soft = numbers
        across, down = (torch.arange(side, dtype=torch.float64) + 0.5 for side in size)
        x, y, edge = across[None], down[:, None], max(soft * min(size), 1)
        return over_cells(_SHAPES[self.shape](x, y, size, edge, places)[None, None], stride, cells)


def check_mask(text: str, setting: str, clip: Clip) -> None:
    """Open a mask that is a file, so that a mistake is heard before anything is written.

    Raises:
        SourceError: it cannot be read.
    """
    path = Mask.read(text).path
    if path and clip.check_path:
        clip.check_path(path, setting)


def _everywhere(_latents: Latents, _at: int) -> Tensor:
    import torch

    return torch.ones(1, 1, 1, 1)


def _circle(x: Tensor, y: Tensor, size: Size, edge: float, numbers: list[float]) -> Tensor:
    centre_x, centre_y, radius = numbers
    away = ((x - centre_x * size.width).square() + (y - centre_y * size.height).square()).sqrt()
    return (0.5 - (away - radius * min(size)) / edge).clamp(0, 1)


def _box(x: Tensor, y: Tensor, size: Size, edge: float, numbers: list[float]) -> Tensor:
    left, top, right, bottom = numbers
    return _between(x, left * size.width, right * size.width, edge) * _between(
        y, top * size.height, bottom * size.height, edge
    )


def _between(place: Tensor, low: float, high: float, edge: float) -> Tensor:
    """Return how much lies between two lines, each of which is as wide as the edge."""
    after, before = ((0.5 + way / edge).clamp(0, 1) for way in (place - low, high - place))
    return (after + before - 1).clamp(min=0)


_SHAPES = {"circle": _circle, "box": _box}
"""How much of each pixel lies inside, for the pixels' centres ``x`` and ``y``."""


def _read(clip: Clip, path: str) -> Callable[[Latents, int], Tensor]:
    """Take the brightness of another video, averaged over the pixels and frames of each latent cell."""
    import torch

    assert clip.frames_of is not None, "this clip knows no way to another video"
    stream = Joined(clip.frames_of(path))

    def cover(latents: Latents, at: int) -> Tensor:
        parts = []
        for number in range(at, at + len(latents)):
            frames = stream.take(clip.frame(number + 1) - clip.frame(number))
            assert frames is not None, "a second video has no end"
            light = over_cells(_brightness(frames), clip.stride, latents.shape[-2:])
            parts.append(light.mean(0, keepdim=True))
        return torch.cat(parts)

    return cover


def _brightness(frames: Frames) -> Tensor:
    """Return the luma of each pixel in [0, 1], ``T 1 H W``."""
    import torch

    luma: Tensor = torch.tensordot(frames, torch.tensor(LUMA), dims=([1], [0]))[:, None]
    return ((luma + 1) / 2).clamp(0, 1)


def over_cells(pixels: Tensor, stride: int, cells: Sequence[int]) -> Tensor:
    """Average ``T 1 H W`` over those pixels of each latent cell that belong to the frame, ``T 1 h w``.

    Cells that only padding made, as networks of a least size want it, go on as the last ones before them.
    """
    from torch.nn.functional import avg_pool2d, pad

    means: Tensor = avg_pool2d(pixels, stride, ceil_mode=True, count_include_pad=False)
    below, right = (count - side for count, side in zip(cells, means.shape[-2:], strict=True))
    cover: Tensor = pad(means.float(), (0, right, 0, below), mode="replicate")
    return cover
