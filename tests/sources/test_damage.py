from __future__ import annotations

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from tests.sources.conftest import bad, drawn, manifest, pixels_of, sentence_for, write_film
from vae_experiments.errors import SourceError
from vae_experiments.sources import Video

if TYPE_CHECKING:
    from pathlib import Path

# What a person is told, and about which of the shared files.
SENTENCES = {
    "empty.mp4": "the file is empty; copy or download it again",
    "text.mp4": "this is a text, not a video",
    "git_lfs_pointer.mp4": "a Git LFS pointer, not the video itself; run git lfs pull",
    "random_bytes.mp4": "not a video that can be read",
    "audio_only.mp4": r"no video stream \(found: audio\)",
    "audio_with_cover.mp3": r"no video stream \(found: audio\)",
    "subtitle_only.mkv": r"no video stream \(found: subtitle\)",
    "zero_frames.mp4": "no video stream",
    "trunc_no_moov.mp4": r"the file was not finished \(no moov\); record or copy it again",
    "trunc_mdat_half.mp4": r"the file is cut short.*set source\.allow_partial=true to use what comes before",
    "trunc_fragmented.mp4": r"the file is cut short.*source\.allow_partial=true",
    "flipped_mdat.mp4": "damaged near frame 0",
    "encrypted_cenc.mp4": "the video is encrypted",
    "hls_local.mp4": "a playlist, which only names other files",
    "hls_local.m3u8": "a playlist, which only names other files",
    "concat_local.mp4": "a playlist, which only names other files",
    "bomb_30000x30000.png": "the picture is far too large",
    # Files that are whole, but over a limit of this program.
    "huge_8k_one_frame.mp4": r"7680x4320 = 33\.2 Mpixel a frame, over source\.max_pixels=16777216",
    "fps_90000.mp4": r"its frame rate 90000 is outside \(0, 1000\]; set source\.fps",
}

REMARKS = {
    "alpha_vp9.webm": "alpha dropped",
    "anim.apng": "transparent parts are shown over black",
    "vfr.mp4": "variable frame rate, 0.083 to 0.333 s a frame",
    "raw_stream.h264": "no timing in the file, using 25 fps",
    "mpegts.ts": "a missing end cannot be noticed",
    "interlaced.mp4": "interlaced",
    "two_video_streams.mkv": "the file has 2 video streams",
    "png_seq_gap": "the picture numbers jump 3 -> 5",
}


@pytest.mark.parametrize("entry", manifest())
def test_a_shared_file_is_read_or_refused_as_its_manifest_says(entry: dict[str, Any]) -> None:
    source = bad(entry["file"])
    if entry["file"] in SENTENCES:
        with pytest.raises(SourceError, match=SENTENCES[entry["file"]]) as caught:
            list(source.chunks(4))
        assert str(caught.value).startswith("source.path=")
        assert len(str(caught.value)) <= 300
        with pytest.raises(SourceError, match=SENTENCES[entry["file"]]):
            _ = source.info
        return
    assert entry["expected"] == "ok"
    info = source.info
    assert (info.size, info.frames) == (tuple(entry["size"]), entry["frames"])
    assert pixels_of(source).shape == (info.frames, info.size.height, info.size.width, 3)
    if "fps" in entry:
        assert float(info.fps) == pytest.approx(entry["fps"], abs=entry.get("fps_tol", 1e-6))
    assert REMARKS.get(entry["file"], "") in " ".join(info.remarks)


def test_a_whole_plain_film_calls_for_no_remark() -> None:
    assert bad("base.mp4").info.remarks == ()


def test_what_is_over_a_limit_is_read_when_the_limit_is_raised() -> None:
    large = bad("huge_8k_one_frame.mp4", max_pixels=7680 * 4320, size="96x54")
    assert pixels_of(large).shape == (1, 54, 96, 3)
    fast = bad("fps_90000.mp4", fps="12")
    assert (fast.info.frames, fast.info.fps, len(pixels_of(fast))) == (24, 12, 24)


def test_frames_before_the_cut_are_those_of_the_whole_film() -> None:
    for cut, whole, least in (
        ("trunc_mdat_half.mp4", "base.mp4", 5),
        ("trunc_fragmented.mp4", "fragmented.mp4", 14),
    ):
        partial = bad(cut, allow_partial=True)
        frames = pixels_of(partial)
        assert least <= len(frames) < 24
        assert np.array_equal(frames, pixels_of(bad(whole))[: len(frames)])
        assert partial.info.frames == len(frames)
        assert "the file is cut short" in partial.info.remarks[0]


def test_no_part_of_an_encrypted_or_unfinished_film_is_used() -> None:
    for name in ("encrypted_cenc.mp4", "trunc_no_moov.mp4", "flipped_mdat.mp4"):
        with pytest.raises(SourceError, match=SENTENCES[name]):
            list(bad(name, allow_partial=True).chunks(4))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"<!DOCTYPE html><html><body>404</body></html>",
            "this is a web page, not a video; download the video",
        ),
        (b"\n <HTML>", "this is a web page"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n", "a playlist"),
        (b"ffconcat version 1.0\nfile a.mp4\n", "a playlist"),
        (b'<?xml version="1.0"?><MPD></MPD>', "a playlist"),
        ("h\u00e9las".encode() * 900, "this is a text, not a video"),
        (bytes(5000), "not a video that can be read"),
        (b"\x00\x00\x00\x18ftypisom", "the file was not finished"),
        (b"GIF89a", "the file is cut short"),
        (b"\x89PNG\r\n\x1a\n", "the file is cut short"),
        (b"\xff\xd8\xff\xe0", "damaged near frame 0"),
        (b"\x1a\x45\xdf\xa3", "the file is cut short"),
        (b"RIFF\x10\x00\x00\x00AVI ", "the file is cut short"),
        (b"RIFF\x00\x00\x00\x00AVI ", "the file was not finished"),
    ],
)
def test_what_is_no_film_is_called_by_its_name(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=sentence):
        _ = Video(path=str(path)).info


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "mjpeg"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx-vp9"),
        ("a.avi", "mjpeg"),
    ],
)
def test_every_cut_is_noticed(tmp_path: Path, name: str, codec: str) -> None:
    path = write_film(tmp_path / name, codec=codec, pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p")
    content = path.read_bytes()
    for length in np.linspace(1, len(content) - 1, 25).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(SourceError):
            _ = Video(path=str(path)).info


def test_a_cut_matroska_is_taken_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", 60)
    whole = pixels_of(Video(path=str(path)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = pixels_of(Video(path=str(path), allow_partial=True))
    assert 20 < len(frames) < 40
    assert np.array_equal(frames, whole[: len(frames)])


def test_damage_in_the_middle_is_noticed_and_frames_before_it_can_be_used(mp4: Path, tmp_path: Path) -> None:
    content = bytearray(mp4.read_bytes())
    late = (content.index(b"mdat") + 3 * content.index(b"moov")) // 4
    content[late : late + 40] = bytes(40)
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(
        SourceError, match=r"damaged near frame \d+; copy it again, or set source\.allow_partial=true"
    ):
        list(Video(path=str(path)).chunks(4))
    partial = Video(path=str(path), allow_partial=True)
    frames = pixels_of(partial)
    assert 0 < len(frames) == partial.info.frames < 24
    assert np.array_equal(frames, pixels_of(Video(path=str(mp4)))[: len(frames)])
    assert f"the {len(frames)} frames before it are used" in " ".join(partial.info.remarks)


def test_bytes_after_the_end_of_a_film_are_only_remarked(mp4: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(mp4.read_bytes() + b"\xff" * 50)
    assert Video(path=str(path)).info.remarks == ("50 bytes follow the end of the video and are left out",)
    assert len(pixels_of(Video(path=str(path)))) == 24


def test_whatever_is_broken_is_one_sentence(mp4: Path, tmp_path: Path) -> None:
    whole, rng = mp4.read_bytes(), np.random.default_rng(1)
    path = tmp_path / "a.mp4"
    for round_number in range(40):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=1 + round_number % 3):
            damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        assert len(sentence_for(Video(path=str(path), max_pixels=10**6))) <= 300


def test_damage_is_charged_to_the_film_that_has_it_when_two_are_read_at_once(
    mp4: Path, tmp_path: Path
) -> None:
    content = bytearray(mp4.read_bytes())
    late = (content.index(b"mdat") + 3 * content.index(b"moov")) // 4
    content[late : late + 40] = bytes(40)
    broken = tmp_path / "a.mp4"
    broken.write_bytes(content)
    with ThreadPoolExecutor(2) as pool:
        read = [pool.submit(sentence_for, Video(path=str(path))) for path in [mp4, broken] * 10]
    sentences = [job.result() for job in read]
    assert set(sentences[::2]) == {""}
    assert len(set(sentences[1::2])) == 1
    assert "damaged near frame" in sentences[1]


def write_fragments(path: Path) -> Path:
    with av.open(path, "w", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=12, options={"g": "6"})
        stream.width, stream.height = 64, 48
        for number in range(24):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn(number), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_no_damage_of_a_fragment_s_description_leaves_frames_out_in_silence(tmp_path: Path) -> None:
    data = write_fragments(tmp_path / "a.mp4").read_bytes()
    begin = data.rindex(b"moof") - 4  # the last one: no gap tells of it
    length = int.from_bytes(data[begin : begin + 4], "big")
    whole = Video(path=str(tmp_path / "a.mp4")).info
    assert whole.frames == 24
    silent, path = [], tmp_path / "b.mp4"
    first, extends = data.index(b"moof"), data.index(b"mvex")
    names = [*range(first - 4, first + 4), *range(extends - 4, extends + 4)]
    for place in [*names, *range(begin, begin + length)]:
        for bit in (1, 4, 7):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
            with contextlib.suppress(SourceError):
                info = Video(path=str(path)).info
                if info.frames != 24:
                    silent.append((place - begin, bit, info.frames, info.remarks))
    assert silent == [], silent


@pytest.mark.parametrize("form", ["188", "192"])
def test_a_hole_in_the_last_packets_of_a_transport_stream_is_no_end(tmp_path: Path, form: str) -> None:
    path = write_film(tmp_path / "a.ts", codec="libx264", pix_fmt="yuv420p")
    data = path.read_bytes()
    if form == "192":
        data = b"".join(bytes(4) + data[place : place + 188] for place in range(0, len(data), 188))
        path.write_bytes(data)
    assert Video(path=str(path)).info.frames == 24
    # The last frame's packets, all of them; nothing that is decoded tells of it.
    path.write_bytes(data[:-600] + bytes(600))
    with pytest.raises(SourceError, match="damaged: what stands at byte .* is no part of a video"):
        _ = Video(path=str(path)).info
    assert 22 <= Video(path=str(path), allow_partial=True).info.frames < 24


SHARP = {"b": "400k"}


@pytest.mark.parametrize("damage", ["zeroed", "missing", "doubled"])
def test_no_sector_of_an_ogg_leaves_frames_out_in_silence(tmp_path: Path, damage: str) -> None:
    whole = tmp_path / "a.ogv"
    film = write_film(tmp_path / "a.webm", 24, (160, 120), codec="libvpx", pix_fmt="yuv420p", options=SHARP)
    with av.open(film) as container, av.open(whole, "w", options={"page_duration": "1000000"}) as pages:
        stream = pages.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                pages.mux(packet)
    assert Video(path=str(whole)).info.frames == 24
    data, path, silent = whole.read_bytes(), tmp_path / "b.ogv", []
    for place in range(0, len(data), 512):
        sector = data[place : place + 512]
        instead = {"zeroed": bytes(len(sector)), "missing": b"", "doubled": 2 * sector}[damage]
        path.write_bytes(data[:place] + instead + data[place + 512 :])
        with contextlib.suppress(SourceError):
            if Video(path=str(path)).info.frames != 24:
                silent.append(place)
    assert silent == []


@pytest.mark.parametrize("damage", ["zeroed", "missing", "doubled"])
@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.mkv", "libx264")])
def test_no_sector_of_a_video_leaves_frames_out_in_silence(
    tmp_path: Path, name: str, codec: str, damage: str
) -> None:
    whole = write_film(tmp_path / name, codec=codec, pix_fmt="yuv420p", options=SHARP)
    assert Video(path=str(whole)).info.frames == 24
    data, path, silent = whole.read_bytes(), tmp_path / f"b{whole.suffix}", []
    for place in range(0, len(data), 512):
        sector = data[place : place + 512]
        instead = {"zeroed": bytes(len(sector)), "missing": b"", "doubled": 2 * sector}[damage]
        path.write_bytes(data[:place] + instead + data[place + 512 :])
        with contextlib.suppress(SourceError):
            info = Video(path=str(path)).info
            if info.frames != 24 and not any("dropped or lost" in remark for remark in info.remarks):
                silent.append((place, info.frames, info.remarks))
    assert silent == []


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.mkv", "libx264")])
def test_no_damage_of_chunks_and_elements_leaves_frames_out_in_silence(
    tmp_path: Path, name: str, codec: str
) -> None:
    whole = write_film(tmp_path / name, codec=codec, pix_fmt="yuv420p")
    data, path, silent = whole.read_bytes(), tmp_path / f"b{whole.suffix}", []
    for place in _of_no_picture(data):
        for bit in (1, 6):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
            with contextlib.suppress(SourceError):
                info = Video(path=str(path)).info
                if info.frames != 24 and not info.remarks:
                    silent.append((place, bit, info.frames))
    assert silent == []


def _of_no_picture(data: bytes) -> list[int]:
    """Return the bytes of a video's movie that say where its pictures are: of an avi's chunks and index, of a mkv's blocks."""
    if data.startswith(b"RIFF"):
        place, index = data.index(b"movi") + 4, data.index(b"idx1")
        places = [*range(index, len(data))]
        while place < index:
            places += range(place, place + 8)
            length = int.from_bytes(data[place + 4 : place + 8], "little")
            place += 8 + length + length % 2
        return places
    cluster = data.index(b"\x1f\x43\xb6\x75")
    blocks = [
        match.start()
        for match in re.finditer(rb"\xa3[\x40-\x7f].\x81|\xa3[\x80-\xff]\x81", data[cluster:], re.S)
    ]
    assert len(blocks) >= 24
    return [*range(cluster, cluster + 12), *(cluster + block + n for block in blocks for n in range(4))]


def test_an_edit_list_that_leaves_pictures_out_is_told_of(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "a.mp4", codec="libx264", pix_fmt="yuv420p")
    assert Video(path=str(whole)).info.remarks == ()
    data = whole.read_bytes()
    place = data.index(b"elst") + 12  # how long the one edit is, in ticks of the moov: milliseconds
    lasts = int.from_bytes(data[place : place + 4], "big")
    whole.write_bytes(data[:place] + (lasts // 2).to_bytes(4, "big") + data[place + 4 :])
    info = Video(path=str(whole)).info
    assert info.frames < 24
    assert info.remarks == (f"an edit list leaves out {24 - info.frames} of 24 pictures, as players do",)


@pytest.mark.parametrize(
    "options", [{}, {"live": "1"}, {"cluster_time_limit": "200"}, {"cues_to_front": "1"}]
)
def test_every_layout_of_a_mkv_is_whole(tmp_path: Path, options: dict[str, str]) -> None:
    film = write_film(tmp_path / "a.mp4", codec="libx264", pix_fmt="yuv420p")
    whole = tmp_path / "a.mkv"
    with av.open(film) as container, av.open(whole, "w", container_options=options) as laid:
        stream = laid.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                laid.mux(packet)
    info = Video(path=str(whole)).info
    assert info.frames == 24
    streamed = ("the file states no length: a missing end cannot be noticed",)
    assert info.remarks == (streamed if "live" in options else ())
