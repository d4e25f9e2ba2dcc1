"""Encode here, decode there: latents of one model go through the decoder of another."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.conftest import build_network
from tests.test_experiment import video
from vae_experiments import Experiment, Folder, Output, Workbench
from vae_experiments.errors import ModelError
from vae_experiments.manipulations import Bend
from vae_experiments.models import Model, load_pair
from vae_experiments.sources import MovingCircle

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from vae_experiments.pipeline.experiment import Result
    from vae_experiments.runtime.device import DeviceChoice

    Command = Callable[..., subprocess.CompletedProcess[str]]

CONSTANTS = {"here": (0.5, 0.1), "there": (2.0, -0.3), "elsewhere": (0.25, 0.0)}
"""Scaling and shift of three networks of one geometry, with weights of their own."""
CLIP = MovingCircle(size="45x40", frames=7, fps="12")
MINIMAL = Output(comparison=False, table=False, pictures=False, report=False)


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    built = {}
    for seed, (name, (scale, shift)) in enumerate(CONSTANTS.items()):
        network = build_network("AutoencoderKL", scaling_factor=scale, shift_factor=shift).eval()
        noise = torch.Generator().manual_seed(seed)
        for weight in network.parameters():
            weight.data += 0.1 * torch.randn(weight.shape, generator=noise)
        built[name] = network
    return built


@pytest.fixture(scope="module")
def folders(networks: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    root = tmp_path_factory.mktemp("twins")
    for name, network in networks.items():
        network.save_pretrained(root / name)
    return {name: Folder(path=str(root / name)) for name in networks}


@pytest.fixture
def run(folders: dict[str, Folder], tmp_path: Path) -> Callable[..., Result]:
    numbers = iter(range(99))

    def run_it(decoder: str | Folder = "", **parts: Any) -> Result:
        folder = tmp_path / f"run {next(numbers)}"
        folder.mkdir()
        defaults: dict[str, Any] = {"source": CLIP, "output": MINIMAL, "batch_size": 3}
        chosen = folders.get(decoder) if isinstance(decoder, str) else decoder
        models = {"model": folders["here"], "decoder": chosen}
        return Experiment(**(defaults | models | parts)).run(folder)

    return run_it


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """Collect what is really loaded."""
    begun: list[Model] = []
    original = Model.load

    def load(self: Model, chosen: DeviceChoice) -> Any:
        begun.append(self)
        return original(self, chosen)

    monkeypatch.setattr(Model, "load", load)
    return begun


def frames_of(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1


@torch.no_grad()
def normalised_by_hand(network: Any, frames: torch.Tensor) -> torch.Tensor:
    scale, shift = CONSTANTS["here"]
    return (network.encode(frames).latent_dist.mode() - shift) * scale


def test_the_decoder_undoes_its_own_normalisation_of_what_the_encoder_normalised(
    networks: dict[str, Any], folders: dict[str, Folder], cpu: DeviceChoice
) -> None:
    pair, frames = load_pair(folders["here"], folders["there"], cpu), frames_of()
    latents = torch.cat(list(pair.encode([frames])))
    by_hand = normalised_by_hand(networks["here"], frames)
    torch.testing.assert_close(latents, by_hand, atol=1e-4, rtol=0)
    scale, shift = CONSTANTS["there"]
    with torch.no_grad():
        decoded = networks["there"].decode(by_hand / scale + shift).sample
    size = replace(CLIP, size="64").info.size
    torch.testing.assert_close(torch.cat(list(pair.decode([latents], size))), decoded, atol=1e-4, rtol=0)


def test_a_tiny_autoencoder_gets_the_normalised_latents_as_they_are(
    networks: dict[str, Any], folders: dict[str, Folder], network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    tiny, frames = build_network("AutoencoderTiny").eval(), frames_of()
    assert tiny.config.scaling_factor == 1
    bench = Workbench(
        replace(CLIP, size="64", frames=3),
        folders["here"],
        decoder=Folder(path=str(network_folders["AutoencoderTiny"])),
    )
    with torch.no_grad():
        decoded = tiny.decode(normalised_by_hand(networks["here"], frames)).sample
    torch.testing.assert_close(bench.decode(bench.encode(frames)), decoded, atol=1e-4, rtol=0)


def test_a_run_decodes_both_videos_with_the_decoder_and_names_both(
    run: Callable[..., Result],
    folders: dict[str, Folder],
    cpu: DeviceChoice,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", logger="vae_experiments"):
        same, there = run(), run("there")
    here, other = folders["here"].path, folders["there"].path
    assert f"decoder: {other} decodes what {here} encodes" in caplog.messages
    assert (there.metrics["model"], there.metrics["decoder"]) == (here, other)
    assert "decoder" not in same.metrics
    assert same.metrics["latents"] == there.metrics["latents"]
    assert same.metrics["changed_latents"] == there.metrics["changed_latents"]
    for name in ("reconstructed", "reconstructed_with_noise"):
        assert abs(same.metrics[name]["psnr_db"] - there.metrics[name]["psnr_db"]) > 0.1
    provenance = json.loads((there.folder / "provenance.json").read_text())
    assert provenance["decoder"] == other
    assert provenance["weights_digest"] == folders["here"].load(cpu).weights_digest
    assert provenance["decoder_weights_digest"] == folders["there"].load(cpu).weights_digest


@pytest.mark.slow
def test_decoders_find_the_latents_that_were_encoded_and_keep_frames_of_their_own(
    run: Callable[..., Result],
) -> None:
    timings = {
        name: [run(name).metrics["timing"] for _ in range(2)] for name in ("", "there", "elsewhere", "here")
    }
    assert timings[""][0]["encode_seconds"] != "cached"
    for name in ("there", "elsewhere"):
        first, second = timings[name]
        assert first["encode_seconds"] == "cached", name
        assert (first["decode_seconds"] == "cached", second["decode_seconds"]) == (False, "cached"), name
    # The very model as its own decoder finds what it decoded before.
    assert timings["here"][0]["decode_seconds"] == "cached"


@pytest.mark.parametrize("decoder", ["there", "here"])
def test_numbers_are_the_same_with_a_full_cache(decoder: str, run: Callable[..., Result]) -> None:
    first, second = (run(decoder).metrics for _ in range(2))
    for name in ("latents", "reconstructed", "reconstructed_with_noise"):
        assert first[name] == second[name]


def test_a_decoder_that_is_the_model_itself_gives_its_videos_bit_for_bit(run: Callable[..., Result]) -> None:
    same, here = run(), run("here")
    for name in ("reconstructed", "reconstructed_with_noise"):
        assert (video(same.folder / f"{name}.mp4") == video(here.folder / f"{name}.mp4")).all()
        assert same.metrics[name] == here.metrics[name]


def test_a_sweep_over_decoders_loads_each_model_once(
    folders: dict[str, Folder], cpu: DeviceChoice, loads: list[Model]
) -> None:
    # A setting of their own tells them from what another test has loaded.
    here, there, elsewhere = (replace(folder, tile=256) for folder in folders.values())
    for decoder in (None, there, there, None, elsewhere, elsewhere, here):
        load_pair(here, decoder, cpu)
    assert loads == [here, there, elsewhere]
    load_pair(here, None, cpu)
    load_pair(here, there, cpu)
    assert loads == [here, there, elsewhere, there], "one that nobody decodes with is let go"


@pytest.mark.slow
def test_bending_changes_the_weights_that_decode_and_no_others(
    networks: dict[str, Any],
    folders: dict[str, Folder],
    cpu: DeviceChoice,
    run: Callable[..., Result],
) -> None:
    pair, frames = load_pair(folders["here"], folders["there"], cpu), frames_of()
    bend = Bend(scale=1.2, layers="decoder.conv_in*")
    bent = pair.with_bent_decoder(bend.bend)
    latents = torch.cat(list(bent.encode([frames])))
    assert torch.equal(latents, torch.cat(list(pair.encode([frames]))))
    twin = build_network("AutoencoderKL", scaling_factor=2.0, shift_factor=-0.3).eval()
    twin.load_state_dict(networks["there"].state_dict())
    twin.decoder.conv_in.weight.data *= 1.2
    size = replace(CLIP, size="64").info.size
    with torch.no_grad():
        decoded = twin.decode(latents / 2.0 - 0.3).sample
    torch.testing.assert_close(torch.cat(list(bent.decode([latents], size))), decoded, atol=1e-4, rtol=0)
    metrics = run("there", manipulations=[Bend(scale=1.5)]).metrics
    assert metrics["reconstructed"] != metrics["reconstructed_with_bend"]
    assert metrics["reconstructed"]["psnr_db"] == run("there").metrics["reconstructed"]["psnr_db"]


@pytest.mark.parametrize(
    ("network", "numbers"),
    [
        ("AutoencoderDC", r"channels 8 \(not 4\)"),
        ("AutoencoderKLWan", r"time stride 4 \(not 1\)"),
    ],
)
def test_a_decoder_of_another_geometry_is_refused_in_one_line_that_names_both(
    network: str,
    numbers: str,
    folders: dict[str, Folder],
    network_folders: dict[str, Path],
    cpu: DeviceChoice,
) -> None:
    other = Folder(path=str(network_folders[network]))
    sentence = (
        rf"^decoder: {other.path} cannot decode the latents of {folders['here'].path}: "
        rf"it is made for .*{numbers}.*; choose one of the same latents, or decoder=same$"
    )
    with pytest.raises(ModelError, match=sentence):
        load_pair(folders["here"], other, cpu)


@pytest.mark.slow
def test_a_video_model_is_decoded_by_another_frame_for_frame(
    network_folders: dict[str, Path], run: Callable[..., Result]
) -> None:
    model = Folder(path=str(network_folders["AutoencoderKLWan"]))
    result = run(replace(model, tile=256), model=model)
    plain = run(model=model)
    assert video(result.folder / "reconstructed.mp4").shape == (7, 40, 45, 3)
    assert result.metrics["reconstructed"] == plain.metrics["reconstructed"]


def test_what_is_wrong_with_a_decoder_is_told_of_the_decoder(
    folders: dict[str, Folder], cpu: DeviceChoice, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"^decoder.path=model.here does not exist; give a directory"):
        load_pair(folders["here"], Folder(path="model.here"), cpu)
    file = tmp_path / "model.safetensors"
    file.touch()
    sentence = rf"^decoder.path={file} is a file, not a folder; for one file type decoder=file$"
    with pytest.raises(ModelError, match=sentence):
        load_pair(folders["here"], Folder(path=str(file)), cpu)
    with pytest.raises(ModelError, match=r"^model.path=model.here does not exist"):
        load_pair(Folder(path="model.here"), folders["here"], cpu)


@pytest.mark.slow
def test_a_wrong_decoder_is_one_line_and_nothing_is_written(
    folders: dict[str, Folder], network_folders: dict[str, Path], type_command: Command, tmp_path: Path
) -> None:
    words = ["model=folder", f"model.path={folders['here'].path}", "decoder=folder"]
    done = type_command(
        "run.py", *words, f"decoder.path={network_folders['AutoencoderDC']}", folder=tmp_path / "run"
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("error: decoder: ")
    assert "Traceback" not in done.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {".hydra", "run.log"}


@pytest.mark.slow
def test_a_sweep_over_decoders_encodes_once_and_a_saved_run_decodes_so_again(
    folders: dict[str, Folder], type_command: Command, tmp_path: Path
) -> None:
    paths = ",".join(folders[name].path for name in ("there", "elsewhere"))
    words = ["model=folder", f"model.path={folders['here'].path}", "decoder=folder", f"decoder.path={paths}"]
    small = ["source.size=45x40", "source.frames=3", "output=minimal", "seed=4"]
    sweep = tmp_path / "sweep"
    done = type_command("run.py", "-m", *words, *small, f"hydra.sweep.dir={sweep}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("latents: encoded before, taken from the cache") == 1
    first, second = (json.loads((sweep / job / "metrics.json").read_text()) for job in "01")
    assert first["latents"] == second["latents"]
    assert first["reconstructed"] != second["reconstructed"]
    again = type_command(
        "run.py", "--config-path", f"{sweep}/1/.hydra", "--config-name", "config", folder=tmp_path / "again"
    )
    assert again.returncode == 0, again.stderr
    repeated = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert {key: repeated[key] for key in ("decoder", "reconstructed", "reconstructed_with_noise")} == {
        key: second[key] for key in ("decoder", "reconstructed", "reconstructed_with_noise")
    }
