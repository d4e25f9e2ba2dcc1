"""Where latents come from: a source that is encoded, or the folder of a run."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from tests.analysis.clips import noise, subject
from vae_experiments import Experiment, Folder, Noise, Output, load_latents
from vae_experiments.analysis.clip_latents import deduced_stride, encoded, saved
from vae_experiments.analysis.settings import Analysis
from vae_experiments.cache.latent_files import Which
from vae_experiments.errors import NumbersError, SettingError, SourceError
from vae_experiments.files import read_sums, write_sums
from vae_experiments.sources import MovingCircle

if TYPE_CHECKING:
    from vae_experiments.runtime.device import DeviceChoice

MINIMAL = Output(comparison=False, table=False, pictures=False, report=False, provenance=False, latents=True)


@pytest.fixture(scope="module")
def run(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run an experiment that saves its latents, at a size that is no multiple of the stride."""
    folder = tmp_path_factory.mktemp("run")
    source = MovingCircle(size="44x36", frames=5, fps="29.97")
    Experiment(source, [Noise()], Folder(path=str(small_model)), output=MINIMAL).run(folder)
    return folder


def test_all_latents_of_a_source_are_held_whatever_the_batch_size(
    small_model: Path, cpu: DeviceChoice
) -> None:
    autoencoder = Folder(path=str(small_model)).load(cpu)
    source = MovingCircle(size="48x40", frames=7, fps="12")
    found = encoded(source, autoencoder, 3)
    expected = torch.cat(list(autoencoder.encode(source.chunks(7))))
    assert found.latents.shape == (7, 8, 5, 6)
    assert torch.allclose(found.latents, expected, atol=1e-5)
    assert (found.title, found.fps, found.size, found.clip.stride) == ("moving circle", 12, (48, 40), 8)


def test_a_second_video_is_read_no_longer_than_it_is_needed(small_model: Path, cpu: DeviceChoice) -> None:
    autoencoder = Folder(path=str(small_model)).load(cpu)
    found = encoded(MovingCircle(size="32", frames=10**9), autoencoder, 2, most=3)
    assert len(found.latents) == 3


def test_in_a_temporal_model_the_first_latent_is_not_even_with_the_others(
    temporal_model: Path, cpu: DeviceChoice
) -> None:
    found = encoded(MovingCircle(size="32", frames=9, fps="8"), Folder(path=str(temporal_model)).load(cpu), 4)
    assert len(found.latents) == 3
    assert torch.equal(found.even, found.latents[1:])
    assert (found.first_even, found.clip.rate_hz) == (1, 2)
    assert [found.seconds(number) for number in range(3)] == [0, 1 / 8, 5 / 8]


def test_in_a_framewise_model_all_latents_are_even() -> None:
    found = subject(noise(4, 1, 2, 2))
    assert torch.equal(found.even, found.latents)
    assert found.seconds(3) == 3 / 8


@pytest.mark.parametrize("which", list(Which), ids=str)
def test_the_latents_of_a_run_are_read_with_what_they_stand_for(run: Path, which: Which) -> None:
    for folder in (run, run / "latents"):
        found = saved(Analysis(folder=str(folder), latents=which))
        assert torch.equal(found.latents, load_latents(run, which.value))
        assert (found.size, found.fps) == ((44, 36), Fraction(30000, 1001))
        assert (found.clip.stride, found.clip.time_stride) == (8, 1)
        assert found.title == f"{run.name} ({which})"
    assert not torch.equal(load_latents(run, "encoded"), load_latents(run, "changed"))


def test_the_strides_of_a_run_are_those_that_it_wrote_down_and_not_guesses(run: Path, tmp_path: Path) -> None:
    folder = copied(run, tmp_path)
    metrics = json.loads((folder / "metrics.json").read_text())
    written = {"stride": 6, "time_stride": 3, "first_frames": 3}
    (folder / "metrics.json").write_text(json.dumps(metrics | written))
    found = saved(Analysis(folder=str(folder)))
    assert (found.clip.stride, found.clip.time_stride, found.clip.first_frames) == (6, 3, 3)
    assert found.remarks == ()
    assert found.first_even == 0
    for name in written:
        del metrics[name]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    older = saved(Analysis(folder=str(folder)))
    assert (older.clip.stride, older.clip.time_stride) == (8, 1)
    assert (
        "are worked out from the run's numbers: an older version did not write them down" in older.remarks[0]
    )


@pytest.mark.parametrize("file", ["latents.json", "encoded-00000.safetensors", "SHA256SUMS"])
def test_latents_with_a_flipped_bit_are_not_loaded_and_the_file_is_named(
    run: Path, tmp_path: Path, file: str
) -> None:
    path = copied(run, tmp_path) / "latents" / file
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=f"latents cannot be read .*{file}.*; run again with output.lat"):
        load_latents(tmp_path)


def test_in_a_model_of_equal_groups_all_latents_are_even(
    network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    autoencoder = Folder(path=str(network_folders["AutoencoderKLAllegro"])).load(cpu)
    found = encoded(MovingCircle(size="32", frames=8, fps="8"), autoencoder, 4)
    assert (found.clip.first_frames, found.clip.time_stride, found.first_even) == (4, 4, 0)
    assert torch.equal(found.even, found.latents)


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("length", [3, 17, 40, 100, 333])
def test_a_stride_that_is_a_power_of_two_is_found_again_from_three_cells_on(length: int, stride: int) -> None:
    cells = -(-length // stride)
    if cells >= 3:
        assert deduced_stride((length, cells)) == stride


def test_any_other_stride_is_the_smallest_that_fits() -> None:
    assert deduced_stride((100, 10)) == 10
    assert deduced_stride((20, 3), (100, 10)) == 10
    assert deduced_stride((0, 0)) == 1


def test_a_run_without_latents_or_of_another_kind_is_named_with_the_cure(run: Path, tmp_path: Path) -> None:
    for wish, sentence in (
        (Analysis(folder=str(tmp_path / "none")), "none: there is no such folder; give the folder of a run"),
        (Analysis(folder=str(tmp_path)), f"no latents in {tmp_path}; run with output.latents=true"),
    ):
        with pytest.raises((SettingError, SourceError), match="^analysis.folder=") as caught:
            saved(wish)
        assert sentence in str(caught.value)


def copied(run: Path, to: Path) -> Path:
    (to / "latents").mkdir()
    for path in (run / "latents").iterdir():
        (to / "latents" / path.name).write_bytes(path.read_bytes())
    (to / "metrics.json").write_bytes((run / "metrics.json").read_bytes())
    return to


@pytest.mark.parametrize(
    "file", ["metrics.json", "latents/latents.json", "latents/encoded-00000.safetensors"]
)
def test_a_damaged_file_is_one_sentence(run: Path, tmp_path: Path, file: str) -> None:
    folder = copied(run, tmp_path)
    assert len(saved(Analysis(folder=str(folder))).latents) == 5
    (folder / file).write_text("[")
    with pytest.raises(SourceError, match="cannot be read .*; run again with output.latents=true"):
        saved(Analysis(folder=str(folder)))


def test_latents_without_the_numbers_of_their_run_are_refused(run: Path, tmp_path: Path) -> None:
    (copied(run, tmp_path) / "metrics.json").unlink()
    with pytest.raises(
        SourceError, match="no metrics.json beside the latents; give the folder of a finished run"
    ):
        saved(Analysis(folder=str(tmp_path)))


def test_latents_of_a_run_without_manipulation_have_no_changed_ones(run: Path, tmp_path: Path) -> None:
    index = copied(run, tmp_path) / "latents" / "latents.json"
    files = json.loads(index.read_text())
    del files["changed"]
    index.write_text(json.dumps(files))
    write_sums(index.parent, read_sums(index.parent, index.name), index.name)
    with pytest.raises(SourceError, match="no changed latents in .*; it has: encoded"):
        saved(Analysis(folder=str(tmp_path), latents=Which.changed))


def test_latents_that_are_not_finite_are_refused(run: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    broken = load_latents(run)
    broken[3, 0, 0, 0] = torch.nan
    latents = copied(run, tmp_path) / "latents"
    save_file({"latents": broken}, latents / "encoded-00000.safetensors")
    write_sums(latents, read_sums(latents, "latents.json"), "latents.json")
    with pytest.raises(NumbersError, match="1 values of the latents are not finite, first at latent 3"):
        saved(Analysis(folder=str(tmp_path)))
