from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.sources.conftest import drawn, numbers_of, pixels_of, sentence_for, write_gif, write_pictures
from vae_experiments.errors import SourceError
from vae_experiments.sources import Video

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
    assert "no timing in the file, using 25 fps" in info.remarks[0]
    assert np.array_equal(pixels_of(video(tmp_path / "a.png"))[0], drawn(5))


def test_sixteen_bits_of_grey_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 256, 32768, 65535]], np.uint16)).save(tmp_path / "a.png")
    assert pixels_of(video(tmp_path / "a.png"))[0, 0, :, 0].tolist() == [0, 1, 128, 255]


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(drawn(0)).save(tmp_path / "a.jpg", exif=exif)
    assert video(tmp_path / "a.jpg").info.size == (48, 64)
    assert pixels_of(video(tmp_path / "a.jpg")).shape == (1, 64, 48, 3)
    assert video(tmp_path / "a.jpg", rotate=False).info.size == (64, 48)


def test_a_folder_of_pictures_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", [f"frame {number}.png" for number in range(12)])
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_text("nor this")
    source = video(folder, fps="8")
    assert (source.info.fps, source.info.frames, source.info.remarks) == (8, 12, ())
    assert numbers_of(source) == list(range(12))
    assert numbers_of(video(folder, fps="8", start=1)) == [8, 9, 10, 11]
    assert "no timing in the file, using 25 fps" in video(folder).info.remarks[0]


def test_a_gap_in_the_numbers_is_said_and_nothing_is_left_out(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", [f"{number:03d}.png" for number in (1, 2, 3, 5, 9)])
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


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="this folder holds no pictures"):
        _ = video(tmp_path).info


def test_a_text_among_the_pictures_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", ["1.png", "2.png"])
    (folder / "2.png").write_text("no picture at all")
    with pytest.raises(SourceError, match=r"2\.png: this is a text"):
        _ = video(folder).info


@pytest.mark.parametrize("name", ["a.gif", "a.apng"])
def test_a_cut_animation_is_an_error_or_taken_as_far_as_it_goes(tmp_path: Path, name: str) -> None:
    path = write_gif(tmp_path / name, 8, duration=100)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(SourceError, match=r"the file is cut short.*source\.allow_partial=true"):
        _ = video(path).info
    partial = video(path, allow_partial=True)
    assert partial.info.frames is None
    assert 1 <= len(pixels_of(partial)) < 8


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.jpg"])
def test_whatever_damage_pillow_meets_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.jpg":
        Image.fromarray(drawn(0)).save(path)
    else:
        write_gif(path, 3)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(40):
        damaged = bytearray(whole)
        place = int(rng.integers(len(whole)))
        damaged[place : place + 9] = rng.bytes(len(damaged[place : place + 9]))
        path.write_bytes(damaged)
        assert len(sentence_for(video(path))) <= 300
