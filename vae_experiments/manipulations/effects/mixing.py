"""Manipulations that mix this video with others, in step with it and held no longer than a chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.manipulations.manipulation import Manipulation
from vae_experiments.options import Choice, Scheduled, setting
from vae_experiments.tensors import numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents

PARALLEL = 1e-4
"""Sine of the angle below which two vectors have no plane between them."""


class Mixing(Manipulation, group="manipulation"):
    """A manipulation that reads other videos beside this one.

    They are read at this one's size (their centre is cropped to that shape) and rate, begin again where
    they are shorter, are cut where they are longer, and go through the same network.
    """

    def mixed(self, latents: Latents, *others: Latents) -> Latents:
        """Change one chunk, whose scheduled settings are the numbers of their moments, by those of the others."""
        raise NotImplementedError

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Read all videos side by side."""
        others = [clip.second(getattr(self, name)) for name in self.second_videos]
        for at, latents in numbered(chunks):
            now = self.during(at, len(latents), clip)
            yield now.mixed(latents, *(other.take(len(latents)) for other in others))


class SecondVideoManipulation(Mixing, group="manipulation"):
    """One that asks for a single other video."""

    second_videos = ("path",)

    path: str = setting("the other video: a file, or a pattern by name", default="bouncing_shapes")


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

    def mixed(self, latents: Latents, *others: Latents) -> Latents:
        """Mix each frame with the one that the other video has at its moment."""
        import torch

        weights = torch.as_tensor(self.weight, dtype=torch.float32).expand(len(latents), 1, 1, 1)
        # One frame at a time, so that the size of a chunk cannot change a rounding.
        frames = zip(latents[:, None], others[0][:, None], weights[:, None], strict=True)
        way = slerp if self.method is Method.slerp else self._straight
        return torch.cat([way(*frame) for frame in frames])

    def _straight(self, first: Latents, second: Latents, share: Tensor) -> Latents:
        one, other, way = first.double(), second.double(), share.double()
        between = (1 - way) * one + way * other
        if self.method is Method.nlerp:
            lengths = [vectors.norm(dim=1, keepdim=True) for vectors in (one, other, between)]
            wanted = (1 - way) * lengths[0] + way * lengths[1]
            between = between * (wanted / lengths[2].clamp(min=1e-30))
        if self.method is Method.pythagorean:
            between = between / (way.square() + (1 - way).square()).sqrt()
        return between.to(first)


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

    def mixed(self, latents: Latents, *others: Latents) -> Latents:
        """Lay each frame of the other video over the one of its moment."""
        (other,) = others
        if self.mode is Mode.replace:
            return other
        weighted = other * self.weight
        if self.mode is Mode.add:
            return latents + weighted
        return weighted.where(weighted.abs() > latents.abs(), latents)


class Arithmetic(Mixing):
    """Adds what one other video has and a second has not.

    ``z + amount * (plus - minus)``, moment by moment (the vector arithmetic of Radford et al. 2015, on
    latents in place of codes).
    """

    gallery_values = ("amount", (0.25, 0.5, 1))
    second_videos = ("plus_path", "minus_path")

    amount: Scheduled = setting("how much of the difference: 0 is none, below 0 takes it away", default=0.5)
    plus_path: str = setting(
        "the video that is added: a file, or a pattern by name", default="bouncing_shapes"
    )
    minus_path: str = setting(
        "the video that is taken away: a file, or a pattern by name", default="checkerboard"
    )

    def mixed(self, latents: Latents, *others: Latents) -> Latents:
        """Add the difference."""
        plus, minus = others
        return latents + self.amount * (plus - minus)


def slerp(first: Latents, second: Latents, share: Tensor) -> Latents:
    """Turn each cell's channel vector from one latent towards another, its length going straight.

    ``T C h w`` both, the share from 0 to 1 as ``T 1 1 1``. Shoemake 1985, in float64; straight where the
    vectors are parallel, opposite or zero, which leaves no plane to turn in.
    """
    one, other, way = first.double(), second.double(), share.double()
    lengths: list[Tensor] = [vectors.norm(dim=1, keepdim=True) for vectors in (one, other)]
    units = [vectors / length.clamp(min=1e-30) for vectors, length in zip((one, other), lengths, strict=True)]
    angle = (units[0] * units[1]).sum(1, keepdim=True).clamp(-1, 1).acos()
    plane = angle.sin()
    turned = ((1 - way) * angle).sin() * units[0] + (way * angle).sin() * units[1]
    turned = turned / plane.clamp(min=PARALLEL) * lengths[0].lerp(lengths[1], way)
    has_plane = (plane > PARALLEL) & (lengths[0] > 0) & (lengths[1] > 0)
    return turned.where(has_plane, one + way * (other - one)).to(first)
