"""Trainees: each kind of network with its own part of the loss, as one module.

The whole way from frames to frames is one call of the module, because that is what processes that
train together synchronise on.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor, nn

from vae_experiments.training.networks.build import feature_caches
from vae_experiments.training.networks.losses import kl_loss, prior_loss

if TYPE_CHECKING:
    from accelerate import Accelerator

    from vae_experiments.tensors import Frames, Latents


@dataclass(frozen=True)
class StepRandom:
    """What a step draws at random: the same in every process that learns the step, whatever came before."""

    step: int
    random: torch.Generator
    """On the CPU, so that every device gets the same numbers."""

    @classmethod
    def of(cls, seed: int, step: int, part: int) -> StepRandom:
        """Place the draws of one batch of one step."""
        return cls(step, torch.Generator().manual_seed((seed * 1_000_003 + step) * 1_009 + part))

    def normal(self, like: Tensor) -> Tensor:
        """Draw from a normal distribution, in the shape and on the device of another tensor."""
        return torch.randn(like.shape, generator=self.random).to(like)

    def levels(self, like: Tensor) -> Tensor:
        """Draw one level a sample: 0 for a fifth of them, the rest spread evenly up to 1."""
        shape = (len(like), *[1] * (like.ndim - 1))
        return (torch.rand(shape, generator=self.random) * 1.25 - 0.25).clamp_min(0).to(like)


@dataclass(frozen=True)
class StepOutput:
    """What a network made of a batch."""

    reconstructed: Frames
    penalties: dict[str, Tensor]
    """Terms of the loss beside the reconstruction's, each with its weight."""
    figures: dict[str, Tensor] = field(default_factory=dict)
    """Numbers that are only to be looked at."""
    counts: Tensor = field(default_factory=lambda: torch.zeros(0))
    """How often each code of a codebook was chosen."""


class Trainee(nn.Module):
    """A network of diffusers that learns; frames ``B 3 H W``, or ``B 3 T H W`` where it sees clips."""

    sees_clips = False

    def __init__(self, network: nn.Module, latent_noise: float) -> None:
        super().__init__()
        self.network, self.latent_noise = network, latent_noise

    @abstractmethod
    def encode(self, frames: Frames) -> Latents:
        """Return the raw latents of frames, not yet normalised; of a distribution its mode."""

    @abstractmethod
    def decode(self, latents: Latents) -> Frames:
        """Return the frames of raw latents, not clipped."""

    @abstractmethod
    def forward(self, frames: Frames, draws: StepRandom) -> StepOutput:
        """Encode and decode a batch as training does, with its noise."""

    def after_update(
        self,
        counts: Tensor,  # noqa: ARG002 - of interest to those with a codebook
        accelerator: Accelerator,  # noqa: ARG002
        average: Trainee,  # noqa: ARG002
    ) -> dict[str, float]:
        """Do what has to be done between steps, and give numbers to be looked at."""
        return {}

    def _disturbed(self, latents: Latents, draws: StepRandom) -> Latents:
        """Add noise, so that what lies near a latent decodes to something near."""
        if not self.latent_noise:
            return latents
        axes = (0, *range(2, latents.ndim))
        deviation = latents.detach().float().std(dim=axes, correction=0, keepdim=True)
        return latents + self.latent_noise * draws.levels(latents) * deviation * draws.normal(latents)


class FramewiseModule(Trainee):
    """Calls a 2-D network of diffusers as they all are called."""

    def encode(self, frames: Frames) -> Latents:
        """Return the latents ``B C h w``."""
        network: Any = self.network
        return network.encode(frames, return_dict=False)[0]  # type: ignore[no-any-return]

    def decode(self, latents: Latents) -> Frames:
        """Return the frames ``B 3 H W``."""
        network: Any = self.network
        return network.decode(latents, return_dict=False)[0]  # type: ignore[no-any-return]


class Deterministic(FramewiseModule):
    """Learns an AutoencoderDC: one answer a frame, held near mean 0, variance 1 and no correlation."""

    def __init__(self, network: nn.Module, latent_noise: float, prior: float) -> None:
        super().__init__(network, latent_noise)
        self.prior = prior

    def forward(self, frames: Frames, draws: StepRandom) -> StepOutput:
        """Encode, disturb, decode."""
        latents = self.encode(frames)
        reconstructed = self.decode(self._disturbed(latents, draws))
        return StepOutput(reconstructed, {"prior": self.prior * prior_loss(latents.float())})


class Variational(FramewiseModule):
    """Learns an AutoencoderKL: a normal distribution a latent, drawn from while it learns."""

    def __init__(self, network: nn.Module, latent_noise: float, kl: float, kl_warm_up: int) -> None:
        super().__init__(network, latent_noise)
        self.kl, self.kl_warm_up = kl, kl_warm_up

    def encode(self, frames: Frames) -> Latents:
        """Return the mode of the posterior."""
        return self.posterior(frames)[0]

    def posterior(self, frames: Frames) -> tuple[Latents, Tensor]:
        """Return mean and logarithm of the variance of the posterior."""
        network: Any = self.network
        distribution = network.encode(frames, return_dict=False)[0]
        return distribution.mean, distribution.logvar

    def forward(self, frames: Frames, draws: StepRandom) -> StepOutput:
        """Encode, draw from the posterior, decode."""
        mean, log_variance = (part.float() for part in self.posterior(frames))
        latents = mean + (0.5 * log_variance).exp() * draws.normal(mean)
        reconstructed = self.decode(self._disturbed(latents, draws))
        divergence = kl_loss(mean, log_variance)
        weight = self.kl * min(1.0, (draws.step + 1) / (self.kl_warm_up + 1))
        deviation = (0.5 * log_variance.detach()).exp().mean()
        return StepOutput(
            reconstructed,
            {"kl": weight * divergence},
            {"kl_nats": divergence.detach(), "posterior_std": deviation},
        )


class CausalVideo(Variational):
    """Learns an AutoencoderKLWan, on clips ``B 3 T H W`` of 4k + 1 frames."""

    sees_clips = True

    def decode(self, latents: Latents) -> Frames:
        """Decode a latent at a time; not through the network's own decode, whose clipping stops gradients."""
        network: Any = self.network
        given = network.post_quant_conv(latents)
        cache = feature_caches(network.decoder)
        parts = [
            network.decoder(given[:, :, at : at + 1], feat_cache=cache, feat_idx=[0], first_chunk=at == 0)
            for at in range(given.shape[2])
        ]
        # diffusers puts the column of a patch before its row.
        return rearrange(torch.cat(parts, 2), "b (c q p) t h w -> b c t (h p) (w q)", p=2, q=2)
