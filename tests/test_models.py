"""Every adapter keeps the laws: frames out = frames in, batch size irrelevant, normalisation undone."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import NETWORKS, WAN, build_network, class_name
from vae_experiments.errors import ModelError, NumbersError
from vae_experiments.models import Bundled, Folder, Hub, Posterior
from vae_experiments.models.loading import ADAPTERS, load_network
from vae_experiments.runtime.seeding import normal_frames
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vae_experiments.models import Autoencoder
    from vae_experiments.runtime.device import DeviceChoice

WEIGHTS = "diffusion_pytorch_model.safetensors"
every_network = pytest.mark.parametrize("name", NETWORKS)


def frames_of(count: int, height: int = 40, width: int = 48) -> torch.Tensor:
    levels = torch.randint(0, 256, (count, 3, height, width), generator=torch.Generator().manual_seed(0))
    return levels / 127.5 - 1


def encoded(autoencoder: Autoencoder, frames: torch.Tensor, count: int = 99) -> torch.Tensor:
    return torch.cat(list(autoencoder.encode(frames.split(count))))


def decoded(autoencoder: Autoencoder, latents: torch.Tensor, size: Size, count: int = 99) -> torch.Tensor:
    return torch.cat(list(autoencoder.decode(latents.split(count), size)))


SHAPES = [(1, 40, 48), (2, 37, 51), (5, 8, 9), (9, 16, 16), (17, 21, 33), (18, 40, 16), (33, 16, 16)]
"""Frames, height and width."""


@every_network
def test_frames_out_are_frames_in(name: str, load: Callable[[str], Autoencoder]) -> None:
    autoencoder = load(name)
    cell, stride, first = autoencoder.stride, autoencoder.time_stride, autoencoder.first_frames
    for count, height, width in SHAPES:
        latents = encoded(autoencoder, frames_of(count, height, width), 4)
        frames = decoded(autoencoder, latents, Size(width, height), 4)
        latent_count = 1 + max(0, -(-(count - first) // stride))
        assert latents.shape[:2] == (latent_count, autoencoder.latent_channels)
        cells = (-(-height // cell), -(-width // cell))
        least = 2 if class_name(name) == "AutoencoderKLLTX2Video" else 1
        assert latents.shape[2:] == tuple(max(least, cells_of) for cells_of in cells)
        assert frames.shape == (first + (latent_count - 1) * stride, 3, height, width)
        assert count <= len(frames) < count + stride, "the runner cuts off what fills the last group"
        assert latents.dtype == frames.dtype == torch.float32
        assert latents.isfinite().all()
        assert frames.isfinite().all()
        assert not latents.is_inference(), "a user's own code must be able to change and train on them"


@every_network
def test_the_batch_size_does_not_change_latents_or_frames(
    name: str, load: Callable[[str], Autoencoder]
) -> None:
    autoencoder, frames, size = load(name), frames_of(18, 16, 24), Size(24, 16)
    at_once = encoded(autoencoder, frames)
    whole = decoded(autoencoder, at_once, size)
    for count in (1, 2, 5):
        assert torch.allclose(encoded(autoencoder, frames, count), at_once, atol=1e-4)
        assert torch.allclose(decoded(autoencoder, at_once, size, count), whole, atol=1e-4)


@every_network
def test_in_exact_mode_latents_are_the_same_bit_for_bit_at_any_batch_size(
    name: str, load: Callable[[str], Autoencoder]
) -> None:
    autoencoder = copy.copy(load(name))
    autoencoder.executor.chosen = replace(autoencoder.chosen, exact=True)  # type: ignore[attr-defined]
    frames = frames_of(6, 16, 24)
    for count in (1, 2, 5):
        assert torch.equal(encoded(autoencoder, frames, count), encoded(autoencoder, frames))


@every_network
def test_a_network_arrives_whole_with_tiling_and_slicing_off(
    name: str, load: Callable[[str], Autoencoder]
) -> None:
    network = load(name).network  # type: ignore[attr-defined]
    switches = ("use_tiling", "use_slicing", "use_framewise_encoding", "use_framewise_decoding")
    assert not any(getattr(network, switch, False) for switch in switches)


@pytest.mark.parametrize("name", ["AutoencoderKL", "AutoencoderKLFlux2", "AutoencoderKLCosmos", *WAN])
def test_statistics_beside_the_weights_win_normalise_each_channel_and_are_undone(
    name: str, network_folders: dict[str, Path], cpu: DeviceChoice, tmp_path: Path
) -> None:
    plain = Folder(path=str(network_folders[name])).load(cpu)
    frames = frames_of(3)
    by_config = encoded(plain, frames)
    raw = plain.normalisation.undo(by_config)
    folder = shutil.copytree(network_folders[name], tmp_path / "model")
    mean, std = raw.mean((0, 2, 3)), raw.std((0, 2, 3))
    (folder / "latent_statistics.json").write_text(json.dumps({"mean": mean.tolist(), "std": std.tolist()}))
    measured = Folder(path=str(folder)).load(cpu)
    latents = encoded(measured, frames)
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(len(mean)), atol=1e-4)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(len(std)), atol=1e-4)
    size = Size(48, 40)
    assert torch.allclose(decoded(measured, latents, size), decoded(plain, by_config, size), atol=1e-3)


def test_means_and_deviations_of_the_config_are_applied_as_diffusers_pipelines_do(
    network_folders: dict[str, Path], cpu: DeviceChoice, tmp_path: Path
) -> None:
    folder = shutil.copytree(network_folders["AutoencoderKL"], tmp_path / "model")
    raw = encoded(Folder(path=str(folder)).load(cpu), frames_of(2)) / 0.18215 + 0.1
    config = json.loads((folder / "config.json").read_text())
    mean, std = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]
    config |= {"shift_factor": None, "latents_mean": mean, "latents_std": std, "scaling_factor": 0.5}
    (folder / "config.json").write_text(json.dumps(config))
    column = (torch.tensor(values)[:, None, None] for values in (mean, std))
    expected = (raw - next(column)) * 0.5 / next(column)
    assert torch.allclose(encoded(Folder(path=str(folder)).load(cpu), frames_of(2)), expected, atol=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "not json",
        '{"mean": [0, 0], "std": [1, 1]}',
        '{"mean": [0], "std": [0]}',
        '{"mean": "x", "std": 1}',
    ],
)
def test_statistics_that_cannot_be_used_are_one_sentence(
    text: str, network_folders: dict[str, Path], cpu: DeviceChoice, tmp_path: Path
) -> None:
    folder = shutil.copytree(network_folders["AutoencoderTiny"], tmp_path / "model")
    (folder / "latent_statistics.json").write_text(text)
    with pytest.raises(ModelError, match="normalisation.*; export the model again"):
        Folder(path=str(folder)).load(cpu)


@every_network
def test_a_posterior_sample_belongs_to_its_latents_number(
    name: str, network_folders: dict[str, Path], load: Callable[[str], Autoencoder], cpu: DeviceChoice
) -> None:
    plain = load(name)
    if not plain.has_posterior:  # type: ignore[attr-defined]
        with pytest.raises(ModelError, match="has no posterior, its latents are exact; use model.posterior"):
            Folder(path=str(network_folders[name]), posterior=Posterior.sample).load(cpu)
        return

    def sample(seed: int, count: int) -> torch.Tensor:
        autoencoder = copy.copy(plain)
        autoencoder.seed = seed  # type: ignore[attr-defined]
        return encoded(autoencoder, frames_of(6, 16, 24), count)

    mode = encoded(plain, frames_of(6, 16, 24))
    assert torch.allclose(sample(1, 2), sample(1, 5), atol=1e-4)
    assert not torch.allclose(sample(1, 2), sample(2, 2), atol=1e-2)
    assert not torch.allclose(sample(1, 2), mode, atol=1e-2)


@every_network
def test_a_posterior_sample_is_the_mode_and_its_spread_times_the_noise_of_each_latents_number(
    name: str, load: Callable[[str], Autoencoder]
) -> None:
    autoencoder = copy.copy(load(name))
    if not autoencoder.has_posterior:  # type: ignore[attr-defined]
        return
    frames = frames_of(41, 16, 16)
    mode, spread = (
        torch.cat(list(give(frames.split(4)))) for give in (autoencoder.encode, autoencoder.posterior_std)
    )
    autoencoder.seed = 5  # type: ignore[attr-defined]
    noise = normal_frames(0, mode.shape, 5, "posterior")
    assert torch.allclose(encoded(autoencoder, frames, 4), mode + spread * noise, atol=1e-4)


def test_a_sample_is_refused_where_there_is_no_posterior(
    network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    model = Folder(path=str(network_folders["AutoencoderDC"]), posterior=Posterior.sample)
    with pytest.raises(
        ModelError, match="AutoencoderDC has no posterior, its latents are exact; use model.posterior=mode"
    ):
        model.load(cpu)


def test_values_that_are_not_finite_stop_the_run_with_a_sentence(
    network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    autoencoder = Folder(path=str(network_folders["AutoencoderDC"])).load(cpu)
    frames, latents = frames_of(7), torch.zeros(7, 8, 5, 6)
    frames[5], latents[4] = float("nan"), 3e38
    with pytest.raises(NumbersError, match="of the latents are not finite, first at frame 5;"):
        encoded(autoencoder, frames, 2)
    with pytest.raises(NumbersError, match="of the decoded frames are not finite, first at frame 4;"):
        decoded(autoencoder, latents, Size(48, 40), 2)


@every_network
def test_what_is_missing_of_whole_cells_is_filled_with_the_border(
    name: str, load: Callable[[str], Autoencoder]
) -> None:
    autoencoder, frames = load(name), frames_of(2, 37, 51)
    filled = autoencoder.padded(frames)
    below, right = (side - own for side, own in zip(filled.shape[-2:], (37, 51), strict=True))
    assert below + right > 0
    edges = np.pad(frames.numpy(), ((0, 0), (0, 0), (0, below), (0, right)), mode="edge")
    assert np.array_equal(filled.numpy(), edges)
    assert torch.equal(encoded(autoencoder, frames), encoded(autoencoder, filled))


@pytest.mark.parametrize("name", ["AutoencoderKL", "AutoencoderKLWan"])
def test_a_network_that_takes_no_rgb_frames_is_refused_with_a_sentence(
    name: str, cpu: DeviceChoice, tmp_path: Path
) -> None:
    build_network(name, in_channels=4, out_channels=4).save_pretrained(tmp_path)
    sentence = f"{name} in .* cannot encode an RGB frame: it takes 4 channels .*; give an autoencoder of RGB"
    with pytest.raises(ModelError, match=sentence):
        Folder(path=str(tmp_path)).load(cpu)


@pytest.mark.parametrize("blocks", [6, 7, 8])
def test_a_network_whose_cells_are_larger_than_the_usual_probe_is_loaded_with_its_real_stride(
    blocks: int, cpu: DeviceChoice, tmp_path: Path
) -> None:
    """DC-AE f32, f64 and f128."""
    small = dict.fromkeys(
        ("encoder_block_out_channels", "decoder_block_out_channels"), (4,) + (8,) * (blocks - 1)
    )
    layers = dict.fromkeys(
        ("encoder_layers_per_block", "decoder_layers_per_block"), (0,) + (1,) * (blocks - 1)
    )
    scales = dict.fromkeys(("encoder_qkv_multiscales", "decoder_qkv_multiscales"), ((),) * blocks)
    build_network("AutoencoderDC", **small, **layers, **scales).save_pretrained(tmp_path)
    autoencoder = Folder(path=str(tmp_path)).load(cpu)
    stride = 2 ** (blocks - 1)
    assert autoencoder.stride == stride
    frames = frames_of(2, stride, 2 * stride)
    latents = encoded(autoencoder, frames)
    assert latents.shape == (2, 8, 1, 2)
    assert decoded(autoencoder, latents, Size(2 * stride, stride)).shape == frames.shape


def test_a_network_that_fails_for_another_cause_is_not_said_to_want_other_colours(
    network_folders: dict[str, Path], cpu: DeviceChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vae_experiments.models.framewise import Framewise

    def broken(*_: object) -> None:
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(Framewise, "_raw_latents", broken)
    sentence = (
        "AutoencoderKL in .* cannot encode and decode a frame of 64 to 512 pixels .could not create a prim"
    )
    with pytest.raises(ModelError, match=sentence):
        Folder(path=str(network_folders["AutoencoderKL"])).load(cpu)


@pytest.mark.parametrize("name", ["VQModel", "VQModel spatial"])
def test_decoding_snaps_changed_latents_to_the_codebook(
    name: str, network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    autoencoder = Folder(path=str(network_folders[name])).load(cpu)
    codes = build_network(name).quantize.embedding.weight.detach()[:30]
    latents = autoencoder.normalisation.apply(codes.T.reshape(1, 4, 5, 6))
    size = Size(48, 40)
    untouched = decoded(autoencoder, latents, size)
    assert torch.allclose(decoded(autoencoder, latents + 1e-3, size), untouched, atol=1e-5)
    assert not torch.allclose(decoded(autoencoder, latents + 0.1, size), untouched, atol=1e-2)


def test_the_bundled_model_turns_256x256x3_into_32x32x16_of_unit_variance(cpu: DeviceChoice) -> None:
    from vae_experiments.sources import MovingCircle

    autoencoder = Bundled().load(cpu)
    latents = torch.cat(list(autoencoder.encode(MovingCircle(frames=2).chunks(2))))
    assert latents.shape == (2, 16, 32, 32)
    assert 0.4 < float(latents.std()) < 1.6


def test_other_weights_have_another_digest(
    network_folders: dict[str, Path], cpu: DeviceChoice, tmp_path: Path
) -> None:
    folder = shutil.copytree(network_folders["AutoencoderTiny"], tmp_path / "copy")
    original = Folder(path=str(network_folders["AutoencoderTiny"])).load(cpu).weights_digest
    assert Folder(path=str(folder)).load(cpu).weights_digest == original
    change_weights(folder, lambda weights: {name: weight + 1e-3 for name, weight in weights.items()})
    assert Folder(path=str(folder)).load(cpu).weights_digest != original


def change_weights(folder: Path, change: object) -> None:
    weights = load_file(folder / WEIGHTS)
    save_file(change(weights), folder / WEIGHTS)  # type: ignore[operator]


def drop_two(folder: Path) -> None:
    change_weights(folder, lambda weights: dict(list(weights.items())[2:]))


def add_one(folder: Path) -> None:
    change_weights(folder, lambda weights: {**weights, "decoder.extra.weight": torch.zeros(1)})


def poison(folder: Path) -> None:
    def with_nan(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        weights[
            "decoder.conv_out.conv.weight"
            if "decoder.conv_out.conv.weight" in weights
            else sorted(weights)[0]
        ][0] = float("nan")
        return weights

    change_weights(folder, with_nan)


def reshape_one(folder: Path) -> None:
    def with_other_shape(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        name = sorted(weights)[0]
        return {**weights, name: torch.zeros(3, 1, 4)}

    change_weights(folder, with_other_shape)


def pickle_them(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def point_to_lfs(folder: Path) -> None:
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")


def cut_short(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def instead_of(file: Path) -> Path:
    file.unlink()
    return file


def rename_class(folder: Path, name: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_class_name": name}))


FAULTS = {
    "no weights": (
        lambda folder: (folder / WEIGHTS).unlink(),
        r"no weights in .*; give a directory that save_pretrained wrote",
    ),
    "two missing": (drop_two, r"do not fit AutoencoderTiny: 2 missing keys, such as"),
    "one extra": (
        add_one,
        r"1 unexpected keys, such as decoder.extra.weight; use the config.json and the weights of one",
    ),
    "not a number": (poison, r"has values that are not finite; download or train the model again"),
    "wrong shape": (reshape_one, r"do not load as AutoencoderTiny|1 mismatched keys"),
    "pickled": (
        pickle_them,
        r"pickled weights, which can run code when they are opened; only safetensors are loaded; convert",
    ),
    "git-lfs": (point_to_lfs, r"is a git-lfs pointer, not weights; run git lfs pull"),
    "cut short": (cut_short, r"is no whole safetensors file \(.*\); copy or download it again"),
    "empty": (
        lambda folder: (folder / WEIGHTS).write_bytes(b""),
        r"is no whole safetensors file \(.*\); copy or download it again",
    ),
    "no tensors": (
        lambda folder: save_file({}, folder / WEIGHTS),
        r"do not fit AutoencoderTiny: \d+ missing",
    ),
    "weights are a folder": (
        lambda folder: instead_of(folder / WEIGHTS).mkdir(),
        r"no weights in .*; give a directory that save_pretrained wrote",
    ),
    "a link to nowhere": (
        lambda folder: instead_of(folder / WEIGHTS).symlink_to(folder / "gone"),
        r"no weights in .*; give a directory that save_pretrained wrote",
    ),
    "no config": (
        lambda folder: (folder / "config.json").unlink(),
        r"no config.json in .*; give a directory",
    ),
    "config is a folder": (
        lambda folder: instead_of(folder / "config.json").mkdir(),
        r"no config.json in .*; give a directory",
    ),
    "config is not utf-8": (
        lambda folder: (folder / "config.json").write_bytes(b'{"_class_name": "\xe9"}'),
        r"config.json is not a diffusers config; give",
    ),
    "config is a list": (
        lambda folder: (folder / "config.json").write_text("[]"),
        r"config.json is not a diffusers config; give",
    ),
    "bad json": (
        lambda folder: (folder / "config.json").write_text("{"),
        r"config.json is not a diffusers config; give",
    ),
    "config nested 50000 deep": (
        lambda folder: (folder / "config.json").write_text('{"a":' * 50_000 + "1" + "}" * 50_000),
        r"config.json is not a diffusers config; give",
    ),
    "other class": (
        lambda folder: rename_class(folder, "EvilVAE"),
        r"names the class EvilVAE, which is not supported; ",
    ),
    "wrong class": (
        lambda folder: rename_class(folder, "AutoencoderKL"),
        r"do not (fit|load as) AutoencoderKL",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_folder_is_one_sentence(
    fault: str,
    network_folders: dict[str, Path],
    cpu: DeviceChoice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("tried to reach the network"))
    folder = shutil.copytree(network_folders["AutoencoderTiny"], tmp_path / "model")
    spoil, sentence = FAULTS[fault]
    spoil(folder)
    with diffusers_lines() as lines, pytest.raises(ModelError, match=sentence) as caught:
        Folder(path=str(folder)).load(cpu)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 700, "however long the way to it is"
    assert lines == []


@contextmanager
def diffusers_lines() -> Iterator[list[str]]:
    """Collect what diffusers itself would print; a person gets our sentence alone."""
    lines: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("diffusers")
    logger.addHandler(listener)
    try:
        yield lines
    finally:
        logger.removeHandler(listener)


def set_in_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


@pytest.mark.parametrize(
    "values",
    [
        {"nobody_knows": 1},
        {"latent_channels": "four"},
        {"encoder_block_out_channels": None},
        {"act_fn": "evil"},
        {"_diffusers_version": "99.0"},
        {"force_upcast": []},
        {"num_encoder_blocks": [1]},
        {"scaling_factor": "x"},
        {"in_channels": 0},
    ],
)
def test_diffusers_own_lines_never_stand_before_ours(
    values: dict[str, Any],
    network_folders: dict[str, Path],
    cpu: DeviceChoice,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(network_folders["AutoencoderTiny"], tmp_path / "model")
    set_in_config(folder, **values)
    with diffusers_lines() as lines, suppress(ModelError):
        Folder(path=str(folder)).load(cpu)
    assert (lines, capfd.readouterr().err) == ([], "")


@pytest.mark.parametrize("shard", [None, "16KB"])
def test_weights_that_were_saved_as_a_variant_alone_load_and_are_remarked(
    shard: str | None, cpu: DeviceChoice, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = build_network("AutoencoderTiny").half()
    network.save_pretrained(tmp_path, variant="fp16", **({"max_shard_size": shard} if shard else {}))
    assert not (tmp_path / WEIGHTS).exists()
    latents = encoded(Folder(path=str(tmp_path)).load(cpu), frames_of(1))
    shutil.rmtree(tmp_path)
    network.float().save_pretrained(tmp_path)
    assert torch.equal(latents, encoded(Folder(path=str(tmp_path)).load(cpu), frames_of(1)))
    assert "has its weights in fp16 only, fewer digits than float32" in caplog.text


SHARDED = {
    "a shard is missing": (
        lambda folder: min(folder.glob("*-of-*")).unlink(),
        r"1 of the \d+ files that .* names are missing, such as .*-00001-of-.*; copy or download them too",
    ),
    "the index is missing": (
        lambda folder: next(folder.glob("*.index*")).unlink(),
        r"do not load as AutoencoderTiny",
    ),
    "the index is empty": (
        lambda folder: next(folder.glob("*.index*")).write_text("{}"),
        r"index\S*json is no index of weights; give a directory that save_pretrained wrote",
    ),
    "the index is cut short": (
        lambda folder: next(folder.glob("*.index*")).write_text("{"),
        r"index\S*json is no index of weights; give a directory that save_pretrained wrote",
    ),
    "a shard is cut short": (
        lambda folder: min(folder.glob("*-of-*")).write_bytes(b"\x10"),
        r"-00001-of-.* is no whole safetensors file",
    ),
}


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("fault", [None, *SHARDED])
def test_weights_in_several_files_are_all_there_or_one_sentence(
    fault: str | None, variant: str | None, cpu: DeviceChoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("tried to reach the network"))
    build_network("AutoencoderTiny").save_pretrained(tmp_path, max_shard_size="16KB", variant=variant)
    assert len(list(tmp_path.glob("*-of-*"))) > 2
    if fault is None:
        assert encoded(Folder(path=str(tmp_path)).load(cpu), frames_of(1)).isfinite().all()
        return
    spoil, sentence = SHARDED[fault]
    spoil(tmp_path)
    with pytest.raises(ModelError, match=sentence) as caught:
        Folder(path=str(tmp_path)).load(cpu)
    assert "\n" not in str(caught.value)


def test_a_mistyped_path_never_turns_into_a_hub_request(
    cpu: DeviceChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("tried to reach the network"))
    with pytest.raises(ModelError, match="model.path=someone/model does not exist; give a directory"):
        Folder(path="someone/model").load(cpu)


def test_a_pipeline_folder_says_which_folder_below_it_to_give(
    cpu: DeviceChoice, network_folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(network_folders["AutoencoderTiny"], tmp_path / "vae")
    with pytest.raises(ModelError, match="no config.json in .*; it has vae below it: give one of these"):
        Folder(path=str(tmp_path)).load(cpu)


def test_a_hub_that_cannot_be_reached_says_what_to_download_and_how(
    cpu: DeviceChoice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        Hub(repository="stabilityai/sd-vae-ft-mse").load(cpu)
    sentence = str(caught.value)
    assert "cannot download stabilityai/sd-vae-ft-mse" in sentence
    assert "hf download stabilityai/sd-vae-ft-mse" in sentence
    assert "model=folder model.path=DIR" in sentence


def test_the_small_networks_of_these_tests_are_of_the_classes_they_claim() -> None:
    assert [type(build_network(name)).__name__ for name in NETWORKS] == list(map(class_name, NETWORKS))


def test_every_supported_class_is_among_the_small_networks_of_these_tests() -> None:
    assert set(map(class_name, NETWORKS)) == set(ADAPTERS)


@every_network
def test_an_adapter_is_prepared_without_running_the_network(
    name: str, network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    network = load_network(network_folders[name])
    for part in network.modules():
        part.register_forward_pre_hook(lambda part, _: pytest.fail(f"{type(part).__name__} was called"))
    adapter = ADAPTERS[type(network).__name__](network, network_folders[name], cpu)
    assert not hasattr(adapter, "stride")
