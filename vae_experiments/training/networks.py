"""Networks: built by diffusers, started so that they learn.

They go about as plain modules; diffusers' own types do not survive a type checker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderDC
from diffusers.models.normalization import RMSNorm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.nn import Module, Parameter

    from vae_experiments.tensors import Frames, Latents

_FIRST_GAIN = 0.25
"""Blocks start as small corrections to their shortcuts; the network starts nearly linear."""


def build_autoencoder(
    widths: Sequence[int], encoder_blocks: Sequence[int], decoder_blocks: Sequence[int], latent_channels: int
) -> Module:
    """Build diffusers' AutoencoderDC out of residual blocks alone, with fresh weights.

    It makes frames smaller by 2^(number of widths - 1). Without blocks at its first width nothing
    runs at full resolution, which is where the time would go.
    """
    scales: tuple[tuple[int, ...], ...] = ((),) * len(widths)
    untyped: Any = AutoencoderDC
    network: Module = untyped(
        latent_channels=latent_channels,
        encoder_block_out_channels=tuple(widths),
        decoder_block_out_channels=tuple(widths),
        encoder_layers_per_block=tuple(encoder_blocks),
        decoder_layers_per_block=tuple(decoder_blocks),
        encoder_qkv_multiscales=scales,
        decoder_qkv_multiscales=scales,
    )
    for name, module in network.named_modules():
        if isinstance(module, RMSNorm) and name != "decoder.norm_out":
            torch.nn.init.constant_(module.get_parameter("weight"), _FIRST_GAIN)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def encode(network: Module, frames: Frames) -> Latents:
    """Encode frames ``T 3 H W`` into raw latents ``T C h w``: not yet normalised."""
    untyped: Any = network
    latents: Latents = untyped.encode(frames, return_dict=False)[0]
    return latents


def decode(network: Module, latents: Latents) -> Frames:
    """Decode raw latents ``T C h w`` into frames ``T 3 H W``, not clipped."""
    untyped: Any = network
    frames: Frames = untyped.decode(latents, return_dict=False)[0]
    return frames


def split_parameters(network: Module) -> tuple[list[Parameter], list[Parameter]]:
    """Part the weights of inner convolutions, which suit Muon, from all other parameters.

    The first and last convolutions touch pixels, whose axes are not alike, so they are with the rest.
    """
    inner: list[Parameter] = []
    others: list[Parameter] = []
    for name, parameter in network.named_parameters():
        at_the_ends = name.startswith(("encoder.conv_in.", "decoder.conv_out."))
        (inner if parameter.ndim == 4 and not at_the_ends else others).append(parameter)
    return inner, others
