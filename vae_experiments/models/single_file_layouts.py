"""The families of one-file checkpoints: how the keys of each tell it, and what its config is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """How the autoencoders of one family lie in a file."""

    network: str
    """The diffusers class."""
    marks: tuple[Mapping[str, int], ...]
    """Keys of which one group is in every file of the family, each with the dimensions of its tensor."""
    config: Callable[[Shapes], dict[str, Any]]
    """Returns the arguments of the class."""
    rename: Callable[[str], str | None] = lambda key: key
    """Returns what diffusers calls a key, or expects to convert; None where it has no use for it."""
    channels: int | None = None
    """Of a latent, where they tell families apart."""
    beside: str = ""
    """A pattern of keys that stand beside the autoencoder's in the checkpoint of the whole pipeline."""

    def fits(self, shapes: Shapes) -> bool:
        """Whether a file is of this family, as far as its keys tell."""
        found = any(
            all(len(shapes.get(key, ())) == dimensions for key, dimensions in group.items())
            for group in self.marks
        )
        return found and (self.channels is None or self.channels == shapes["decoder.conv_in.weight"][1])


_LEVEL = re.compile(r"encoder\.(?:down|down_blocks)\.(\d+)\.(?:block|resnets)\.(\d+)\.conv1\.weight")


def _kl(channels: int, beside: str, **constants: float) -> Layout:
    """Return the layout of the makers of Stable Diffusion, which its successors kept, and that of diffusers."""

    def config(shapes: Shapes) -> dict[str, Any]:
        levels = {int(found[1]): shapes[key][0] for key in shapes if (found := _LEVEL.fullmatch(key))}
        layers = {int(found[2]) for key in shapes if (found := _LEVEL.fullmatch(key))}
        return {
            "block_out_channels": [levels[level] for level in sorted(levels)],
            "down_block_types": ["DownEncoderBlock2D"] * len(levels),
            "up_block_types": ["UpDecoderBlock2D"] * len(levels),
            "layers_per_block": len(layers),
            "latent_channels": channels,
            "use_quant_conv": "quant_conv.weight" in shapes,
            "use_post_quant_conv": "post_quant_conv.weight" in shapes,
            **constants,
        }

    marks = ({"decoder.mid.block_1.conv1.weight": 4}, {"decoder.mid_block.resnets.0.conv1.weight": 4})
    return Layout("AutoencoderKL", marks, config, lambda key: key, channels, beside)


def _wan(shapes: Shapes) -> dict[str, Any]:
    return {"base_dim": shapes["encoder.conv1.weight"][0], "z_dim": shapes["conv2.weight"][0]}


def _wan22(shapes: Shapes) -> dict[str, Any]:
    patched = {"in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16}
    normal = {"latents_mean": _WAN22_MEAN, "latents_std": _WAN22_STD}
    widest = shapes["decoder.conv1.weight"][0]
    return {**_wan(shapes), "decoder_base_dim": widest // 4, "is_residual": True, **patched, **normal}


_WAN22_NAMES = (
    (r"^(en|de)coder\.conv1\.", r"\1coder.conv_in."),
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"\.head\.0\.", ".norm_out."),
    (r"\.head\.2\.", ".conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"\.(down|up)samples\.(\d+)\.\1samples\.\d+\.(resample|time_conv)\.", r".\1_blocks.\2.\1sampler.\3."),
    (r"\.(down|up)samples\.(\d+)\.\1samples\.(\d+)\.", r".\1_blocks.\2.resnets.\3."),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
)
"""diffusers converts Wan 2.1 by itself, and 2.2 not."""


def _wan22_name(key: str) -> str:
    for pattern, name in _WAN22_NAMES:
        key = re.sub(pattern, name, key)
    return key


def _ltx(
    encoder: tuple[int, ...], decoder: tuple[int, ...], **constants: Any
) -> Callable[[Shapes], dict[str, Any]]:
    """Return the config of an LTX version, whose widths are multiples of the first layer's."""

    def config(shapes: Shapes) -> dict[str, Any]:
        width = shapes["encoder.conv_in.conv.weight"][0]
        return {
            "latent_channels": shapes["decoder.conv_in.conv.weight"][1],
            "block_out_channels": [width * times for times in encoder],
            "decoder_block_out_channels": [width * times for times in decoder],
            **constants,
        }

    return config


def _ltx_name(key: str) -> str:
    return f"vae.{key}"


def is_left_out(key: str) -> bool:
    """Whether diffusers has no use for a tensor of LTX."""
    return bool(re.search(r"per_channel_statistics\.(channel|mean-of-stds)", key))


def _hunyuan(shapes: Shapes) -> dict[str, Any]:
    width = shapes["encoder.conv_in.conv.weight"][0]
    return {
        "latent_channels": shapes["decoder.conv_in.conv.weight"][1],
        "block_out_channels": [width, 2 * width, 4 * width, 4 * width],
    }


def _taesd(shapes: Shapes) -> dict[str, Any]:
    width, channels = shapes["decoder.layers.0.weight"][:2]
    return {
        "latent_channels": channels,
        "encoder_block_out_channels": [width] * 4,
        "decoder_block_out_channels": [width] * 4,
    }


_WAN22_MEAN = [
    *(-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891),
    *(0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502),
    *(-0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723),
    *(-0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667),
]
_WAN22_STD = [
    *(0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901),
    *(0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659),
    *(0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944),
    *(0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744),
]
_LTX_MARKS = {"per_channel_statistics.mean-of-means": 1, "encoder.conv_out.conv.weight": 5}
_TIMED = {"decoder.last_time_embedder.timestep_embedder.linear_1.weight": 2}
_RESIDUAL: dict[str, Any] = {
    "decoder_spatio_temporal_scaling": [True] * 3,
    "upsample_residual": [True] * 3,
    "upsample_factor": [2] * 3,
    "timestep_conditioning": True,
}
LAYOUTS: dict[str, Layout] = {
    "sd": _kl(4, r"cond_stage_model\.", scaling_factor=0.18215),
    "sdxl": _kl(4, r"conditioner\.", scaling_factor=0.13025),
    "sd3": _kl(16, r"(.*\.)?joint_blocks\.", scaling_factor=1.5305, shift_factor=0.0609),
    "flux": _kl(16, r"(.*\.)?double_blocks\.", scaling_factor=0.3611, shift_factor=0.1159),
    "wan": Layout("AutoencoderKLWan", ({"decoder.upsamples.0.residual.2.weight": 5},), _wan),
    "wan22": Layout(
        "AutoencoderKLWan", ({"decoder.upsamples.0.upsamples.0.residual.2.weight": 5},), _wan22, _wan22_name
    ),
    "ltx_video": Layout(
        "AutoencoderKLLTXVideo",
        (_LTX_MARKS | {"decoder.up_blocks.9.res_blocks.0.conv1.conv.weight": 5},),
        _ltx((1, 2, 4, 4), (1, 2, 4, 4)),
        _ltx_name,
    ),
    "ltx_video_091": Layout(
        "AutoencoderKLLTXVideo",
        (_LTX_MARKS | _TIMED | {"encoder.down_blocks.9.res_blocks.0.conv1.conv.weight": 5},),
        _ltx(
            (1, 2, 4, 4),
            (2, 4, 8),
            decoder_layers_per_block=[5, 6, 7, 8],
            decoder_inject_noise=[False, True, True, True],
            **_RESIDUAL,
        ),
        _ltx_name,
    ),
    "ltx_video_095": Layout(
        "AutoencoderKLLTXVideo",
        (_LTX_MARKS | _TIMED | {"encoder.down_blocks.1.conv.conv.weight": 5},),
        _ltx(
            (1, 2, 4, 8, 16),
            (2, 4, 8),
            down_block_types=["LTXVideo095DownBlock3D"] * 4,
            layers_per_block=[4, 6, 6, 2, 2],
            decoder_layers_per_block=[5] * 4,
            spatio_temporal_scaling=[True] * 4,
            decoder_inject_noise=[False] * 4,
            downsample_type=["spatial", "temporal", "spatiotemporal", "spatiotemporal"],
            spatial_compression_ratio=32,
            temporal_compression_ratio=8,
            **_RESIDUAL,
        ),
        _ltx_name,
    ),
    "hunyuan_video": Layout(
        "AutoencoderKLHunyuanVideo",
        ({"decoder.mid_block.resnets.0.conv1.conv.weight": 5, "quant_conv.weight": 5},),
        _hunyuan,
    ),
    "taesd": Layout(
        "AutoencoderTiny", ({"encoder.layers.0.weight": 4, "decoder.layers.0.weight": 4},), _taesd
    ),
}
"""The families of one-file checkpoints, by the names of ``conf/model`` where there are such."""
