"""Manipulations that mix this video with others, in step with it and held no longer than a chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.manipulations.interpolation import slerp
from vae_experiments.manipulations.manipulation import Manipulation
from vae_experiments.manipulations.second_video import SecondVideoManipulation
from vae_experiments.options import Choice, Scheduled, setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents


class Method(Choice):
    """How a latent between two others is made."""

    lerp = "straight between the values"
    nlerp = "straight, then as long as the lengths between"
    slerp = "along the arc between the directions"
    pythagorean = "straight, then divided by what mixing takes from the spread of unlike latents"


class Interpolate(SecondVideoManipulation):
    """Travels from this video to another: a ramp of the weight slowly turns one into the other.

    ``lerp``: ``(1 - w) z + w o``, which looks grey in the middle, as latents of different videos are
    nearly orthogonal. ``nlerp`` and ``slerp`` (Shoemake 1985) take each cell's vector of channels: the
    direction goes straight or along the arc, the length always from one length to the other; parallel
    and opposite vectors go straight. ``pythagorean``: lerp divided by ``sqrt(w^2 + (1 - w)^2)``.
    """

    gallery_values = ("weight", (0.15, 0.5, 0.85))

    weight: Scheduled = setting(
        "0 is this video, 1 the other", default=0.5, unit="of the way", minimum=0, maximum=1
    )
    method: Method = setting("how a latent between two others is made", default=Method.slerp)

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Mix each frame with the one that the other video has at its moment."""
        import torch

        for at, (latents, other) in in_step(chunks, clip, self.path):
            weight = self.during(at, len(latents), clip).weight
            weights = torch.as_tensor(weight, dtype=torch.float32).expand(len(latents), 1, 1, 1)
            # One frame at a time, so that the size of a chunk cannot change a rounding.
            frames = zip(latents[:, None], other[:, None], weights[:, None], strict=True)
            yield torch.cat([BETWEEN[self.method](*frame) for frame in frames])


class Mode(Choice):
    """How another video is laid over this one."""

    add = "the sum of both"
    max = "the larger magnitude of the two, value by value"
    replace = "the other video alone"


class Blend(SecondVideoManipulation):
    """Lays another video over this one, as in a double exposure or, with a mask, a collage.

    ``add``: ``z + weight * o``; ``max``: z or ``weight * o``, whichever is further from 0; ``replace``: o,
    whatever the weight, for use with ``mask``.
    """

    gallery_values = ("weight", (0.25, 0.6, 1))

    mode: Mode = setting("how the two meet: add, max or replace", default=Mode.add)
    weight: Scheduled = setting("factor of the other video in add and max: 0 is none", default=0.5)

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Lay each frame of the other video over the one of its moment."""
        import torch

        for at, (latents, other) in in_step(chunks, clip, self.path):
            weighted = self.during(at, len(latents), clip).weight * other
            if self.mode is Mode.replace:
                yield other
            elif self.mode is Mode.add:
                yield latents + weighted
            else:
                yield torch.where(weighted.abs() > latents.abs(), weighted, latents)


class Arithmetic(Manipulation):
    """Adds what one other video has and a second has not.

    ``z + amount * (plus - minus)``, moment by moment (the vector arithmetic of Radford et al. 2015, on
    latents in place of codes).
    """

    gallery_values = ("amount", (0.25, 0.5, 1))

    amount: Scheduled = setting("how much of the difference: 0 is none, below 0 takes it away", default=0.5)
    plus_path: str = setting(
        "the video that is added: a file, or a pattern by name", default="bouncing_shapes"
    )
    minus_path: str = setting(
        "the video that is taken away: a file, or a pattern by name", default="checkerboard"
    )

    def check(self, clip: Clip) -> None:
        """Look both other videos over before anything is written.

        Raises:
            VaeExperimentsError: there is no such video, or it cannot be read.
        """
        super().check(clip)
        for name in ("plus_path", "minus_path"):
            if clip.check_path:
                clip.check_path(getattr(self, name), f"{self.address()}.{name}")

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Read three videos side by side."""
        for at, (latents, plus, minus) in in_step(chunks, clip, self.plus_path, self.minus_path):
            yield latents + self.during(at, len(latents), clip).amount * (plus - minus)


def in_step(chunks: Iterable[Latents], clip: Clip, *paths: str) -> Iterator[tuple[int, list[Latents]]]:
    """Yield the number of each chunk's first latent, the chunk, and as many latents of every other video."""
    others, at = [clip.second(path) for path in paths], 0
    for latents in chunks:
        beside = [latents]
        for other in others:
            taken = other.take(len(latents))
            assert taken is not None, "a second video has no end"
            beside.append(taken)
        yield at, beside
        at += len(latents)


def lerp(first: Latents, second: Latents, share: Tensor) -> Latents:
    """Go straight from one value to the other, which shrinks the spread of unlike latents."""
    way = share.double()
    return ((1 - way) * first.double() + way * second.double()).to(first)


def nlerp(first: Latents, second: Latents, share: Tensor) -> Latents:
    """Go straight, and give each cell's vector of channels the length between the two lengths."""
    one, other, way = first.double(), second.double(), share.double()
    straight = (1 - way) * one + way * other
    lengths: list[Tensor] = [vectors.norm(dim=1, keepdim=True) for vectors in (one, other, straight)]
    wanted = (1 - way) * lengths[0] + way * lengths[1]
    return (straight * (wanted / lengths[2].clamp(min=1e-30))).to(first)


def pythagorean(first: Latents, second: Latents, share: Tensor) -> Latents:
    """Go straight, divided by the spread that is left of latents that have nothing in common."""
    way = share.double()
    spread = (way.square() + (1 - way).square()).sqrt()
    return (((1 - way) * first.double() + way * second.double()) / spread).to(first)


BETWEEN: Mapping[Method, Callable[[Latents, Latents, Tensor], Latents]] = {
    Method.lerp: lerp,
    Method.nlerp: nlerp,
    Method.slerp: slerp,
    Method.pythagorean: pythagorean,
}
