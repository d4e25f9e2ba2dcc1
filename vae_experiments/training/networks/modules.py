"""Trainees: each kind of network with its own part of the loss, as one module.

The whole way from frames to frames is one call of the module, because that is what processes that
train together synchronise on.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast
from einops import rearrange
from torch import Tensor, nn

from vae_experiments.training.networks.build import feature_caches
from vae_experiments.training.networks.losses import code_losses, kl_loss, prior_loss

if TYPE_CHECKING:
    from accelerate import Accelerator

    from vae_experiments.tensors import Frames, Latents


class StepRandom:
    """What one batch of one step draws at random: the same in every process, whatever came before."""

    def __init__(self, seed: int, step: int, part: int) -> None:
        self.step = step
        # On the CPU, so that every device gets the same numbers.
        self.random = torch.Generator().manual_seed((seed * 1_000_003 + step) * 1_009 + part)

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
    network: Any

    def __init__(self, network: nn.Module, latent_noise: float) -> None:
        super().__init__()
        self.network, self.latent_noise = network, latent_noise

    def encode(self, frames: Frames) -> Latents:
        """Return the raw latents ``B C h w`` of frames, not yet normalised; of a distribution its mode."""
        return self.network.encode(frames, return_dict=False)[0]  # type: ignore[no-any-return]

    def decode(self, latents: Latents) -> Frames:
        """Return the frames of raw latents, not clipped."""
        return self.network.decode(latents, return_dict=False)[0]  # type: ignore[no-any-return]

    @abstractmethod
    def forward(self, frames: Frames, draws: StepRandom) -> StepOutput:
        """Encode and decode a batch as training does, with its noise."""

    def after_update(self, counts: Tensor, accelerator: Accelerator, average: Trainee) -> dict[str, float]:  # noqa: ARG002
        """Do what has to be done between steps, and give numbers to be looked at."""
        return {}

    def _disturbed(self, latents: Latents, draws: StepRandom) -> Latents:
        """Add noise, so that what lies near a latent decodes to something near."""
        if not self.latent_noise:
            return latents
        axes = (0, *range(2, latents.ndim))
        deviation = latents.detach().float().std(dim=axes, correction=0, keepdim=True)
        return latents + self.latent_noise * draws.levels(latents) * deviation * draws.normal(latents)


class Deterministic(Trainee):
    """Learns an AutoencoderDC: one answer a frame, held near mean 0, variance 1 and no correlation."""

    def __init__(self, network: nn.Module, latent_noise: float, prior: float) -> None:
        super().__init__(network, latent_noise)
        self.prior = prior

    def forward(self, frames: Frames, draws: StepRandom) -> StepOutput:
        """Encode, disturb, decode."""
        latents = self.encode(frames)
        reconstructed = self.decode(self._disturbed(latents, draws))
        return StepOutput(reconstructed, {"prior": self.prior * prior_loss(latents.float())})


class Variational(Trainee):
    """Learns an AutoencoderKL: a normal distribution a latent, drawn from while it learns."""

    def __init__(self, network: nn.Module, latent_noise: float, kl: float, kl_warm_up: int) -> None:
        super().__init__(network, latent_noise)
        self.kl, self.kl_warm_up = kl, kl_warm_up

    def encode(self, frames: Frames) -> Latents:
        """Return the mode of the posterior."""
        return super().encode(frames).mean  # type: ignore[return-value]

    def forward(self, frames: Frames, draws: StepRandom) -> StepOutput:
        """Encode, draw from the posterior, decode."""
        posterior: Any = super().encode(frames)
        mean, log_variance = posterior.mean.float(), posterior.logvar.float()
        latents = mean + (0.5 * log_variance).exp() * draws.normal(mean)
        reconstructed = self.decode(self._disturbed(latents, draws))
        divergence = kl_loss(mean, log_variance)
        weight = self.kl * min(1.0, (draws.step + 1) / (self.kl_warm_up + 1))
        deviation = (0.5 * log_variance.detach()).exp().mean()
        figures = {"kl_nats": divergence.detach(), "posterior_std": deviation}
        return StepOutput(reconstructed, {"kl": weight * divergence}, figures)


class CausalVideo(Variational):
    """Learns an AutoencoderKLWan, on clips ``B 3 T H W`` of 4k + 1 frames."""

    sees_clips = True

    def decode(self, latents: Latents) -> Frames:
        """Decode a latent at a time; not through the network's own decode, whose clipping stops gradients."""
        given, decoder = self.network.post_quant_conv(latents), self.network.decoder
        cache = feature_caches(decoder)
        parts = [
            decoder(given[:, :, at : at + 1], feat_cache=cache, feat_idx=[0], first_chunk=at == 0)
            for at in range(given.shape[2])
        ]
        # diffusers puts the column of a patch before its row.
        return rearrange(torch.cat(parts, 2), "b (c q p) t h w -> b c t (h p) (w q)", p=2, q=2)


class Quantised(Trainee):
    """Learns a VQModel: every latent snaps to the nearest vector of a codebook.

    ``encode`` gives latents before they snap, and ``decode`` snaps them, as diffusers has it.
    """

    unused_steps: Tensor
    last_latents: Tensor

    def __init__(
        self, network: nn.Module, latent_noise: float, commitment: float, revive_after: int, free: int
    ) -> None:
        super().__init__(network, latent_noise)
        self.commitment, self.revive_after, self.free = commitment, revive_after, free
        # Buffers are saved with the weights, so that a resumed training revives the same codes.
        # diffusers starts all codes near 0; counted as unused for long, they begin at latents.
        self.register_buffer("unused_steps", torch.full((len(self.codebook),), revive_after))
        self.register_buffer("last_latents", torch.zeros_like(self.codebook))

    @property
    def codebook(self) -> Tensor:
        """The vectors, ``codes C``."""
        return self.network.quantize.embedding.weight  # type: ignore[no-any-return]

    def forward(self, frames: Frames, draws: StepRandom) -> StepOutput:
        """Encode, snap, decode; gradients pass the snap as if it were not there."""
        latents = self._disturbed(self.encode(frames).float(), draws)
        flat = rearrange(latents.detach(), "b c h w -> (b h w) c")
        chosen = torch.cdist(flat, self.codebook.detach().float()).argmin(1)
        batch, _, height, width = latents.shape
        codes = rearrange(self.codebook[chosen], "(b h w) c -> b c h w", b=batch, h=height, w=width)
        # With few codes in use the first steps see few colours, and an axis of colour that is not
        # encoded then never is: so for a while nothing snaps.
        through = latents + (codes - latents).detach() if draws.step >= self.free else latents
        reconstructed = self.network.decode(through, force_not_quantize=True, return_dict=False)[0]
        book, commitment = code_losses(latents, codes)
        # Of this batch one latent is kept for each code that may have to begin anew.
        places = torch.randint(len(flat), (len(self.codebook),), generator=draws.random)
        self.last_latents.copy_(flat[places.to(flat.device)])
        counts = torch.bincount(chosen, minlength=len(self.codebook))
        penalties = {"codebook": book, "commitment": self.commitment * commitment}
        return StepOutput(reconstructed, penalties, counts=counts)

    @torch.no_grad()
    def after_update(self, counts: Tensor, accelerator: Accelerator, average: Trainee) -> dict[str, float]:
        """Put codes that nothing chose for long where latents are; say how many codes were in use.

        The perplexity is the number of codes that, evenly used, would carry as much.
        """
        assert isinstance(average, Quantised), average
        counts = accelerator.reduce(counts, "sum")
        broadcast(self.last_latents)
        self.unused_steps.add_(1).masked_fill_(counts > 0, 0)
        dead = (self.unused_steps >= self.revive_after) & (self.revive_after > 0)
        for codebook in (self.codebook, average.codebook):
            codebook[dead] = self.last_latents[dead]
        self.unused_steps[dead] = 0
        share = counts / counts.sum().clamp_min(1)
        perplexity = torch.exp(-(share * (share + 1e-10).log()).sum())
        used, revived = (counts > 0).float().mean(), dead.sum()
        return {"codes_used": float(used), "perplexity": float(perplexity), "revived": float(revived)}
