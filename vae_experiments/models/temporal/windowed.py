"""Halves of networks that remember nothing: they take windows of a clip, each a clip of its own.

Their norms or their attention run over time, or their convolutions look ahead, so that there is no
memory to carry. Neighbouring windows share context, which is computed and thrown away.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from vae_experiments.models.temporal.streaming_state import Memory


_CHANCE = Lock()
"""Held while torch's own chance, which all networks of the process share, is set for one of them."""


def moments(network: Any, frames: Tensor, _memory: Memory) -> Tensor:
    """Encode a window by diffusers' own call: the parameters of the posterior, or the latents."""
    parameters: Tensor = network.encode(frames).latent_dist.parameters
    return parameters


def frames(network: Any, latents: Tensor, _memory: Memory) -> Tensor:
    """Decode a window by diffusers' own call."""
    decoded: Tensor = network.decode(latents).sample
    return decoded


def ltx_frames(network: Any, latents: Tensor, _memory: Memory) -> Tensor:
    """Decode without noise: at the time step 0, which is the pipeline's own, where the decoder wants one.

    What early versions draw inside the decoder is drawn alike for every window, so that there is no seam.
    """
    import torch

    step = latents.new_zeros(1) if network.config.timestep_conditioning else None
    with _CHANCE, torch.random.fork_rng():
        torch.manual_seed(0)
        decoded: Tensor = network.decode(latents, step).sample
    return decoded


def still_moments(network: Any, frames: Tensor, _memory: Memory) -> Tensor:
    """Encode with the 2-D encoder of ``AutoencoderKLTemporalDecoder``, which sees each frame by itself."""
    from einops import rearrange

    parameters = network.encode(rearrange(frames, "1 c t h w -> t c h w")).latent_dist.parameters
    moments: Tensor = rearrange(parameters, "t c h w -> 1 c t h w")
    return moments


def still_frames(network: Any, latents: Tensor, _memory: Memory) -> Tensor:
    """Decode a window of latents, which this decoder is told to take for one clip."""
    from einops import rearrange

    one_by_one = rearrange(latents, "1 c t h w -> t c h w").contiguous()
    decoded = network.decode(one_by_one, num_frames=len(one_by_one)).sample
    clip: Tensor = rearrange(decoded, "t c h w -> 1 c t h w")
    return clip


def allegro_moments(network: Any, frames: Tensor, _memory: Memory) -> Tensor:
    """Encode the 24 frames of one of diffusers' own tiles, without its tiles in space."""
    from einops import rearrange

    parameters = network.quant_conv(rearrange(network.encoder(frames), "1 c t h w -> t c h w"))
    moments: Tensor = rearrange(parameters, "t c h w -> 1 c t h w")
    return moments


def allegro_frames(network: Any, latents: Tensor, _memory: Memory) -> Tensor:
    """Decode the 6 latents of one of diffusers' own tiles; its ``decode`` would put time before channels."""
    from einops import rearrange

    ready = network.post_quant_conv(rearrange(latents, "1 c t h w -> t c h w"))
    decoded: Tensor = network.decoder(rearrange(ready, "t c h w -> 1 c t h w"))
    return decoded


def vidtok_moments(network: Any, frames: Tensor, _memory: Memory) -> Tensor:
    """Encode a window of a VidTok that is not causal; finite scalar quantisation gives exact latents."""
    answer = network.encode(frames)
    parameters: Tensor = answer[0] if network.regularizer == "fsq" else answer.latent_dist.parameters
    return parameters


def vidtok_frames(network: Any, latents: Tensor, _memory: Memory) -> Tensor:
    """Decode a window of a VidTok that is not causal, for which it gives the bare tensor."""
    decoded: Tensor = network.decode(latents)
    return decoded
