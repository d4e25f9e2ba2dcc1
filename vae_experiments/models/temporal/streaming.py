"""Halves of causal networks that remember: each group of a clip continues where the last one ended.

What such a network needs of the past it keeps in its own cache, or, where diffusers gave it none, in
that of ``carried``. Here the cache belongs to the clip and not to the network, so that two clips, or two
decodings of one, never mix, and an error leaves nothing behind. Where norms run over a group, the groups
are those that diffusers' own ``encode`` and ``decode`` make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vae_experiments.models.temporal import windowed
from vae_experiments.models.temporal.streaming_state import remembered

if TYPE_CHECKING:
    from torch import Tensor

    from vae_experiments.models.temporal.streaming_state import Memory


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


def vidtok_frames(network: Any, latents: Tensor, memory: Memory) -> Tensor:
    """Decode as ``AutoencoderVidTok.tiled_decode`` does, whose interpolation looks at the next latent.

    That latent is the last of the group, and comes again: its own part of what a layer sees is not
    remembered. Where it is missing the clip is at its end, and nothing is remembered for anyone.
    """
    first = not memory
    network._set_first_chunk(first)
    _forget_the_next_latent(network, 1)
    try:
        frames = _reminded(network.decoder, "causal_cache", latents, memory)
    finally:
        _forget_the_next_latent(network, 0)
    if not first:
        return frames
    for number, module in enumerate(_with(network.decoder, "causal_cache")):
        # In one pass nothing passes from the first latent's frames into those of the second; in diffusers'
        # tiles the last of these does, which was made before the third latent was known.
        if hasattr(module, "num_temp_upsample"):
            memory[number] = memory[number][:, :, :1].expand_as(memory[number])
    return frames[:, :, network.temporal_compression_ratio - 1 :]


def _forget_the_next_latent(network: Any, count: int) -> None:
    """Tell each layer of a VidTok's decoder for how many of its inputs the last ``count`` latents stand."""
    decoder = network.decoder
    network._set_cache_offset([decoder], count)
    for level in reversed(range(decoder.num_resolutions)):
        network._set_cache_offset([decoder.up_temporal[level].block], count)
        if level in decoder.tempo_us and level in decoder.spatial_us:
            count *= 2
            network._set_cache_offset([decoder.up_temporal[level].upsample], count)
    network._set_cache_offset([decoder.conv_out], count)


def moments(network: Any, frames: Tensor, memory: Memory) -> Tensor:
    """Encode by diffusers' own call, in which the layers of the encoder remember."""
    with remembered(network.encoder, memory):
        return windowed.moments(network, frames, memory)


def frames(network: Any, latents: Tensor, memory: Memory) -> Tensor:
    """Decode by diffusers' own call, in which the layers of the decoder remember."""
    with remembered(network.decoder, memory):
        return windowed.frames(network, latents, memory)


def ltx_frames(network: Any, latents: Tensor, memory: Memory) -> Tensor:
    """Decode without noise, as ``windowed.ltx_frames`` does, where the decoder does not look ahead."""
    with remembered(network.decoder, memory):
        return windowed.ltx_frames(network, latents, memory)


def mochi_frames(network: Any, latents: Tensor, memory: Memory) -> Tensor:
    """Decode as ``AutoencoderKLMochi._decode`` does, which leaves out the clip's first frames but one."""
    first = not memory
    decoded: Tensor
    with remembered(network.decoder, memory):
        decoded, _ = network.decoder(latents)
    return decoded[:, :, network.temporal_compression_ratio - 1 :] if first else decoded


def _reminded(part: Any, name: str, group: Tensor, memory: Memory) -> Tensor:
    """Lend each module that remembers under this name its memory, and take it back whatever happens."""
    modules = _with(part, name)
    for number, module in enumerate(modules):
        setattr(module, name, memory.get(number))
    try:
        results: Tensor = part(group)
        memory.update(
            {number: _needed(module, getattr(module, name)) for number, module in enumerate(modules)}
        )
    finally:
        for module in modules:
            setattr(module, name, None)
    return results


def _needed(module: Any, kept: Tensor | None) -> Tensor | None:
    """Keep of what a module remembers what it will look at: VidTok's convolutions remember the whole group."""
    if kept is None or not hasattr(module, "time_pad"):
        return kept
    return kept[:, :, kept.size(2) - module.time_pad :].clone()


def _with(part: Any, name: str) -> list[Any]:
    """Find the modules that have an attribute, always in the same order."""
    return [module for module in part.modules() if hasattr(module, name)]
