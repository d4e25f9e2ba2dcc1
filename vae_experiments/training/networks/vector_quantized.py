"""The trainee with a codebook: every latent snaps to the nearest of a few vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast
from einops import rearrange
from torch import Tensor, nn

from vae_experiments.training.networks.losses import code_losses
from vae_experiments.training.networks.modules import FramewiseModule, StepOutput, StepRandom, Trainee

if TYPE_CHECKING:
    from accelerate import Accelerator

    from vae_experiments.tensors import Frames, Latents


class Quantised(FramewiseModule):
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
        network: Any = self.network
        return network.quantize.embedding.weight  # type: ignore[no-any-return]

    def forward(self, frames: Frames, draws: StepRandom) -> StepOutput:
        """Encode, snap, decode; gradients pass the snap as if it were not there."""
        network: Any = self.network
        latents = self._disturbed(self.encode(frames).float(), draws)
        chosen = nearest(latents, self.codebook)
        codes = rearrange(self.codebook[chosen], "b h w c -> b c h w")
        # With few codes in use the first steps see few colours, and an axis of colour that is not
        # encoded then never is: so for a while nothing snaps.
        through = latents + (codes - latents).detach() if draws.step >= self.free else latents
        reconstructed = network.decode(through, force_not_quantize=True, return_dict=False)[0]
        book, commitment = code_losses(latents, codes)
        self._remember(latents.detach(), draws)
        return StepOutput(
            reconstructed,
            {"codebook": book, "commitment": self.commitment * commitment},
            counts=torch.bincount(chosen.flatten(), minlength=len(self.codebook)),
        )

    def _remember(self, latents: Latents, draws: StepRandom) -> None:
        """Keep latents of this batch, one for each code that may have to begin anew."""
        flat = rearrange(latents, "b c h w -> (b h w) c")
        places = torch.randint(len(flat), (len(self.codebook),), generator=draws.random)
        self.last_latents.copy_(flat[places.to(flat.device)])

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
        return {
            "codes_used": float((counts > 0).float().mean()),
            "perplexity": float(perplexity),
            "revived": float(dead.sum()),
        }


def nearest(latents: Latents, codebook: Tensor) -> Tensor:
    """Find the number of the nearest code of each latent ``B C h w``: ``B h w``."""
    flat = rearrange(latents.detach(), "b c h w -> (b h w) c")
    chosen = torch.cdist(flat, codebook.detach().float()).argmin(1)
    return chosen.reshape(len(latents), *latents.shape[2:])
