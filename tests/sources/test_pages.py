"""How many frames a picture has and how long each lasts, whole and damaged, by its structure."""

from __future__ import annotations

import struct
import time
import zlib
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.sources.conftest import drawn, numbers_of, pixels_of, sentence_for, write_gif
from vae_experiments.errors import SourceError
from vae_experiments.sources import Video
from vae_experiments.sources.image_structure import list_pages
from vae_experiments.sources.paths import sniff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ANIMATIONS = ["a.gif", "a.apng", "a.webp", "a.avif"]
GO_ON = r"; copy it again, or set source\.allow_partial=true to use what comes before$"


def video(path: Path, **settings: Any) -> Video:
    return Video(path=str(path), **settings)


def durations(path: Path) -> list[Fraction]:
    return list_pages(path, sniff(path)).durations


def animation(path: Path, count: int, duration: int | list[int] = 100, **settings: Any) -> Path:
    """Write an animation; a lossy webp would leave out frames that differ little."""
    return write_gif(
        path, count, duration=duration, **settings, **{"lossless": True} if path.suffix == ".webp" else {}
    )


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Take a png apart."""
    place, found = 8, []
    while place < len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        found.append((name, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    """Put a png together, with right checksums."""
    written = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def give_delays(path: Path, delays: list[tuple[int, int]]) -> Path:
    """Write delays as fractions into an APNG, which Pillow can only write in milliseconds."""
    left = iter(delays)
    parts = [
        (name, data[:20] + struct.pack(">HH", *next(left)) + data[24:]) if name == b"fcTL" else (name, data)
        for name, data in chunks(path.read_bytes())
    ]
    path.write_bytes(joined(parts))
    return path


@pytest.mark.parametrize("name", ANIMATIONS)
def test_each_frame_lasts_as_long_as_it_states(tmp_path: Path, name: str) -> None:
    stated = [100, 300, 20, 40, 2000, 70]
    path = animation(tmp_path / name, 6, duration=stated)
    assert durations(path) == [Fraction(milliseconds, 1000) for milliseconds in stated]
    info = video(path).info
    assert [*info.times, info.end] == [
        Fraction(moment, 1000) for moment in (0, 100, 400, 420, 460, 2460, 2530)
    ]


def test_a_gif_of_20_ms_is_50_fps_and_one_of_10_ms_runs_as_in_a_browser(tmp_path: Path) -> None:
    assert video(animation(tmp_path / "a.gif", 4, duration=20)).info.fps == 50
    hurried = video(animation(tmp_path / "b.gif", 4, duration=10)).info
    assert hurried.fps == 10
    assert "frames that state no time, or next to none, last 0.1 s each" in " ".join(hurried.remarks)


def test_a_frame_of_a_gif_that_states_no_time_has_none_of_the_frame_before_it(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", 3, duration=[300, 200, 400])
    content = path.read_bytes()
    control = content.index(b"!\xf9\x04", content.index(b"!\xf9\x04") + 1)
    path.write_bytes(content[:control] + content[control + 8 :])
    assert durations(path) == [Fraction(3, 10), Fraction(1, 10), Fraction(4, 10)]


@pytest.mark.parametrize("name", ["a.apng", "a.webp"])
def test_only_a_gif_is_held_back_where_its_frames_are_short(tmp_path: Path, name: str) -> None:
    assert video(animation(tmp_path / name, 4, duration=10)).info.fps == 100
    assert video(animation(tmp_path / name, 4, duration=1)).info.fps == 1000
    untimed = video(animation(tmp_path / name, 4, duration=0)).info
    assert untimed.fps == 10
    assert "frames that state no time" in " ".join(untimed.remarks)


def test_the_delays_of_an_apng_are_exact_fractions(tmp_path: Path) -> None:
    path = give_delays(
        animation(tmp_path / "a.png", 4, duration=50), [(1, 30), (1001, 30000), (3, 0), (65535, 7)]
    )
    assert durations(path) == [
        Fraction(1, 30),
        Fraction(1001, 30000),
        Fraction(3, 100),  # a denominator of 0 means 100
        Fraction(65535, 7),
    ]
    give_delays(path, [(1001, 30000)] * 4)
    assert video(path).info.fps == Fraction(30000, 1001)


def test_the_default_image_of_an_apng_is_no_frame_of_it(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png", 5, duration=[40, 80, 120, 160], default_image=True)
    assert numbers_of(video(path)) == [1, 2, 3, 4]
    assert durations(path) == [Fraction(number, 25) for number in (1, 2, 3, 4)]


def test_what_an_apng_leaves_open_does_not_show_its_default_image(tmp_path: Path) -> None:
    white, clear = Image.new("RGBA", (8, 6), "white"), Image.new("RGBA", (8, 6))
    dot, ring = clear.copy(), clear.copy()
    dot.putpixel((3, 3), (255, 0, 0, 255))
    ring.putpixel((5, 5), (0, 255, 0, 255))
    white.save(
        tmp_path / "a.png", save_all=True, append_images=[dot, ring], default_image=True, blend=1, duration=50
    )
    first, second = pixels_of(video(tmp_path / "a.png"))
    assert first.any(axis=-1).sum() == 1
    assert first[3, 3].tolist() == [255, 0, 0]
    assert second.any(axis=-1).sum() == 2


def test_an_animated_avif_is_read_with_its_times(tmp_path: Path) -> None:
    source = video(animation(tmp_path / "a.avif", 6, duration=[40, 80, 40, 40, 100, 40], quality=95))
    assert (source.info.frames, source.info.fps) == (6, Fraction(6000, 340))
    assert numbers_of(source) == list(range(6))


def test_a_table_of_times_that_lists_more_frames_than_bytes_is_damage_and_no_endless_count(
    tmp_path: Path,
) -> None:
    path = animation(tmp_path / "a.avif", 6)
    content = path.read_bytes()
    count = content.index(b"stts") + 12
    path.write_bytes(content[:count] + b"\xff\xff\xff\xff" + content[count + 4 :])
    with pytest.raises(SourceError, match="damaged near frame 0; copy or download it again"):
        _ = video(path).info


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.avif"])
def test_nobody_is_told_to_use_what_comes_before_where_nothing_does(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(drawn(0)).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    for partial in (False, True):
        sentence = sentence_for(video(path, allow_partial=partial))
        assert sentence.endswith("; copy or download it again")


def test_an_unknown_block_in_a_gif_is_damage_and_no_end(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", 24, duration=[100, 50] * 12)
    content = path.read_bytes()
    sixth = list_pages(path, sniff(path)).ends[5]
    path.write_bytes(content[:sixth] + b"\x2b\x04abc;\x00" + content[sixth:])
    with pytest.raises(SourceError, match="damaged near frame 6" + GO_ON):
        _ = video(path).info
    partial = video(path, allow_partial=True)
    assert numbers_of(partial) == list(range(6))
    assert [*partial.info.times, partial.info.end] == [
        Fraction(twentieths, 20) for twentieths in (0, 2, 3, 5, 6, 8, 9)
    ]
    assert "damaged near frame 6" in partial.info.remarks


def test_a_mark_of_the_end_in_the_middle_of_a_gif_is_damage(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", 6, duration=100)
    content, third = path.read_bytes(), list_pages(path, sniff(path)).ends[2]
    path.write_bytes(content[:third] + b";" + content[third:])
    with pytest.raises(SourceError, match="damaged near frame 3"):
        _ = video(path).info


def test_a_frame_that_runs_on_into_the_next_one_does_not_hide_it(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", 6)
    content, ends = path.read_bytes(), list_pages(path, sniff(path)).ends
    place = content.index(b",", ends[2])
    data = place + 11 + (3 << (content[place + 9] & 7) + 1)
    # What lies between the data of frames 2 and 3 becomes more pieces of such data.
    lost = content[ends[2] : data]
    joint = b"".join(
        bytes([len(lost[at : at + 255])]) + lost[at : at + 255] for at in range(0, len(lost), 255)
    )
    path.write_bytes(content[: ends[2] - 1] + joint + content[data:])
    assert len(list_pages(path, sniff(path)).durations) == 5
    assert "damaged near frame 2" in sentence_for(video(path))


def test_what_browsers_pass_over_in_a_gif_is_no_damage(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", 4, duration=100)
    content, second = path.read_bytes(), list_pages(path, sniff(path)).ends[1]
    path.write_bytes(content[:second] + b"\x00\x21\xaa\x03xyz\x00" + content[second:] + b"\r\n\x00\x00")
    assert numbers_of(video(path)) == [0, 1, 2, 3]


def test_a_frame_that_reaches_out_of_a_gif_is_cut_to_its_size(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.gif", 3, duration=100)
    content, first = bytearray(path.read_bytes()), list_pages(path, sniff(path)).ends[0]
    header = content.index(b",", first)
    content[header + 1 : header + 5] = struct.pack("<HH", 10, 20)
    path.write_bytes(content)
    assert video(path).info.size == (64, 48)
    assert pixels_of(video(path)).shape == (3, 48, 64, 3)


def test_bytes_after_the_end_of_a_png_are_passed_over(tmp_path: Path) -> None:
    Image.fromarray(drawn(3)).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    path.write_bytes(path.read_bytes() + b"what a cropped screenshot was before" * 400)
    assert np.array_equal(pixels_of(video(path))[0], drawn(3))


def test_an_apng_that_lists_more_frames_than_it_has_is_damaged(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png", 4, duration=100)
    parts = chunks(path.read_bytes())
    last = max(number for number, (name, _) in enumerate(parts) if name == b"fcTL")
    path.write_bytes(joined(parts[:last] + [part for part in parts[last:] if part[0] == b"IEND"]))
    with pytest.raises(SourceError, match="damaged: it lists 4 frames, 3 are readable" + GO_ON):
        _ = video(path).info
    assert numbers_of(video(path, allow_partial=True)) == [0, 1, 2]


@pytest.mark.parametrize("name", ["a.gif", "a.apng", "a.webp"])
def test_a_cut_animation_keeps_the_frames_before_the_cut_and_their_times(tmp_path: Path, name: str) -> None:
    stated = [100, 200, 300, 400, 500, 600]
    path = animation(tmp_path / name, 6, duration=stated)
    whole, content = pixels_of(video(path)), path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(SourceError, match=r"the file is cut short" + ".*" + GO_ON):
        _ = video(path).info
    partial = video(path, allow_partial=True)
    frames = pixels_of(partial)
    assert 2 <= len(frames) < 6
    assert np.array_equal(frames, whole[: len(frames)])
    moments = [Fraction(moment, 1000) for moment in accumulate([0, *stated])]
    assert [*partial.info.times, partial.info.end] == moments[: len(frames) + 1]


def test_a_frame_that_cannot_be_decoded_ends_what_is_taken_of_an_animation(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.webp", 6)
    content, third = bytearray(path.read_bytes()), list_pages(path, sniff(path)).ends[2]
    start = content.index(b"VP8L", third) + 20
    content[start : start + 60] = bytes(60)
    path.write_bytes(content)
    assert video(path).info.frames == 6
    assert "damaged near frame 3" in sentence_for(video(path))
    partial = video(path, allow_partial=True)
    assert (partial.info.frames, partial.info.end) == (3, Fraction(3, 10))
    assert "damaged near frame 3; the 3 frames before it are used" in partial.info.remarks
    assert numbers_of(partial) == [0, 1, 2]
    assert numbers_of(video(path, allow_partial=True, frames=1)) == [0]


def test_the_survey_of_3000_large_pages_decodes_none_of_them(tmp_path: Path) -> None:
    control = b"\x21\xf9\x04\x00\x05\x00\x00\x00"
    page = control + struct.pack("<cHHHHB", b",", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    path = tmp_path / "a.gif"
    screen = struct.pack("<HHBBB", 4000, 4000, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    path.write_bytes(b"GIF89a" + screen + page * 3000 + b";")
    source = video(path, frames=2, size="40x40")
    began = time.perf_counter()
    assert (source.info.frames, source.info.fps) == (2, 20)
    assert video(path).info.frames == 3000
    assert time.perf_counter() - began < 1
    assert pixels_of(source).shape == (2, 40, 40, 3)
    assert time.perf_counter() - began < 6


def bad_sectors(content: bytes, size: int) -> list[bytes]:
    """Zero a sector, lose it, or have it twice, at 15 places."""
    places = np.linspace(0, len(content) - size - 1, 15).astype(int)
    parts = [(content[:place], content[place : place + size], content[place + size :]) for place in places]
    changes: list[Callable[[bytes], bytes]] = [
        lambda part: bytes(len(part)),
        lambda _: b"",
        lambda part: 2 * part,
    ]
    return [before + change(part) + after for before, part, after in parts for change in changes]


def broken(content: bytes) -> list[bytes]:
    """Cut a file at 25 places, and change up to three bytes of it 25 times."""
    rng = np.random.default_rng(1)
    copies = [bytearray(content) for _ in range(25)]
    for number, copy in enumerate(copies):
        for place in rng.integers(len(content), size=1 + number % 3):
            copy[place] = int(rng.integers(256))
    return [content[:place] for place in rng.integers(1, len(content), 25)] + [bytes(copy) for copy in copies]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ANIMATIONS, "a.png", "a.jpg", "still.webp", "still.avif"])
def test_no_damage_shortens_a_picture_in_silence(tmp_path: Path, name: str) -> None:
    path, count = tmp_path / name, 8 if name in ANIMATIONS else 1
    noise = np.random.default_rng(0).integers(0, 60, (count, 48, 64, 3))
    pages = [
        Image.fromarray((drawn(number) + noise[number]).clip(0, 255).astype(np.uint8))
        for number in range(count)
    ]
    more: dict[str, Any] = {"save_all": True, "append_images": pages[1:], "duration": 70} if count > 1 else {}
    pages[0].save(path, **more)
    content = path.read_bytes()
    assert len(pixels_of(video(path))) == count
    for damaged in [*bad_sectors(content, 512), *broken(content)]:
        path.write_bytes(damaged)
        sentence = sentence_for(video(path))
        assert len(sentence) <= 300
        assert "\n" not in sentence
        assert sentence or len(pixels_of(video(path))) == count
