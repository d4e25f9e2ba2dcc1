"""Manipulations at random, and by coarser numbers: noise, dropout, posterior samples, quantisation."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import VaeExperimentsError
from vae_experiments.manipulations.effects.displacement import CarriedNoise, check_flow, with_flow
from vae_experiments.manipulations.manipulation import Manipulation
from vae_experiments.options import Choice, Scheduled, setting
from vae_experiments.runtime.seeding import normal, normal_frames
from vae_experiments.tensors import Joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents

log = logging.getLogger(__name__)

REACH = 3
"""Quantisation counts its levels over this many standard deviations to either side."""


def noise_over_time(
    at: int, shape: Sequence[int], seed: int, purpose: str, correlation: float | Tensor
) -> Tensor:
    """Draw standard normal ``T ...`` whose frames have this correlation with each other.

    ``e_t = sqrt(c) * shared + sqrt(1 - c) * own_t``: unit variance at any c (the mixed noise of PYoCo,
    Ge et al. 2023, with c = a^2 / (1 + a^2)).
    """
    own = normal_frames(at, shape, seed, purpose)
    shared = normal(shape[1:], seed, f"shared {purpose}")
    noise: Tensor = (1 - correlation) ** 0.5 * own + correlation**0.5 * shared
    return noise


class Noise(Manipulation):
    """Adds Gaussian noise.

    ``z + scale * e``, with ``e ~ N(0, 1)`` for every latent value.

    ``correlation`` c mixes one noise that all frames share with one of each frame's own,
    ``e_t = sqrt(c) * shared + sqrt(1 - c) * own_t``: unit variance at any c, and c is the correlation
    between any two frames (the mixed noise of PYoCo, Ge et al. 2023, with c = a^2 / (1 + a^2)).

    ``follow`` f mixes it with noise that the optical flow of the frames carries along, so that it sticks to what moves:
    ``sqrt(f) * carried + sqrt(1 - f) * e_t``. Fresh where something comes into sight. Of unit variance too.
    """

    gallery_values = ("scale", (0.2, 0.5, 1))

    scale: Scheduled = setting(
        "strength of the noise", default=0.5, unit="standard deviations of the latents", minimum=0
    )
    correlation: Scheduled = setting(
        "over time: 0 is new noise in every frame, 1 one noise for all", default=0.0, minimum=0, maximum=1
    )
    follow: Scheduled = setting(
        "how much of it sticks to what moves in the source: 0 is none, 1 all; needs vae_experiments[flow]",
        default=0.0,
        minimum=0,
        maximum=1,
    )
    seed: int = setting("seed of the noise", default=0, minimum=0)

    def check(self, clip: Clip) -> None:
        """Look whether there is a flow to follow."""
        super().check(clip)
        if self.follow != 0:
            check_flow(self, "follow", clip)

    def __call__(self, latents: Latents, at: int) -> Latents:
        """Add the noise that belongs to the latents ``at``, ``at + 1``, ...."""
        noise = noise_over_time(at, latents.shape, self.seed, self.purpose, self.correlation)
        return latents + self.scale * noise.to(latents)

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Carry noise from latent to latent, where it is to follow."""
        if self.follow == 0:
            yield from super().stream(chunks, clip)
            return
        carried = CarriedNoise(self.seed, self.purpose)
        for at, latent, flow in with_flow(chunks, clip, from_first=False):
            now, shape = self.during(at, 1, clip), (1, *latent.shape)
            noise = noise_over_time(at, shape, self.seed, self.purpose, now.correlation)
            along = carried.after(flow, at, latent.shape)
            noise = now.follow**0.5 * along + (1 - now.follow) ** 0.5 * noise
            yield latent + now.scale * noise.to(latent)


class BetaSchedule(Choice):
    """How a diffusion model's noise grows over its 1000 steps."""

    scaled_linear = "as in Stable Diffusion, from 0.00085 to 0.012"
    linear = "as in DDPM, from 0.0001 to 0.02"
    squaredcos_cap_v2 = "a cosine, as in Improved DDPM"


_BETAS = {
    BetaSchedule.scaled_linear: (0.00085, 0.012),
    BetaSchedule.linear: (0.0001, 0.02),
    BetaSchedule.squaredcos_cap_v2: (0.0001, 0.02),  # it makes its own
}


class VariancePreservingNoise(Manipulation):
    """Fades the latents into noise as a diffusion model does: at timestep 999 next to nothing is left.

    ``sqrt(a_t) * z + sqrt(1 - a_t) * e`` with a_t, the product of 1 - beta up to the timestep, from
    diffusers' ``DDPMScheduler`` (Ho et al. 2020); ``correlation`` as in ``noise``.
    """

    gallery_values = ("timestep", (50, 200, 500))

    timestep: Scheduled = setting(
        "step of the diffusion, rounded to a whole one", default=250, minimum=0, maximum=999
    )
    schedule: BetaSchedule = setting("how the noise grows", default=BetaSchedule.scaled_linear)
    correlation: Scheduled = setting(
        "over time: 0 is new noise in every frame, 1 one noise for all", default=0.0, minimum=0, maximum=1
    )
    seed: int = setting("seed of the noise", default=0, minimum=0)

    def __call__(self, latents: Latents, at: int) -> Latents:
        """Take each latent to its timestep."""
        import torch
        from diffusers import DDPMScheduler

        first, last = _BETAS[self.schedule]
        untyped: Any = DDPMScheduler
        scheduler = untyped(beta_schedule=self.schedule.name, beta_start=first, beta_end=last)
        noise = noise_over_time(at, latents.shape, self.seed, self.purpose, self.correlation)
        steps = torch.as_tensor(self.timestep).round().long().flatten().expand(len(latents))
        noisy: Latents = scheduler.add_noise(latents, noise.to(latents), steps)
        return noisy


class Dropout(Manipulation):
    """Loses latent values at random: contours get torn and colours fade.

    A lost value becomes its channel's mean in that frame; ``share`` is the probability of each value, or
    of each cell in all its channels at once.
    """

    gallery_values = ("share", (0.05, 0.2, 0.5))

    share: Scheduled = setting("how many are lost", default=0.2, minimum=0, maximum=1)
    steady: bool = setting("lose the same ones in every frame", default=False)
    cells: bool = setting("lose whole cells, all channels at once", default=False)
    seed: int = setting("seed of the choice", default=0, minimum=0)

    def __call__(self, latents: Latents, at: int) -> Latents:
        """Replace what is lost."""
        import torch

        count, channels, height, width = latents.shape
        shape = (count, 1 if self.cells else channels, height, width)
        if self.steady:
            draw = normal(shape[1:], self.seed, f"steady {self.purpose}")[None]
        else:
            draw = normal_frames(at, shape, self.seed, self.purpose)
        # The normal distribution's own share below a draw is uniform; in float32 it would reach 1.
        lost = torch.special.ndtr(draw.double()) < self.share
        means = torch.stack([latent.mean((1, 2), keepdim=True) for latent in latents])
        return torch.where(lost, means, latents)


class Quantize(Manipulation):
    """Rounds every latent value to a few levels: smooth areas break into patches, detail goes.

    ``step * round(z / step)``, with ``step = 6 / (levels - 1)``: so many levels lie between -3 and 3
    standard deviations, with 0 always among the values, and the grid continues beyond; nothing is clipped.
    """

    gallery_values = ("levels", (10, 5, 3))

    levels: Scheduled = setting(
        "levels between -3 and 3 standard deviations of the latents", default=5, minimum=2
    )

    def __call__(self, latents: Latents, _at: int) -> Latents:
        """Round to the grid."""
        import torch

        step = 2 * REACH / (self.levels - 1)
        rounded: Latents = step * torch.round(latents / step)
        return rounded


class PosteriorTemperature(Manipulation):
    """Draws latents around what the encoder is sure of: grain where it is not sure.

    ``z + temperature * std * e``, where std is the width of the encoder's posterior at that value: 0 is
    the posterior's mode, 1 a sample, the one that ``model.posterior=sample`` takes with the same seed.
    Around such a sample, and a second time in a chain, it draws anew: variances add up, and not the one
    draw to itself. A model without a posterior has a width of 0, and nothing changes.
    """

    gallery_values = ("temperature", (1, 5, 20))

    temperature: Scheduled = setting("factor on the posterior's width", default=1.0, minimum=0)
    seed: int = setting("seed of the sample", default=0, minimum=0)

    def check(self, clip: Clip) -> None:
        """Look whether there is an encoder's posterior: latents that were read have none."""
        super().check(clip)
        if clip.posterior_std is None:
            problem = f"{self.name} needs the frames that were encoded, and this source is latents"
            raise VaeExperimentsError(problem, "leave it out, or give the video")

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Add noise as wide as the posterior, which is read in step."""
        assert clip.posterior_std is not None, "this clip knows no way to the encoder's posterior"
        # The draw of model.posterior=sample is in the latents already where that was asked for.
        is_first = self.name == self.kind and not clip.is_sampled
        purpose = "posterior" if is_first else self.purpose
        posterior_std, at = Joined(_without_end(clip.posterior_std())), 0
        for latents in chunks:
            spread = posterior_std.take(len(latents))
            assert spread is not None, "a stream without end has ended"
            if at == 0 and not spread.any():
                log.info("%s: this model has no posterior, and nothing changes", self.name)
            noise = normal_frames(at, latents.shape, self.seed, purpose)
            temperature = self.during(at, len(latents), clip).temperature
            yield latents + temperature * spread * noise
            at += len(latents)


def _without_end(chunks: Iterator[Latents]) -> Iterator[Latents]:
    """Repeat the last latent for ever: a clip that was slowed down before is longer than its posterior."""
    chunk = next(chunks)
    yield chunk
    for chunk in chunks:
        yield chunk
    while True:
        yield chunk[-1:]
