"""Small random networks, written in the layout of every family's makers, and read back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from vae_experiments.errors import ModelError
from vae_experiments.models import File, Folder
from vae_experiments.models.single_file import Family, load_single_file
from vae_experiments.models.single_file_layouts import LAYOUTS

if TYPE_CHECKING:
    from pathlib import Path

    from vae_experiments.runtime.device import DeviceChoice

Names = list[tuple[str, Any]]
"""Patterns of the names in diffusers, and what stands for them in a file: a template, or a function of the match."""
BLOCK = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6"}
WAN: Names = [
    (r"\.(norm1|conv1|norm2|conv2)\.", lambda found: f".{BLOCK[found[1]]}."),
    (r"\.conv_shortcut\.", ".shortcut."),
    (r"coder\.conv_in\.", "coder.conv1."),
    (r"^quant_conv\.", "conv1."),
    (r"^post_quant_conv\.", "conv2."),
    (r"\.norm_out\.", ".head.0."),
    (r"\.conv_out\.", ".head.2."),
    (r"\.mid_block\.resnets\.0\.", ".middle.0."),
    (r"\.mid_block\.attentions\.0\.", ".middle.1."),
    (r"\.mid_block\.resnets\.1\.", ".middle.2."),
]
WAN21: Names = [
    *WAN,
    (r"\.down_blocks\.", ".downsamples."),
    (r"\.up_blocks\.(\d)\.resnets\.(\d)\.", lambda found: f".upsamples.{4 * int(found[1]) + int(found[2])}."),
    (r"\.up_blocks\.(\d)\.upsamplers\.0\.", lambda found: f".upsamples.{4 * int(found[1]) + 3}."),
]
WAN22: Names = [
    *WAN,
    (r"\.(down|up)_blocks\.(\d)\.resnets\.(\d)\.", r".\1samples.\2.\1samples.\3."),
    (r"\.down_blocks\.(\d)\.downsampler\.", r".downsamples.\1.downsamples.2."),
    (r"\.up_blocks\.(\d)\.upsampler\.", r".upsamples.\1.upsamples.3."),
]
LDM: Names = [
    (r"\.down_blocks\.(\d)\.resnets\.(\d)\.", r".down.\1.block.\2."),
    (r"\.down_blocks\.(\d)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.up_blocks\.(\d)\.resnets\.(\d)\.", lambda found: f".up.{3 - int(found[1])}.block.{found[2]}."),
    (r"\.up_blocks\.(\d)\.upsamplers\.0\.", lambda found: f".up.{3 - int(found[1])}.upsample."),
    (r"\.mid_block\.resnets\.(\d)\.", lambda found: f".mid.block_{int(found[1]) + 1}."),
    (r"\.mid_block\.attentions\.0\.group_norm\.", ".mid.attn_1.norm."),
    (r"\.mid_block\.attentions\.0\.to_(q|k|v)\.", r".mid.attn_1.\1."),
    (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".mid.attn_1.proj_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.conv_norm_out\.", ".norm_out."),
]
LTX_ENCODER = ["down_blocks.0", "down_blocks.0.downsamplers.0", "down_blocks.0.conv_out", "down_blocks.1"]
LTX_ENCODER += ["down_blocks.1.downsamplers.0", "down_blocks.1.conv_out", "down_blocks.2"]
LTX_ENCODER += ["down_blocks.2.downsamplers.0", "down_blocks.3", "mid_block"]
LTX_DECODER = ["mid_block", "up_blocks.0", "up_blocks.1.upsamplers.0", "up_blocks.1", "up_blocks.2.conv_in"]
LTX_DECODER += ["up_blocks.2.upsamplers.0", "up_blocks.2", "up_blocks.3.conv_in", "up_blocks.3.upsamplers.0"]
LTX_DECODER += ["up_blocks.3"]
LTX_LATER = ["mid_block", *(f"up_blocks.{n // 2}{'' if n % 2 else '.upsamplers.0'}" for n in range(8))]
LTX_095 = [f"down_blocks.{n // 2}{'.downsamplers.0' if n % 2 else ''}" for n in range(8)] + ["mid_block"]


def ltx(encoder: list[str], decoder: list[str]) -> Names:
    """Return the names of a version from what its blocks are called in diffusers, in their order in the file."""
    blocks = [("encoder.down_blocks", encoder), ("decoder.up_blocks", decoder)]
    names = {
        f"{theirs.partition('.')[0]}.{ours}": f"{theirs}.{n}"
        for theirs, all_ in blocks
        for n, ours in enumerate(all_)
    }
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return [
        (rf"^({longest_first})\.", lambda found: f"{names[found[1]]}."),
        (r"\.resnets\.", ".res_blocks."),
        (r"\.conv_shortcut\.conv\.", ".conv_shortcut."),
        (r"\.norm3\.", ".norm3.norm."),
        (r"^latents_mean$", "per_channel_statistics.mean-of-means"),
        (r"^latents_std$", "per_channel_statistics.std-of-means"),
        (r"^decoder\.time_embedder\.", "decoder.last_time_embedder."),
        (r"^decoder\.scale_shift_table$", "decoder.last_scale_shift_table"),
    ]


KL = {
    "block_out_channels": [32, 32, 64, 64],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "layers_per_block": 2,
}
KL |= {"up_block_types": ["UpDecoderBlock2D"] * 4}
UNQUANTISED = {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
RESIDUAL = {"upsample_residual": [True] * 3, "upsample_factor": [2] * 3, "timestep_conditioning": True}
RESIDUAL |= {"decoder_spatio_temporal_scaling": [True] * 3}
CASES: dict[str, tuple[str, dict[str, Any], Names]] = {
    "sd": ("AutoencoderKL", {**KL, "scaling_factor": 0.18215}, LDM),
    "sdxl": ("AutoencoderKL", {**KL, "scaling_factor": 0.13025}, LDM),
    "sd3": ("AutoencoderKL", {**KL, **UNQUANTISED, "scaling_factor": 1.5305, "shift_factor": 0.0609}, LDM),
    "flux": ("AutoencoderKL", {**KL, **UNQUANTISED, "scaling_factor": 0.3611, "shift_factor": 0.1159}, LDM),
    "wan": ("AutoencoderKLWan", {"base_dim": 8}, WAN21),
    "wan22": (
        "AutoencoderKLWan",
        {
            **{"base_dim": 8, "decoder_base_dim": 16, "z_dim": 48, "is_residual": True, "patch_size": 2},
            **{"in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16},
            **{"latents_mean": [0.0] * 48, "latents_std": [1.0] * 48},
        },
        WAN22,
    ),
    "ltx_video": (
        "AutoencoderKLLTXVideo",
        {
            "block_out_channels": [8, 16, 32, 32],
            "decoder_block_out_channels": [8, 16, 32, 32],
            "latent_channels": 8,
        },
        ltx(LTX_ENCODER, LTX_DECODER),
    ),
    "ltx_video_091": (
        "AutoencoderKLLTXVideo",
        {
            **{"block_out_channels": [8, 16, 32, 32], "decoder_block_out_channels": [16, 32, 64]},
            **{"latent_channels": 8, "decoder_layers_per_block": [5, 6, 7, 8]},
            **{"decoder_inject_noise": [False, True, True, True], **RESIDUAL},
        },
        ltx(LTX_ENCODER, LTX_LATER),
    ),
    "hunyuan_video": (
        "AutoencoderKLHunyuanVideo",
        {"block_out_channels": [32, 64, 128, 128], "latent_channels": 4},
        [],
    ),
}


def network_of(name: str) -> Any:
    class_name, config, _ = CASES[name]
    torch.manual_seed(0)
    return getattr(diffusers, class_name)(**config).eval()


def as_its_makers_write(name: str, network: Any) -> dict[str, torch.Tensor]:
    tensors = {}
    for key, tensor in network.state_dict().items():
        renamed = key
        for pattern, theirs in CASES[name][2]:
            renamed = re.sub(pattern, theirs, renamed)
        is_convolution = CASES[name][2] is LDM and re.search(r"attn_1\.(q|k|v|proj_out)\.weight", renamed)
        tensors[renamed] = (tensor[..., None, None] if is_convolution else tensor).contiguous().clone()
    assert len(tensors) == len(network.state_dict())
    if name.startswith("ltx"):
        tensors["per_channel_statistics.channel"] = torch.zeros(8)
    return tensors


def assert_equal(loaded: Any, network: Any) -> None:
    assert type(loaded) is type(network)
    ours, theirs = loaded.state_dict(), network.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def written(name: str, file: Path, prefix: str = "", beside: str = "") -> Any:
    """Write a network as its makers do, and return it; ``beside`` is a key of the rest of the pipeline."""
    network = network_of(name)
    tensors = {prefix + key: tensor for key, tensor in as_its_makers_write(name, network).items()}
    save_file(tensors | ({beside: torch.zeros(1)} if beside else {}), file)
    return network


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_every_family_is_the_network_that_was_written(name: str, tmp_path: Path) -> None:
    network = written(name, tmp_path / "vae.safetensors")
    loaded = load_single_file(tmp_path / "vae.safetensors", name)
    assert_equal(loaded, network)
    for key, value in CASES[name][1].items():
        assert key in ("latents_mean", "latents_std") or loaded.config[key] == value, key


def test_the_latents_of_wan_2_2_are_normalised_by_its_makers_numbers(tmp_path: Path) -> None:
    written("wan22", tmp_path / "vae.safetensors")
    config = load_single_file(tmp_path / "vae.safetensors", "auto").config
    mean, std = torch.tensor(config.latents_mean), torch.tensor(config.latents_std)
    assert (len(mean), len(std)) == (48, 48)
    # Sums of the table in the makers' own code.
    assert (float(mean.sum()), float(std.sum())) == pytest.approx((-0.5589, 32.5360), abs=1e-3)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"sd", "sdxl", "sd3", "flux"}))
def test_a_family_with_keys_of_its_own_is_recognised(name: str, tmp_path: Path) -> None:
    written(name, tmp_path / "vae.safetensors", "vae.", "model.diffusion_model.a")
    network_class, _, _ = CASES[name]
    assert type(load_single_file(tmp_path / "vae.safetensors", "auto")).__name__ == network_class


@pytest.mark.parametrize(
    ("name", "prefix", "beside"),
    [
        ("sd", "first_stage_model.", "cond_stage_model.transformer.text_model.final_layer_norm.bias"),
        (
            "sdxl",
            "first_stage_model.",
            "conditioner.embedders.0.transformer.text_model.final_layer_norm.bias",
        ),
        ("sd3", "first_stage_model.", "model.diffusion_model.joint_blocks.0.context_block.attn.qkv.bias"),
        ("flux", "vae.", "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale"),
    ],
)
def test_the_checkpoint_of_a_whole_pipeline_says_which_family_it_is(
    name: str, prefix: str, beside: str, tmp_path: Path
) -> None:
    network = written(name, tmp_path / "all.safetensors", prefix, beside)
    loaded = load_single_file(tmp_path / "all.safetensors", "auto")
    assert_equal(loaded, network)
    assert loaded.config.scaling_factor == CASES[name][1]["scaling_factor"]


@pytest.mark.parametrize(("name", "names"), [("sd", ("sd", "sdxl")), ("flux", ("sd3", "flux"))])
def test_a_file_that_may_be_of_two_families_is_asked_about(
    name: str, names: tuple[str, str], tmp_path: Path
) -> None:
    written(name, file := tmp_path / "vae.safetensors")
    with pytest.raises(ModelError) as caught:
        load_single_file(file, "auto")
    assert str(caught.value) == (
        f"model.path={file}: its keys are those of {names[0]} and of {names[1]}, whose latents are scaled "
        f"differently; say which it is: model.layout={names[0]} or model.layout={names[1]}"
    )


def test_keys_as_diffusers_writes_them_are_taken_too(tmp_path: Path) -> None:
    network = network_of("sd")
    network.save_pretrained(tmp_path)
    assert_equal(load_single_file(tmp_path / "diffusion_pytorch_model.safetensors", "sd"), network)


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_pair_of_taesd_is_read_by_either_file(half: str, tmp_path: Path) -> None:
    network = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, latent_channels=16
    )
    for name, first in (("encoder", 0), ("decoder", 1)):
        numbered = {key.split(".", 2)[1:] and key: tensor for key, tensor in network.state_dict().items()}
        tensors = {
            f"{int(number) + first}.{rest}": tensor
            for key, tensor in numbered.items()
            for part, _, number, rest in [key.split(".", 3)]
            if part == name
        }
        save_file(tensors, tmp_path / f"taef1_{name}.safetensors")
    assert_equal(load_single_file(tmp_path / f"taef1_{half}.safetensors", "auto"), network)


def test_half_a_pair_asks_for_the_other(tmp_path: Path) -> None:
    save_file({"0.weight": torch.zeros(1)}, tmp_path / "taesd_encoder.safetensors")
    with pytest.raises(
        ModelError, match=r"is one half of an autoencoder; put its decoder beside it, as taesd_decoder"
    ):
        load_single_file(tmp_path / "taesd_encoder.safetensors", "auto")


def test_ltx_0_9_5_has_the_keys_of_its_class() -> None:
    """It has 0.8 billion numbers: only the names and shapes are compared."""
    from diffusers.loaders.single_file_utils import convert_ltx_vae_checkpoint_to_diffusers

    layout = LAYOUTS["ltx_video_095"]
    names = ltx(LTX_095, LTX_LATER)
    with torch.device("meta"):
        shapes = {
            "encoder.conv_in.conv.weight": (128, 48, 3, 3, 3),
            "decoder.conv_in.conv.weight": (1024, 128, 3, 3, 3),
        }
        network = diffusers.AutoencoderKLLTXVideo(**layout.config(shapes))
    written = {}
    for key, tensor in network.state_dict().items():
        for pattern, theirs in names:
            key = re.sub(pattern, theirs, key)
        written[key] = tensor
    assert layout.fits({key: tuple(tensor.shape) for key, tensor in written.items()})
    assert not LAYOUTS["ltx_video_091"].fits({key: tuple(tensor.shape) for key, tensor in written.items()})
    converted = convert_ltx_vae_checkpoint_to_diffusers(
        {name: tensor for key, tensor in written.items() if (name := layout.rename(key))}
    )
    assert {key: tensor.shape for key, tensor in converted.items()} == {
        key: tensor.shape for key, tensor in network.state_dict().items()
    }


def test_unknown_keys_name_the_nearest_family(tmp_path: Path) -> None:
    tensors = as_its_makers_write("wan", network_of("wan"))
    del tensors["decoder.upsamples.0.residual.2.weight"]
    save_file(tensors, file := tmp_path / "x.safetensors")
    with pytest.raises(ModelError) as caught:
        load_single_file(file, "auto")
    assert str(caught.value) == (
        f"model.path={file}: its keys are of no autoencoder that is known; the nearest is wan (AutoencoderKLWan); "
        f"choose from: {', '.join(LAYOUTS)}"
    )


def test_a_family_that_was_named_must_be_that_of_the_keys(tmp_path: Path) -> None:
    written("wan", file := tmp_path / "vae.safetensors")
    with pytest.raises(
        ModelError, match=r"^model.layout=sd: the keys in .* are of another family; the nearest is wan"
    ):
        load_single_file(file, "sd")


@pytest.mark.parametrize("fault", ["missing", "one too many", "wrong shape"])
@pytest.mark.parametrize("name", ["sd", "wan", "hunyuan_video"])
def test_a_file_that_lacks_something_is_refused(name: str, fault: str, tmp_path: Path) -> None:
    tensors = as_its_makers_write(name, network_of(name))
    key = next(
        key for key in tensors if re.search(r"(^|decoder\.)(conv_out|head\.2|conv_out\.conv)\.bias$", key)
    )
    if fault == "missing":
        del tensors[key]
    else:
        tensors |= {key if fault == "wrong shape" else "decoder.surplus": torch.zeros(77)}
    save_file(tensors, file := tmp_path / "vae.safetensors")
    with pytest.raises(ModelError, match=rf"^model: the weights in {file} do not fit {CASES[name][0]} \("):
        load_single_file(file, name)


def test_a_pickled_checkpoint_is_not_opened(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, file := tmp_path / "vae.ckpt")
    with pytest.raises(ModelError, match=r"is no whole safetensors file .* can run code and are not loaded"):
        load_single_file(file, "auto")


def test_every_layout_can_be_named() -> None:
    assert {family.name for family in Family} == {"auto", *LAYOUTS}


def test_a_file_makes_the_latents_of_its_folder(tmp_path: Path, cpu: DeviceChoice) -> None:
    written("sd", tmp_path / "vae.safetensors").save_pretrained(tmp_path / "folder")
    frames = [torch.rand(2, 3, 32, 32) * 2 - 1]
    one = File(path=str(tmp_path / "vae.safetensors"), layout=Family.sd).load(cpu)
    other = Folder(path=str(tmp_path / "folder")).load(cpu)
    assert one.weights_digest != other.weights_digest
    assert torch.equal(*(torch.cat(list(each.encode(frames))) for each in (one, other)))


@pytest.mark.slow
def test_what_decides_the_latents_decides_the_digest(tmp_path: Path, cpu: DeviceChoice) -> None:
    written("sd", file := tmp_path / "vae.safetensors")
    sd, sdxl = (File(path=str(file), layout=layout).load(cpu) for layout in (Family.sd, Family.sdxl))
    assert sd.weights_digest != sdxl.weights_digest


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing.safetensors", "does not exist; give a safetensors file"),
        ("", "is a folder, not a file; for a folder type model=folder"),
    ],
)
def test_a_path_that_is_no_file_says_so(name: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=sentence):
        File(path=str(tmp_path / name)).location()
