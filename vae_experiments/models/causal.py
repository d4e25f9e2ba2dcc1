"""Halves of causal networks that remember: each group of a clip goes on where the last one ended.

What such a network needs of the past it keeps in its own cache. Here the cache belongs to the clip
and not to the network, so that two clips, or two decodings of one, never mix, and an error leaves
nothing behind. The groups are those that diffusers' own ``encode`` and ``decode`` make, whose norms
run over a group.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

Memory: TypeAlias = "defaultdict[Any, Any]"
"""What a network remembers of a clip so far: empty at its beginning, None for what is not there yet."""

Part: TypeAlias = "Callable[[Any, Tensor, Memory], Tensor]"
"""One half of a network, on one group ``1 C T H W``: network, group, memory, which it brings up to date."""


def nothing_yet() -> Memory:
    """Begin a clip."""
    return defaultdict(lambda: None)


def wan_moments(network: Any, frames: Tensor, memory: Memory) -> Tensor:
    """Encode as ``AutoencoderKLWan._encode`` does, with a memory of its own."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

    patches = patchify(frames, network.config.patch_size or 1)  # type: ignore[no-untyped-call]
    return qwen_moments(network, patches, memory)


def wan_frames(network: Any, latents: Tensor, memory: Memory) -> Tensor:
    """Decode as ``AutoencoderKLWan._decode`` does, with a memory of its own."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

    ready = network.post_quant_conv(latents)
    patches = network.decoder(ready, feat_cache=memory, feat_idx=[0], first_chunk=not memory)
    frames: Tensor = unpatchify(patches, network.config.patch_size or 1)  # type: ignore[no-untyped-call]
    return frames.clamp(-1, 1)


def qwen_moments(network: Any, frames: Tensor, memory: Memory) -> Tensor:
    """Encode as ``AutoencoderKLQwenImage._encode`` does, with a memory of its own."""
    moments: Tensor = network.quant_conv(network.encoder(frames, feat_cache=memory, feat_idx=[0]))
    return moments


def qwen_frames(network: Any, latents: Tensor, memory: Memory) -> Tensor:
    """Decode as ``AutoencoderKLQwenImage._decode`` does, with a memory of its own."""
    ready = network.post_quant_conv(latents)
    frames: Tensor = network.decoder(ready, feat_cache=memory, feat_idx=[0])
    return frames.clamp(-1, 1)


def cogvideox_moments(network: Any, frames: Tensor, memory: Memory) -> Tensor:
    """Encode as ``AutoencoderKLCogVideoX._encode`` does, which takes 9 frames and then 8 at a time."""
    moments: Tensor
    moments, memory["convolutions"] = network.encoder(frames, conv_cache=memory["convolutions"])
    return moments if network.quant_conv is None else network.quant_conv(moments)


def cogvideox_frames(network: Any, latents: Tensor, memory: Memory) -> Tensor:
    """Decode as ``AutoencoderKLCogVideoX._decode`` does, which takes 3 latents and then 2 at a time."""
    ready = latents if network.post_quant_conv is None else network.post_quant_conv(latents)
    frames: Tensor
    frames, memory["convolutions"] = network.decoder(ready, conv_cache=memory["convolutions"])
    return frames


def kvae_latents(network: Any, frames: Tensor, memory: Memory) -> Tensor:
    """Encode as ``AutoencoderKLKVAEVideo._encode`` does: the means, since it has no variances."""
    memory["cache"] = memory["cache"] or network._make_encoder_cache()
    latents: Tensor = network.encoder(frames, memory["cache"]).chunk(2, dim=1)[0]
    return latents


def kvae_frames(network: Any, latents: Tensor, memory: Memory) -> Tensor:
    """Decode as ``AutoencoderKLKVAEVideo._decode`` does; a lone latent would give one frame and not four."""
    memory["cache"] = memory["cache"] or network._make_decoder_cache()
    frames: Tensor = network.decoder(latents, memory["cache"])
    return frames


def magvit_moments(network: Any, frames: Tensor, memory: Memory) -> Tensor:
    """Encode as ``AutoencoderKLMagvit._encode`` does, whose convolutions keep what they remember."""
    moments: Tensor = network.quant_conv(_reminded(network.encoder, "prev_features", frames, memory))
    return moments


def magvit_frames(network: Any, latents: Tensor, memory: Memory) -> Tensor:
    """Decode as ``AutoencoderKLMagvit.decode`` does."""
    return _reminded(network.decoder, "prev_features", network.post_quant_conv(latents), memory)


def vidtok_moments(network: Any, frames: Tensor, memory: Memory) -> Tensor:
    """Encode as ``AutoencoderVidTok.forward`` does, which fills up what stands before the first frame."""
    import torch

    first = not memory
    if first:
        before = frames[:, :, :1].expand(-1, -1, network.temporal_compression_ratio - 1, -1, -1)
        frames = torch.cat([before, frames], dim=2)
    network._set_first_chunk(first)
    moments = _reminded(network.encoder, "causal_cache", frames, memory)
    return network.regularization(moments)[0] if network.regularizer == "fsq" else moments


def _reminded(part: Any, name: str, group: Tensor, memory: Memory) -> Tensor:
    """Lend each module that remembers under this name its memory, and take it back whatever happens."""
    modules = [module for module in part.modules() if hasattr(module, name)]
    for number, module in enumerate(modules):
        setattr(module, name, memory[number])
    try:
        results: Tensor = part(group)
    finally:
        for number, module in enumerate(modules):
            memory[number] = getattr(module, name)
            setattr(module, name, None)
    return results
