"""Manipulations by noise that has a texture: clouds, grain of several sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.manipulations.effects.stochastic import noise_over_time
from vae_experiments.manipulations.manipulation import Manipulation
from vae_experiments.options import Scheduled, setting
from vae_experiments.runtime.seeding import normal_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents


class FractalNoise(Manipulation):
    """Adds noise that looks like clouds: the higher ``alpha``, the larger and softer they are.

    ``z + scale * e``, with the power spectrum of e falling as 1 / f^alpha over height and width (with
    ``over_time`` over time too, so that high alphas drift instead of flickering), no mean, and a
    standard deviation of 1 over all channels of each frame (of the clip). Holds all latents of the
    clip where ``over_time`` is true.
    """

    gallery_values = ("scale", (0.2, 0.5, 1))

    scale: Scheduled = setting(
        "strength of the noise", default=0.5, unit="standard deviations of the latents", minimum=0
    )
    alpha: Scheduled = setting(
        "exponent of the spectrum: 0 is white noise, 1 pink, 2 brown", default=2.0, minimum=0, maximum=4
    )
    over_time: bool = setting("shape the noise over time as over height and width", default=False)
    seed: int = setting("seed of the noise", default=0, minimum=0)

    def holds(self, clip: Clip) -> bool:
        """Whether it reads all of this clip before it gives anything."""
        return self.over_time or super().holds(clip)

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Change a chunk at a time, or all of the clip where its noise is of one piece."""
        import torch

        return super().stream([torch.cat(list(chunks))] if self.over_time else chunks, clip)

    def __call__(self, latents: Latents, at: int) -> Latents:
        """Add the noise that belongs to the latents ``at``, ``at + 1``, ...."""
        import torch

        white = normal_frames(at, latents.shape, self.seed, self.purpose).double()
        alphas = torch.as_tensor(self.alpha, dtype=torch.float64).flatten().expand(len(latents))
        noise = torch.empty_like(white)
        if self.over_time:
            for alpha in set(alphas.tolist()):
                chosen = alphas == alpha
                noise[chosen] = fractal(white, alpha)[chosen]
        else:
            for number, frame in enumerate(white):
                noise[number] = fractal(frame[None], float(alphas[number]))[0]
        return latents + self.scale * noise.to(latents)


def fractal(white: Tensor, alpha: float) -> Tensor:
    """Shape white noise ``T C h w`` so that its power falls as 1 / f^alpha; mean 0, standard deviation 1.

    f is the length of the frequency over time, height and width, in cycles a latent or a cell.
    """
    import torch

    axes = (0, 2, 3)
    time, height, width = (torch.fft.fftfreq(white.shape[axis], dtype=torch.float64) for axis in axes)
    squared = time[:, None, None, None] ** 2 + height[:, None] ** 2 + width**2
    # Only the very first is the mean: the others keep their share at any alpha.
    amplitude = torch.where(squared > 0, squared.clamp(min=1e-30) ** (-alpha / 4), 0)
    return _unit(torch.fft.ifftn(torch.fft.fftn(white, dim=axes) * amplitude, dim=axes).real)


class PyramidNoise(Manipulation):
    """Adds noise of several sizes at once, from single cells to blots as large as the frame.

    ``z + scale * e``, where e is the sum over i of ``discount^i`` times noise that is 2^i times coarser,
    enlarged bilinearly, brought to a root mean square of 1 in each frame (the multi-resolution noise of
    Whitaker 2023); ``correlation`` as in ``noise``.
    """

    gallery_values = ("scale", (0.2, 0.5, 1))

    scale: Scheduled = setting(
        "strength of the noise", default=0.5, unit="standard deviations of the latents", minimum=0
    )
    discount: Scheduled = setting(
        "weight of each coarser noise against the one before", default=0.8, minimum=0, maximum=1
    )
    correlation: Scheduled = setting(
        "over time: 0 is new noise in every frame, 1 one noise for all", default=0.0, minimum=0, maximum=1
    )
    seed: int = setting("seed of the noise", default=0, minimum=0)

    def __call__(self, latents: Latents, at: int) -> Latents:
        """Add the noise that belongs to the latents ``at``, ``at + 1``, ...."""
        import torch

        noise = torch.zeros(latents.shape)
        for number, size in enumerate(_sizes(*latents.shape[-2:])):
            shape = (*latents.shape[:2], *size)
            coarse = noise_over_time(at, shape, self.seed, f"{self.purpose} {number}", self.correlation)
            noise = noise + self.discount**number * _enlarged(coarse, latents.shape[-2:])
        unit = torch.stack([_unit(frame) for frame in noise])
        return latents + self.scale * unit.to(latents)


def _sizes(height: int, width: int) -> list[tuple[int, int]]:
    """List sizes from the whole one down to one cell, each half as fine."""
    sizes = [(height, width)]
    while sizes[-1] != (1, 1):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


def _enlarged(noise: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge each frame ``C h w`` by itself, so that no frame's rounding depends on its neighbours."""
    import torch
    from torch.nn.functional import interpolate

    frames = [interpolate(frame[None], tuple(size), mode="bilinear", align_corners=False) for frame in noise]
    return torch.cat(frames)


def _unit(noise: Tensor) -> Tensor:
    """Bring noise to a root mean square of 1; none at all stays none."""
    size = noise.double().square().mean().sqrt()
    return noise / size.clamp(min=1e-30).to(noise)
