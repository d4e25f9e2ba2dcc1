"""Decoded videos as ffv1, prores and webm: the same frames at the same times beside the same sound, whole or absent."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import imageio.v3 as iio
import numpy as np
import pytest

from tests.clicks import heard, shown, write_film
from tests.test_formats import UNEVEN, run
from tests.test_formats import read as read_source
from tests.test_writers import read, soft_clip
from vae_experiments import MovingCircle, Noise, Output
from vae_experiments.errors import SettingError
from vae_experiments.sources import SourceInfo
from vae_experiments.tensors import Size
from vae_experiments.writers import FORMATS, OutputClock

if TYPE_CHECKING:
    from tests.test_formats import Runner

__all__ = ["run"]
VIDEOS = {"ffv1": "ffv1", "prores": "prores", "webm": "vp9"}
MATROSKA = {"ffv1", "webm"}
CLICKS = [0.1, 0.5, 2.0, 2.5]
TENTH = OutputClock(Fraction(10))


def write(folder: Path, name: str, pixels: np.ndarray, clock: OutputClock, sound: Path | None = None) -> Path:
    """Write a clip, of which nothing is remarked."""
    path, remarks = folder / f"clip{FORMATS[name].suffix}", list[str]()
    size = Size(pixels.shape[2], pixels.shape[1])
    with FORMATS[name].open(path, size, clock, remarks.append, sound) as copy:
        copy.write(pixels[:3])
        copy.write(pixels[3:])
    assert remarks == []
    return path


def pngs(folder: Path) -> np.ndarray:
    return np.stack([iio.imread(path) for path in sorted(folder.iterdir())])


@pytest.mark.slow
def test_a_run_writes_what_was_measured(run: Runner) -> None:
    folder = run([*VIDEOS, "png", "apng"]).folder
    for name in ("reconstructed", "reconstructed_with_noise", "comparison"):
        png, apng = folder / f"{name}_png", folder / f"{name}.apng"
        measured = pngs(png) if png.exists() else np.stack([*iio.imiter(apng)])
        for kind in VIDEOS:
            path = folder / f"{name}{FORMATS[kind].suffix}"
            pixels, stream = read(path)
            assert pixels.shape == measured.shape
            apart = pixels.astype(int) - measured
            if kind == "webm":  # colours have half the resolution there
                apart = apart @ [0.2126, 0.7152, 0.0722]
            assert np.abs(apart).mean() <= {"ffv1": 0, "prores": 1, "webm": 4}[kind], path
            assert stream.average_rate == 12
            assert shown(path) == pytest.approx([n / 12 for n in range(13)], abs=0.002)
    assert not (folder / "original.mkv").exists()


@pytest.mark.parametrize("kind", VIDEOS)
def test_codec_and_colours_are_tagged(tmp_path: Path, kind: str) -> None:
    _, stream = read(write(tmp_path, kind, soft_clip(), TENTH))
    context = stream.codec_context
    assert context.name == VIDEOS[kind]
    assert (context.color_primaries, context.color_trc) == (1, 1), "BT.709"
    matrix, colour_range = (0, 2) if kind == "ffv1" else (1, 1)
    assert (context.colorspace, context.color_range) == (matrix, colour_range)


@pytest.mark.parametrize("size", [Size(63, 47), Size(64, 47), Size(1, 1), Size(127, 93)], ids=str)
def test_an_odd_size_is_never_changed(tmp_path: Path, size: Size) -> None:
    for kind, most in (("ffv1", 0), ("prores", 1), ("webm", 3)):
        clip = soft_clip(4, size)
        pixels, _ = read(write(tmp_path, kind, clip, TENTH))
        assert pixels.shape == clip.shape
        assert np.abs(pixels.astype(int) - clip).mean() <= most


def test_noise_stays_within_a_level_in_prores_and_is_exact_in_ffv1(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 96, 128, 3), np.uint8)
    assert np.array_equal(read(write(tmp_path, "ffv1", noise, TENTH))[0], noise)
    back, _ = read(write(tmp_path, "prores", noise, TENTH))
    assert np.abs(back.astype(int) - noise).mean() < 1


@pytest.mark.parametrize("kind", VIDEOS)
def test_each_frame_keeps_its_time_and_the_last_one_lasts(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, soft_clip(8), OutputClock(8 / UNEVEN[-1], UNEVEN))
    exact = [float(time) for time in UNEVEN]
    with av.open(str(path)) as container:
        begins = [frame.time for frame in container.decode(video=0)]
        assert container.duration == pytest.approx(exact[-1] * 10**6, abs=1000)
    assert begins == pytest.approx(exact[:-1], abs=0.0005001 if kind in MATROSKA else 1e-6)


@pytest.mark.parametrize("kind", VIDEOS)
def test_after_frames_of_one_moment_the_others_catch_up(tmp_path: Path, kind: str) -> None:
    times = [Fraction(n) for n in ("0", "0", "0", "0.1", "0.2")]
    path = write(tmp_path, kind, soft_clip(4), OutputClock(4 / times[-1], times))
    with av.open(str(path)) as container:
        begins = [float(frame.time or 0) for frame in container.decode(video=0)]
    assert begins == pytest.approx([0, 0.001, 0.002, 0.1] if kind in MATROSKA else [0, 0, 0, 0.1], abs=1e-4)
    assert sorted({*begins}) == begins


@pytest.mark.parametrize(
    ("name", "settings", "carried"),
    [
        ("a.mkv", {}, {"ffv1": "aac", "prores": "aac", "webm": "opus"}),
        ("a.mkv", {"layout": "5.1"}, {"ffv1": "aac", "prores": "aac", "webm": "opus"}),
        ("a.mkv", {"rate": 44100}, {"ffv1": "aac", "prores": "aac", "webm": "opus"}),
        ("a.mkv", {"codec": "libopus"}, {"ffv1": "opus", "prores": "aac", "webm": "opus"}),
        ("a.mkv", {"codec": "flac"}, {"ffv1": "flac", "prores": "aac", "webm": "opus"}),
        ("a.mov", {"codec": "aac"}, {"ffv1": "aac", "prores": "aac", "webm": "opus"}),
        ("a.ts", {"codec": "aac"}, {"ffv1": "aac", "prores": "aac", "webm": "opus"}),
        ("a.mov", {"codec": "alac"}, {"ffv1": "alac", "prores": "alac", "webm": "opus"}),
        ("a.mkv", {"codec": "ac3"}, {"ffv1": "ac3", "prores": "ac3", "webm": "opus"}),
        ("a.mkv", {"picture_begins": Fraction(1)}, {"ffv1": "aac", "prores": "aac", "webm": "opus"}),
    ],
    ids=str,
)
def test_a_click_is_heard_when_it_was_whether_sound_is_copied_or_encoded(
    tmp_path: Path, name: str, settings: dict[str, Any], carried: dict[str, str]
) -> None:
    write_film(tmp_path / name, CLICKS, **settings)
    expected = [click - settings.get("picture_begins", 0) for click in CLICKS]
    for kind, codec in carried.items():
        path = write(tmp_path, kind, np.zeros((30, 48, 64, 3), np.uint8), TENTH, tmp_path / name)
        with av.open(str(path)) as container:
            assert container.streams.audio[0].codec_context.name == codec
        assert heard(path) == pytest.approx([at for at in expected if at > 0], abs=0.005), kind
        assert len(shown(path)) == 31


@pytest.mark.slow
@pytest.mark.parametrize("kind", VIDEOS)
def test_a_long_hole_in_the_sound_stays_a_hole(tmp_path: Path, kind: str) -> None:
    write_film(tmp_path / "hole.mkv", [0.5, 99.5], seconds=100, pieces=[(0, 1), (99, 100)])
    path = write(tmp_path, kind, np.zeros((1000, 48, 64, 3), np.uint8), TENTH, tmp_path / "hole.mkv")
    assert heard(path) == pytest.approx([0.5, 99.5], abs=0.01)


def test_a_track_of_opus_is_the_same_packet_for_packet_in_webm(tmp_path: Path) -> None:
    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    write_film(tmp_path / "a.mkv", CLICKS, codec="libopus")
    path = write(tmp_path, "webm", np.zeros((30, 48, 64, 3), np.uint8), TENTH, tmp_path / "a.mkv")
    assert packets(path) == packets(tmp_path / "a.mkv")


def test_more_frames_a_second_than_matroska_counts_are_refused_before_any_work() -> None:
    info = SourceInfo.steady(Size(64, 48), Fraction(2000), 9)
    for kind in MATROSKA:
        with pytest.raises(SettingError, match="takes at most 1000 frames a second, and here are 2000"):
            Output(formats=[kind]).check(info, 9, videos=3)
    Output(formats=["prores"]).check(info, 9, videos=3)
    Output(formats=[*VIDEOS]).check(SourceInfo.steady(Size(640, 480), Fraction(25), 10**6), 10**6, videos=3)


KILLED = """
import os, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from vae_experiments.tensors import Size
from vae_experiments.writers import FORMATS, OutputClock
noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
with FORMATS[sys.argv[1]].open(Path(sys.argv[2]), Size(64, 64), OutputClock(Fraction(8)), print) as copy:
    copy.write(noise)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")
@pytest.mark.parametrize("kind", VIDEOS)
def test_a_killed_writer_leaves_no_video_under_its_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"clip{FORMATS[kind].suffix}"
    assert subprocess.run([sys.executable, "-c", KILLED, kind, str(path)]).returncode == -9
    assert not path.exists()
    assert all(left.name.startswith(".") for left in tmp_path.iterdir())


def test_a_video_of_another_kind_is_a_source_again_with_the_same_frames(run: Runner) -> None:
    folder = run(["ffv1"], Noise(), source=MovingCircle(size="47x33", frames=5, fps="7")).folder
    pixels, info = read_source(folder / "reconstructed_with_noise.mkv")
    assert np.array_equal(pixels, read(folder / "reconstructed_with_noise.mkv")[0])
    assert (info.frames, info.fps) == (5, Fraction(7))
    assert not info.remarks
