"""Kinds of videos that people had and other readers refused, shortened or put out of step.

Each is made here, as small as it can be, with the peculiarity that was reported.
"""

from __future__ import annotations

import struct
import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import imageio_ffmpeg
import numpy as np
import pytest

from tests.sources.conftest import drawn, numbers_of, pixels_of, sentence_for, write_film
from tests.sources.field_coded import write_fields
from vae_experiments.errors import SourceError
from vae_experiments.sources import Sound, Video

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from av.packet import Packet

H264: dict[str, Any] = {"codec": "libx264", "pix_fmt": "yuv420p"}


def video(path: Path, **settings: Any) -> Video:
    return Video(path=str(path), **settings)


def seconds_of(path: Path, **settings: Any) -> list[float]:
    return [float(time) for time in video(path, **settings).info.times]


def remux(source: Path, target: Path, change: Callable[[int, Packet[Any]], Packet[Any] | None]) -> Path:
    """Copy the packets of a video one by one, each as ``change`` leaves it."""
    with av.open(source) as given, av.open(target, "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0], opaque=True)
        stream.time_base = given.streams.video[0].time_base
        packets = [packet for packet in given.demux(video=0) if packet.size]
        for number, packet in enumerate(packets):
            changed = change(number, packet)
            if changed is not None:
                changed.stream = stream
                container.mux(changed)
    return target


def again(packet: Packet[Any], content: bytes) -> Packet[Any]:
    """Give a packet other bytes, and the same moment."""
    other = av.Packet(content)
    other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
    other.time_base, other.is_keyframe = packet.time_base, packet.is_keyframe
    return other


def ticks(*gaps: int) -> list[int]:
    return [sum(gaps[:number]) for number in range(len(gaps) + 1)]


# A rate that changes, frames that were dropped while recording, a slow start: in twelfths of a second.
TIMES = {
    "slower": ticks(*[1] * 12, *[5] * 6),
    "dropped": ticks(1, 1, 3, 1, 1, 2, 1, 1, 1, 4, 1),
    "one long": ticks(1, 1, 1, 60, 1, 1),
}


@pytest.mark.parametrize("how", TIMES)
@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "mjpeg", "yuvj420p"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.flv", "libx264", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.nut", "ffv1", "bgr0"),
    ],
)
def test_every_frame_has_the_time_that_the_file_gives_it(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, how: str
) -> None:
    path = write_film(
        tmp_path / name, len(TIMES[how]), codec=codec, pix_fmt=pix_fmt, ticks=TIMES[how], options={"qp": "8"}
    )
    clock = 0.0006 if name.endswith(("mkv", "webm", "flv")) else 1e-5  # half of the container's tick
    assert np.allclose(seconds_of(path), np.array(TIMES[how]) / 12, rtol=0, atol=clock)
    assert any("variable frame rate" in remark for remark in video(path).info.remarks)
    assert len(pixels_of(video(path))) == len(TIMES[how])


def test_a_last_frame_that_lasts_long_does_not_slow_the_others_down(tmp_path: Path) -> None:
    def lengthen(number: int, packet: Packet[Any]) -> Packet[Any]:
        packet.duration *= 80 if number == 19 else 1
        return packet

    short = write_film(tmp_path / "short.mp4", 20, fps=10, **H264, options={"bf": "0"})
    info = video(remux(short, tmp_path / "a.mp4", lengthen)).info
    assert info.times == tuple(Fraction(number, 10) for number in range(20))
    assert info.end == Fraction(99, 10)
    assert info.fps == Fraction(200, 99)


@pytest.mark.parametrize("fps", [Fraction(30), Fraction(24000, 1001), Fraction(60000, 1001), Fraction(25)])
@pytest.mark.parametrize("name", ["a.mkv", "a.flv", "a.ts", "a.mp4", "a.avi"])
def test_a_steady_rate_is_exact_whatever_the_clock_of_the_file(
    tmp_path: Path, name: str, fps: Fraction
) -> None:
    info = video(write_film(tmp_path / name, 50, fps=fps, **H264)).info
    assert info.times == tuple(number / fps for number in range(50))
    assert (info.fps, info.end) == (fps, 50 / fps)
    assert not any("variable" in remark for remark in info.remarks)


def test_an_avi_that_says_when_frames_are_decoded_still_shows_them_in_order(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.avi", 24, **H264, options={"bf": "3", "qp": "8"})
    assert seconds_of(path) == [number / 12 for number in range(24)]
    assert numbers_of(video(path)) == sorted(numbers_of(video(path)))


@pytest.mark.parametrize("name", ["a.ts", "a.mp4", "a.mkv"])
def test_two_fields_in_two_packets_are_one_frame(tmp_path: Path, name: str) -> None:
    path = write_fields(tmp_path / name, range(40, 160, 10))
    info = video(path).info
    assert (info.frames, info.fps, info.end) == (12, 25, Fraction(12, 25))
    assert "interlaced: moving edges show combs" in info.remarks
    greys = [(luma - 16) * 255 / 219 for luma in range(40, 160, 10)]
    assert np.abs(pixels_of(video(path)).mean((1, 2, 3)) - greys).max() <= 1


def open_groups(path: Path, codec: str = "libx265") -> Path:
    options = {"x265-params": "keyint=12:min-keyint=12:open-gop=1:bframes=3:scenecut=0:log-level=none"}
    if codec == "libx264":
        options = {"x264-params": "keyint=12:min-keyint=12:open-gop=1:bframes=3:scenecut=0", "qp": "10"}
    return write_film(path, 60, (96, 64), codec=codec, pix_fmt="yuv420p", options=options)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_an_open_group_that_was_cut_begins_with_its_first_whole_picture(tmp_path: Path, codec: str) -> None:
    whole = open_groups(tmp_path / "whole.mkv", codec)
    keys: list[int] = []

    def cut(number: int, packet: Packet[Any]) -> Packet[Any] | None:
        keys.extend([number] if packet.is_keyframe else [])
        return packet if len(keys) >= 2 else None

    path = remux(whole, tmp_path / "cut.mkv", cut)
    info = video(path).info
    whole_numbers, cut_numbers = numbers_of(video(whole)), numbers_of(video(path))
    assert len(cut_numbers) == info.frames
    assert cut_numbers == whole_numbers[-info.frames :]
    assert info.times == tuple(Fraction(number, 12) for number in range(info.frames))
    hidden = 60 - keys[1] - info.frames
    assert hidden > 0
    assert f"{hidden} pictures at the beginning cannot be shown" in " ".join(info.remarks)


def test_a_broadcast_that_begins_in_the_middle_begins_with_its_first_whole_picture(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.ts", 60, **H264, options={"g": "20", "sc_threshold": "0", "qp": "8"})
    path = tmp_path / "a.ts"
    with av.open(whole) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(whole.read_bytes()[places[7] // 188 * 188 :])
    info = video(path).info
    assert info.frames == 40
    assert numbers_of(video(path)) == numbers_of(video(whole))[20:]
    assert "pictures at the beginning cannot be shown" in " ".join(info.remarks)


def test_broadcasts_written_one_after_the_other_are_one_film(tmp_path: Path) -> None:
    parts = [write_film(tmp_path / f"{number}.ts", 12, **H264, options={"bf": "0"}) for number in range(3)]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    info = video(path).info
    assert np.allclose([float(time) for time in info.times], np.arange(36) / 12, atol=1e-4)
    assert "its clock jumps back 2 times; frames are counted on" in info.remarks
    assert len(pixels_of(video(path))) == 36


def without_picture(content: bytes, bits_of_time: int) -> bytes:
    """Return the MPEG-4 picture of the same moment that is "not coded" (ISO/IEC 14496-2, 6.2.5)."""
    start = content.index(b"\0\0\1\xb6") + 4
    bits = "".join(f"{byte:08b}" for byte in content[start : start + 8])
    modulo = bits.index("0", 2)  # two bits of kind, then a 1 for each second that has passed
    kept = bits[: modulo + 2 + bits_of_time + 1] + "0"
    kept += "0" + "1" * (-(len(kept) + 1) % 8)
    return b"\0\0\1\xb6" + int(kept, 2).to_bytes(len(kept) // 8, "big")


def test_a_picture_that_is_not_coded_leaves_the_one_before_it_standing(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.mp4", 20, fps=10, codec="mpeg4", pix_fmt="yuv420p")

    def leave_out(number: int, packet: Packet[Any]) -> Packet[Any]:
        is_out = number in (5, 9, 13)
        return again(packet, without_picture(bytes(packet), bits_of_time=4)) if is_out else packet

    path = remux(whole, tmp_path / "a.mp4", leave_out)
    info = video(path).info
    assert info.times == tuple(Fraction(number, 10) for number in range(20) if number not in (5, 9, 13))
    assert info.end == 2
    assert any("3 packets show no picture of their own" in remark for remark in info.remarks)
    assert len(pixels_of(video(path))) == 17


def test_empty_packets_mean_the_same_picture_again(tmp_path: Path) -> None:
    plain, whole = write_film(tmp_path / "plain.mkv", 24), tmp_path / "whole.ogv"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", plain, "-c:v", "libtheora"]
    subprocess.run([*command, whole], check=True)
    path = remux(
        whole,
        tmp_path / "a.ogv",
        lambda number, packet: again(packet, b"") if number in (3, 4, 23) else packet,
    )
    info = video(path).info
    kept = [number for number in range(24) if number not in (3, 4, 23)]
    assert info.times == tuple(Fraction(number, 12) for number in kept)
    assert info.end == 2
    assert len(pixels_of(video(path))) == 21


def test_a_note_that_is_broken_does_not_make_a_picture_broken(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.avi", 10, codec="mjpeg", pix_fmt="yuvj420p")
    note = b"Exif\0\0II*\0\x08\0\0\0\x40\0" + bytes(6)
    segment = b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note

    def annotate(_: int, packet: Packet[Any]) -> Packet[Any]:
        content = bytes(packet)
        return again(packet, content[:2] + segment + content[2:])

    path = remux(whole, tmp_path / "a.avi", annotate)
    assert (video(path).info.frames, video(path).info.remarks) == (10, ())
    assert np.array_equal(pixels_of(video(path)), pixels_of(video(whole)))


def test_jpegs_one_after_the_other_are_a_film(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.avi", 10, codec="mjpeg", pix_fmt="yuvj420p")
    path = tmp_path / "a.mjpeg"
    with av.open(whole) as container:
        path.write_bytes(b"".join(bytes(packet) for packet in container.demux(video=0)))
    written = write_film(tmp_path / "written.mjpeg", 10, codec="mjpeg", pix_fmt="yuvj420p")
    for row in (path, written):
        info = video(row, fps="12").info
        assert (info.frames, info.fps) == (10, 12)
        assert np.array_equal(pixels_of(video(row)), pixels_of(video(whole)))


def test_a_camera_s_note_on_how_it_was_held_turns_a_film_of_jpegs(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "whole.avi", 3, codec="mjpeg", pix_fmt="yuvj444p")
    stored = pixels_of(video(whole))
    # What each orientation of EXIF 2.3 asks for.
    upright = {
        1: stored,
        3: np.rot90(stored, 2, (1, 2)),
        6: np.rot90(stored, -1, (1, 2)),
        8: np.rot90(stored, 1, (1, 2)),
    }
    for orientation, expected in upright.items():
        tiff = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 1, orientation) + bytes(4)
        note = b"Exif\0\0" + tiff
        segment = b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note

        def annotate(_: int, packet: Packet[Any], segment: bytes = segment) -> Packet[Any]:
            content = bytes(packet)
            return again(packet, content[:2] + segment + content[2:])

        path = remux(whole, tmp_path / f"{orientation}.avi", annotate)
        assert np.array_equal(pixels_of(video(path)), expected), orientation
        assert np.array_equal(pixels_of(video(path, rotate=False)), stored)


@pytest.mark.slow
def test_an_mxf_that_says_when_frames_are_decoded_still_shows_them_in_order(tmp_path: Path) -> None:
    plain, path = write_film(tmp_path / "plain.mkv", 24, (1280, 720), fps=25), tmp_path / "a.mxf"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", plain, "-c:v", "libx264"]
    subprocess.run([*command, "-qp", "8", "-pix_fmt", "yuv422p10le", path], check=True)
    assert seconds_of(path) == [number / 25 for number in range(24)]
    numbers = numbers_of(video(path, size="64x36"))
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 16


@pytest.mark.parametrize(("target", "fps"), [("ntsc-dv", Fraction(30000, 1001)), ("pal-dv", Fraction(25))])
def test_raw_dv_has_the_rate_of_its_television(tmp_path: Path, target: str, fps: Fraction) -> None:
    plain, path = write_film(tmp_path / "plain.mkv", 10, fps=fps), tmp_path / "a.dv"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", plain, "-target", target]
    subprocess.run([*command, path], check=True)
    info = video(path).info
    assert (info.frames, info.fps, info.end) == (10, fps, 10 / fps)
    assert info.times == tuple(number / fps for number in range(10))


def tagged(path: Path, matrix: int, size: tuple[int, int] = (64, 48), curve: int = 2) -> Path:
    """Write a video whose pictures are one colour, and whose stream names a matrix and a curve."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height = size
        stream.pix_fmt, stream.options = "yuv420p", {"qp": "1"}
        context = stream.codec_context
        context.colorspace, context.color_trc, context.color_range = matrix, curve, 1
        frame = av.VideoFrame(*size, "yuv420p")
        for plane, value in zip(frame.planes, (120, 90, 170), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def colour(kr: float, kb: float) -> np.ndarray:
    """Work out that colour from the definition of a matrix (ITU-T H.273, 8.3)."""
    y, cb, cr = (120 - 16) / 219, (90 - 128) / 224, (170 - 128) / 224
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return 255 * np.array([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue]).clip(0, 1)


BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)


@pytest.mark.parametrize(
    ("matrix", "height", "weights"),
    [
        (2, 48, BT601),
        (2, 718, BT601),
        (2, 720, BT709),
        (1, 48, BT709),
        (6, 720, BT601),
        (9, 48, BT2020),
        *((unknown, 48, BT601) for unknown in (8, 10, 11, 12, 13, 14)),
        (14, 720, BT709),
    ],
)
def test_colours_follow_the_matrix_and_untagged_ones_the_size(
    tmp_path: Path, matrix: int, height: int, weights: tuple[float, float]
) -> None:
    path = tagged(tmp_path / "a.mp4", matrix, (64, height))
    assert np.abs(pixels_of(video(path))[0, 8, 8] - colour(*weights)).max() <= 2
    named = f"its colour matrix (number {matrix}) is not known here; it is read as "
    assert any(remark.startswith(named) for remark in video(path).info.remarks) == (
        matrix in (8, *range(10, 15))
    )


def test_high_dynamic_range_is_said_not_to_be_tone_mapped(tmp_path: Path) -> None:
    for curve, name in ((16, "PQ"), (18, "HLG")):
        remarks = video(tagged(tmp_path / "a.mp4", 9, curve=curve)).info.remarks
        assert f"HDR ({name}): it is read as it is, without tone mapping" in remarks


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
def test_what_is_transparent_in_a_webm_is_black_whatever_colour_it_hides(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.webm"
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=12, options={"auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        layers = np.zeros((48, 64, 4), np.uint8)
        layers[..., 0], layers[:, 32:, 3] = 255, 255
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(layers, format="rgba").reformat(format="yuva420p")
            frame.pts, frame.time_base = number, Fraction(1, 12)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    pixels = pixels_of(video(path))
    assert pixels[:, :, :28].max() < 12
    assert pixels[:, :, 36:, 0].min() > 200


def test_a_sound_track_of_an_unknown_kind_costs_only_the_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as container:
        stream, sound = container.add_stream("libx264", rate=12), container.add_stream("aac", rate=8000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn(number), format="rgb24")))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux([*sound.encode(silence), *sound.encode(None), *stream.encode(None)])
    assert video(path).info.sound == Sound(path)
    path.write_bytes(path.read_bytes().replace(b"mp4a", b"apac").replace(b"esds", b"free"))
    info = video(path).info
    assert (info.frames, info.sound) == (12, None)
    assert any("the sound is left out" in remark for remark in info.remarks)
    assert len(pixels_of(video(path))) == 12


def fragmented(path: Path, count: int = 180) -> Path:
    options = {"movflags": "frag_keyframe+empty_moov"}
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream("libx264", rate=12, options={"g": "12", "qp": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn(number % 24), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_damage_inside_a_fragment_is_damage_and_not_the_end(tmp_path: Path) -> None:
    path = fragmented(tmp_path / "a.mp4")
    whole = path.read_bytes()
    fragments = [place for place in range(len(whole)) if whole[place : place + 4] == b"moof"]
    for place in (fragments[3] - 4, fragments[3] + 30, fragments[3] + 400):
        path.write_bytes(whole[:place] + bytes(512) + whole[place + 512 :])
        with pytest.raises(SourceError, match="damaged"):
            _ = video(path).info
        partial = video(path, allow_partial=True)
        assert 24 <= len(pixels_of(partial)) == partial.info.frames < 180


def test_a_fragment_that_was_announced_and_never_came_is_a_missing_end(tmp_path: Path) -> None:
    path = fragmented(tmp_path / "a.mp4", 36)
    whole = path.read_bytes()
    announced = [place - 4 for place in range(len(whole)) if whole[place : place + 4] == b"mdat"]
    assert len(announced) > 2
    for place in announced:
        path.write_bytes(whole[:place])
        assert "the file is cut short: its end is missing" in sentence_for(video(path))


def test_a_clock_of_64_bits_is_a_clock(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", **H264)
    stored, content = pixels_of(video(path)), bytearray(path.read_bytes())
    assert content.index(b"mdat") < content.index(b"moov"), "what is moved is no picture"
    begin = content.index(b"mdhd")
    # ISO/IEC 14496-12, 8.4.2: begun and changed in 8 bytes each, the scale in 4, the length in 8.
    scale, length = content[begin + 16 : begin + 20], content[begin + 20 : begin + 24]
    content[begin + 4 : begin + 24] = b"\1" + bytes(3 + 16) + scale + bytes(4) + length
    for name in (b"mdhd", b"mdia", b"trak", b"moov"):
        place = content.index(name) - 4
        (size,) = struct.unpack_from(">I", content, place)
        struct.pack_into(">I", content, place, size + 12)
    path.write_bytes(content)
    assert np.array_equal(pixels_of(video(path)), stored)


def test_what_is_damaged_where_a_short_film_is_probed_is_not_passed_over(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", 24, **H264, options={"g": "6", "qp": "10", "bf": "0"})
    whole = path.read_bytes()
    with av.open(path) as container:
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    for number in range(24):
        place = ends[number] - 40
        path.write_bytes(whole[:place] + bytes(60) + whole[place + 60 :])
        assert "damaged" in sentence_for(video(path)), number
        partial = video(path, allow_partial=True)
        if number:
            assert 0 < len(pixels_of(partial)) == partial.info.frames <= number


def test_tables_of_an_mp4_that_contradict_each_other_are_damage(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", 24, **H264, options={"qp": "10"})
    whole = path.read_bytes()
    for name in (b"stts", b"stsc", b"stsz", b"stco", b"mdhd", b"elst"):
        begin = whole.index(name) + 4
        end = begin - 8 + int.from_bytes(whole[begin - 8 : begin - 4], "big")
        for first in (begin, begin + 8):
            path.write_bytes(whole[:first] + bytes(end - first) + whole[end:])
            assert sentence_for(video(path)), (name, first - begin)


def test_times_that_run_backwards_are_damage(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", 24, **H264, options={"bf": "3", "qp": "10"})
    whole = path.read_bytes()
    place = whole.index(b"stts") + 12
    (count,) = struct.unpack_from(">I", whole, place)
    path.write_bytes(whole[:place] + struct.pack(">II", count, 0) + whole[place + 8 :])
    assert "damaged near frame" in sentence_for(video(path))


def test_a_long_film_is_looked_over_only_as_far_as_it_is_asked_for(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", 600, (16, 16))
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4 :] = bytes(len(content) - len(content) * 3 // 4)
    path.write_bytes(content)
    with pytest.raises(SourceError):
        _ = video(path).info
    for settings in ({"frames": 20}, {"frames": 20, "start": 1}, {"frames": 20, "fps": "6"}):
        assert len(pixels_of(video(path, **settings))) == 20


def test_a_film_that_stands_still_for_days_is_no_endless_job(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", 2, (16, 16), ticks=[0, 12 * 864000])
    assert seconds_of(path) == [0, 864000]
    with pytest.raises(SourceError, match=r"source\.fps=30 makes \d+ frames of 2 pictures.*source\.frames"):
        _ = video(path, fps="30").info
    assert numbers_of(video(path, fps="30", frames=4)) == [0] * 4
