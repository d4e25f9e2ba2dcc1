"""Networks: built by diffusers, started so that they learn.

They go about as plain modules; diffusers' own types do not survive a type checker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderKLWan, VQModel
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

from vae_experiments.training.networks.initialization import (
    narrow_posterior,
    start_as_pyramid,
    start_as_shortcuts,
    start_nearly_linear,
    start_stems,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.nn import Module, Parameter


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
    start_nearly_linear(network)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def build_vae(widths: Sequence[int], blocks: int, groups: int, latent_channels: int) -> Module:
    """Build diffusers' AutoencoderKL without attention, so that its cost grows with the frame and no faster."""
    network = _pyramid(AutoencoderKL, widths, blocks, groups, latent_channels)
    narrow_posterior(network)
    return network


def build_vqvae(widths: Sequence[int], blocks: int, groups: int, latent_channels: int, codes: int) -> Module:
    """Build diffusers' VQModel without attention."""
    return _pyramid(VQModel, widths, blocks, groups, latent_channels, num_vq_embeddings=codes)


def _pyramid(
    network_class: Any, widths: Sequence[int], blocks: int, groups: int, latent_channels: int, **more: Any
) -> Module:
    network: Module = network_class(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=tuple(widths),
        layers_per_block=blocks,
        norm_num_groups=groups,
        latent_channels=latent_channels,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        **more,
    )
    start_as_pyramid(network)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def build_video_vae(widths: Sequence[int], blocks: int, latent_channels: int) -> Module:
    """Build diffusers' AutoencoderKLWan in its 2.2 form: patches of 2x2, time halved twice, shortcuts around all."""
    halvings = [False] * (len(widths) - 3) + [True, True]
    untyped: Any = AutoencoderKLWan
    network: Module = untyped(
        base_dim=widths[0],
        dim_mult=[width // widths[0] for width in widths],
        num_res_blocks=blocks,
        z_dim=latent_channels,
        temperal_downsample=halvings,
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        scale_factor_spatial=2 ** len(widths),
        latents_mean=[0.0] * latent_channels,
        latents_std=[1.0] * latent_channels,
    )
    start_as_shortcuts(network)
    start_stems(network)
    narrow_posterior(network)
    return network


def feature_caches(half: Module) -> list[None]:
    """Make the empty cache in which half a Wan network keeps what it saw: a place for each convolution in time."""
    return [None] * sum(isinstance(module, WanCausalConv3d) for module in half.modules())


def split_parameters(network: Module) -> tuple[list[Parameter], list[Parameter]]:
    """Part the weights of inner convolutions, which suit Muon, from all other parameters.

    The first and last convolutions touch pixels, whose axes are not alike, so they are with the rest.
    """
    inner: list[Parameter] = []
    others: list[Parameter] = []
    for name, parameter in network.named_parameters():
        at_the_ends = name.startswith(("encoder.conv_in.", "decoder.conv_out."))
        # Wan's norms have factors of four axes too, but do not call them weights.
        convolution = parameter.ndim >= 4 and name.endswith("weight")
        (inner if convolution and not at_the_ends else others).append(parameter)
    return inner, others
