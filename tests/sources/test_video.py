from __future__ import annotations

import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from tests.sources.conftest import drawn, numbers_of, pixels_of, write_film, write_gif, write_pictures
from vae_experiments.errors import SettingError, SourceError
from vae_experiments.sources import Sound, Video
from vae_experiments.sources.resize import Fit

if TYPE_CHECKING:
    from pathlib import Path

ROTATIONS = {
    "quarter turn": [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30],
    "half turn": [-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30],
    "three quarters": [0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30],
    "left-right mirror": [-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30],
    "up-down mirror": [65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30],
    "transposed": [0, 65536, 0, 65536, 0, 0, 0, 0, 1 << 30],
}


def video(path: Path, **settings: Any) -> Video:
    return Video(path=str(path), **settings)


def test_every_frame_comes_once_in_order_and_bit_for_bit(film: Path) -> None:
    info = video(film).info
    assert (info.size, info.fps, info.frames, info.remarks) == ((64, 48), 12, 24, ())
    assert np.array_equal(pixels_of(video(film)), np.stack([drawn(number) for number in range(24)]))


def test_frames_are_float_tensors_of_the_contract(film: Path) -> None:
    chunks = list(video(film).chunks(10))
    assert [chunk.shape for chunk in chunks] == [(10, 3, 48, 64), (10, 3, 48, 64), (4, 3, 48, 64)]
    assert chunks[0].dtype == torch.float32


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"size": "33x20"},
        {"size": "50", "fit": Fit.pad},
        {"fps": "7", "start": 0.3, "size": "20"},
        {"frames": 12},
    ],
)
def test_chunk_size_changes_nothing_and_a_source_reads_twice(film: Path, settings: dict[str, Any]) -> None:
    source = video(film, **settings)
    whole = pixels_of(source, 100)
    assert len(whole) == source.info.frames
    for count in (1, 4, 12):
        assert np.array_equal(pixels_of(source, count), whole)


def test_two_readers_of_one_source_do_not_disturb_each_other(film: Path) -> None:
    source = video(film)
    pairs = list(zip(source.chunks(5), source.chunks(5), strict=True))
    assert len(pairs) == 5
    assert all(torch.equal(first, second) for first, second in pairs)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("b.webm", "libvpx-vp9", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("b.avi", "libx264", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.flv", "flv1", "yuv420p"),
    ],
)
def test_the_usual_kinds_of_files_give_every_frame(
    tmp_path: Path, name: str, codec: str, pix_fmt: str
) -> None:
    fps = 25 if name == "a.mpg" else Fraction(30000, 1001)
    source = video(write_film(tmp_path / name, fps=fps, codec=codec, pix_fmt=pix_fmt, options={"b": "4M"}))
    assert (source.info.frames, source.info.fps, source.info.size) == (24, fps, (64, 48))
    assert (np.diff(numbers_of(source)) >= 0).all()
    assert np.abs(pixels_of(source).astype(int) - np.stack([drawn(n) for n in range(24)])).mean() < 6


def test_hidden_frames_of_vp8_are_not_counted(tmp_path: Path) -> None:
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "100k"}
    source = video(write_film(tmp_path / "a.webm", 60, codec="libvpx", pix_fmt="yuv420p", options=options))
    assert source.info.frames == 60 == len(pixels_of(source))


@pytest.mark.parametrize(
    ("size", "pix_fmt"), [((127, 93), "yuv444p"), ((1, 1), "yuv444p"), ((8, 200), "yuv444p")]
)
def test_odd_and_extreme_sizes_stay_as_they_are(tmp_path: Path, size: tuple[int, int], pix_fmt: str) -> None:
    source = video(write_film(tmp_path / "a.mkv", 3, size, pix_fmt=pix_fmt))
    assert source.info.size == size
    assert pixels_of(source).shape == (3, size[1], size[0], 3)


@pytest.mark.parametrize("name", ROTATIONS)
def test_a_turned_film_is_shown_upright_as_ffmpeg_shows_it(tmp_path: Path, name: str) -> None:
    path = write_film(tmp_path / "a.mov", 3, codec="qtrle", pix_fmt="rgb24", matrix=ROTATIONS[name])
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", path, "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    source = video(path)
    shown = np.frombuffer(raw, np.uint8).reshape(3, source.info.size.height, source.info.size.width, 3)
    assert np.array_equal(pixels_of(source), shown)
    stored = video(path, rotate=False)
    assert stored.info.size == (64, 48)
    assert np.array_equal(pixels_of(stored), np.stack([drawn(number) for number in range(3)]))


def test_a_variable_rate_keeps_its_frames_and_says_so(tmp_path: Path) -> None:
    ticks = [0, 1, 2, 3, 7, 11]
    path = write_film(tmp_path / "a.mp4", 6, codec="libx264", pix_fmt="yuv444p", ticks=ticks)
    info = video(path).info
    assert (info.frames, len(pixels_of(video(path)))) == (6, 6)
    assert "variable frame rate, 0.083 to 0.333 s a frame" in info.remarks[0]
    steady = video(path, fps="12")
    assert steady.info.frames == len(pixels_of(steady))
    assert np.allclose(numbers_of(steady)[:12], [0, 1, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5], atol=1)
    assert "resampled by time" in steady.info.remarks[0]


def test_start_and_frames_trim_the_clip(film: Path) -> None:
    assert numbers_of(video(film, start=1.0)) == list(range(12, 24))
    assert numbers_of(video(film, start=0.5, frames=4)) == [6, 7, 8, 9]
    assert numbers_of(video(film, start=0.51, frames=1)) == [7]
    assert video(film, start=0.5, frames=4).info.frames == 4


def test_more_frames_than_there_are_give_what_there_is(film: Path) -> None:
    source = video(film, frames=500)
    assert source.info.frames == 24 == len(pixels_of(source))
    assert source.info.remarks == ("source.frames=500 asks for more than there are: 24",)


def test_a_start_after_the_end_is_refused(film: Path) -> None:
    with pytest.raises(SourceError, match=r"no frame begins at or after source\.start=2 s; begin earlier"):
        _ = video(film, start=2).info
    with pytest.raises(SourceError, match=r"no frame begins"):
        next(video(film, start=2).chunks(4))


def test_another_rate_repeats_or_leaves_out_frames(film: Path) -> None:
    assert numbers_of(video(film, fps="6")) == list(range(0, 24, 2))
    assert numbers_of(video(film, fps="24")) == [number // 2 for number in range(48)]
    assert numbers_of(video(film, fps="5", start=1, frames=3)) == [12, 14, 16]
    info = video(film, fps="30000/1001").info
    assert info.fps == Fraction(30000, 1001)
    assert info.frames == 60


@pytest.mark.parametrize("how", list(Fit))
def test_a_size_is_reached_in_each_way(film: Path, how: Fit) -> None:
    source = video(film, size="96x32", fit=how)
    assert source.info.size == (96, 32)
    assert pixels_of(source).shape == (24, 32, 96, 3)


def test_a_film_with_sound_names_it_and_the_stretch_of_it_that_is_chosen(film: Path, tmp_path: Path) -> None:
    sounding = with_tone(film, tmp_path / "sounding.mkv")
    for settings, start, seconds in (
        ({"start": 0.5}, Fraction(1, 2), Fraction(3, 2)),
        ({"start": 0.47}, Fraction(1, 2), Fraction(3, 2)),
        ({"start": 1.9}, Fraction(23, 12), Fraction(1, 12)),
        ({"start": 0.5, "frames": 6}, Fraction(1, 2), Fraction(1, 2)),
        ({"frames": 3}, 0, Fraction(1, 4)),
        ({"frames": 23}, 0, Fraction(23, 12)),
        ({"fps": "6", "frames": 11}, 0, Fraction(11, 6)),
        ({"fps": "6", "start": 0.47, "frames": 3}, Fraction(47, 100), Fraction(1, 2)),
    ):
        info = video(sounding, **settings).info
        assert (info.sound, info.remarks) == (Sound(sounding, Fraction(start), seconds), ()), settings
    for settings in (
        {"frames": 24},
        {"frames": 99},
        {"fps": "12"},
        {"fps": "6"},
        {"size": "32"},
        {"allow_partial": True},
    ):
        assert video(sounding, **settings).info.sound == Sound(sounding)
    assert video(film).info.sound is None


def with_tone(film: Path, path: Path) -> Path:
    """Copy a video of two seconds and put two seconds of sound beside it."""
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2"]
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(film), *tone]
    subprocess.run([*ffmpeg, "-c:v", "copy", "-c:a", "pcm_s16le", str(path)], check=True)
    return path


def test_transparent_films_are_shown_over_black(tmp_path: Path) -> None:
    import av

    with av.open(tmp_path / "a.mov", "w") as container:
        stream = container.add_stream("qtrle", rate=12)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "argb"
        layers = np.full((8, 8, 4), 200, np.uint8)
        layers[:, :4, 3], layers[:, 4:, 3] = 0, 100
        container.mux(stream.encode(av.VideoFrame.from_ndarray(layers, format="rgba")))
        container.mux(stream.encode(None))
    source = video(tmp_path / "a.mov")
    assert "alpha dropped: transparent parts are shown over black" in source.info.remarks
    assert pixels_of(source)[0, 0, :, 0].tolist() == [0] * 4 + [78] * 4


def test_titles_that_are_no_text_do_not_matter(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", metadata={"title": "caf--"})
    path.write_bytes(path.read_bytes().replace(b"caf--", b"caf\xe9\xff"))
    assert video(path).info.frames == 24


def test_a_frame_size_that_changes_is_refused(tmp_path: Path) -> None:
    parts = [
        write_film(tmp_path / f"{size[0]}.h264", 12, size, codec="libx264", pix_fmt="yuv420p")
        for size in ((64, 48), (96, 64))
    ]
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(SourceError, match="frame size changes 64x48 -> 96x64 at frame 12"):
        list(video(both).chunks(4))


def test_a_stream_without_timing_takes_the_rate_that_is_typed(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.h264", codec="libx264", pix_fmt="yuv420p")
    assert video(path).info.fps == 25
    assert any("no timing in the file, using 25 fps" in remark for remark in video(path).info.remarks)
    typed = video(path, fps="10", start=1)
    assert (typed.info.fps, typed.info.frames, len(pixels_of(typed))) == (10, 14, 14)


def test_giants_are_refused_before_they_are_decoded(film: Path) -> None:
    with pytest.raises(
        SourceError, match=r"64x48 = 0\.0 Mpixel a frame, over source\.max_pixels=3000; .*=3072"
    ):
        _ = video(film, max_pixels=3000).info
    with pytest.raises(SettingError, match=r"source\.size=99: more pixels than source\.max_pixels=3072"):
        video(film, max_pixels=3072, size="99")


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path, film: Path) -> None:
    path = tmp_path / "growing.mkv"
    path.write_bytes(film.read_bytes())
    chunks = video(path).chunks(4)
    next(chunks)
    path.write_bytes(film.read_bytes() + b"more")
    with pytest.raises(SourceError, match=r"changed while it was read; wait until it is written"):
        list(chunks)


def test_how_far_a_long_film_was_looked_over_is_said_meanwhile(
    film: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vae_experiments.sources.video_file.reader._SECONDS_BETWEEN_WORDS", 0)
    with caplog.at_level("INFO"):
        _ = video(film, max_pixels=64 * 49).info
    assert "source: looking the video over, 12 frames so far" in caplog.messages


def test_a_digest_follows_the_content_and_not_the_name(film: Path, tmp_path: Path) -> None:
    copy = tmp_path / "another name"
    copy.write_bytes(film.read_bytes())
    assert video(copy).digest() == video(film).digest()
    copy.write_bytes(film.read_bytes() + b"\0")
    assert video(copy).digest() != video(film).digest()


def test_a_digest_knows_every_setting_that_changes_frames(film: Path) -> None:
    different: list[dict[str, Any]] = [
        {},
        {"size": "32"},
        {"size": "32", "fit": Fit.pad},
        {"size": "32x31"},
        {"start": 0.5},
        {"frames": 3},
        {"fps": "6"},
        {"rotate": False},
        {"allow_partial": True},
    ]
    assert len({video(film, **settings).digest() for settings in different}) == len(different)
    same = [{"fit": Fit.pad}, {"max_pixels": 10**6}, {"start": 0}]
    assert {video(film, **settings).digest() for settings in same} == {video(film).digest()}
    assert (
        video(film, size="32", fps="29.97").digest() == video(film, size="32x32", fps="30000/1001").digest()
    )


def test_a_digest_of_pictures_follows_their_order_and_content(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", ["1.png", "2.png"])
    renamed = write_pictures(tmp_path / "b", ["x_07.png", "x_08.png"])
    swapped = write_pictures(tmp_path / "c", ["2.png", "1.png"])
    assert video(folder).digest() == video(renamed).digest() != video(swapped).digest()


def test_a_folder_of_one_animated_picture_is_another_source_than_the_picture(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    animated = write_gif(tmp_path / "folder" / "1.png", 3, duration=100)
    assert (video(animated).info.frames, video(animated.parent).info.frames) == (3, 1)
    assert video(animated).digest() != video(animated.parent).digest()


def test_wrong_settings_are_refused_with_their_rule() -> None:
    rules = [
        ({"size": "0"}, r"source\.size=0: must be one or two whole numbers"),
        ({"fps": "0"}, r"source\.fps=0: must be a rate such as 8"),
        ({"fps": "1001"}, r"source\.fps=1001: .*at most 1000"),
        ({"start": -1}, r"source\.start=-1: must be at least 0 seconds"),
        ({"start": float("nan")}, r"source\.start=nan: must be a finite number"),
        ({"frames": 0}, r"source\.frames=0: must be at least 1"),
    ]
    for settings, message in rules:
        with pytest.raises(SettingError, match=message):
            Video(path="clip.mp4", **settings)


def test_reading_leaves_the_log_of_other_users_of_ffmpeg_alone(film: Path, tmp_path: Path) -> None:
    import av

    before = av.logging.get_level()
    chunks = video(film).chunks(4)
    next(chunks)
    # A writer that fails between two chunks must not look like damage of the source.
    with av.open(tmp_path / "no.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 63, 47, "yuv420p"
        with pytest.raises(av.FFmpegError):
            stream.encode(av.VideoFrame(63, 47, "yuv420p"))
    assert av.logging.get_level() == before
    assert sum(map(len, chunks)) == 20


def test_an_abandoned_reader_closes_its_file(film: Path) -> None:
    chunks = video(film).chunks(4)
    next(chunks)
    chunks.close()  # a file left open would be a ResourceWarning, and so an error


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.apng"])
def test_animations_are_read_through_the_same_settings(tmp_path: Path, name: str) -> None:
    path = write_gif(tmp_path / name, 10, duration=100, loop=0)
    source = video(path, fps="5", start=0.2, size="32", frames=3)
    assert (source.info.fps, source.info.frames, source.info.size) == (5, 3, (32, 32))
    assert np.abs(np.array(numbers_of(source)) - [2, 4, 6]).max() <= 1
