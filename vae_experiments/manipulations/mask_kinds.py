"""Kinds of masks: drawn, read from another video, seen in the source's own frames, and made of others."""

from __future__ import annotations

import functools
import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from vae_experiments.schedules import Schedule, UnheardError, constant, luma_of
from vae_experiments.tensors import Endless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Frames, Latents, Size

    Cover: TypeAlias = Callable[[Latents, int], Tensor]

HARD = constant(0)


@dataclass(frozen=True, eq=False)
class Region(ABC):
    """A part of the frame that changes over time."""

    @abstractmethod
    def over(self, clip: Clip) -> Cover:
        """Begin a clip: give what tells how much is covered, ``T 1 h w``, for latents from a number on.

        They are asked for in their order.

        Raises:
            UnheardError: there are no frames to look at.
        """

    @property
    def parts(self) -> tuple[Region, ...]:
        """The regions that it is made of."""
        return ()

    @property
    def schedules(self) -> list[Schedule]:
        """All numbers that it depends on."""
        return [schedule for part in self.parts for schedule in part.schedules]

    @property
    def paths(self) -> list[str]:
        """The other videos that it is read from."""
        return [path for part in self.parts for path in part.paths]


@dataclass(frozen=True, eq=False)
class Everywhere(Region):
    """All of the frame."""

    def over(self, clip: Clip) -> Cover:  # noqa: ARG002
        """Cover all."""
        return lambda latents, _at: latents.new_ones(1, 1, 1, 1)


@dataclass(frozen=True, eq=False)
class Drawn(Region):
    """A shape, with the numbers that say where it is."""

    shape: str
    numbers: tuple[Schedule, ...]
    soft: Schedule = HARD

    @property
    def schedules(self) -> list[Schedule]:
        """Those of its place and of its edge."""
        return [*self.numbers, self.soft]

    def over(self, clip: Clip) -> Cover:
        """Draw it for each latent."""
        import torch

        paint = functools.lru_cache(maxsize=1)(self._painted)

        def cover(latents: Latents, at: int) -> Tensor:
            numbers = [values_at(self.schedules, latent, clip) for latent in range(at, at + len(latents))]
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
        _, draw = SHAPES[self.shape]
        inside = draw(across[None], down[:, None], size, max(soft * min(size), 1), *places)
        return over_cells(inside[None, None], stride, cells)


@dataclass(frozen=True, eq=False)
class OtherVideo(Region):
    """The brightness of another video, averaged over the pixels and frames of each latent cell."""

    path: str

    @property
    def paths(self) -> list[str]:
        """The one."""
        return [self.path]

    def over(self, clip: Clip) -> Cover:
        """Read it in step with the latents."""
        import torch

        assert clip.frames_of is not None, "this clip knows no way to another video"
        stream = Endless(clip.frames_of(self.path))

        def cover(latents: Latents, at: int) -> Tensor:
            parts = []
            for latent in range(at, at + len(latents)):
                light = luma_of(stream.take(clip.frame(latent + 1) - clip.frame(latent))).clamp(0, 1)
                parts.append(over_cells(light, clip.stride, latents.shape[-2:]).mean(0, keepdim=True))
            return torch.cat(parts)

        return cover


@dataclass(frozen=True, eq=False)
class Seen(Region):
    """Those pixels of the source's own frames that have a property, averaged over each latent cell."""

    property: str
    numbers: tuple[Schedule, ...]
    colour: tuple[float, ...] = ()

    @functools.cached_property
    def schedules(self) -> list[Schedule]:
        """Those of its bounds."""
        return list(self.numbers)

    def over(self, clip: Clip) -> Cover:
        """Look at the frames in step with the latents."""
        import torch

        if clip.source_frames is None:
            raise UnheardError(
                "there are no frames to look at here",
                "begin with a video, and look before the length changes",
            )
        pairs, last = with_before(clip.source_frames()), None

        def one(latent: int, cells: Sequence[int]) -> Tensor:
            nonlocal last
            numbers = values_at(self.numbers, latent, clip)
            _, _, has = PROPERTIES[self.property]
            found = [
                has(frame, before, *numbers, *self.colour)
                for frame, before in itertools.islice(pairs, clip.frame(latent + 1) - clip.frame(latent))
            ]
            if found:  # what fills the last group of a temporal model has no frames of its own
                last = over_cells(torch.cat(found).float(), clip.stride, cells).mean(0, keepdim=True)
            assert last is not None, "the source gave no frames"
            return last

        return lambda latents, at: torch.cat(
            [one(latent, latents.shape[-2:]) for latent in range(at, at + len(latents))]
        )


@dataclass(frozen=True, eq=False)
class Combined(Region):
    """The least or the greatest of several regions, or the rest of one."""

    word: str
    regions: tuple[Region, ...]
    how: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "and": lambda torch, shares: functools.reduce(torch.minimum, shares),
        "or": lambda torch, shares: functools.reduce(torch.maximum, shares),
        "not": lambda _, shares: 1 - shares[0],
    }

    @property
    def parts(self) -> tuple[Region, ...]:
        """What it is made of."""
        return self.regions

    def over(self, clip: Clip) -> Cover:
        """Combine what each covers."""
        import torch

        covers, combine = [region.over(clip) for region in self.regions], self.how[self.word]

        def cover(latents: Latents, at: int) -> Tensor:
            found: Tensor = combine(torch, [each(latents, at) for each in covers])
            return found

        return cover


@dataclass(frozen=True, eq=False)
class Reshaped(Region):
    """A region that is larger all around (``grow``), or smaller below 0, or whose edge is wider (``soft``).

    The amount is a fraction of the shorter side of the frame.
    """

    word: str
    region: Region
    amount: Schedule

    @property
    def parts(self) -> tuple[Region, ...]:
        """The region itself."""
        return (self.region,)

    @property
    def schedules(self) -> list[Schedule]:
        """Those of the region and the amount."""
        return [*self.region.schedules, self.amount]

    def over(self, clip: Clip) -> Cover:
        """Reshape what it covers, each latent by its own amount."""
        import torch

        inner, reshape = self.region.over(clip), {"grow": grown, "soft": softened}[self.word]

        def cover(latents: Latents, at: int) -> Tensor:
            shares = inner(latents, at).expand(len(latents), 1, *latents.shape[-2:])
            cells = min(clip.extent(latents))
            amounts = [values_at([self.amount], at + place, clip)[0] * cells for place in range(len(latents))]
            return torch.cat(
                [reshape(share[None], amount) for share, amount in zip(shares, amounts, strict=True)]
            )

        return cover


def values_at(schedules: Iterable[Schedule], latent: int, clip: Clip) -> tuple[float, ...]:
    """Return what schedules are when a latent's first frame begins."""
    moment = clip.seconds(latent)
    return tuple(schedule.at(moment, clip.timeline) for schedule in schedules)


def with_before(chunks: Iterable[Frames]) -> Iterator[tuple[Frames, Frames]]:
    """Yield each frame ``1 3 H W`` with the one before it; the first, which has none, with the one after it."""
    frames = (frame[None] for chunk in chunks for frame in chunk)
    first = next(frames)
    before = next(frames, first)
    yield first, before
    if before is not first:
        yield before, first
    for frame in frames:
        yield frame, before
        before = frame


def _is_luma(frame: Frames, _before: Frames, low: float, high: float) -> Tensor:
    light = luma_of(frame)
    return (light >= low - 1e-6) & (light <= high + 1e-6)


def _has_moved(frame: Frames, before: Frames, least: float) -> Tensor:
    return (luma_of(frame) - luma_of(before)).abs() > least


def _is_colour(frame: Frames, _before: Frames, farthest: float, *colour: float) -> Tensor:
    """Whether pixels lie near a colour: the root mean square over red, green and blue, each from 0 to 1."""
    import torch

    away = (frame + 1) / 2 - torch.tensor(colour)[None, :, None, None]
    return away.square().mean(1, keepdim=True).sqrt() <= farthest


PROPERTIES: Mapping[str, tuple[int, str, Callable[..., Tensor]]] = {
    "luma": (2, "two numbers from 0 to 1, the least and the greatest brightness", _is_luma),
    "motion": (1, "a number from 0 to 1, how much brightness changes from one frame to the next", _has_moved),
    "color": (1, "a colour and a number from 0 to 1, as color(#ff0000, 0.2)", _is_colour),
}
"""How many numbers each takes, what they are, and what says whether a pixel of ``1 3 H W`` has it."""


def grown(share: Tensor, cells: float) -> Tensor:
    """Let what a region covers, ``1 1 h w``, reach so many cells farther; below 0 the rest does."""
    import torch
    from torch.nn.functional import pad

    if cells < 0:
        return 1 - grown(1 - share, -cells)
    height, width = share.shape[-2:]
    reach = math.ceil(min(cells, max(height, width)))
    wide, found = pad(share, (reach,) * 4), share
    for down, across in itertools.product(range(-reach, reach + 1), repeat=2):
        weight = min(max(cells + 1 - math.hypot(down, across), 0.0), 1.0)
        if weight:
            rows, columns = (
                slice(reach + by, reach + by + side) for by, side in ((down, height), (across, width))
            )
            found = torch.maximum(found, wide[..., rows, columns] * weight)
    return found


def softened(share: Tensor, cells: float) -> Tensor:
    """Blur what a region covers, ``1 1 h w``, over about so many cells: a Gaussian of half of that."""
    import torch
    from torch.nn.functional import conv2d, pad

    if cells <= 0:
        return share
    deviation = min(cells, max(share.shape[-2:]) * 2.0) / 2
    reach = math.ceil(3 * deviation)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    kernel = kernel / kernel.sum()
    across = conv2d(pad(share, (reach, reach, 0, 0), mode="replicate"), kernel[None, None, None])
    down: Tensor = conv2d(pad(across, (0, 0, reach, reach), mode="replicate"), kernel[None, None, :, None])
    return down.clamp(0, 1)


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


SHAPES: Mapping[str, tuple[int, Callable[..., Tensor]]] = {"circle": (3, _circle), "box": (4, _box)}
"""How many numbers each takes, and what says how much of each pixel lies inside, by the pixels' centres x and y."""


def over_cells(pixels: Tensor, stride: int, cells: Sequence[int]) -> Tensor:
    """Average ``T 1 H W`` over those pixels of each latent cell that belong to the frame, ``T 1 h w``.

    Cells that only padding made, as networks of a least size want it, go on as the last ones before them.
    """
    from torch.nn.functional import avg_pool2d, pad

    means: Tensor = avg_pool2d(pixels, stride, ceil_mode=True, count_include_pad=False)
    below, right = (count - side for count, side in zip(cells, means.shape[-2:], strict=True))
    cover: Tensor = pad(means.float(), (0, right, 0, below), mode="replicate")
    return cover
