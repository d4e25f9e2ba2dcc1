from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.sources.conftest import drawn, numbers_of, pixels_of, write_gif, write_pictures
from vae_experiments.errors import SourceError
from vae_experiments.sources import Video
from vae_experiments.sources.video_file.clip_reader import look_over

if TYPE_CHECKING:
    from pathlib import Path


def video(path: Path, **settings: object) -> Video:
    return Video(path=str(path), **settings)


@pytest.mark.parametrize(
    ("name", "is_exact"), [("a.gif", False), ("a.webp", True), ("a.apng", True), ("a.png", True)]
)
def test_an_animation_gives_every_frame_and_its_rate(tmp_path: Path, name: str, is_exact: bool) -> None:
    source = video(write_gif(tmp_path / name, 8, duration=80, loop=0, lossless=True))
    info = source.info
    assert (info.size, info.fps, info.frames, info.sound) == ((64, 48), Fraction(25, 2), 8, None)
    difference = np.abs(pixels_of(source).astype(int) - np.stack([drawn(number) for number in range(8)]))
    assert difference.max() == 0 if is_exact else difference.mean() < 10


def test_a_gif_by_another_name_is_still_a_gif(tmp_path: Path) -> None:
    path = write_gif(tmp_path / "a.gif", 4, duration=100)
    assert video(path.rename(tmp_path / "a.mp4")).info.frames == 4


def test_frames_that_last_unequally_are_named_and_resampled(tmp_path: Path) -> None:
    path = write_gif(tmp_path / "a.webp", 3, duration=[100, 300, 200], lossless=True)
    assert video(path).info.fps == 5
    assert video(path).info.remarks[0].startswith("variable frame rate, 0.100 to 0.300 s a frame")
    assert numbers_of(video(path, fps="10")) == [0, 1, 1, 1, 2, 2]


def test_a_gif_without_durations_runs_as_in_a_browser(tmp_path: Path) -> None:
    assert video(write_gif(tmp_path / "a.gif", 4, duration=0)).info.fps == 10


def test_transparent_pictures_are_shown_over_black(tmp_path: Path) -> None:
    layers = np.full((6, 6, 4), 200, np.uint8)
    layers[:, :3, 3], layers[:, 3:, 3] = 0, 100
    Image.fromarray(layers).save(tmp_path / "a.png")
    source = video(tmp_path / "a.png")
    assert pixels_of(source)[0, 0, :, 0].tolist() == [0] * 3 + [78] * 3
    assert "transparent parts are shown over black" in source.info.remarks
    page = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    page.putpalette([255, 255, 255, 200, 100, 50])
    page.save(tmp_path / "a.gif", transparency=0)
    assert pixels_of(video(tmp_path / "a.gif")).tolist() == [[[[0, 0, 0], [200, 100, 50]]]]


def test_a_still_is_one_frame(tmp_path: Path) -> None:
    Image.fromarray(drawn(5)).save(tmp_path / "a.png")
    info = video(tmp_path / "a.png").info
    assert (info.frames, info.fps) == (1, 25)
    assert info.remarks == ()
    assert np.array_equal(pixels_of(video(tmp_path / "a.png"))[0], drawn(5))


def test_sixteen_bits_of_grey_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 256, 32768, 65535]], np.uint16))
    picture.save(tmp_path / "a.png")
    assert pixels_of(video(tmp_path / "a.png"))[0, 0, :, 0].tolist() == [0, 1, 128, 255]
    picture.save(tmp_path / "a.png", transparency=65535)
    assert pixels_of(video(tmp_path / "a.png"))[0, 0, :, 0].tolist() == [0, 1, 128, 0]


@pytest.mark.parametrize(
    ("mode", "name", "expected"),
    [
        ("1", "a.png", [255, 255, 255]),
        ("L", "a.png", [131, 131, 131]),
        ("LA", "a.png", [131, 131, 131]),
        ("P", "a.png", [204, 102, 102]),
        ("CMYK", "a.jpg", [200, 100, 120]),
        ("L", "a.jpg", [131, 131, 131]),
        ("RGBA", "a.avif", [200, 100, 120]),
    ],
)
def test_a_picture_of_any_mode_is_seen_as_it_is(
    tmp_path: Path, mode: str, name: str, expected: list[int]
) -> None:
    picture = Image.new("RGB", (16, 16), (200, 100, 120)).convert(mode, dither=Image.Dither.NONE)
    picture.save(tmp_path / name, quality=100)
    assert np.abs(pixels_of(video(tmp_path / name))[0].astype(int) - expected).max() <= 2


TURNED = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png", "a.avif"])
@pytest.mark.parametrize("orientation", list(TURNED))
def test_a_photograph_is_turned_upright(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(drawn(0)).save(tmp_path / name, exif=exif, quality=95)
    stored = video(tmp_path / name, rotate=False)
    assert stored.info.size == (64, 48)
    upright = TURNED[orientation](pixels_of(stored)[0])
    source = video(tmp_path / name)
    assert source.info.size == (upright.shape[1], upright.shape[0])
    assert np.array_equal(pixels_of(source)[0], upright)


def test_a_note_that_comes_after_the_pixels_of_a_png_turns_them_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(drawn(0)).save(tmp_path / "a.png", exif=exif)
    content = (tmp_path / "a.png").read_bytes()
    begin = content.index(b"eXIf") - 4
    end = begin + 12 + int.from_bytes(content[begin : begin + 4], "big")
    (tmp_path / "a.png").write_bytes(content[:begin] + content[end:-12] + content[begin:end] + content[-12:])
    assert pixels_of(video(tmp_path / "a.png")).shape == (1, 64, 48, 3)


def test_a_broken_note_is_no_damage_of_the_picture(tmp_path: Path) -> None:
    Image.fromarray(drawn(0)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    note = b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff nothing of this is right"
    block = b"\xff\xe1" + (len(note) + 2).to_bytes(2, "big") + note
    (tmp_path / "b.jpg").write_bytes(content[:2] + block + content[2:])
    assert np.array_equal(pixels_of(video(tmp_path / "b.jpg")), pixels_of(video(tmp_path / "a.jpg")))


def test_a_jpeg_that_holds_a_second_picture_is_one_still(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    preview = Image.new("RGB", (16, 12))
    Image.fromarray(drawn(5)).save(path, "MPO", save_all=True, append_images=[preview], quality=95)
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert (video(path).info.frames, video(path).info.size) == (1, (64, 48))
    assert numbers_of(video(path)) == [5]
    assert look_over(path).is_still


@pytest.mark.parametrize("major", [b"heic", b"mif1", b"hevc", b"msf1"])
def test_a_heic_photo_gets_a_sentence_of_its_own(tmp_path: Path, major: bytes) -> None:
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(b"\x00\x00\x00\x1cftyp" + major + b"\x00\x00\x00\x00mif1heicmiaf" + bytes(200))
    sentence = "a HEIC photo, which cannot be read here; convert it to JPEG or PNG"
    with pytest.raises(SourceError, match=sentence):
        _ = video(path).info
    with pytest.raises(SourceError, match=rf"IMG_1\.HEIC: {sentence}"):
        _ = video(tmp_path).info


def test_a_folder_of_pictures_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", [f"frame {number}.png" for number in range(12)])
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_text("nor this")
    source = video(folder, fps="8")
    assert (source.info.fps, source.info.frames, source.info.remarks) == (8, 12, ())
    assert numbers_of(source) == list(range(12))
    assert numbers_of(video(folder, fps="8", start=1)) == [8, 9, 10, 11]
    assert "no timing in the file, using 25 fps" in video(folder).info.remarks[0]


@pytest.mark.parametrize("name", ["{:03d}.png", "take2_{:03d}.png", "2024-05-17 {}.png"])
def test_a_gap_in_the_numbers_is_said_and_nothing_is_left_out(tmp_path: Path, name: str) -> None:
    folder = write_pictures(tmp_path / "a", [name.format(number) for number in (1, 2, 3, 5, 9)])
    source = video(folder)
    assert numbers_of(source) == [0, 1, 2, 3, 4]
    assert source.info.remarks[0] == "the picture numbers jump 3 -> 5, 5 -> 9"


def test_pictures_of_two_sizes_are_refused_by_name(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", ["1.png", "2.png", "3.png"])
    Image.fromarray(drawn(0, 32, 20)).save(folder / "2.png")
    with pytest.raises(
        SourceError, match=r"2\.png is 32x20, and 1\.png is 64x48; all pictures must have one size"
    ):
        _ = video(folder).info


def test_a_folder_may_hold_pictures_of_several_kinds(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", ["1.PNG", "2.avif", "3.JPG", "4.WebP", "5.Jpeg"])
    assert numbers_of(video(folder)) == [0, 1, 2, 3, 4]
    write_gif(folder / "6.webp", 3, duration=50, lossless=True)
    assert "6.webp is animated; only its first frame is used" in video(folder).info.remarks
    assert numbers_of(video(folder)) == [0, 1, 2, 3, 4, 0]


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling link"])
def test_what_is_no_regular_file_in_a_folder_of_pictures_is_refused_and_never_opened(
    tmp_path: Path, kind: str
) -> None:
    folder = write_pictures(tmp_path / "a", ["1.png", "2.png"])
    odd = folder / "3.png"
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "folder":
        odd.mkdir()
    else:
        odd.symlink_to("nowhere.png")
    for asked in (
        lambda: video(folder).info,
        lambda: video(folder).digest(),
        lambda: pixels_of(video(folder)),
    ):
        with pytest.raises(SourceError, match=r"3\.png: not a regular file, though its name is a picture's"):
            asked()


def test_a_damaged_picture_in_a_folder_is_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", ["1.png", "2.png", "3.png"])
    content = bytearray((folder / "2.png").read_bytes())
    content[content.index(b"IDAT") + 20] ^= 1
    (folder / "2.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"2\.png: damaged near frame 0"):
        pixels_of(video(folder))


def test_a_folder_of_videos_says_how_they_are_taken(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "phone", ["IMG_1.png"])
    (folder / "IMG_2.MOV").touch()
    hint = "-m source=videos makes a job of each video in it"
    assert Video(path=str(folder)).info.remarks == (f"only the pictures of this folder are read; {hint}",)
    (folder / "IMG_1.png").unlink()
    with pytest.raises(SourceError, match=f"holds no pictures .*; {hint}"):
        Video(path=str(folder)).info  # noqa: B018


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="this folder holds no pictures"):
        _ = video(tmp_path).info


def test_a_text_among_the_pictures_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", ["1.png", "2.png"])
    (folder / "2.png").write_text("no picture at all")
    with pytest.raises(SourceError, match=r"2\.png: this is a text"):
        _ = video(folder).info
