"""Tiles are invisible outside an adapter: sizes and counts are kept, every class is near to its whole frames."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.conftest import NETWORKS
from tests.test_models import decoded, encoded
from vae_experiments import Bundled, Experiment, Folder, MovingCircle, Output
from vae_experiments.errors import DeviceError, SettingError
from vae_experiments.models import Posterior
from vae_experiments.models.execution import measured
from vae_experiments.models.tiling import Tiles, Tiling, spans
from vae_experiments.runtime.memory import free_memory_bytes
from vae_experiments.runtime.seeding import normal_frames
from vae_experiments.sources import BouncingShapes
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vae_experiments.models import Autoencoder
    from vae_experiments.runtime.device import DeviceChoice

LEAST_DB = {"ConsistencyDecoderVAE": 15, "AutoencoderVidTok looking ahead": 18}
"""How near random weights come at least, if not to 20: the first draws other noise in each tile."""
every_network = pytest.mark.parametrize("name", NETWORKS)


def in_tiles(autoencoder: Autoencoder, side: int = 128) -> Any:
    """Give a twin that takes every frame in tiles, as model.tiling=on does."""
    twin: Any = copy.copy(autoencoder)
    executor = twin.executor
    executor.tiling, executor.tile, executor.sides = Tiling.on, side, {"encode": side, "decode": side}
    return twin


def shapes(count: int, size: Size) -> torch.Tensor:
    return torch.cat(list(BouncingShapes(size=str(size), frames=count).chunks(count)))


def apart_db(one: torch.Tensor, other: torch.Tensor) -> float:
    """Give the PSNR of one of two signals against the other, whose own range is the peak."""
    error = (one - other).square().mean()
    return float(10 * torch.log10((other.max() - other.min()).square() / error))


@pytest.mark.parametrize("most", [2, 3, 4, 7, 16, 64])
def test_tiles_cover_an_axis_and_count_together_1_everywhere(most: int) -> None:
    for cells in (*range(1, 40), 64, 100, 160):
        for scale in (1, 8):
            total = torch.zeros(cells * scale)
            for span in (found := spans(cells, most)):
                assert 0 < span.end - span.start <= most
                total[span.start * scale : span.end * scale] += span.shares(scale)
            assert torch.allclose(total, torch.ones(len(total)), atol=1e-5), (cells, scale, found)
            assert len({span.end - span.start for span in found}) == 1


def test_tiles_of_what_is_local_are_the_whole() -> None:
    whole = torch.rand(2, 3, 40, 72)
    tiles = Tiles(5, 9, 4)
    assert len(tiles) > 4
    assert torch.allclose(tiles.joined(tile * 2 for tile in tiles.cut(whole)), whole * 2, atol=1e-6)
    pooled = torch.nn.functional.avg_pool2d(whole, 8)
    small = tiles.joined(torch.nn.functional.avg_pool2d(tile, 8) for tile in tiles.cut(whole))
    assert torch.allclose(small, pooled, atol=1e-6)
    assert Tiles(5, 9, None).described(8) == "whole frames"
    assert Tiles(5, 9, 9).described(8) == "whole frames, each of which one tile holds"


@pytest.mark.slow
@every_network
def test_tiles_keep_count_and_size_at_any_batch_size_and_are_near_to_whole_frames(
    name: str, load: Callable[[str], Autoencoder]
) -> None:
    size, count = Size(139, 21), 6
    whole, tiled, frames = load(name), in_tiles(load(name)), shapes(count, size)
    latents, of_tiles = encoded(whole, frames), encoded(tiled, frames)
    assert of_tiles.shape == latents.shape
    assert not torch.equal(of_tiles, latents), "it was not tiled"
    assert torch.allclose(encoded(tiled, frames, 1), of_tiles, atol=1e-4)
    again, by_tiles = decoded(whole, latents, size), decoded(tiled, latents, size)
    assert by_tiles.shape == again.shape
    assert count <= len(by_tiles) < count + whole.time_stride
    assert min(near := (apart_db(of_tiles, latents), apart_db(by_tiles, again))) > LEAST_DB.get(name, 20), (
        near
    )


@pytest.mark.parametrize(("name", "tiles"), [("AutoencoderKL", "3x2"), ("AutoencoderKLWan", "3x2")])
def test_rows_and_columns_of_tiles(name: str, tiles: str, load: Callable[[str], Autoencoder]) -> None:
    whole, tiled, size = load(name), in_tiles(load(name)), Size(211, 149)
    assert tiled.tiles_of(size)["encode"].startswith(f"{tiles} tiles of ")
    frames = shapes(1, size)
    latents = encoded(whole, frames)
    assert apart_db(encoded(tiled, frames), latents) > 20
    assert apart_db(decoded(tiled, latents, size), decoded(whole, latents, size)) > 20


def test_the_bundled_model_in_tiles_is_the_whole_frame_to_half_a_level(cpu: DeviceChoice) -> None:
    size = Size(616, 137)
    whole, tiled = Bundled(tiling=Tiling.off).load(cpu), Bundled(tiling=Tiling.on).load(cpu)
    assert tiled.tiles_of(size) == dict.fromkeys(("encode", "decode"), "2x1 tiles of 376x144")
    frames = shapes(1, size)
    latents = encoded(whole, frames)
    assert float((encoded(tiled, frames) - latents).abs().max()) < 0.1
    apart = decoded(tiled, encoded(tiled, frames), size) - decoded(whole, latents, size)
    assert float(apart.abs().max()) * 127.5 < 0.5


def test_the_sample_of_a_posterior_is_drawn_for_the_whole_frame(
    network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    """Else each tile would have the same noise."""
    folder, frames = str(network_folders["AutoencoderKL"]), shapes(2, Size(139, 21))
    wish: dict[str, Any] = {"path": folder, "tiling": Tiling.on, "tile": 128}
    sampled = Folder(**wish, posterior=Posterior.sample, seed=3).load(cpu)
    plain = Folder(**wish).load(cpu)
    widths = torch.cat(list(plain.posterior_std(frames.split(1))))
    noise = (encoded(sampled, frames) - encoded(plain, frames)) / widths
    assert torch.allclose(noise, normal_frames(0, noise.shape, 3, "posterior"), atol=1e-2)


def too_large(own: Any, pixels: int, frames: int = 1) -> Any:
    """A real network's call that runs out of memory above a size, as torch says it on CUDA."""

    def call(batch: torch.Tensor, *rest: Any, **named: Any) -> Any:
        count = batch.shape[2] if batch.ndim == 5 else len(batch)
        if batch.shape[-1] * batch.shape[-2] > pixels and count >= frames:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return own(batch, *rest, **named)

    return call


def test_where_a_frame_does_not_fit_tiling_is_switched_on_and_said(
    network_folders: dict[str, Path], cpu: DeviceChoice, caplog: pytest.LogCaptureFixture
) -> None:
    size = Size(280, 45)
    folder, frames = str(network_folders["AutoencoderKL"]), shapes(4, size)
    autoencoder: Any = Folder(path=folder).load(cpu)
    expected = encoded(Folder(path=folder, tiling=Tiling.on, tile=128).load(cpu), frames)
    autoencoder.network.encode = too_large(autoencoder.network.encode, 6000)
    twin = copy.copy(autoencoder)
    with caplog.at_level("WARNING"):
        assert torch.allclose(encoded(autoencoder, frames), expected, atol=1e-4)
        assert caplog.messages == [
            "out of memory at batch size 4; retrying with 2",
            "out of memory at batch size 2; retrying with 1",
            "out of memory when asked to encode one frame at once; retrying with "
            "2x1 tiles of 176x48 (tiling=auto)",
            "out of memory when asked to encode one frame at once; retrying with "
            "4x1 tiles of 120x48 (tiling=auto)",
        ]
        caplog.clear()
        assert torch.allclose(encoded(autoencoder, frames), expected, atol=1e-4)
        assert not caplog.messages, "what was learned is kept"
    tiles = {"encode": "4x1 tiles of 120x48", "decode": "whole frames"}
    assert autoencoder.tiles_of(size) == tiles
    assert twin.tiles_of(size)["encode"] == "whole frames", "and not held against another run"


@pytest.mark.parametrize("name", ["AutoencoderKLWan", "AutoencoderKLMagvit"])
def test_a_later_group_that_does_not_fit_goes_on_in_tiles_that_remember_the_first(
    name: str, network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    folder, frames = str(network_folders[name]), shapes(9, Size(139, 21))
    autoencoder: Any = Folder(path=folder).load(cpu)
    whole = encoded(autoencoder, frames)
    tiled = encoded(Folder(path=folder, tiling=Tiling.on, tile=128).load(cpu), frames)
    encoder = autoencoder.network.encoder
    encoder.forward = too_large(encoder.forward, 130 * 24, frames=2)
    latents = encoded(autoencoder, frames)
    assert torch.allclose(latents[:1], whole[:1], atol=1e-5)
    assert torch.allclose(latents[1:], tiled[1:], atol=1e-5)
    assert not torch.allclose(latents[1:], whole[1:], atol=1e-5)


def test_what_memory_does_not_suffice_for_in_the_midst_of_a_clip_says_what_to_type(
    load: Callable[[str], Autoencoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    autoencoder: Any = copy.copy(load("AutoencoderKLWan"))
    chunks = autoencoder.encode(shapes(13, Size(139, 21)).split(1))
    next(chunks), next(chunks)
    encoder = autoencoder.network.encoder
    monkeypatch.setattr(encoder, "forward", too_large(encoder.forward, 0))
    sentence = "out of memory for a group of frames; use model.tiling=on, a smaller source.size"
    with pytest.raises(DeviceError, match=sentence):
        list(chunks)


@pytest.mark.parametrize(
    ("tiling", "hint"),
    [(Tiling.off, "use model.tiling=on, a smaller source.size"), (Tiling.on, "use a smaller source.size")],
)
def test_where_tiles_are_not_wanted_or_do_not_help_there_is_a_sentence(
    tiling: Tiling, hint: str, network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    folder = str(network_folders["AutoencoderKL"])
    autoencoder: Any = Folder(path=folder, tiling=tiling, tile=128).load(cpu)
    autoencoder.network.encode = too_large(autoencoder.network.encode, 0)
    with pytest.raises(DeviceError, match=f"out of memory for one frame; {hint}"):
        encoded(autoencoder, shapes(1, Size(139, 21)))
    autoencoder.network.decode = too_large(autoencoder.network.decode, 0)
    hint = hint.replace("on,", r"on \(decoder.tiling=on of a decoder of its own\),")
    with pytest.raises(DeviceError, match=f"out of memory for one frame; {hint}"):
        decoded(autoencoder, torch.zeros(1, autoencoder.latent_channels, 3, 18), Size(139, 21))


@pytest.mark.parametrize("name", ["AutoencoderKL", "AutoencoderKLWan", "AutoencoderKLMochi"])
@pytest.mark.slow
def test_on_a_cpu_that_has_too_little_memory_no_whole_frame_is_tried(
    name: str, network_folders: dict[str, Path], cpu: DeviceChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is tried, the process is killed and can say nothing."""
    autoencoder: Any = Folder(path=str(network_folders[name])).load(cpu)
    size, frames = Size(280, 21), shapes(9, Size(280, 21))
    latents = encoded(autoencoder, frames)
    widest: list[int] = []
    for half in (autoencoder.network.encoder, autoencoder.network.decoder):
        half.register_forward_pre_hook(lambda _, given: widest.append(given[0].shape[-1]))
    monkeypatch.setattr("vae_experiments.models.execution.free_memory_bytes", lambda _: 10)
    autoencoder.executor.fitting.clear()
    assert encoded(autoencoder, frames).shape == latents.shape
    assert max(widest) <= 128
    widest.clear()
    assert len(decoded(autoencoder, latents, size)) >= 9
    assert max(widest) <= 128 // autoencoder.stride
    assert set(autoencoder.executor.sides.values()) == {128}


def test_a_compiled_network_is_not_counted(
    network_folders: dict[str, Path], cpu: DeviceChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else torch continues with what it has not compiled."""
    monkeypatch.setattr("vae_experiments.models.execution.free_memory_bytes", lambda _: 10)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _: None)
    autoencoder: Any = Folder(path=str(network_folders["AutoencoderKL"])).load(replace(cpu, compiled=True))
    encoded(autoencoder, shapes(1, Size(139, 21)))
    assert not autoencoder.executor.footprints
    assert not autoencoder.executor.sides


def test_a_forecast_is_no_verdict(
    network_folders: dict[str, Path], cpu: DeviceChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing smaller can be tried, the frame is."""
    monkeypatch.setattr("vae_experiments.models.execution.free_memory_bytes", lambda _: 10)
    folder = str(network_folders["AutoencoderKL"])
    autoencoder = Folder(path=folder, tiling=Tiling.off).load(cpu)
    assert encoded(autoencoder, shapes(2, Size(139, 21))).shape == (2, 4, 3, 18)


def test_the_bytes_of_tensors_that_are_alive_at_once_are_counted() -> None:
    kept = []

    def work() -> torch.Tensor:
        given = torch.zeros(1000)  # 4000 bytes
        tee = given * 2  # 8000 at once
        del given
        kept.append(tee.view(10, 100)[:, :50])  # a view takes nothing
        torch.zeros(500).add_(1)  # 6000
        return torch.zeros(100)  # the result is nobody's memory

    assert measured(work)[1:] == (8000 - 4000, 4000)
    weight = torch.ones(100, 100)
    _, working, remembered = measured(lambda: weight.t().reshape(-1, 50).sum())
    assert 40000 <= working < 40100
    assert remembered == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "apart"),
    [
        ("AutoencoderKL", 0.1),
        ("AutoencoderTiny", 0.1),
        ("AutoencoderKLWan", 0.3),
        ("AutoencoderKLCosmos", 0.3),
    ],
)
def test_what_was_measured_when_it_was_loaded_is_near_to_what_a_larger_group_takes(
    name: str, apart: float, load: Callable[[str], Autoencoder]
) -> None:
    """Bytes of tensors grow as what goes in does, which is what the forecast rests on."""
    autoencoder: Any = copy.copy(load(name))
    small = autoencoder.executor.footprints
    executor, size = autoencoder.executor, Size(192, 192)
    executor.footprints, executor.is_probing = {}, True
    decoded(autoencoder, encoded(autoencoder, shapes(12, size)), size)
    for half, large in executor.footprints.items():
        assert large.working == pytest.approx(small[half].working, rel=apart), half
        # What is remembered does not grow with the length of a group, and is taken to.
        assert large.remembered <= 1.3 * small[half].remembered, half


def test_free_memory_is_the_machines_or_what_its_container_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal:  16000 kB\nMemFree:  1000 kB\nMemAvailable:  8000 kB\n")
    monkeypatch.setattr("vae_experiments.runtime.memory._MACHINE", machine)
    monkeypatch.setattr("vae_experiments.runtime.memory._CONTAINER", tmp_path)
    assert free_memory_bytes(2**40) == 8000 * 1024
    for name, text in {"max": "5000000", "current": "4000000", "stat": "anon 1\ninactive_file 500\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert free_memory_bytes(1) == 1000500
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory_bytes(1) == 8000 * 1024
    machine.unlink()
    assert free_memory_bytes(1) is None


def test_a_run_says_in_its_log_and_in_its_provenance_how_frames_went(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = Output(comparison=False, table=False, pictures=False, report=False)
    source = MovingCircle(size="160x32", frames=2)
    said = {}
    for tiling in Tiling:
        folder = tmp_path / tiling.name
        folder.mkdir()
        with caplog.at_level("INFO"):
            Experiment(source=source, model=Bundled(tiling=tiling, tile=128), output=output).run(folder)
        said[tiling.name] = json.loads((folder / "provenance.json").read_text())["tiling"]
    whole, tiles = "whole frames", "2x1 tiles of 112x32"
    assert said == {
        "auto": {"asked_for": "auto", "encode": whole, "decode": whole},
        "on": {"asked_for": "on", "encode": tiles, "decode": tiles},
        "off": {"asked_for": "off", "encode": whole, "decode": whole},
    }
    lines = [line for line in caplog.messages if line.startswith("tiling: ")]
    assert lines == [f"tiling: auto, {whole}", f"tiling: on, {tiles}", f"tiling: off, {whole}"]


def test_a_tile_that_is_too_small_is_refused() -> None:
    with pytest.raises(SettingError, match="model.tile=64: must be at least 128 pixels; the default is 512"):
        Bundled(tile=64)
