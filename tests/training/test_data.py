from __future__ import annotations

import os
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.sources.conftest import BAD_MEDIA, write_film, write_gif
from tests.sources.test_clip_reader import H264, spoil
from vae_experiments.errors import SettingError, TrainingError
from vae_experiments.sources.procedural.clips import clip
from vae_experiments.sources.procedural.frames import frame
from vae_experiments.training.data import video_dataset as footage
from vae_experiments.training.data.options import Folder, Procedural
from vae_experiments.training.data.video_dataset import forth_and_back

if TYPE_CHECKING:
    from vae_experiments.training.data.dataset import Dataset


def shade(path: Path, level: int, count: int = 20, size: tuple[int, int] = (48, 40), apart: int = 12) -> Path:
    """Write a video whose green tells the file and whose red tells the number of the frame."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=12, options={"g": str(apart)})  # keyframes
        stream.width, stream.height, stream.pix_fmt = *size, "bgr0"
        for number in range(count):
            pixels = np.full((size[1], size[0], 3), (2 * number, level, 0), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number in range(8):
        shade(folder / ("deeper" if number % 2 else "") / f"{number}.mkv", 20 * number)
    return folder


def data(folder: Path, **settings: Any) -> Folder:
    return Folder(path=str(folder), **{"size": 32, **settings})


def pieces(prepared: Dataset, count: int = 60, seed: int = 0) -> np.ndarray:
    return np.stack([prepared.piece(seed, number).pixels for number in range(count)])


def held_out(prepared: Dataset, count: int = 60, seed: int = 0) -> np.ndarray:
    return np.stack([prepared.validation(seed, number).pixels for number in range(count)])


def levels(pixels: np.ndarray) -> set[int]:
    """Tell which of the shaded videos are among some pieces."""
    return {int(green) // 20 for green in pixels[:, 0, 0, 0, 1]}


def numbers(pixels: np.ndarray) -> np.ndarray:
    """Tell which of their frames, a row for each piece."""
    return pixels[:, :, 0, 0, 0] // 2


def complaint(folder: Path, frames: int = 1) -> str:
    with pytest.raises(TrainingError) as caught:
        data(folder).prepare(frames)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("plain", [0.1, 0.6])
def test_procedural_pieces_of_one_frame_are_the_procedural_frames_bit_for_bit(plain: float) -> None:
    prepared = Procedural(plain=plain).prepare(1)
    for number in (0, 1, 17):
        assert np.array_equal(prepared.piece(5, number).pixels, frame(5, number, plain)[None])
        assert np.array_equal(prepared.validation(5, number).pixels, frame(5, 10**9 + number)[None])
    assert (str(prepared), prepared.remarks) == ("procedural frames", ())


def test_procedural_pieces_of_more_frames_are_clips() -> None:
    prepared = pickle.loads(pickle.dumps(Procedural().prepare(3)))
    assert np.array_equal(prepared.piece(5, 4).pixels, clip(5, 4, 3))
    assert np.array_equal(prepared.validation(5, 4).pixels, clip(5, 10**9 + 4, 3))
    assert prepared.piece(5, 4).pixels.flags.writeable
    assert str(prepared) == "procedural clips"


def test_a_piece_is_a_square_of_frames_that_follow_each_other_in_one_film(films: Path) -> None:
    found = pieces(data(films).prepare(5))
    assert (found.shape, found.dtype) == ((60, 5, 32, 32, 3), np.uint8)
    assert (np.diff(numbers(found).astype(int), axis=1) == 1).all()
    assert (found == found[:, :, :1, :1]).all()
    assert (np.ptp(found[..., 1], axis=1) == 0).all()
    assert set(numbers(found)[:, 0]) == set(range(16))


@pytest.mark.slow
def test_a_piece_depends_on_the_seed_and_its_number_and_not_on_the_process(films: Path) -> None:
    prepared = data(films).prepare(2)
    expected = pieces(prepared, 6)
    assert len({piece.tobytes() for piece in expected}) > 3
    assert not np.array_equal(pieces(prepared, 6, seed=1), expected)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert np.array_equal(pool.submit(pieces, prepared, 6).result(), expected)
        validation = pool.submit(held_out, prepared, 3).result()
    assert np.array_equal(validation, held_out(prepared, 3))
    assert np.array_equal(prepared.piece(0, 5).pixels, expected[5])


def test_training_and_validation_fraction_no_file_and_leave_none_out(films: Path) -> None:
    prepared = data(films, validation_fraction=0.25).prepare(3)
    seen, unseen = levels(pieces(prepared, 150)), levels(held_out(prepared))
    assert len(unseen) == 2
    assert seen | unseen == set(range(8))
    assert not seen & unseen
    assert str(prepared) == f"8 videos below {films}, 2 held out for validation"


@pytest.mark.parametrize(("share", "count"), [(0.0, 1), (0.1, 1), (0.3, 2), (0.5, 4)])
def test_at_least_one_file_is_held_out(films: Path, share: float, count: int) -> None:
    assert len(levels(held_out(data(films, validation_fraction=share).prepare(1)))) == count


def test_names_alone_decide_which_files_are_held_out(films: Path, tmp_path: Path) -> None:
    prepared = data(films, validation_fraction=0.25).prepare(1)
    expected = levels(held_out(prepared))
    assert levels(held_out(prepared, seed=9)) == expected
    copy = tmp_path / "elsewhere"
    for number in reversed(range(8)):
        shade(copy / ("deeper" if number % 2 else "") / f"{number}.mkv", 20 * number, count=3)
    (copy / "notes.txt").write_text("not a video")
    assert levels(held_out(data(copy, validation_fraction=0.25).prepare(1))) == expected
    shade(copy / "00.mkv", 160, count=3)
    assert levels(held_out(data(copy, validation_fraction=0.25).prepare(1))) == expected


def test_of_a_single_film_the_end_is_held_out(tmp_path: Path) -> None:
    shade(tmp_path / "a.mkv", 0, count=100)
    prepared = data(tmp_path).prepare(4)
    assert set(numbers(pieces(prepared, 400)).ravel()) == set(range(90))
    assert set(numbers(held_out(prepared, 100)).ravel()) == set(range(90, 100))
    assert str(prepared) == f"1 video below {tmp_path}, its end held out for validation"


def test_a_film_without_keyframes_in_its_held_out_part_gives_each_part_its_own_frames(tmp_path: Path) -> None:
    shade(tmp_path / "a.mkv", 0, count=120, apart=250)
    prepared = data(tmp_path).prepare(1)
    assert set(numbers(pieces(prepared, 150)).ravel()) <= set(range(108))
    assert set(numbers(held_out(prepared, 60)).ravel()) <= set(range(108, 120))


def test_a_single_short_film_keeps_enough_frames_for_both_purposes(tmp_path: Path) -> None:
    shade(tmp_path / "a.mkv", 0, count=6)
    prepared = data(tmp_path).prepare(5)
    assert set(numbers(pieces(prepared)).ravel()) == {0, 1, 2}
    assert [list(row) for row in numbers(held_out(prepared, 1))] == [[3, 4, 5, 4, 3]]
    assert "its one usable file has 6 frames, too few to train on and to measure with" in complaint(
        tmp_path, 7
    )


def test_a_clip_of_at_least_half_the_frames_is_played_forth_and_back_and_a_shorter_one_left_out(
    tmp_path: Path,
) -> None:
    for name, count in {"long": 12, "half": 5, "short": 4}.items():
        shade(tmp_path / f"{name}.mkv", 100, count)
    write_gif(tmp_path / "still.gif", 1)
    prepared = data(tmp_path, validation_fraction=0.5).prepare(9)
    rows = {tuple(row) for row in numbers(np.concatenate([pieces(prepared), held_out(prepared)]))}
    assert (0, 1, 2, 3, 4, 3, 2, 1, 0) in rows
    assert (2, *range(3, 11)) in rows
    assert prepared.remarks == (
        f"skipped {tmp_path}/short.mkv: too short: it has 4 of the 9 frames that the training takes at a time",
        f"skipped {tmp_path}/still.gif: a still picture, and the training takes 9 frames at a time",
    )
    assert [int(pixel) for pixel in forth_and_back(np.arange(3), 8)] == [0, 1, 2, 1, 0, 1, 2, 1]


def test_stills_are_frames_to_train_on(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (40, 40), (0, 20 * number, 0)).save(tmp_path / f"{number}.png")
    prepared = data(tmp_path).prepare(1)
    assert levels(np.concatenate([pieces(prepared), held_out(prepared)])) == {0, 1, 2}
    assert str(prepared) == f"3 pictures below {tmp_path}, 1 held out for validation"


def test_large_frames_are_reduced_by_many_factors_and_small_ones_enlarged(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 128, 0).repeat(3, 2)
    for name in "ab":
        Image.fromarray(ramp).save(tmp_path / f"{name}.png", compress_level=ord(name) - ord("a") + 1)
    found = pieces(data(tmp_path).prepare(1))[:, 0, 0, :, 0].astype(int)
    spans = np.diff(found, axis=1)[:, 5:-5].mean(1)
    assert spans.min() == pytest.approx(1, abs=0.15)
    assert spans.max() == pytest.approx(4, abs=0.4)
    assert ((spans > 1.5) & (spans < 3)).sum() > 10
    assert len(set(found[:, 16])) > 20
    enlarged = pieces(data(tmp_path, size=256).prepare(1), 5)[:, 0, 0, :, 0].astype(int)
    assert np.diff(enlarged, axis=1).mean() == pytest.approx(0.5, abs=0.02)


def test_a_film_is_held_as_the_camera_was_held(tmp_path: Path) -> None:
    quarter = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
    for name in ("a.mov", "b.mov"):
        write_film(tmp_path / name, 3, codec="qtrle", pix_fmt="rgb24", matrix=quarter)
    piece = data(tmp_path, size=48).prepare(1).piece(0, 0).pixels[0].astype(int)
    # Stored, red grows to the right; a quarter turn lets it grow along the other axis alone.
    assert np.abs(np.diff(piece[..., 0], axis=0)).mean() > 0.5
    assert np.abs(np.diff(piece[..., 0], axis=1)).mean() < 0.1


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder as it is found in life."""
    folder = tmp_path / "mixed"
    shade(folder / "good.mkv", 20)
    shade(folder / "inner" / "good.avi", 40)
    shade(folder / ".hidden" / "a.mkv", 60)
    shade(folder / ".hidden.mkv", 60)
    (folder / "text.mp4").write_text("this is a text\n")
    (folder / "empty.mp4").touch()
    (folder / "sub.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    (folder / "notes.json").write_text("{}\n")
    whole = write_film(folder / "cut.mp4", **H264).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    (folder / "round").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    return folder


def test_bad_files_are_named_with_their_reason_and_the_good_ones_are_used(mixed: Path) -> None:
    prepared = data(mixed).prepare(2)
    assert levels(np.concatenate([pieces(prepared), held_out(prepared)])) == {1, 2}
    assert (
        str(prepared)
        == f"2 videos below {mixed}, 1 held out for validation, 4 skipped, 3 other files passed over"
    )
    reasons = {
        "cut.mp4": "the file was not finished (no moov)",
        "empty.mp4": "the file is empty",
        "gone.mp4": "a link to a file that does not exist",
        "text.mp4": "this is a text, not a video",
    }
    assert prepared.remarks == tuple(f"skipped {mixed}/{name}: {why}" for name, why in reasons.items())


ODD = [
    "a b.mkv",
    "it's.mkv",
    "x{1},y=2.mkv",
    'q"uote.mkv',
    "[br].mkv",
    "日本 語.mkv",
    "a: b.mkv",
    "-d ${now}.mkv ",
]


def test_a_training_takes_the_set_that_a_sweep_takes_whatever_its_videos_are_called(tmp_path: Path) -> None:
    for level, name in enumerate(ODD[:-1], 1):
        shade(tmp_path / name, 20 * level)
    shade(tmp_path / "x.mkv", 20 * len(ODD)).rename(tmp_path / ODD[-1])
    for number in range(20):
        pixels = np.full((40, 48, 3), (2 * number, 180, 0), np.uint8)
        (tmp_path / "sub, a=b").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "sub, a=b" / f"{number}.png")
    (tmp_path / "c: broken.mp4").write_bytes(b"\0" * 999)

    def found(path: Path, **settings: Any) -> set[int]:
        prepared = data(path, validation_fraction=0, **settings).prepare(2)
        assert len(prepared.remarks) == (path == tmp_path)
        assert all(remark.startswith(f"skipped {tmp_path}/c: broken.mp4: ") for remark in prepared.remarks)
        cut = np.concatenate([pieces(prepared, 60), held_out(prepared, 20)])
        assert (np.diff(numbers(cut).astype(int), axis=1) == 1).all()
        return levels(cut)

    named = {*range(1, len(ODD))}
    assert found(tmp_path) == named | {len(ODD), 9}
    assert found(tmp_path / "**" / "*.mkv") == named
    assert found(tmp_path / "*.mkv", limit=2) == {5, 1}
    assert found(tmp_path / "sub, a=b") == {9}
    assert found(tmp_path / ODD[4]) == {5}


def test_a_folder_without_a_usable_file_is_one_sentence_with_the_first_reason(mixed: Path) -> None:
    for film in (mixed / "good.mkv", mixed / "inner" / "good.avi"):
        film.unlink()
    assert complaint(mixed) == (
        f"data.path={mixed}: none of its videos can be used (skipped {mixed}/cut.mp4: the file was not "
        "finished (no moov)); give a folder of others"
    )


def test_a_folder_that_is_empty_or_missing_or_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    rule = "no video is there; give a folder of videos, or a pattern such as 'clips/**/*.mp4', in which capitals count"
    for path in ("empty", "*.mkv"):
        assert complaint(tmp_path / path) == f"data.path={tmp_path}/{path}: {rule}"
    missing = complaint(tmp_path / "empti")
    assert missing == f"data.path={tmp_path}/empti: no such file; did you mean {tmp_path}/empty?"
    assert complaint(Path("https://example.com/videos")).startswith("data.path=https:/")


@pytest.mark.parametrize(
    "settings",
    [{"size": 16}, {"validation_fraction": 0.6}, {"validation_fraction": -0.1}, {"size": float("nan")}],
)
def test_settings_keep_their_ranges(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"data.{next(iter(settings))}="):
        Folder(path=".", **settings)
    with pytest.raises(SettingError, match="data.plain=2"):
        Procedural(plain=2)


def test_damage_further_in_is_gone_around_and_told_with_the_same_words(tmp_path: Path) -> None:
    for name in "ab":
        write_film(
            tmp_path / f"{name}.mp4", 60, **H264, options={"g": "6", "qp": str(ord(name) - 87), "bf": "0"}
        )
        spoil(tmp_path / f"{name}.mp4", 12, 60)
    prepared = data(tmp_path).prepare(2)
    assert prepared.remarks == ()
    found = [prepared.piece(0, number) for number in range(20)]
    bright = np.stack([piece.pixels for piece in found])[..., 2].mean((1, 2, 3)) / 3
    assert bright.max() < 13
    told = {remark for piece in found for remark in piece.remarks}
    assert len(told) == 1
    assert told.pop().endswith(".mp4: damaged further in")
    again = pickle.loads(pickle.dumps(prepared)).piece(0, 3)
    assert (again.pixels.tobytes(), again.remarks) == (found[3].pixels.tobytes(), found[3].remarks)


def test_a_training_ends_with_a_sentence_when_nothing_can_be_read_any_more(tmp_path: Path) -> None:
    for name in "abc":
        shade(tmp_path / f"{name}.mkv", 0)
    prepared = data(tmp_path).prepare(1)
    shutil.rmtree(tmp_path)
    for draw in (prepared.piece, prepared.validation):
        with pytest.raises(TrainingError, match="none of its videos can be read any more .*changed since"):
            draw(0, 0)


def test_a_long_list_of_remarks_is_cut(films: Path, tmp_path: Path) -> None:
    shutil.copytree(films, tmp_path, dirs_exist_ok=True)
    for number in range(130):
        (tmp_path / f"{number:03}.mp4").write_text("a text")
    remarks = data(tmp_path).prepare(1).remarks
    assert len(remarks) == 101
    assert remarks[-1] == "30 more files were skipped"


def test_most_pieces_begin_near_a_keyframe_and_all_frames_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footage, "_NEAR", 4)
    for name in "ab":
        write_film(tmp_path / f"{name}.mkv", 40, options={"g": "40"})
    found = pieces(data(tmp_path).prepare(1), 300)[:, 0, ..., 2].mean((1, 2)) / 3
    assert 0.6 < (found.round() < 4).mean() < 0.95
    assert len(set(found.round())) > 30


@pytest.mark.skipif(not BAD_MEDIA.is_dir(), reason="the shared media are not beside this checkout")
@pytest.mark.parametrize("frames", [1, 17])
@pytest.mark.timeout(60)
def test_the_whole_collection_of_bad_media_is_data_like_any_other(frames: int) -> None:
    prepared = data(BAD_MEDIA).prepare(frames)
    assert pieces(prepared, 80).shape == (80, frames, 32, 32, 3)
    assert held_out(prepared, 10).shape == (10, frames, 32, 32, 3)
    named = " ".join(prepared.remarks)
    for name in ("empty.mp4", "text.mp4", "trunc_mdat_half.mp4", "flipped_mdat.mp4"):
        assert f"/{name}: " in named
    assert "over the limit of 16777216 pixels" in named
    assert "source." not in named
