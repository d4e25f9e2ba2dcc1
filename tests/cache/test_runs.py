"""A run that finds its latents in the cache gives what it would have given without: the same numbers, bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.sources.conftest import write_film
from vae_experiments import Device, Experiment, Folder, Noise, Output
from vae_experiments.cache import Cache
from vae_experiments.manipulations import Bend, MotionGain, Retime
from vae_experiments.models import Posterior
from vae_experiments.models.framewise import Framewise
from vae_experiments.models.tiling import Tiling
from vae_experiments.options import setting
from vae_experiments.sources import MovingCircle, Video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Run = Callable[..., dict[str, Any]]

CHAINS: dict[str, list[Any]] = {
    "nothing": [],
    "noise": [Noise()],
    "one that holds the clip": [MotionGain(gain=2.0)],
    "one that changes the length": [Retime(speed=0.5)],
    "one that changes the decoder": [Bend()],
}
OFF = Cache(enabled=False)
MINIMAL = Output(comparison=False, table=False, pictures=False, report=False, provenance=False)


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the clips that are really encoded, in whatever adapter."""
    begun: list[str] = []
    original = Framewise.encode

    def encode(self: Framewise, chunks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        begun.append("a clip")
        yield from original(self, chunks)

    monkeypatch.setattr(Framewise, "encode", encode)
    return begun


@pytest.fixture
def run(network_folders: dict[str, Path], tmp_path: Path) -> Run:
    numbers = iter(range(99))

    def run_it(network: str = "AutoencoderKL", **parts: Any) -> dict[str, Any]:
        folder = tmp_path / f"run {next(numbers)}"
        folder.mkdir()
        defaults: dict[str, Any] = {
            "source": MovingCircle(size="45x40", frames=7, fps="12"),
            "model": Folder(path=str(network_folders[network])),
            "output": MINIMAL,
            "batch_size": 3,
        }
        metrics = Experiment(**(defaults | parts)).run(folder).metrics
        assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
        return metrics

    return run_it


def numbers_of(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key not in ("timing", "peak_memory_bytes")}


@pytest.mark.parametrize("network", ["AutoencoderKL", "AutoencoderKLWan"])
@pytest.mark.parametrize("chain", CHAINS)
def test_numbers_are_the_same_without_a_cache_with_an_empty_one_and_with_a_full_one(
    network: str, chain: str, run: Run
) -> None:
    without, empty, full = (
        run(network, manipulations=CHAINS[chain], cache=cache) for cache in (OFF, Cache(), Cache())
    )
    assert numbers_of(without) == numbers_of(empty) == numbers_of(full)
    assert isinstance(empty["timing"]["encode_seconds"], float)
    assert full["timing"]["encode_seconds"] == full["timing"]["frames_per_second"] == "cached"
    assert (full["timing"]["decode_seconds"] == "cached") is bool(CHAINS[chain])


def test_a_sweep_in_one_process_encodes_once(run: Run, encodings: list[str]) -> None:
    run()
    before = len(encodings)
    for scale in (0.1, 0.5, 1.0):
        run(manipulations=[Noise(scale=scale)])
        run(manipulations=[Noise(scale=scale)], batch_size=7)
    assert len(encodings) == before


CHANGES: dict[str, dict[str, Any]] = {
    "another rate": {"source": MovingCircle(size="45x40", frames=7, fps="13")},
    "another length": {"source": MovingCircle(size="45x40", frames=6, fps="12")},
    "exact mode": {"device": Device(exact=True)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_latents_is_another_entry(change: str, run: Run) -> None:
    run()
    assert run()["timing"]["encode_seconds"] == "cached"
    assert run(**CHANGES[change])["timing"]["encode_seconds"] != "cached"
    assert run(**CHANGES[change])["timing"]["encode_seconds"] == "cached"


def test_latents_made_in_tiles_are_another_entry(run: Run, network_folders: dict[str, Path]) -> None:
    tiled = Folder(path=str(network_folders["AutoencoderKL"]), tiling=Tiling.on, tile=128)
    wide = MovingCircle(size="200x40", frames=3, fps="12")
    run(source=wide)
    assert run(source=wide, model=tiled)["timing"]["encode_seconds"] != "cached"


def test_a_posterior_sample_and_other_weights_are_other_entries(
    run: Run, network_folders: dict[str, Path]
) -> None:
    run()
    path = str(network_folders["AutoencoderKL"])
    models = [
        Folder(path=path, posterior=Posterior.sample, seed=1),
        Folder(path=path, posterior=Posterior.sample, seed=2),
        Folder(path=str(network_folders["AutoencoderTiny"])),
    ]
    for model in models:
        assert run(model=model)["timing"]["encode_seconds"] != "cached"
    for model in models:
        assert run(model=model)["timing"]["encode_seconds"] == "cached"


def test_a_seed_that_draws_nothing_from_the_posterior_is_the_same_entry(
    run: Run, network_folders: dict[str, Path]
) -> None:
    run()
    other = Folder(path=str(network_folders["AutoencoderKL"]), seed=5)
    assert run(model=other)["timing"]["encode_seconds"] == "cached"


class Reddened(Video, group="a source of a test"):
    """A source of a plugin, which reads files as ours does and has a setting of its own."""

    red: float = setting("how much red there is", default=1.0)


class Halved(Folder, group="a model of a test"):
    """A model of a plugin."""

    shrink: bool = setting("whether to halve what the weights give", default=False)


def test_the_own_settings_of_a_plugins_source_or_model_make_another_entry(
    run: Run, network_folders: dict[str, Path], tmp_path: Path
) -> None:
    film, path = str(write_film(tmp_path / "video.mkv", count=3)), str(network_folders["AutoencoderKL"])
    parts: list[dict[str, Any]] = [
        {"source": Video(path=film)},
        {"source": Reddened(path=film)},
        {"source": Reddened(path=film, red=0.5)},
        {"source": Video(path=film), "model": Halved(path=path)},
        {"source": Video(path=film), "model": Halved(path=path, shrink=True)},
    ]
    for part in parts:
        assert run(**part)["timing"]["encode_seconds"] != "cached"
        assert run(**part)["timing"]["encode_seconds"] == "cached"


@pytest.mark.parametrize("output", [MINIMAL, replace(MINIMAL, provenance=True)], ids=["bare", "with digests"])
def test_a_timed_run_takes_nothing_and_leaves_nothing(run: Run, own_cache: Path, output: Output) -> None:
    run(timed=True, output=output)
    assert not own_cache.exists()
    run()
    timing = run(timed=True, output=output)["timing"]
    assert all(isinstance(value, float) for value in timing.values())


@pytest.mark.parametrize("kind", ["latents", "frames"])
def test_a_damaged_entry_changes_no_number_and_is_measured_as_computed(
    kind: str, run: Run, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run()
    (file,) = own_cache.glob(f"*-{kind}/*.safetensors")
    data = bytearray(file.read_bytes())
    data[-20] ^= 4
    file.write_bytes(data)
    again = run()
    assert numbers_of(again) == numbers_of(first)
    assert isinstance(again["timing"]["encode_seconds" if kind == "latents" else "decode_seconds"], float)
    warnings = [message for message in caplog.messages if "damaged" in message]
    assert len(warnings) == 1
    assert run()["timing"]["decode_seconds"] == "cached"


def test_a_model_is_loaded_once_and_again_when_its_weights_change(
    run: Run, network_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    folder = shutil.copytree(network_folders["AutoencoderKL"], tmp_path / "model")
    loaded: list[str] = []
    original = Folder.load

    def load(self: Folder, chosen: Any) -> Any:
        loaded.append(self.path)
        return original(self, chosen)

    monkeypatch.setattr(Folder, "load", load)
    first = [run(model=Folder(path=str(folder)), batch_size=size) for size in (1, 2, 3)]
    assert len(loaded) == 1
    weights = next(folder.glob("*.safetensors"))
    from safetensors.torch import load_file, save_file

    halved = {name: values * 0.5 for name, values in load_file(weights).items()}
    save_file(halved, weights, metadata={"format": "pt"})
    other = run(model=Folder(path=str(folder)))
    assert len(loaded) == 2
    assert other["reconstructed"] != first[-1]["reconstructed"]
    assert other["timing"]["encode_seconds"] != "cached"
