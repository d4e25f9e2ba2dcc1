"""A stretch out of the middle is what a reading from the beginning gives there."""

from __future__ import annotations

import pickle
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from tests.sources.conftest import BAD_MEDIA, drawn, pixels_of, write_film, write_gif
from vae_experiments.errors import SourceError
from vae_experiments.sources import Video
from vae_experiments.sources.video_file import clip_reader as excerpts
from vae_experiments.sources.video_file.clip_reader import ClipReader, look_over
from vae_experiments.sources.video_file.decoding import decoded_from
from vae_experiments.sources.video_file.reader import VideoFile

if TYPE_CHECKING:
    from vae_experiments.tensors import Pixels

CLIPS = sorted((BAD_MEDIA.parent / "clips").glob("*.mp4"))
H264 = {"codec": "libx264", "pix_fmt": "yuv420p"}
OPEN = {"g": "10", "x264-params": "open-gop=1:bframes=3:scenecut=0:log-level=none"}
FILMS: dict[str, dict[str, Any]] = {
    "a.mp4": {**H264, "options": {"g": "12", "bf": "3"}},
    "open.mp4": {**H264, "options": OPEN},
    "open.mkv": {**H264, "options": OPEN},
    "refresh.mp4": {**H264, "options": {"g": "12", "x264-params": "intra-refresh=1:log-level=none"}},
    "a.ts": {**H264, "options": {"g": "12"}},
    "a.flv": {**H264, "options": {"g": "12"}},
    "b.avi": {**H264, "options": {"g": "12"}},
    "a.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "c.avi": {"codec": "mpeg4", "pix_fmt": "yuv420p", "options": {"g": "9", "bf": "2"}},
    "a.mpg": {"codec": "mpeg2video", "pix_fmt": "yuv420p", "fps": 25, "options": {"g": "9", "bf": "2"}},
    "a.webm": {"codec": "libvpx", "pix_fmt": "yuv420p", "options": {"g": "12", "auto-alt-ref": "1"}},
    "a.mov": {"codec": "qtrle", "pix_fmt": "rgb24", "matrix": [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]},
    "a.h264": {**H264, "options": {"g": "12"}},
    "a.mkv": {},
}


def read(clip: ClipReader, first: int, count: int) -> np.ndarray:
    return np.stack(clip.read(first, count, lambda pixels: pixels))


def whole(path: Path) -> Pixels:
    return pixels_of(Video(path=str(path)), 50)


def spoil(path: Path, first: int, last: int, share: float = 0.5) -> Path:
    """Invert what follows a fraction of some pictures in a video; all that tells where pictures are stays whole."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        places = [(packet.pos, packet.size) for packet in packets[first:last]]
    content = bytearray(path.read_bytes())
    for place, size in places:
        for index in range(place + int(share * size), place + size):
            content[index] ^= 255
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", FILMS)
def test_every_stretch_of_a_film_is_the_same_as_in_a_reading_from_the_first_frame(
    tmp_path: Path, name: str
) -> None:
    path = write_film(tmp_path / name, 60, **FILMS[name])
    frames = whole(path)
    clip = look_over(path)
    assert clip.frames == len(frames) == 60
    assert len(clip.starts) > 1 or name == "a.h264"
    for first in range(58):
        assert np.array_equal(read(clip, first, 3), frames[first : first + 3]), first


@pytest.mark.skipif(not CLIPS, reason="the shared clips are not beside this checkout")
@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
@pytest.mark.slow
def test_a_real_clip_is_the_same_from_any_place(path: Path) -> None:
    clip = look_over(path)
    assert len(clip.starts) > 1
    places = [*range(1, clip.frames - 2, 50), *(start.number for start in clip.starts), clip.frames - 2]
    found = {first: read(clip, first, 2) for first in places}
    for number, render in enumerate(VideoFile(path, True, False, 1 << 24).read()):
        for first in {number, number - 1} & found.keys():
            assert np.array_equal(found[first][number - first], render()), number


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animated_picture_is_read_too(tmp_path: Path, name: str) -> None:
    path = write_gif(tmp_path / name, duration=100, lossless=True)
    clip = look_over(path)
    assert (clip.frames, clip.is_still) == (8, False)
    assert np.array_equal(read(clip, 3, 4), whole(path)[3:7])
    assert look_over(write_gif(tmp_path / f"still.{name}", 1)).is_still


def test_what_is_damaged_before_a_stretch_is_not_even_looked_at(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", 60, **H264, options={"g": "6", "qp": "10", "bf": "0"})
    frames = whole(path)
    clip = look_over(spoil(path, 14, 30))
    assert np.array_equal(read(clip, 50, 10), frames[50:])
    with pytest.raises(SourceError, match="a.mp4: damaged further in"):
        read(clip, 20, 8)


def test_the_keyframe_at_which_a_stretch_begins_is_checked_like_its_other_frames(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.avi", 60, **FILMS["a.avi"])
    frames = whole(path)
    clip = look_over(spoil(path, 24, 25, 0.9))  # so little that the decoder shows it all the same
    assert clip.start(24).number == 24
    assert np.array_equal(read(clip, 23, 1), frames[23:24])
    with pytest.raises(SourceError, match=r"a\.avi: damaged further in"):
        read(clip, 24, 1)


def test_a_frame_that_a_decoder_swallows_does_not_shift_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = look_over(write_film(tmp_path / "a.mkv", 60))
    monkeypatch.setattr(excerpts, "decoded_from", lambda *places: islice(decoded_from(*places), 1, None))
    with pytest.raises(SourceError, match="a.mkv: damaged further in"):
        read(clip, clip.starts[3].number + 2, 1)


def test_a_copy_in_another_process_reads_the_same(tmp_path: Path) -> None:
    clip = look_over(write_film(tmp_path / "a.mkv"))
    copy = pickle.loads(pickle.dumps(clip))
    assert copy == clip
    assert np.array_equal(read(copy, 7, 2), read(clip, 7, 2))
    assert np.array_equal(read(clip, 7, 1)[0], drawn(7))


def test_a_file_that_changed_or_is_gone_is_not_read_as_if_it_were_the_same(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv")
    clip = look_over(path)
    write_film(path, 12)
    with pytest.raises(SourceError, match="changed since it was looked over; start again"):
        read(clip, 1, 1)
    path.unlink()
    with pytest.raises(SourceError, match="changed since it was looked over"):
        read(clip, 1, 1)


def test_of_a_film_without_an_index_only_the_beginning_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(excerpts, "REACH", 10)
    clip = look_over(write_film(tmp_path / "a.h264", **H264))
    assert clip.frames == 10
    assert "only the first 10 of its 24 frames can be reached, for want of an index" in clip.remarks
    film = write_film(tmp_path / "a.mp4", **H264, options={"g": "6"})
    assert look_over(film).frames == 24


def test_a_film_that_changes_its_size_is_refused_where_it_does(tmp_path: Path) -> None:
    sizes = ((64, 48), (96, 64))
    parts = [write_film(tmp_path / f"{size[0]}.h264", 12, size, **H264) for size in sizes]
    both = tmp_path / "both.h264"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    clip = look_over(both)
    assert read(clip, 3, 2).shape == (2, 48, 64, 3)
    with pytest.raises(SourceError, match="its frame size changes; convert the clip to one size first"):
        read(clip, 6, 12)
