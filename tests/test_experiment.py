"""The run folder of real runs on a small real network."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import torch

from vae_experiments import Device, Experiment, Folder, Noise, Output, load_latents
from vae_experiments.errors import NumbersError, SourceError
from vae_experiments.files import SUMS
from vae_experiments.manipulations import Clip, Manipulation
from vae_experiments.runtime.stopwatch import Stopwatch
from vae_experiments.sources import Checkerboard, MovingCircle, Video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vae_experiments.pipeline.experiment import Result

    Runner = Callable[..., Result]

EVERYTHING = {
    SUMS,
    "comparison.mp4",
    "latents.png",
    "metrics.csv",
    "metrics.json",
    "metrics.png",
    "original.mp4",
    "provenance.json",
    "reconstructed.mp4",
    "report.html",
}
MINIMAL = Output(comparison=False, table=False, pictures=False, report=False, provenance=False)


@pytest.fixture
def run(network_folders: dict[str, Path], tmp_path: Path) -> Runner:
    """Run an experiment on a small AutoencoderDC into a folder of its own."""
    return runner(network_folders, tmp_path)


def runner(network_folders: dict[str, Path], tmp_path: Path) -> Runner:
    numbers = iter(range(99))

    def run_it(**parts: Any) -> Result:
        folder = tmp_path / f"run {next(numbers)}"
        folder.mkdir()
        defaults: dict[str, Any] = {
            "source": MovingCircle(size="48x40", frames=7, fps="12"),
            "model": Folder(path=str(network_folders["AutoencoderDC"])),
            "output": MINIMAL,
            "batch_size": 3,
        }
        return Experiment(**(defaults | parts)).run(folder)

    return run_it


def video(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def numbers_of(result: Result) -> dict[str, Any]:
    return {
        key: value
        for key, value in result.metrics.items()
        if key not in ("timing", "peak_memory_bytes", "batch_size")
    }


def test_a_run_leaves_every_file_of_the_contract(run: Runner) -> None:
    folder = run(output=Output(latents=True)).folder
    assert {path.name for path in folder.iterdir()} == EVERYTHING | {
        "reconstructed_with_noise.mp4",
        "latents",
    }


def test_the_report_says_in_words_what_a_manipulation_is_set_to(run: Runner) -> None:
    changes = [Noise(scale=0.25, seed=3), Noise(frames="1:2", channels=[0, 2]).named("grain")]
    page = (run(manipulations=changes, output=Output()).folder / "report.html").read_text()
    assert "scale 0.25 standard deviations of the latents, seed 3<" in page
    assert "scale 0.5 standard deviations of the latents, frames 1:2, channels [0,2]<" in page
    assert "Noise(" not in page


def test_minimal_output_is_the_videos_and_the_metrics(run: Runner) -> None:
    folder = run().folder
    names = {"original.mp4", "reconstructed.mp4", "reconstructed_with_noise.mp4", "metrics.json", SUMS}
    assert {path.name for path in folder.iterdir()} == names


def test_without_a_manipulation_there_is_no_third_video(run: Runner) -> None:
    folder = run(manipulations=[], output=Output()).folder
    assert {path.name for path in folder.iterdir()} == EVERYTHING


def test_a_chain_names_its_video_after_all_of_them(run: Runner) -> None:
    assert (
        run(manipulations=[Noise(), Noise(seed=1)]).folder / "reconstructed_with_noise_noise.mp4"
    ).exists()


def test_every_video_has_every_frame_at_the_sources_size_and_rate(run: Runner) -> None:
    folder = run(source=MovingCircle(size="51x37", frames=8, fps="30000/1001"), output=Output()).folder
    for name in ("original", "reconstructed", "reconstructed_with_noise", "comparison"):
        with av.open(str(folder / f"{name}.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.average_rate * 1001 == 30000
            assert stream.frames == 8
            if name != "comparison":
                assert (stream.width, stream.height) == (51, 37)


def test_metrics_say_what_the_contract_promises(run: Runner) -> None:
    result = run()
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics == result.metrics
    assert [metrics[key] for key in ("frames", "width", "height", "fps", "batch_size", "device", "seed")] == [
        7,
        48,
        40,
        12,
        3,
        "cpu",
        0,
    ]
    assert metrics["latents"]["shape"] == [7, 8, 5, 6]
    assert {"mean", "std"} < set(metrics["latents"])
    for name in ("reconstructed", "reconstructed_with_noise"):
        assert {"psnr_db", "ssim", "flicker"} < set(metrics[name])
    timing = metrics["timing"]
    assert 0 < timing["encode_seconds"] + timing["decode_seconds"] < timing["total_seconds"]
    assert timing["frames_per_second"] > 0
    assert metrics["peak_memory_bytes"] > 10_000_000


def test_the_table_has_a_row_a_frame(run: Runner) -> None:
    result = run(output=Output())
    rows = list(csv.DictReader((result.folder / "metrics.csv").read_text().splitlines()))
    assert [int(row["frame"]) for row in rows] == list(range(7))
    errors = [10 ** (-float(row["reconstructed.psnr_db"]) / 10) for row in rows]
    assert -10 * np.log10(np.mean(errors)) == pytest.approx(
        result.metrics["reconstructed"]["psnr_db"], abs=1e-4
    )


def test_the_report_is_titled_after_the_file_or_the_pattern(run: Runner) -> None:
    folder = run(output=Output()).folder
    assert "<title>moving circle with noise</title>" in (folder / "report.html").read_text()
    again = run(source=Video(path=str(folder / "original.mp4")), manipulations=[], output=Output()).folder
    assert "<title>original.mp4 with no manipulation</title>" in (again / "report.html").read_text()


def test_provenance_says_what_it_takes_to_repeat_the_run(run: Runner) -> None:
    said = json.loads((run(output=Output()).folder / "provenance.json").read_text())
    keys = {"command", "git_commit", "versions", "seed", "device", "source_digest", "weights_digest"}
    assert keys <= set(said)
    assert "chosen by device=auto" in said["device"]
    assert said["versions"]["torch"] == torch.__version__


def test_the_metrics_are_those_of_the_frames_that_were_written(run: Runner) -> None:
    folder = run(source=Checkerboard(size="48x40", frames=3), output=MINIMAL).folder
    error = (video(folder / "original.mp4").astype(float) - video(folder / "reconstructed.mp4")) ** 2
    said = json.loads((folder / "metrics.json").read_text())["reconstructed"]["psnr_db"]
    assert 10 * np.log10(255**2 / error.mean()) == pytest.approx(said, abs=0.5)


def test_noise_of_scale_zero_gives_the_second_video_again(run: Runner) -> None:
    result = run(manipulations=[Noise(scale=0)])
    assert result.metrics["reconstructed_with_noise"]["psnr_db_against_reconstructed"] is None


def test_stronger_noise_moves_the_video_further_from_the_reconstruction(run: Runner) -> None:
    costs = [
        run(manipulations=[Noise(scale=scale)]).metrics["reconstructed_with_noise"][
            "psnr_db_against_reconstructed"
        ]
        for scale in (0.1, 0.5, 1)
    ]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 3


def test_the_same_run_gives_the_same_numbers_bit_for_bit(run: Runner) -> None:
    assert numbers_of(run()) == numbers_of(run())


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8])
def test_the_batch_size_changes_neither_latents_nor_noise(run: Runner, batch_size: int) -> None:
    keep = Output(latents=True)
    one, other = run(output=keep), run(output=keep, batch_size=batch_size)
    assert torch.allclose(load_latents(one.folder), load_latents(other.folder), atol=1e-4)
    noise = [load_latents(result.folder, "changed") - load_latents(result.folder) for result in (one, other)]
    assert torch.allclose(*noise, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_in_exact_mode_they_are_the_same_bit_for_bit(run: Runner, batch_size: int) -> None:
    keep, exact = Output(latents=True), Device(exact=True)
    one, other = run(output=keep, device=exact), run(output=keep, device=exact, batch_size=batch_size)
    for name in ("encoded", "changed"):
        assert torch.equal(load_latents(one.folder, name), load_latents(other.folder, name))
    for name in ("reconstructed", "reconstructed_with_noise"):
        assert one.metrics[name] == pytest.approx(other.metrics[name])


def test_latents_that_were_not_kept_cannot_be_loaded(run: Runner) -> None:
    folder = run().folder
    with pytest.raises(SourceError, match="no latents in .*; run with output.latents=true"):
        load_latents(folder)
    folder = run(output=Output(latents=True), manipulations=[]).folder
    with pytest.raises(SourceError, match="no changed latents in .*; it has: encoded"):
        load_latents(folder, "changed")


def test_frames_smaller_than_the_model_needs_are_refused_before_any_work(run: Runner, tmp_path: Path) -> None:
    sentence = "a frame of 200x4 is smaller than the model needs .8x8.; set source.size"
    with pytest.raises(SourceError, match=sentence):
        run(source=MovingCircle(size="200x4", frames=2))
    assert list((tmp_path / "run 0").iterdir()) == []


def test_numbers_beyond_all_bounds_stop_the_run_and_leave_no_video(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(NumbersError, match="of the changed latents are not finite, first at latent"):
        run(manipulations=[Noise(scale=1e38)])
    assert list((tmp_path / "run 0").iterdir()) == []


class Backwards(Manipulation, group="a manipulation of a test"):
    """Gives the clip's latents from the last to the first: it must hold all of them."""

    needs_whole_clip = True

    def stream(self, chunks: Iterable[torch.Tensor], clip: Clip) -> Iterator[torch.Tensor]:
        held = list(chunks)
        for latents in reversed(held):
            yield latents.flip(0)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_a_manipulation_that_holds_the_clip_runs_through_the_same_runner(
    run: Runner, batch_size: int
) -> None:
    result = run(manipulations=[Backwards()], batch_size=batch_size)
    forwards, backwards = (
        video(result.folder / f"{name}.mp4")
        for name in ("reconstructed", f"reconstructed_with_{Backwards.kind}")
    )
    assert np.abs(forwards[::-1].astype(int) - backwards).mean() < 3


GROWTH = """
import sys
from pathlib import Path
from vae_experiments import Experiment, Folder, MovingCircle, Output
from vae_experiments.runtime import device
device._keep_freed_memory = lambda: None
for number, frames in enumerate([100, 100, 500, 500]):
    folder = Path(sys.argv[2]) / str(number)
    folder.mkdir()
    run = Experiment(source=MovingCircle(size="96", frames=frames), model=Folder(path=sys.argv[1]), output=Output(pictures=False, report=False))
    print(run.run(folder).metrics["peak_memory_bytes"])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory can only be counted anew on Linux"
)
def test_memory_does_not_grow_with_the_clip(network_folders: dict[str, Path], tmp_path: Path) -> None:
    """The longer clip has 44 MB more of frames in each of three videos."""
    # The allocator keeps freed pieces for later, which looks like growth; with this it gives them back.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", GROWTH, str(network_folders["AutoencoderDC"]), str(tmp_path)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    _, short, *long = map(int, said.split())
    assert max(long) - short < 20_000_000, "the first of the long ones fills the cache, the second reads it"


SWEEP = """
import sys
from pathlib import Path
from vae_experiments import Experiment, MovingCircle, Noise, Output
small = Output(comparison=False, table=False, pictures=False, report=False, provenance=False)
for number in range(8):
    folder = Path(sys.argv[1]) / str(number)
    folder.mkdir()
    run = Experiment(source=MovingCircle(size="128", frames=16), manipulations=[Noise(scale=number / 8)], output=small)
    print(run.run(folder).metrics["peak_memory_bytes"])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory can only be counted anew on Linux"
)
def test_memory_does_not_grow_from_job_to_job_of_a_sweep(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SWEEP, str(tmp_path)]
    first, *others = map(
        int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    )
    assert max(others) < 1.1 * first


class AllAtOnce(Manipulation, group="a manipulation of a test"):
    """Gives the whole clip as one chunk."""

    needs_whole_clip = True

    def stream(self, chunks: Iterable[torch.Tensor], clip: Clip) -> Iterator[torch.Tensor]:
        yield torch.cat(list(chunks))


def test_a_manipulation_need_not_keep_the_borders_of_chunks(run: Runner) -> None:
    result = run(manipulations=[AllAtOnce()])
    changed = result.metrics["reconstructed_with_all_at_once"]
    assert changed.pop("psnr_db_against_reconstructed") is None, "not a bit of a frame differs"
    assert changed == result.metrics["reconstructed"]


def test_the_frames_per_second_count_the_time_of_every_stage(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = {
        "encode": 1.0,
        "decode": 2.0,
        "decode changed": 4.0,
        "change": 8.0,
        "write": 16.0,
        "finish": 99.0,
    }
    monkeypatch.setattr(Stopwatch, "seconds", lambda _watch, stage: spent[stage])
    assert run().metrics["timing"]["frames_per_second"] == pytest.approx(7 / 31)


def test_a_job_does_not_inherit_the_threads_of_the_one_before(run: Runner) -> None:
    before = torch.get_num_threads()
    Device(threads=1).choose()
    assert torch.get_num_threads() == 1
    Device().choose()
    assert torch.get_num_threads() == max(before, 1)


def test_a_stopped_run_leaves_no_latents(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(NumbersError):
        run(manipulations=[Noise(scale=1e38)], output=Output(latents=True))
    assert list((tmp_path / "run 0").iterdir()) == []


@pytest.mark.slow
def test_provenance_is_collected_when_the_run_starts(run: Runner) -> None:
    from datetime import datetime, timezone

    before = datetime.now(timezone.utc).replace(microsecond=0)
    said = json.loads(
        (
            run(source=MovingCircle(size="48", frames=300), output=Output()).folder / "provenance.json"
        ).read_text()
    )
    assert (datetime.fromisoformat(said["started"]) - before).total_seconds() <= 1
