"""The sound of a stretch of a clip, and of a clip at another speed: its clicks stay beside their pictures."""

from __future__ import annotations

import os
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import imageio_ffmpeg
import numpy as np
import pytest

from tests.clicks import CLICK, heard, shown, write_film
from tests.sources.conftest import write_film as write_pictures
from vae_experiments import Experiment, Folder, Noise
from vae_experiments.manipulations import Retime, playing_speed
from vae_experiments.runtime.interruption import unfinished
from vae_experiments.sources import Sound, Video
from vae_experiments.writers import cut_sound, open_mp4

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLICKS = [0.1, 0.5, 0.9, 1.3, 2.0, 2.5]
EXACT = 0.005
FRAME = 1 / 24


def carried(source: Path, speed: float = 1.0, **settings: Any) -> tuple[Path, list[str]]:
    """Write black pictures beside the sound of a video's stretch; give the file, and what was said of the sound."""
    info, path, said = Video(path=str(source), **settings).info, source.with_name("carried.mp4"), list[str]()
    assert isinstance(info.sound, Sound)
    seconds = info.sound.seconds or info.end
    with (
        cut_sound(info.sound.path, path.parent, info.sound.start, seconds, speed, said.append) as sound,
        open_mp4(path, info.size, info.fps, sound, info.uneven, said.append) as video,
    ):
        video.write(np.zeros((info.frames, info.size.height, info.size.width, 3), np.uint8))
    assert not list(path.parent.glob(".*")), "the cut is gone"
    return path, said


def long(clicks: Sequence[float]) -> list[float]:
    """Make each click of ten: of one that is shorter than what ffmpeg puts together, it may leave out a part."""
    return [click + number * CLICK for click in clicks for number in range(10)]


def with_vorbis(source: Path, path: Path) -> Path:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(source), "-c:v", "libvpx"]
    subprocess.run([*command, "-c:a", "libvorbis", str(path)], check=True)
    return path


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {"codec": "aac"}),
        ("a.mp4", {"codec": "aac", "film_codec": "libx264"}),
        ("a.mov", {}),
        ("12:30 %03d's ä.mkv", {"layout": "stereo", "rate": 44100}),
        ("a.mkv", {"layout": "5.1"}),
        ("a.ts", {"codec": "aac"}),
        ("a.avi", {}),
        ("a.webm", {"codec": "libopus", "film_codec": "libvpx"}),
        ("a.mp4", {"codec": "aac", "picture_begins": Fraction(1, 2)}),
        ("a.ts", {"codec": "mp2", "picture_begins": Fraction(1), "sound_begins": 0.7}),
        ("a.mkv", {"codec": "aac", "picture_begins": Fraction(1), "sound_begins": 1.3}),
        ("a.mov", {"sound_begins": 1.1}),
        ("a.mkv", {"pieces": [(0, 1.2), (1.9, 3)]}),
    ],
    ids=str,
)
def test_a_stretch_has_its_clicks_beside_its_pictures(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    """It begins at the eighth picture, which is none that a decoder could begin with."""
    write_film(tmp_path / name, CLICKS, **settings)
    path, said = carried(tmp_path / name, start=0.7, frames=15)
    late = settings.get("sound_begins", 0) - float(settings.get("picture_begins", 0))
    begin, end = (
        settings.get("pieces", [(0, 0), (0, 0)])[0][1],
        settings.get("pieces", [(0, 0), (0, 0)])[1][0],
    )
    clicks = [click + late - 0.7 for click in CLICKS if not begin < click < end]
    assert said == []
    assert heard(path) == pytest.approx([click for click in clicks if 0 < click < 1.5], abs=EXACT)


def test_a_stretch_of_vorbis_in_a_webm_has_its_clicks_beside_its_pictures(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mkv", CLICKS)
    path, _ = carried(with_vorbis(tmp_path / "a.mkv", tmp_path / "a.webm"), start=0.7, frames=15)
    assert heard(path) == pytest.approx([0.2, 0.6, 1.3], abs=EXACT)


def test_the_sound_of_a_stretch_is_as_long_as_its_pictures(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mov", CLICKS)
    with (
        cut_sound(tmp_path / "a.mov", tmp_path, Fraction(1, 3), Fraction(3, 2)) as cut,
        av.open(str(cut)) as file,
    ):
        frames = [*file.decode(audio=0)]
    assert frames[0].pts == 0
    assert sum(frame.samples for frame in frames) == 72000


def test_frames_that_last_differently_keep_their_clicks_in_a_stretch(tmp_path: Path) -> None:
    times = [Fraction(number, 30) for number in range(30)] + [1 + Fraction(number, 5) for number in range(10)]
    write_film(tmp_path / "a.mkv", CLICKS, codec="aac", times=times)
    path, _ = carried(tmp_path / "a.mkv", start=0.7, frames=14)
    assert shown(path)[-1] == pytest.approx(1.3, abs=EXACT), "nine at 30 fps, and five at 5"
    assert heard(path) == pytest.approx([0.2, 0.6], abs=EXACT)


def test_frames_that_are_resampled_by_time_keep_their_clicks(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mkv", CLICKS)
    path, _ = carried(tmp_path / "a.mkv", start=0.75, frames=6, fps="4")
    assert heard(path) == pytest.approx([0.15, 0.55, 1.25], abs=EXACT)


def test_a_stretch_without_sound_says_so(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mov", CLICKS, sound_begins=1.0)
    path, said = carried(tmp_path / "a.mov", frames=8)
    assert said == ["sound: there is none in this part of the clip"]
    assert heard_nothing(path)


def heard_nothing(path: Path) -> bool:
    with av.open(str(path)) as container:
        return not container.streams.audio


def test_a_clock_that_jumps_back_leaves_out_the_sound_of_a_stretch_behind_it(tmp_path: Path) -> None:
    options = {"codec": "libx264", "pix_fmt": "yuv420p", "options": {"bf": "0"}}
    pictures = write_pictures(tmp_path / "pictures.ts", 24, **options)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(pictures), "-f", "lavfi"]
    tone = ["-i", "sine=frequency=440:duration=2", "-c:v", "copy", "-c:a", "mp2"]
    tone += ["-mpegts_flags", "+initial_discontinuity", str(tmp_path / "tone.ts")]
    subprocess.run([*command, *tone], check=True)
    (tmp_path / "a.ts").write_bytes((tmp_path / "tone.ts").read_bytes() * 2)
    info = Video(path=str(tmp_path / "a.ts"), start=3.0).info
    left_out = "the sound is left out: the file's own clock does not tell when these frames begin"
    assert (info.sound, info.remarks[-1]) == (None, left_out)
    before = Video(path=str(tmp_path / "a.ts"), start=0.5, frames=6).info
    assert before.sound == Sound(tmp_path / "a.ts", Fraction(1, 2), Fraction(1, 2))
    assert Video(path=str(tmp_path / "a.ts")).info.sound == Sound(tmp_path / "a.ts")


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.8, 1.5, 2, 5])
@pytest.mark.parametrize(
    ("name", "settings"),
    [("a.mp4", {"codec": "aac"}), ("a.mov", {"rate": 16000, "picture_begins": Fraction(1, 2)})],
    ids=str,
)
def test_sound_at_another_speed_has_its_clicks_beside_its_pictures(
    tmp_path: Path, name: str, settings: dict[str, Any], speed: float
) -> None:
    clicks = [0.7, 1.7, 2.7]
    write_film(
        tmp_path / name, long(clicks), seconds=4, times=[Fraction(n, 10) for n in range(40)], **settings
    )
    path, said = carried(tmp_path / name, speed)
    late = -float(settings.get("picture_begins", 0))
    assert said == []
    assert heard(path) == pytest.approx(
        [(click + late) / speed for click in clicks], abs=FRAME if speed >= 0.5 else FRAME / speed
    )


def test_sound_that_begins_late_and_has_a_hole_keeps_both_at_another_speed(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mkv", long(CLICKS), pieces=[(0, 0.7), (1.9, 3)], sound_begins=0.4)
    path, _ = carried(tmp_path / "a.mkv", 0.5)
    assert heard(path) == pytest.approx([1.0, 1.8, 4.8, 5.8], abs=FRAME)


@pytest.mark.parametrize("speed", [0.3, 2.5])
def test_sound_at_another_speed_keeps_its_pitch(tmp_path: Path, speed: float) -> None:
    write_film(tmp_path / "a.mkv", [0.0], seconds=1)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "a.mkv")]
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1", "-map", "0:v", "-map", "1:a"]
    subprocess.run([*command, *tone, str(tmp_path / "tone.mkv")], check=True)
    with (
        cut_sound(tmp_path / "tone.mkv", tmp_path, Fraction(0), Fraction(1), speed) as cut,
        av.open(str(cut)) as file,
    ):
        wave = np.concatenate([frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)])
        rate = file.streams.audio[0].rate
    assert len(wave) == pytest.approx(rate / speed, abs=rate / 100)
    middle = wave[len(wave) // 4 : -len(wave) // 4]
    strongest = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax()
    assert strongest * rate / len(middle) == pytest.approx(440, rel=0.02)


def test_a_chain_plays_at_the_product_of_its_speeds_where_each_is_a_number() -> None:
    assert playing_speed([]) == playing_speed([Noise()]) == 1
    assert playing_speed([Retime(speed=0.5)]) == 0.5
    assert playing_speed([Retime(speed=4, strength=0.5)]) == 2
    assert playing_speed([Retime(speed=0.5), Noise(), Retime(speed=3)]) == 1.5
    assert playing_speed([Retime(speed=0.5), Retime(speed="0s:1 1s:2")]) is None


@pytest.fixture
def run(network_folders: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """Run an experiment on a video and a small network."""

    def run_it(source: Path, *links: Any, **settings: Any) -> Path:
        folder = tmp_path / "run"
        folder.mkdir()
        model = Folder(path=str(network_folders["AutoencoderDC"]))
        Experiment(Video(path=str(source), **settings), links or [Noise()], model, batch_size=8).run(folder)
        assert sorted(folder.glob(".*")) == []
        return folder

    return run_it


def test_every_video_of_a_stretch_has_its_sound(run: Callable[..., Path], tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", CLICKS, codec="aac")
    folder = run(tmp_path / "a.mp4", start=0.7, frames=15)
    for name in ("original", "reconstructed", "reconstructed_with_noise", "comparison"):
        assert heard(folder / f"{name}.mp4") == pytest.approx([0.2, 0.6, 1.3], abs=EXACT), name
        assert len(shown(folder / f"{name}.mp4")) == 16


@pytest.mark.parametrize("speed", [0.5, 2])
def test_only_the_changed_video_is_heard_at_another_speed(
    run: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, speed: float
) -> None:
    caplog.set_level("INFO")
    write_film(tmp_path / "a.mov", long(CLICKS))
    folder = run(tmp_path / "a.mov", Retime(speed=speed), start=0.3, frames=16)
    expected = [0.2, 0.6, 1.0]
    for name in ("original", "reconstructed"):
        assert heard(folder / f"{name}.mp4") == pytest.approx(expected, abs=EXACT), name
    changed = heard(folder / "reconstructed_with_retime.mp4")
    assert changed == pytest.approx([click / speed for click in expected], abs=FRAME)
    assert heard_nothing(folder / "comparison.mp4")
    assert "sound: at the speed of the changed video there, left out of the comparison" in caplog.text


@pytest.mark.parametrize("is_uneven", [False, True])
def test_what_has_no_one_speed_leaves_the_changed_video_without_sound(
    run: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, is_uneven: bool
) -> None:
    """A schedule has none, and neither have frames that stray far from a steady rate, at which they come out."""
    caplog.set_level("INFO")
    times = [Fraction(number, 30) for number in range(6)] + [Fraction(number, 5) for number in range(1, 4)]
    write_film(tmp_path / "a.mkv", [0.5], seconds=0.8, times=times if is_uneven else None)
    folder = run(tmp_path / "a.mkv", Retime(speed=0.5 if is_uneven else "0s:1 1s:2"))
    assert heard(folder / "original.mp4") == pytest.approx([0.5], abs=EXACT)
    assert heard_nothing(folder / "reconstructed_with_retime.mp4")
    assert "sound: left out of the changed video and of the comparison" in caplog.text


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def test_the_whole_clip_is_copied_bit_for_bit_and_asks_no_ffmpeg(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    write_film(tmp_path / "a.mp4", CLICKS, codec="aac")
    folder = run(tmp_path / "a.mp4", Retime(speed=0.5, strength=0.0))
    for name in ("original", "reconstructed", "reconstructed_with_retime"):
        assert packets_of(folder / f"{name}.mp4") == packets_of(tmp_path / "a.mp4"), name


@pytest.mark.skipif(os.name == "nt", reason="a script stands for ffmpeg")
@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (None, "sound: left out, ffmpeg cannot be started (No such file or directory: "),
        ("echo '[aac @ 0x5] no.' >&2; exit 1", "sound: left out, ffmpeg cannot cut it (no.)"),
        ("kill -9 $$", "sound: left out, ffmpeg cannot cut it (it does not say why)"),
    ],
)
def test_without_an_ffmpeg_that_works_the_videos_are_written_and_one_line_says_what_is_missing(
    run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    script: str | None,
    sentence: str,
) -> None:
    if script:
        (tmp_path / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "ffmpeg"))
    write_film(tmp_path / "a.mp4", CLICKS, codec="aac")
    folder = run(tmp_path / "a.mp4", Retime(speed=2.0), start=0.7, frames=8)
    warnings = [record.getMessage() for record in caplog.records if "sound" in record.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith(sentence)
    assert len(shown(folder / "original.mp4")) == 9
    assert heard_nothing(folder / "original.mp4")
    assert heard_nothing(folder / "reconstructed_with_retime.mp4")


def test_a_cut_is_gone_after_an_error_too(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mov", CLICKS)

    def fail_with_it() -> None:
        with cut_sound(tmp_path / "a.mov", tmp_path, Fraction(1), Fraction(1)) as cut:
            assert cut in unfinished, "what a signal takes away"
            assert cut.name.startswith(".sound.")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_with_it()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mov"]
    assert not unfinished


def test_a_damaged_part_is_silent_and_what_follows_is_in_step(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mkv", CLICKS, codec="mp2")
    content, at = bytearray((tmp_path / "a.mkv").read_bytes()), 0
    with av.open(str(tmp_path / "a.mkv")) as container:
        for packet in container.demux(audio=0):
            at = content.index(bytes(packet), at)
            if packet.pts is not None and 1.0 <= packet.pts * packet.time_base < 1.5:
                content[at : at + packet.size] = b"\x55" * packet.size
            at += packet.size
    (tmp_path / "a.mkv").write_bytes(content)
    path, said = carried(tmp_path / "a.mkv", start=0.7, frames=15)
    assert heard(path) == pytest.approx([0.2, 1.3], abs=0.01)
    assert len(said) == 1
    assert said[0].startswith("sound: damaged, silent where it is (")
