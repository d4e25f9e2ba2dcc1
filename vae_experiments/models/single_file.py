"""Autoencoders in one safetensors file, as other tools pass them around: which family it is, and its config.

A file of keys and tensors says neither: the family is read from the keys, the sizes from the tensors' shapes,
and the constants that normalise latents from the table here.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import ModelError
from vae_experiments.files import digest, write_json
from vae_experiments.models.model import Model
from vae_experiments.options import Choice, setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    Shapes = Mapping[str, tuple[int, ...]]
    Tensors = dict[str, torch.Tensor]

PREFIXES = ("first_stage_model.", "vae.")
"""What stands before the autoencoder's keys in the checkpoint of a whole pipeline."""
_HALVES = (("encoder", "decoder"), ("decoder", "encoder"))


class Family(Choice):
    """Which makers a checkpoint is of; a name that ``conf/model`` has too means the same model."""

    auto = "auto"
    sd = "sd"
    sdxl = "sdxl"
    sd3 = "sd3"
    flux = "flux"
    wan = "wan"
    wan22 = "wan22"
    ltx_video = "ltx_video"
    ltx_video_091 = "ltx_video_091"
    ltx_video_095 = "ltx_video_095"
    hunyuan_video = "hunyuan_video"
    taesd = "taesd"


class File(Model):
    """A checkpoint in one safetensors file, as other tools pass them around, or one of TAESD's pairs."""

    path: str = setting("the file; of a pair either one, with the other beside it", default="???")
    layout: Family = setting(
        "which model's file it is; auto: as its keys say, where they do", default=Family.auto
    )

    def location(self) -> Path:
        """Take the path as it was typed; it never turns into a hub request."""
        file = Path(self.path).expanduser()
        if not file.is_file():
            what, hint = "does not exist", "give a safetensors file"
            if file.exists():
                what, hint = "is a folder, not a file", "for a folder type model=folder"
            raise ModelError(f"model.path={self.path} {what}", hint)
        return file

    def title(self) -> str:
        """Call it by its path."""
        return self.path

    def _network(self, location: Path) -> Any:
        return load_single_file(location, self.layout.name)

    def _digests(self, location: Path) -> list[str]:
        return [self.layout.name, *map(digest, _files(location))]


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


def load_single_file(file: Path, layout: str) -> Any:
    """Load the autoencoder that a safetensors file holds, in float32, as the class of diffusers that knows it.

    Args:
        file: the file; of TAESD's pairs either one, with the other beside it.
        layout: a name in ``LAYOUTS``, or ``auto``.

    Raises:
        ModelError: the keys are of no known family, or of several, or do not fit the class.
    """
    import diffusers

    tensors, beside = _read(file)
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    chosen = LAYOUTS[layout] if layout != "auto" else LAYOUTS[_recognised(file, shapes, beside)]
    if not chosen.fits(shapes):
        raise ModelError(f"model.layout={layout}: the keys in {file} are of another family", _nearest(shapes))
    config = chosen.config(shapes)
    renamed = {name: tensor for key, tensor in tensors.items() if (name := chosen.rename(key)) is not None}
    network_class = getattr(diffusers, chosen.network)
    try:
        network = _filled(network_class, config, renamed)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise ModelError(
            f"model: the weights in {file} do not fit {chosen.network} ({reason})",
            "give the whole file, as its makers or ComfyUI pass it around",
        ) from error
    return network.float().eval()


def _filled(network_class: Any, config: dict[str, Any], tensors: Tensors) -> Any:
    """Build a network of a config and put the tensors into it, all of them and no others."""
    from vae_experiments.models.loading import quiet_diffusers

    if not hasattr(network_class, "from_single_file"):
        network = network_class(**config)
        network.load_state_dict(tensors, strict=True)
        return network
    count = sum(tensor.numel() for key, tensor in tensors.items() if not _is_left_out(key))
    with tempfile.TemporaryDirectory() as folder, quiet_diffusers():
        write_json(Path(folder) / "config.json", {"_class_name": network_class.__name__, **config})
        # It takes the tensors that it knows: what it lacks stays without a value, and what it does not know is lost.
        network = network_class.from_single_file(tensors, config=folder, local_files_only=True)
    missing = [name for name, weight in network.state_dict().items() if weight.is_meta]
    if missing:
        raise ValueError(f"{len(missing)} weights are missing, such as {missing[0]}")
    if count != (held := sum(weight.numel() for weight in network.state_dict().values())):
        raise ValueError(f"it has {count} numbers where the class has {held}")
    return network


def _read(file: Path) -> tuple[Tensors, list[str]]:
    """Return the tensors of the autoencoder under their names without a prefix, and the keys that are not its own."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            keys = list(opened.keys())
            prefix = next((one for one in PREFIXES if any(key.startswith(one) for key in keys)), "")
            own = [key for key in keys if key.startswith(prefix)]
            tensors = {key.removeprefix(prefix): opened.get_tensor(key) for key in own}
    except SafetensorError as error:
        raise ModelError(
            f"model.path={file} is no whole safetensors file ({error})",
            "copy or download it again; pickled checkpoints (.ckpt, .pt, .pth) can run code and are not loaded",
        ) from error
    beside = [key for key in keys if not key.startswith(prefix)] if prefix else []
    return _both_halves(file, tensors), beside


def _files(file: Path) -> list[Path]:
    """Return the file, or the encoder and the decoder of a pair by their names."""
    for half, other in _HALVES:
        twin = file.with_name(file.name.replace(half, other))
        if half in file.name and other not in file.name and twin.is_file():
            return [file, twin] if half == "encoder" else [twin, file]
    return [file]


def _both_halves(file: Path, tensors: Tensors) -> Tensors:
    """Return the tensors of a pair of files as diffusers names them, and those of any other file as they are."""
    from safetensors.torch import load_file

    if "0.weight" not in tensors and "1.weight" not in tensors:
        return tensors
    files = _files(file)
    if len(files) == 1:
        half, other = next((pair for pair in _HALVES if pair[0] in file.name), _HALVES[0])
        hint = f"put its {other} beside it, as {file.name.replace(half, other)}"
        raise ModelError(f"model.path={file} is one half of an autoencoder", hint)
    both = {}
    # The decoder's first layer has no weights, and diffusers does not count it.
    for half, one, first in zip(("encoder", "decoder"), files, (0, 1), strict=True):
        for key, tensor in load_file(one).items():
            number, _, rest = key.partition(".")
            both[f"{half}.layers.{int(number) - first}.{rest}"] = tensor
    return both


def _recognised(file: Path, shapes: Shapes, beside: list[str]) -> str:
    names = [name for name, layout in LAYOUTS.items() if layout.fits(shapes)]
    if len(names) > 1:
        known = [name for name in names if any(re.match(LAYOUTS[name].beside, key) for key in beside)]
        names = known or names
    if len(names) == 1:
        return names[0]
    if names:
        options = " or ".join(f"model.layout={name}" for name in names)
        raise ModelError(
            f"model.path={file}: its keys are those of {' and of '.join(names)}, whose latents are scaled differently",
            f"say which it is: {options}",
        )
    raise ModelError(f"model.path={file}: its keys are of no autoencoder that is known", _nearest(shapes))


def _nearest(shapes: Shapes) -> str:
    """Name the family whose keys look most like those of a file."""
    words = {word for key in shapes for word in key.split(".")}

    def likeness(name: str) -> float:
        marks = [{word for key in group for word in key.split(".")} for group in LAYOUTS[name].marks]
        return max(len(mark & words) / len(mark) for mark in marks)

    nearest = max(LAYOUTS, key=likeness)
    return f"the nearest is {nearest}, a {LAYOUTS[nearest].network}; choose from: {', '.join(LAYOUTS)}"


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


def _is_left_out(key: str) -> bool:
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
