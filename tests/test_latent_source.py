"""Latents go out to ComfyUI and come in again: what is decoded of them is what diffusers decodes by hand."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import build_network
from tests.sources.conftest import write_film
from vae_experiments import Device, Experiment, Folder, MovingCircle, Noise, Output, Workbench, load_latents
from vae_experiments.cache.comfyui_latent import RawForm
from vae_experiments.cache.latent_files import LatentFolder, Which
from vae_experiments.errors import SourceError, VaeExperimentsError, WriteError
from vae_experiments.manipulations import PosteriorTemperature, Retime
from vae_experiments.pipeline.calibration import Target
from vae_experiments.pipeline.latent_source import Latents
from vae_experiments.sources import Video
from vae_experiments.tensors import to_pixels

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from vae_experiments.runtime.device import DeviceChoice


KL, WAN = "AutoencoderKL", "AutoencoderKLWan"
both = pytest.mark.parametrize("name", [KL, WAN])
CLIP = MovingCircle(size="40x27", frames=7, fps="12")
EXACT = Device(exact=True)
QUIET: dict[str, Any] = {"comparison": False, "pictures": False, "report": False}
SAVED = Output(latents=True, formats=["png"], **QUIET)


@pytest.fixture(scope="module")
def runs(network_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Run each network once, with its latents kept."""
    made: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("run")
            model = Folder(path=str(network_folders[name]))
            Experiment(CLIP, [Noise(scale=0.5)], model, EXACT, SAVED).run(made[name])
        return made[name]

    return run


@pytest.fixture
def again(tmp_path: Path, network_folders: dict[str, Path]) -> Callable[..., Path]:
    """Begin a run with latents."""

    def run(name: str, source: Latents, **parts: Any) -> Path:
        folder = tmp_path / f"run {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        model = Folder(path=str(network_folders[name]))
        Experiment(source, model=model, device=EXACT, **({"output": SAVED} | parts)).run(folder)
        return folder

    return run


def comfyui_load(path: Path) -> torch.Tensor:
    """Do what ``LoadLatent`` does."""
    latent = load_file(path)
    multiplier = 1.0
    if "latent_format_version_0" not in latent:
        multiplier = 1.0 / 0.18215
    return latent["latent_tensor"].float() * multiplier


def comfyui_save(path: Path, samples: torch.Tensor) -> Path:
    """Do what ``SaveLatent`` does."""
    save_file({"latent_tensor": samples.contiguous(), "latent_format_version_0": torch.tensor([])}, path)
    return path


def by_hand(network: Any, samples: torch.Tensor) -> torch.Tensor:
    """Decode as ``VAEDecode`` does: a batch of pictures, or a clip whose frames become a batch."""
    with torch.inference_mode():
        decoded = network.decode(samples).sample
    return decoded if decoded.ndim == 4 else decoded[0].movedim(1, 0)


def encoded_by_hand(network: Any, frames: torch.Tensor, is_video: bool) -> torch.Tensor:
    with torch.inference_mode():
        given = frames.movedim(0, 1)[None] if is_video else frames
        return network.encode(given).latent_dist.mode()


def pictures(run: Path, video: str = "reconstructed") -> np.ndarray:
    return np.stack([iio.imread(path) for path in sorted((run / f"{video}_png").iterdir())])


def assert_near(pixels: np.ndarray, expected: np.ndarray) -> None:
    """Allow for a level of rounding here and there: a whole clip and a chunk of it round differently."""
    apart = np.abs(pixels.astype(int) - expected)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3


@both
@pytest.mark.parametrize("which", ["encoded", "changed"])
def test_a_latent_that_was_written_is_decoded_by_hand_to_the_frames_of_the_run(
    name: str, which: str, runs: Callable[[str], Path]
) -> None:
    run = runs(name)
    samples = comfyui_load(run / "latents" / f"{which}.latent")
    assert samples.shape == ((7, 4, 4, 5) if name == KL else (1, 4, 3, 4, 5))
    decoded = to_pixels(by_hand(build_network(name), samples)[:7, :, :27, :40])
    video = "reconstructed" if which == "encoded" else "reconstructed_with_noise"
    assert_near(pictures(run, video), decoded)


@both
@pytest.mark.slow
def test_a_latent_of_another_program_becomes_the_frames_that_it_stands_for(
    name: str, again: Callable[..., Path], tmp_path: Path
) -> None:
    network, frames = build_network(name), 2 * torch.rand(5, 3, 32, 40) - 1
    samples = encoded_by_hand(network, frames, name == WAN)
    run = again(name, Latents(path=str(comfyui_save(tmp_path / "x.latent", samples))), manipulations=[])
    assert_near(pictures(run), to_pixels(by_hand(network, samples)))
    assert torch.allclose(comfyui_load(run / "latents" / "encoded.latent"), samples, atol=1e-5)
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["frames"], metrics["width"], metrics["height"], metrics["fps"]) == (5, 40, 32, 24)


@pytest.mark.slow
def test_a_latent_of_the_first_format_is_multiplied_as_comfyui_does(
    again: Callable[..., Path], tmp_path: Path
) -> None:
    samples = torch.randn(3, 4, 4, 4)
    save_file({"latent_tensor": (samples * 0.18215).half()}, tmp_path / "old.latent")
    new = comfyui_save(tmp_path / "new.latent", comfyui_load(tmp_path / "old.latent"))
    old, new = (again(KL, Latents(path=str(path))) for path in (tmp_path / "old.latent", new))
    assert torch.equal(load_latents(old), load_latents(new))
    assert torch.allclose(comfyui_load(old / "latents" / "encoded.latent"), samples, rtol=1e-2, atol=1e-2)


@both
@pytest.mark.parametrize(("place", "batch_size"), [("", 1), ("latents", 3), ("", 8)])
def test_a_run_that_begins_with_the_latents_of_another_gives_its_latents_and_frames(
    name: str, place: str, batch_size: int, runs: Callable[[str], Path], again: Callable[..., Path]
) -> None:
    first = runs(name)
    source = Latents(path=str(first / place))
    run = again(name, source, manipulations=[Noise(scale=0.5)], batch_size=batch_size)
    for which in ("encoded", "changed"):
        assert torch.equal(load_latents(run, which), load_latents(first, which))
    for video in ("reconstructed", "reconstructed_with_noise"):
        assert np.array_equal(pictures(run, video), pictures(first, video))
    assert not (run / "original.mp4").exists()
    before, metrics = (json.loads((path / "metrics.json").read_text()) for path in (first, run))
    for number in ("frames", "width", "height", "fps", "latents", "changed_latents"):
        assert metrics[number] == before[number]
    changed = metrics["reconstructed_with_noise"]
    against = before["reconstructed_with_noise"]["psnr_db_against_reconstructed"]
    assert changed["psnr_db"] == pytest.approx(against) == changed["psnr_db_against_reconstructed"]
    assert changed["ssim"] < 1
    assert metrics["original"] is metrics["reconstructed"]["psnr_db"] is None


@both
@pytest.mark.slow
def test_the_changed_latents_of_a_run_can_be_begun_with(
    name: str, runs: Callable[[str], Path], again: Callable[..., Path]
) -> None:
    source = Latents(path=str(runs(name)), stream=Which.changed)
    run = again(name, source, manipulations=[])
    assert np.array_equal(pictures(run), pictures(runs(name), "reconstructed_with_noise"))


@pytest.mark.slow
@both
def test_what_a_run_lengthened_keeps_its_length(name: str, runs: Callable[[str], Path], again: Any) -> None:
    longer = again(name, Latents(path=str(runs(name))), manipulations=[Retime(speed=0.5)])
    run = again(name, Latents(path=str(longer), stream=Which.changed), manipulations=[])
    assert np.array_equal(pictures(run), pictures(longer, "reconstructed_with_retime"))


@both
def test_size_frames_and_rate_can_be_chosen(name: str, runs: Callable[[str], Path], again: Any) -> None:
    source = Latents(path=str(runs(name)), size="30x20", frames=3, fps="29.97")
    run = again(name, source, manipulations=[])
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["frames"], metrics["width"], metrics["height"]) == (3, 30, 20)
    assert metrics["fps"] == pytest.approx(30000 / 1001)
    assert metrics["latents"]["shape"][0] == (3 if name == KL else 2)
    whole = pictures(runs(name))
    assert np.array_equal(pictures(run), whole[:3, :20, :30])


def test_all_that_a_run_writes_of_latents_is_vouched_for(runs: Callable[[str], Path], again: Any) -> None:
    full = replace(SAVED, comparison=True, pictures=True, report=True)
    folder = again(KL, Latents(path=str(runs(KL))), output=full)
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    for file in ("latents/encoded.latent", "latents/changed.latent", "comparison.mp4", "report.html"):
        assert sums[file] == hashlib.sha256((folder / file).read_bytes()).hexdigest()
    assert "encoded.latent" in (folder / "latents" / "SHA256SUMS").read_text()
    assert "Against the decoding of the untouched latents" in (folder / "report.html").read_text()
    provenance = json.loads((folder / "provenance.json").read_text())
    assert len(provenance["source_digest"]) == 64


@pytest.mark.parametrize("is_video", [False, True])
@pytest.mark.parametrize("lengths", [(1,) * 7, (3, 4), (7,)])
def test_chunks_do_not_show_in_the_file(lengths: tuple[int, ...], is_video: bool, tmp_path: Path) -> None:
    latents = torch.randn(7, 2, 3, 5, generator=torch.Generator().manual_seed(0))
    form = RawForm(lambda chunk, first: chunk * 2 + first // 7, is_video)
    with LatentFolder(tmp_path / "latents", form) as folder:
        for chunk in latents.split(lengths):
            folder.write("encoded", chunk)
    found = comfyui_load(tmp_path / "latents" / "encoded.latent")
    assert torch.equal(found, 2 * (latents.movedim(0, 1)[None] if is_video else latents))


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    def full(*_: object) -> torch.Tensor:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        pytest.raises(WriteError, match=f"^no space left writing {tmp_path / 'latents'} "),
        LatentFolder(tmp_path / "latents", RawForm(full, is_video=True)) as latents,
    ):
        latents.write("encoded", torch.zeros(2, 4, 1, 1))
    assert list(tmp_path.iterdir()) == []


WRONG = {
    "channels": (
        {"latent_tensor": torch.zeros(2, 16, 4, 4)},
        "have 16 channels, and the model's have 4; choose",
    ),
    "no key": ({"samples": torch.zeros(2, 4, 4, 4)}, "it has no latent_tensor"),
    "integers": ({"latent_tensor": torch.zeros(2, 4, 4, 4).int()}, "I32 2x4x4x4, is neither T C h w nor"),
    "axes": ({"latent_tensor": torch.zeros(4, 4)}, "F32 4x4, is neither T C h w nor 1 C T h w"),
    "clips": ({"latent_tensor": torch.zeros(2, 4, 3, 4, 4)}, "it holds 2 clips, and a run takes one"),
    "not finite": (
        {"latent_tensor": torch.full((1, 4, 4, 4), torch.nan)},
        "64 values of the latents are not",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_latent_that_cannot_be_begun_with_is_one_sentence(
    wrong: str, again: Callable[..., Path], tmp_path: Path
) -> None:
    tensors, sentence = WRONG[wrong]
    save_file(tensors, tmp_path / "x.latent")
    with pytest.raises(VaeExperimentsError, match=sentence):
        again(KL, Latents(path=str(tmp_path / "x.latent")))
    assert list((tmp_path / "run 1").iterdir()) == []


def test_what_are_no_latents_is_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    text, empty = tmp_path / "text.latent", tmp_path / "empty"
    text.write_text("not a file of safetensors")
    empty.mkdir()
    for path, sentence in (
        (text, "text.latent: cannot be read as latents .it is no file of safetensors"),
        (empty, "empty: no latents are there; give a run that had output.latents=true, or a .latent"),
        (tmp_path / "missing", "missing: no such file"),
    ):
        with pytest.raises(SourceError, match=sentence):
            Experiment(Latents(path=str(path)), model=Folder(path=str(tmp_path))).run(tmp_path / "run")


def test_what_asks_for_an_original_or_its_frames_is_refused(
    runs: Callable[[str], Path], again: Callable[..., Path], tmp_path: Path
) -> None:
    source = Latents(path=str(runs(KL)))
    for parts, sentence in (
        (
            {"manipulations": [PosteriorTemperature()]},
            "posterior_temperature needs the frames that were encoded",
        ),
        ({"target": Target(psnr_db=30)}, "target.psnr_db=30: latents have no original to compare with"),
    ):
        with pytest.raises(VaeExperimentsError, match=sentence):
            again(KL, source, **parts)
    assert [[*folder.iterdir()] for folder in tmp_path.glob("run *")] == [[], []]
    with pytest.raises(
        SourceError, match="latents have no source frames, which are wanted here; give a video"
    ):
        _ = Workbench(source).frames


def test_latents_of_another_kind_of_model_are_refused(
    runs: Callable[[str], Path], again: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(
        SourceError, match="of a model with time_stride 4, and this one's is 1; choose the model"
    ):
        again(KL, Latents(path=str(runs(WAN))))
    batch = Latents(path=str(comfyui_save(tmp_path / "x.latent", torch.zeros(2, 4, 4, 4))))
    with pytest.raises(SourceError, match="a batch of 2 pictures is no clip of a model that compresses time"):
        again(WAN, batch)
    with pytest.raises(SourceError, match="frames of 32x32, and 40x32 is larger; set source.size"):
        again(KL, replace(batch, size="40x32"))


def test_damaged_latents_are_told(runs: Callable[[str], Path], again: Any, tmp_path: Path) -> None:
    run = again(KL, Latents(path=str(runs(KL))), manipulations=[])
    file = run / "latents" / "encoded-00000.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(SourceError, match="encoded-00000.safetensors is damaged"):
        again(KL, Latents(path=str(run)))
    with pytest.raises(SourceError, match="cannot be read as latents"):
        again(KL, Latents(path=str(run), stream=Which.changed))


@pytest.mark.slow
def test_frames_that_were_decoded_before_are_taken_from_the_cache(
    runs: Callable[[str], Path], again: Callable[..., Path]
) -> None:
    source = Latents(path=str(runs(KL)))
    first, second = again(KL, source), again(KL, source)
    timings = [json.loads((run / "metrics.json").read_text())["timing"] for run in (first, second)]
    assert isinstance(timings[0]["decode_seconds"], float)
    assert timings[1]["decode_seconds"] == timings[1]["encode_seconds"] == "cached"
    assert np.array_equal(pictures(first), pictures(second))


@pytest.mark.slow
def test_warming_up_takes_no_frames(runs: Callable[[str], Path], again: Callable[..., Path]) -> None:
    assert (again(KL, Latents(path=str(runs(KL))), timed=True) / "SHA256SUMS").exists()


@pytest.mark.slow
def test_a_person_types_it_and_sweeps_it(
    type_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    small = ("run.py", "output=minimal", "source.size=32", "source.frames=2", "output.latents=true")
    assert type_command(*small, folder=tmp_path / "first").returncode == 0
    path = f"source.path={tmp_path / 'first' / 'latents' / 'encoded.latent'}"
    sweep = ("run.py", "-m", "source=latents", path, "manipulation=none,noise", "output=minimal")
    found = type_command(*sweep, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "sweep" / "sweep.html").exists()
    save_file({"latent_tensor": torch.zeros(1, 4, 4, 4)}, tmp_path / "x.latent")
    wrong = type_command(
        "run.py", "source=latents", f"source.path={tmp_path / 'x.latent'}", folder=tmp_path / "x"
    )
    assert wrong.returncode == 1
    assert wrong.stderr.splitlines()[-1].endswith(
        "these latents have 4 channels, and the model's have 16; choose the model that made them, as model=sd"
    )


def test_latents_of_a_run_keep_the_times_of_its_frames_unless_a_rate_is_typed(
    tmp_path: Path, network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    film = write_film(tmp_path / "film.mkv", 7, size=(40, 24), ticks=[0, 1, 5, 6, 7, 20, 21])
    source, model, run = Video(path=str(film)), Folder(path=str(network_folders[KL])), tmp_path / "run"
    Experiment(source, [], model, EXACT, SAVED).run(run)
    autoencoder, times = model.load(cpu), [float(time) for time in (*source.info.times, source.info.end)]

    def seen(**settings: Any) -> list[float]:
        info = Latents(path=str(run), **settings).fitted(autoencoder).info
        return [float(time) for time in (*info.times, info.end)]

    assert seen() == pytest.approx(times, abs=1e-5)
    assert seen(frames=4) == pytest.approx(times[:5], abs=1e-5)
    assert seen(fps="5") == pytest.approx([number / 5 for number in range(8)])
    again = tmp_path / "again"
    Experiment(Latents(path=str(run)), [], model, EXACT, SAVED).run(again)
    assert Video(path=str(again / "reconstructed.mp4")).info.times == pytest.approx(times[:-1], abs=1e-4)
    (run / "metrics.csv").unlink()
    assert seen() == pytest.approx([number * times[-1] / 7 for number in range(8)])
