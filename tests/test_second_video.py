"""Companions: other videos are matched to the source by the stated rule, and mistakes name their setting."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import torch

from tests.sources.conftest import write_film
from vae_experiments import Experiment, Folder, MovingCircle, Noise, Output, load_latents
from vae_experiments.errors import SettingError, SourceError
from vae_experiments.manipulations import Freeze, MotionTransfer, PosteriorTemperature, Retime, Reverse, chain
from vae_experiments.manipulations.masks import Mask
from vae_experiments.pipeline.second_video import SecondVideos, clip_of
from vae_experiments.sources import BouncingShapes, Source, Video

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vae_experiments.models import Autoencoder
    from vae_experiments.runtime.device import DeviceChoice

SOURCE = MovingCircle(size="48x40", frames=9, fps="12")
FEW = Output(comparison=True, table=True, pictures=False, report=False, provenance=False, latents=True)


@pytest.fixture
def autoencoder(network_folders: dict[str, Path], cpu: DeviceChoice) -> Autoencoder:
    return Folder(path=str(network_folders["AutoencoderKL"])).load(cpu)


def frames_of(source: Source) -> torch.Tensor:
    return torch.cat(list(source.chunks(4)))


def first(chunks: Any, count: int) -> torch.Tensor:
    return torch.cat(list(islice(chunks, count)))[:count]


def test_the_content_of_another_video_is_told_and_a_name_may_stand_for_its_place(
    autoencoder: Autoencoder, tmp_path: Path
) -> None:
    film = str(write_film(tmp_path / "video.mkv", count=8))
    clip = clip_of(SOURCE, autoencoder, 4, {"shown.mp4": film})
    MotionTransfer(path="shown.mp4").named("motion").check(clip)
    by_path = SecondVideos(SOURCE.info, autoencoder, 4)
    assert clip.digests() == {"motion.path": by_path.source(film).digest()}
    assert clip.latents_of is not None
    assert torch.equal(first(clip.latents_of("shown.mp4"), 3), first(by_path.latents(film), 3))


def test_a_pattern_takes_the_size_the_rate_and_the_length_of_the_source(autoencoder: Autoencoder) -> None:
    frames = first(SecondVideos(SOURCE.info, autoencoder, 4).frames("bouncing_shapes"), 9)
    assert torch.equal(frames, frames_of(BouncingShapes(size="48x40", frames=9, fps="12")))


def test_a_film_is_cropped_resampled_and_begun_again(autoencoder: Autoencoder, tmp_path: Path) -> None:
    film = str(write_film(tmp_path / "other.mkv", count=8, size=(64, 48), fps=24))
    once = frames_of(Video(path=film, size="48x40", fps="12"))
    assert len(once) == 4
    frames = first(SecondVideos(SOURCE.info, autoencoder, 3).frames(film), 9)
    assert torch.equal(frames, torch.cat([once, once, once[:1]]))


def test_the_latents_of_a_companion_are_those_of_the_same_network(autoencoder: Autoencoder) -> None:
    latents = first(SecondVideos(SOURCE.info, autoencoder, 4).latents("plasma"), 9)
    clip = clip_of(SOURCE, autoencoder, 4)
    expected = torch.cat(
        list(autoencoder.encode(SecondVideos(SOURCE.info, autoencoder, 4).source("plasma").chunks(4)))
    )
    assert torch.equal(latents, expected)
    assert torch.equal(clip.second("plasma").take(9), expected)
    assert (clip.frames, clip.latents, clip.fps, clip.channels) == (9, 9, 12, 4)


def test_a_mask_of_an_odd_frame_is_read_as_large_as_that_and_covers_whole_cells(
    autoencoder: Autoencoder,
) -> None:
    odd = MovingCircle(size="51x37", frames=2)
    assert first(SecondVideos(odd.info, autoencoder, 2).frames("plasma"), 2).shape == (2, 3, 37, 51)
    latents = torch.zeros(2, 4, 5, 7)
    assert Mask.read("plasma").over(clip_of(odd, autoencoder, 2))(latents, 0).shape == (2, 1, 5, 7)


def test_a_still_mask_is_decoded_once_however_long_the_clip_is(
    autoencoder: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    Image.new("RGB", (48, 40), (255, 255, 255)).save(tmp_path / "mask.png")
    read: list[str] = []
    own = Video.chunks

    def chunks(self: Video, count: int) -> Iterator[torch.Tensor]:
        read.append(self.path)
        yield from own(self, count)

    monkeypatch.setattr(Video, "chunks", chunks)
    frames = first(SecondVideos(SOURCE.info, autoencoder, 3).frames(str(tmp_path / "mask.png")), 100)
    assert torch.equal(frames, torch.ones(100, 3, 40, 48))
    assert len(read) == 1


def test_a_mask_has_as_many_cells_as_the_latents_of_a_network_that_needs_two_at_least(
    network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    autoencoder = Folder(path=str(network_folders["AutoencoderKLLTX2Video"])).load(cpu)
    source = MovingCircle(size="37x33", frames=2)
    latents = torch.cat(list(autoencoder.encode(source.chunks(2))))
    assert latents.shape[-2:] == (2, 2)
    clip = clip_of(source, autoencoder, 2)
    masked = Noise(scale=1, mask="bouncing_shapes")
    masked.check(clip)
    changed = torch.cat(list(chain([masked], [latents], clip)))
    assert changed.shape == latents.shape


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "motion_transfer.path=: names no video; give a file, or one of: bars, bouncing_shapes"),
        ("plama", r"motion_transfer.path=plama: no such file, and no such pattern; did you mean plasma\?"),
        ("nowhere/clip.mp4", "motion_transfer.path=nowhere/clip.mp4: no such file"),
        (__file__, "motion_transfer.path=.*: "),
    ],
)
def test_a_companion_that_cannot_be_read_is_named_by_its_own_setting(
    autoencoder: Autoencoder, path: str, sentence: str
) -> None:
    with pytest.raises((SettingError, SourceError), match=sentence):
        MotionTransfer(path=path).check(clip_of(SOURCE, autoencoder, 4))
    if path:
        with pytest.raises((SettingError, SourceError), match="^grain.mask="):
            Noise(mask=path).named("grain").check(clip_of(SOURCE, autoencoder, 4))


@pytest.fixture
def run(network_folders: dict[str, Path], tmp_path: Path) -> Any:
    def run_it(*manipulations: Any, network: str = "AutoencoderKL", **parts: Any) -> dict[str, Any]:
        folder = tmp_path / "run"
        folder.mkdir()
        model = Folder(path=str(network_folders[network]))
        Experiment(
            **({"source": SOURCE, "batch_size": 4} | parts),
            model=model,
            manipulations=list(manipulations),
            output=FEW,
        ).run(folder)
        return {"folder": folder, **json.loads((folder / "metrics.json").read_text())}

    return run_it


def frame_count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_nothing_is_written_where_a_companion_is_missing(run: Any, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="motion_transfer.path=no.mp4"):
        run(MotionTransfer(path="no.mp4"))
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_with_a_companion_moves_the_first_latent_by_the_others_motion(
    run: Any, autoencoder: Autoencoder
) -> None:
    folder = run(MotionTransfer(path="plasma"))["folder"]
    own, changed = load_latents(folder), load_latents(folder, "changed")
    other = first(SecondVideos(SOURCE.info, autoencoder, 4).latents("plasma"), 9)
    assert torch.allclose(changed, own[:1] + other - other[:1], atol=1e-4)


def test_a_mask_from_a_still_picture_lets_only_its_white_part_change(run: Any, tmp_path: Path) -> None:
    from PIL import Image

    picture = np.zeros((40, 48, 3), np.uint8)
    picture[:, 24:] = 255
    Image.fromarray(picture).save(tmp_path / "mask.png")
    folder = run(Noise(scale=1, mask=str(tmp_path / "mask.png")))["folder"]
    change = (load_latents(folder, "changed") - load_latents(folder)).abs().amax((0, 1, 2))
    assert (change[:3] < 1e-6).all()
    assert (change[3:] > 0.5).all()


@pytest.mark.parametrize(("speed", "count"), [(0.5, 18), (3.0, 3)])
def test_a_retimed_video_has_another_length_and_the_others_keep_theirs(
    run: Any, speed: float, count: int
) -> None:
    metrics = run(Retime(speed=speed))
    folder = metrics["folder"]
    assert frame_count(folder / "reconstructed_with_retime.mp4") == count
    assert frame_count(folder / "original.mp4") == frame_count(folder / "reconstructed.mp4") == 9
    assert frame_count(folder / "comparison.mp4") == max(count, 9)
    assert metrics["frames"] == 9
    assert metrics["reconstructed_with_retime"]["frames"] == count
    assert "frames" not in metrics["reconstructed"]
    assert len(load_latents(folder, "changed")) == count
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert len(rows) == 10
    assert rows[9].endswith(",,") == (count < 9)


def test_what_comes_after_a_retiming_knows_the_new_length(run: Any) -> None:
    """A ramp over the retimed clip ends at its last latent, not in its middle."""
    metrics = run(Retime(speed=0.5), Noise(scale="ramp(0,1)"))
    changed = load_latents(metrics["folder"], "changed")
    folder_noise = changed[-1]
    assert len(changed) == 18
    assert metrics["reconstructed_with_retime_noise"]["frames"] == 18
    own = load_latents(metrics["folder"])
    assert float((folder_noise - own[-1]).std()) == pytest.approx(1, abs=0.15)
    assert torch.allclose(changed[0], own[0], atol=1e-5)


def test_a_temporal_model_is_retimed_in_groups_behind_its_first_frame(run: Any) -> None:
    metrics = run(Retime(speed=0.5), network="AutoencoderKLWan")
    assert metrics["latents"]["shape"][0] == 3
    assert metrics["reconstructed_with_retime"]["frames"] == 1 + 4 * 4


@pytest.mark.parametrize(
    ("frames", "speed", "promised"), [(6, 0.5, 11), (8, 0.5, 15), (7, 2.0, 4), (3, 0.25, 9), (2, 3.0, 1)]
)
def test_a_clip_whose_last_group_is_not_full_is_retimed_to_the_frames_that_were_promised(
    run: Any, frames: int, speed: float, promised: int
) -> None:
    """The first frame stands alone, and each of the others takes 1 / speed of its time."""
    source = MovingCircle(size="48x40", frames=frames, fps="12")
    metrics = run(Retime(speed=speed), network="AutoencoderKLWan", source=source)
    assert metrics["reconstructed_with_retime"]["frames"] == promised
    assert frame_count(metrics["folder"] / "reconstructed_with_retime.mp4") == promised
    assert frame_count(metrics["folder"] / "reconstructed.mp4") == frames


def test_what_comes_after_a_retiming_is_checked_against_the_new_length(run: Any, tmp_path: Path) -> None:
    for speed, count in ((0.5, 18), (3.0, 3)):
        sentence = f"freeze.frame={count}: the clip has {count} frames; name one of 0 to {count - 1}"
        with pytest.raises(SettingError, match=sentence):
            run(Retime(speed=speed), Freeze(frame=count))
        (tmp_path / "run").rmdir()
    folder = run(Retime(speed=0.5), Freeze(frame=16))["folder"]
    changed = load_latents(folder, "changed")
    assert torch.equal(changed[16], changed[17])
    assert not torch.equal(changed[15], changed[16])


def test_reverse_of_a_run_is_the_decoded_clip_backwards(run: Any) -> None:
    folder = run(Reverse())["folder"]
    assert torch.equal(load_latents(folder, "changed"), load_latents(folder).flip(0))


def test_the_temperature_of_the_posterior_scales_what_the_encoder_is_unsure_of(
    run: Any, autoencoder: Autoencoder
) -> None:
    folder = run(PosteriorTemperature(temperature=2))["folder"]
    change = load_latents(folder, "changed") - load_latents(folder)
    spread = torch.cat(list(autoencoder.posterior_std(SOURCE.chunks(4))))
    assert (spread > 0).all()
    assert float((change / spread).std()) == pytest.approx(2, rel=0.05)


def test_an_encoder_with_one_answer_has_no_spread(
    network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    autoencoder = Folder(path=str(network_folders["AutoencoderDC"])).load(cpu)
    assert not torch.cat(list(autoencoder.posterior_std(SOURCE.chunks(4)))).any()
