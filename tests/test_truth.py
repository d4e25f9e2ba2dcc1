"""What a run writes down is what it did: of which content, on which device, with how many threads, at any batch size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.sources.conftest import write_film
from vae_experiments import Device, Experiment, Folder, Output
from vae_experiments.errors import SourceError
from vae_experiments.manipulations import Interpolate
from vae_experiments.models.framewise import Framewise
from vae_experiments.sources import MovingCircle, Video, video

if TYPE_CHECKING:
    from collections.abc import Callable

    from vae_experiments.pipeline.experiment import Result

    Runner = Callable[..., Result]

MINIMAL = Output(comparison=False, table=False, pictures=False, report=False, provenance=False)
WITH_PROVENANCE = replace(MINIMAL, provenance=True)


@pytest.fixture
def run(network_folders: dict[str, Path], tmp_path: Path) -> Runner:
    numbers = iter(range(99))

    def run_it(network: str = "AutoencoderKL", **parts: Any) -> Result:
        folder = tmp_path / f"run {next(numbers)}"
        folder.mkdir()
        defaults: dict[str, Any] = {
            "source": MovingCircle(size="48x40", frames=5, fps="12"),
            "model": Folder(path=str(network_folders[network])),
            "output": MINIMAL,
        }
        return Experiment(**(defaults | parts)).run(folder)

    return run_it


def provenance_of(result: Result) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((result.folder / "provenance.json").read_text())
    return said


def test_in_exact_mode_every_number_is_the_same_to_the_last_bit_at_any_batch_size(run: Runner) -> None:
    def numbers(batch_size: int) -> tuple[dict[str, Any], str]:
        result = run(
            source=MovingCircle(size="136x120", frames=8, fps="12"),
            device=Device(exact=True),
            output=replace(MINIMAL, table=True),
            batch_size=batch_size,
        )
        measured = ("timing", "peak_memory_bytes", "batch_size")
        numbers = {name: value for name, value in result.metrics.items() if name not in measured}
        return numbers, (result.folder / "metrics.csv").read_text()

    one = numbers(1)
    for batch_size in (2, 3, 8):
        assert numbers(batch_size) == one, batch_size


def test_a_run_hashes_its_source_once_and_not_before_it_was_looked_over(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_film(tmp_path / "video.mkv", count=5)
    done: list[str] = []
    own_digest, own_info = video.digest, Video.info.fget

    def digest(path: Path) -> str:
        done.append("digest")
        return own_digest(path)

    def info(source: Video) -> Any:
        done.append("look")
        return own_info(source)  # type: ignore[misc]

    monkeypatch.setattr(video, "digest", digest)
    monkeypatch.setattr(Video, "info", property(info))
    run(source=Video(path=str(film)), output=WITH_PROVENANCE)
    assert done.count("digest") == 1
    assert done[0] == "look"
    done.clear()
    film.write_bytes(film.read_bytes()[:100])
    with pytest.raises(SourceError):
        run(source=Video(path=str(film)), output=WITH_PROVENANCE)
    assert "digest" not in done


def changing(path: Path, to: Path) -> type[Video]:
    """A video that somebody replaces after its digest was taken, and before it is read."""

    class Changing(Video, group="a source of a test"):
        def digest(self) -> str:
            digest = super().digest()
            os.replace(to, path)  # noqa: PTH105
            return digest

    return Changing


def test_a_source_that_changes_between_digest_and_reading_leaves_nothing_in_the_cache_and_no_run(
    run: Runner, tmp_path: Path, own_cache: Path
) -> None:
    film = write_film(tmp_path / "video.mkv", count=5)
    other = write_film(tmp_path / "other.mkv", count=5, fps=24)
    with pytest.raises(SourceError, match="video.mkv changed since its digest was taken; wait until it is"):
        run(source=changing(film, other)(path=str(film)), output=WITH_PROVENANCE)
    assert list(own_cache.rglob("*.safetensors")) == []
    assert list((tmp_path / "run 0").iterdir()) == []


def test_another_video_that_changes_between_digest_and_reading_is_named_by_its_setting(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_film(tmp_path / "video.mkv", count=5)
    other = write_film(tmp_path / "other.mkv", count=5, fps=24)
    monkeypatch.setattr("vae_experiments.pipeline.second_video.Video", changing(film, other))
    with pytest.raises(SourceError, match="^interpolate.path: video.mkv changed since its digest was taken"):
        run(manipulations=[Interpolate(path=str(film))])
    assert list((tmp_path / "run 0").iterdir()) == []


def test_the_digest_that_is_written_down_is_that_of_the_film(run: Runner, tmp_path: Path) -> None:
    source = Video(path=str(write_film(tmp_path / "video.mkv", count=5)))
    assert provenance_of(run(source=source, output=WITH_PROVENANCE))["source_digest"] == source.digest()


def test_a_run_that_repeats_another_warns_of_another_content_with_both_digests(
    run: Runner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Video(path=str(write_film(tmp_path / "video.mkv", count=5)))
    before = source.digest()
    run(source=source, source_digest_before=before)
    assert "other content" not in caplog.text
    write_film(tmp_path / "video.mkv", count=6)
    run(source=source, source_digest_before=before)
    (warning,) = [message for message in caplog.messages if "other content" in message]
    assert before in warning
    assert source.digest() in warning


def test_every_run_has_the_threads_that_it_asks_for_and_gives_torchs_own_back(run: Runner) -> None:
    own = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        threads = [
            provenance_of(run(device=Device(threads=wish), output=WITH_PROVENANCE))["threads"]
            for wish in (1, 0, 3, 0)
        ]
        assert threads == [1, 2, 3, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(own)


@pytest.mark.slow
def test_in_a_new_process_a_job_of_one_thread_leaves_the_next_one_torchs_own() -> None:
    """The first job of a process may be the one that asks for threads."""
    script = (
        "import torch; own = torch.get_num_threads(); from vae_experiments import Device; "
        "Device(threads=own + 1).choose(); first = torch.get_num_threads(); "
        "Device().choose(); print(first - own, torch.get_num_threads() - own)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == "1 0\n"


def test_provenance_says_where_relative_paths_begin(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "video.mkv", count=5)
    said = provenance_of(run(source=Video(path="video.mkv"), output=WITH_PROVENANCE))
    assert said["working_directory"] == str(Path.cwd())


def test_latents_that_the_cpu_computed_are_not_kept_as_those_of_the_device_that_was_chosen(
    run: Runner, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run in bfloat16 whose first call finds no memory: from there on the CPU computes in float32."""
    chosen = replace(Device().choose(), dtype=torch.bfloat16, fallback=True)
    monkeypatch.setattr(Device, "choose", lambda _: chosen)
    own = Framewise._raw_latents

    def too_large(adapter: Framewise, frames: torch.Tensor, first: int) -> torch.Tensor:
        if frames.dtype is torch.bfloat16 and frames.shape[-1] == 48:
            raise RuntimeError("MPS backend out of memory")
        return own(adapter, frames, first)

    monkeypatch.setattr(Framewise, "_raw_latents", too_large)
    said = provenance_of(run(output=WITH_PROVENANCE, batch_size=1))
    assert said["device"] == "cpu in float32: out of memory on cpu for one frame"
    assert list(own_cache.rglob("*.safetensors")) == []
    monkeypatch.setattr(Framewise, "_raw_latents", own)
    assert run().metrics["timing"]["encode_seconds"] != "cached"


@pytest.mark.parametrize(
    ("network", "expected"), [("AutoencoderKL", (8, 1, 1)), ("AutoencoderKLWan", (8, 4, 1))]
)
def test_metrics_say_what_a_latent_stands_for(
    network: str, expected: tuple[int, int, int], run: Runner
) -> None:
    metrics = run(network).metrics
    assert tuple(metrics[name] for name in ("stride", "time_stride", "first_frames")) == expected


def test_what_a_manipulation_costs_against_the_reconstruction_is_scikit_images_number(tmp_path: Path) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    from vae_experiments.pipeline.run_folder import RunFolder
    from vae_experiments.pipeline.runner import Step
    from vae_experiments.tensors import to_frames, to_pixels

    source, chance = MovingCircle(size="48x40", frames=5), torch.Generator().manual_seed(0)
    original = torch.cat(list(source.chunks(5)))
    levels = [torch.randint(0, 256, (5, 40, 48, 3), generator=chance).byte().numpy() for _ in range(2)]
    untouched, changed = map(to_frames, levels)
    outputs = RunFolder(tmp_path, MINIMAL, source.info, ["noise"])
    outputs.see("encoded", torch.zeros(5, 4, 5, 6))
    outputs.see("changed", torch.zeros(5, 4, 5, 6))
    with outputs:
        for part in (slice(0, 2), slice(2, 5)):
            outputs.take(Step(original[part], untouched[part], changed[part]))
    found = outputs.metrics()["reconstructed_with_noise"]["psnr_db_against_reconstructed"]
    expected = peak_signal_noise_ratio(to_pixels(untouched), to_pixels(changed), data_range=255)
    assert found == pytest.approx(expected, abs=1e-9)
