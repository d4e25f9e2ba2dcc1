"""Manipulations of frequencies: what is coarse and what is fine, and where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from vae_experiments.manipulations.effects.mixing import SecondVideoManipulation
from vae_experiments.manipulations.effects.space import each_frames
from vae_experiments.manipulations.manipulation import Manipulation, WholeClip
from vae_experiments.options import Choice, Scheduled, setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents

    Band: TypeAlias = tuple[float, float]

ORDER = 4
TIME = -4


class Over(Choice):
    """Which axes frequencies are taken over."""

    space = "each frame by itself"
    time = "each cell by itself"
    both = "all three axes at once"

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of latents ``T C h w``, counted from the end."""
        return {Over.space: (-2, -1), Over.time: (TIME,), Over.both: (TIME, -2, -1)}[self]


class FrequencyFilter(WholeClip):
    """Keeps a band of frequencies: coarse shapes without detail, fine detail alone, or slow motion only.

    Butterworth of order 4 as in FreeInit (Wu et al. 2023): with d the frequency in fractions of the Nyquist
    frequency, over several axes the length of the vector of theirs, ``1 / (1 + (d / high)^8)`` times
    ``1 - 1 / (1 + (d / low)^8)``. The mean always stays. Frequencies are those of the cosine transform,
    for which a clip continues behind its border as its mirror image: the last frame does not shine into
    the first. Holds all latents of the clip, but over space none.
    """

    keeps_first_latent = True
    gallery_values = ("high", (0.9, 0.6, 0.3))

    low: Scheduled = setting(
        "coarsest or slowest change that stays: 0 is open",
        default=0.0,
        unit="of Nyquist",
        minimum=0,
        maximum=1,
    )
    high: Scheduled = setting(
        "finest or fastest change that stays: 1 is open", default=0.6, unit="of Nyquist", minimum=0, maximum=1
    )
    over: Over = setting("frequencies over space, over time, or both", default=Over.space)

    def __post_init__(self) -> None:
        super().__post_init__()
        is_moving = {"low", "high"} & set(self._schedules())
        if not is_moving and self.low >= self.high:
            raise self.error_for("low", f"must be below {self.address()}.high={self.high:g}")

    def holds(self, clip: Clip) -> bool:
        """Whether it reads all of this clip first: over space it needs no other frame."""
        return self.over is not Over.space or (clip.latents is None and self._needs_length())

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Filter frame by frame over space, or else wait for all of the clip."""
        if self.over is Over.space:
            return Manipulation.stream(self, chunks, clip)
        return super().stream(chunks, clip)

    def __call__(self, latents: Latents, _at: int) -> Latents:
        """Filter each frame over space."""
        import torch

        frames = zip(latents[:, None], self._bands(len(latents)), strict=True)
        return torch.cat([_filtered(frame, self.over.axes, [band]) for frame, band in frames])

    def whole(self, latents: Latents, _clip: Clip) -> Latents:
        """Filter the clip."""
        return _filtered(latents, self.over.axes, self._bands(len(latents)))

    def _bands(self, count: int) -> list[Band]:
        return list(zip(each_frames(self.low, count), each_frames(self.high, count), strict=True))


class PhaseSwap(SecondVideoManipulation):
    """Shows the outlines of another video in the texture of this one.

    Keeps the magnitudes of each frame's spectrum, channel by channel, and takes the phases of the other
    video's, by a float64 Fourier transform over space (Oppenheim and Lim 1981, The importance of phase
    in signals).
    """

    def mixed(self, latents: Latents, *others: Latents) -> Latents:
        """Swap the phases of each frame for those of the other video's frame."""
        import torch

        return torch.stack([_with_phases(*both) for both in zip(latents, *others, strict=True)])


def _filtered(latents: Latents, axes: Sequence[int], bands: Sequence[Band]) -> Latents:
    """Filter latents over some axes by the band of each moment: one transform, and back once for each band."""
    import torch

    waves = {axis: _cosines(latents.shape[axis]) for axis in axes}
    spectrum = latents.double()
    for axis in axes:
        spectrum = _along(axis, waves[axis], spectrum)
    changed = torch.empty_like(latents)
    for band in sorted(set(bands)):
        moments = [number for number, own in enumerate(bands) if own == band]
        kept = spectrum * _gain(latents.shape, axes, *band)
        for axis in axes:
            back = waves[axis].T
            kept = _along(axis, back[moments] if axis == TIME else back, kept)
        changed[moments] = kept.to(latents)
    return changed


def _cosines(side: int) -> Tensor:
    """Return the cosine transform (DCT-II) as an orthogonal matrix: row k is k / side of the Nyquist frequency."""
    import torch

    numbers = torch.arange(side, dtype=torch.float64)
    angles = torch.pi / side * numbers[:, None] * (numbers + 0.5)
    waves: Tensor = angles.cos() * (2 / side) ** 0.5
    waves[0] = side**-0.5
    return waves


def _along(axis: int, matrix: Tensor, values: Tensor) -> Tensor:
    """Multiply every line of values that lies along an axis by a matrix."""
    import torch

    multiplied: Tensor = torch.tensordot(values.movedim(axis, -1), matrix, dims=([-1], [1]))
    return multiplied.movedim(-1, axis)


def _gain(shape: Sequence[int], axes: Sequence[int], low: float, high: float) -> Tensor:
    """Return the factor of each frequency, 1 at the mean."""
    import torch

    squared = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    for axis in axes:
        shares = torch.arange(shape[axis], dtype=torch.float64) / shape[axis]
        squared = squared + shares.square().reshape(-1, *[1] * (-axis - 1))
    # A cutoff of 0 makes it infinite, and then low lets everything pass and high nothing.
    gain = 1 - 1 / (1 + (squared / low**2) ** ORDER)
    if high < 1:
        gain = gain / (1 + (squared / high**2) ** ORDER)
    return torch.where(squared == 0, 1.0, gain)


def _with_phases(frame: Tensor, other: Tensor) -> Tensor:
    import torch

    own, lent = (torch.fft.rfft2(each.double()) for each in (frame, other))
    swapped = torch.polar(own.abs(), lent.angle())
    changed: Tensor = torch.fft.irfft2(swapped, s=frame.shape[-2:])
    return changed.to(frame)
