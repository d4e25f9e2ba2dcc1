"""Where a manipulation acts: ranges of frames, and masks, drawn in a word or read from another picture or video.

    10:20, 0.5s:2s, 50%:               ranges, in which a frame is if it begins there, as a schedule has for a
                                       frame its value of that moment; times are those of schedules. Since
                                       100 % is when the last frame begins, a range up to it has all.
    circle(0.5, 0.5, 0.3)              centre x and y as fractions of width and height, radius as a share
                                       of the shorter side
    box(0.2, 0.2, 0.8, 0.8)            left, top, right and bottom
    circle(ramp(0,1), 0.5, 0.2, soft=0.2)   each number may be a schedule; ``soft`` widens the edge
    outside circle(0.5, 0.5, 0.3)      everywhere else
    clip.mp4, mask.png, checkerboard   white is changed, black is not

Nothing of a mask is sharper than a latent cell.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.schedules import Schedule, Time, number, parse_schedule, read_call
from vae_experiments.tensors import Endless

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents, Size

RANGES = "as 10:20 (frames), 0.5s:2s, 25%:75% or :12, from the first up to but without the last"
MASKS = (
    "circle(x,y,radius), box(left,top,right,bottom) in fractions of the frame, with soft=0.1 for a soft edge and "
    "'outside' in front for the rest; or a picture, a video or a pattern whose white parts count"
)
WHOLE = Time(100, "%")
HARD = parse_schedule("0")
LUMA = (0.2126, 0.7152, 0.0722)
_TOLERANCE_SECONDS = 1e-9


class FrameRange(NamedTuple):
    """The frames from ``first`` up to, but without, ``last``; None where it is open."""

    first: Time | None
    last: Time | None

    @classmethod
    def read(cls, text: str) -> FrameRange:
        """Read a range; an empty text is all of a clip.

        Raises:
            ValueError: it is none, or ends before it begins.
        """
        if not text.strip():
            return cls(None, None)
        ends = text.split(":")
        if len(ends) != 2:
            raise ValueError("must be a range of frames")
        first, last = (_time(end.strip()) for end in ends)
        if first and last and first.unit == last.unit and first.amount >= last.amount:
            raise ValueError("ends before it begins")
        return cls(first, last)

    def over(self, at: int, count: int, clip: Clip) -> Tensor:
        """Return ``T 1 1 1``: 1 for each of ``count`` latents that stands for a frame in the range, else 0."""
        import torch

        timeline = clip.timeline
        start = self.first.seconds(timeline) if self.first else -math.inf
        end = self.last.seconds(timeline) if self.last and self.last != WHOLE else math.inf

        def is_inside(latent: int) -> bool:
            frames = range(clip.frame(latent), clip.frame(latent + 1))
            return any(start <= timeline.seconds(frame) + _TOLERANCE_SECONDS < end for frame in frames)

        inside = [is_inside(latent) for latent in range(at, at + count)]
        return torch.tensor(inside, dtype=torch.float32).reshape(-1, 1, 1, 1)

    @property
    def needs_length(self) -> bool:
        """Whether only the clip's length says what it means."""
        return any(end is not None and end.unit == "%" for end in self)


def _time(text: str) -> Time | None:
    if not text:
        return None
    return Time(number(text), "f") if text.isdigit() else Time.read(text)


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
        outside = text.startswith("outside ")
        text = text.removeprefix("outside ").strip()
        if not (text.partition("(")[0].strip().isidentifier() and text.endswith(")")):
            return cls(path=text, outside=outside)
        name, plain, named = read_call(text)
        if name not in _SHAPES:
            raise ValueError(f"there is no {name}()")
        count, _ = _SHAPES[name]
        if len(plain) != count or set(named) - {"soft"}:
            raise ValueError(f"{name}() takes {count} numbers, and soft= if you like")
        soft = parse_schedule(named.get("soft", "0"))
        return cls(name, tuple(map(parse_schedule, plain)), soft, "", outside)

    def over(self, clip: Clip) -> Callable[[Latents, int], Tensor]:
        """Begin a clip: give what tells the share, ``T 1 h w``, for latents from a number on."""
        if not (self.path or self.shape):
            return lambda latents, _at: latents.new_ones(1, 1, 1, 1)
        cover = _read(clip, self.path) if self.path else self._drawn(clip)
        return (lambda latents, at: 1 - cover(latents, at)) if self.outside else cover

    @property
    def needs_length(self) -> bool:
        """Whether only the clip's length says where it is."""
        return any(schedule.needs_length for schedule in (*self.numbers, self.soft))

    def _drawn(self, clip: Clip) -> Callable[[Latents, int], Tensor]:
        import torch

        paint = functools.lru_cache(maxsize=1)(self._painted)
        timeline, schedules = clip.timeline, (*self.numbers, self.soft)

        def cover(latents: Latents, at: int) -> Tensor:
            moments = [clip.seconds(latent) for latent in range(at, at + len(latents))]
            numbers = [tuple(each.at(moment, timeline) for each in schedules) for moment in moments]
            size, cells = clip.pixels(latents), latents.shape[-2:]
            return torch.cat([paint(now, size, clip.stride, cells) for now in numbers])

        return cover

    def _painted(self, numbers: tuple[float, ...], size: Size, stride: int, cells: Sequence[int]) -> Tensor:
        """Draw one moment over a frame, and average it over each latent cell, ``1 1 h w``.

        In float64, in which what is symmetric stays so.
        """
        import torch

        *places, soft = numbers
        across, down = (torch.arange(side, dtype=torch.float64) + 0.5 for side in size)
        _, draw = _SHAPES[self.shape]
        inside = draw(across[None], down[:, None], size, max(soft * min(size), 1), *places)
        return over_cells(inside[None, None], stride, cells)


def _circle(
    x: Tensor, y: Tensor, size: Size, edge: float, centre_x: float, centre_y: float, radius: float
) -> Tensor:
    away = ((x - centre_x * size.width).square() + (y - centre_y * size.height).square()).sqrt()
    return (0.5 - (away - radius * min(size)) / edge).clamp(0, 1)


def _box(
    x: Tensor, y: Tensor, size: Size, edge: float, left: float, top: float, right: float, bottom: float
) -> Tensor:
    across = _between(x, left * size.width, right * size.width, edge)
    return across * _between(y, top * size.height, bottom * size.height, edge)


def _between(place: Tensor, low: float, high: float, edge: float) -> Tensor:
    """Return how much lies between two lines, each of which is as wide as the edge."""
    after, before = ((0.5 + way / edge).clamp(0, 1) for way in (place - low, high - place))
    return (after + before - 1).clamp(min=0)


_SHAPES: dict[str, tuple[int, Callable[..., Tensor]]] = {"circle": (3, _circle), "box": (4, _box)}
"""How many numbers each takes, and what says how much of each pixel lies inside, by the pixels' centres x and y."""


def _read(clip: Clip, path: str) -> Callable[[Latents, int], Tensor]:
    """Take the brightness of another video, averaged over the pixels and frames of each latent cell."""
    import torch

    assert clip.frames_of is not None, "this clip knows no way to another video"
    stream = Endless(clip.frames_of(path))

    def cover(latents: Latents, at: int) -> Tensor:
        parts = []
        for latent in range(at, at + len(latents)):
            frames = stream.take(clip.frame(latent + 1) - clip.frame(latent))
            luma = torch.tensordot(frames, torch.tensor(LUMA), dims=([1], [0]))[:, None]
            light = over_cells(((luma + 1) / 2).clamp(0, 1), clip.stride, latents.shape[-2:])
            parts.append(light.mean(0, keepdim=True))
        return torch.cat(parts)

    return cover


def over_cells(pixels: Tensor, stride: int, cells: Sequence[int]) -> Tensor:
    """Average ``T 1 H W`` over those pixels of each latent cell that belong to the frame, ``T 1 h w``.

    Cells that only padding made, as networks of a least size want it, go on as the last ones before them.
    """
    from torch.nn.functional import avg_pool2d, pad

    means: Tensor = avg_pool2d(pixels, stride, ceil_mode=True, count_include_pad=False)
    below, right = (count - side for count, side in zip(cells, means.shape[-2:], strict=True))
    cover: Tensor = pad(means.float(), (0, right, 0, below), mode="replicate")
    return cover
