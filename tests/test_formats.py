"""Decoded videos in every other format, and as animations: the same frames at the same times, whole or absent."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from fnmatch import fnmatch
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from tests.test_config import composed
from tests.test_writers import soft_clip
from vae_experiments import Experiment, Folder, MovingCircle, Noise, Output, Video
from vae_experiments.cli.config import experiment_from
from vae_experiments.errors import SettingError
from vae_experiments.files import is_complete
from vae_experiments.manipulations import Retime
from vae_experiments.pipeline.run_folder import FINISHED, WRITTEN
from vae_experiments.sources import SourceInfo
from vae_experiments.tensors import Size, to_pixels
from vae_experiments.writers import FORMATS, OutputClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vae_experiments.pipeline.experiment import Result

    Runner = Callable[..., Result]

ANIMATED = ("gif", "webp", "apng")
TICK_MS = {"gif": 10, "webp": 1, "apng": 1}
PLAIN: dict[str, Any] = {"table": False, "pictures": False, "report": False, "provenance": False}


@pytest.fixture
def run(network_folders: dict[str, Path], tmp_path: Path) -> Runner:
    """Run an experiment on a small AutoencoderDC, 12 frames unless others are given."""

    def run_it(formats: Sequence[str], *links: Any, source: Any = None, **other: Any) -> Result:
        folder = tmp_path / "run"
        model = Folder(path=str(network_folders["AutoencoderDC"]))
        source = source or MovingCircle(size="48x40", frames=12, fps="12")
        output = Output(formats=list(formats), **(PLAIN | other))
        return Experiment(source, links or [Noise()], model, output=output, batch_size=5).run(folder)

    return run_it


def write(path: Path, name: str, pixels: np.ndarray, clock: OutputClock) -> list[str]:
    """Write a clip in two chunks; give what was remarked."""
    remarks: list[str] = []
    with FORMATS[name].open(path, Size(pixels.shape[2], pixels.shape[1]), clock, remarks.append) as copy:
        copy.write(pixels[:3])
        copy.write(pixels[3:])
    return remarks


def shown(path: Path) -> tuple[np.ndarray, list[int]]:
    """Read an animation with Pillow: its frames, and how long each is shown in ms."""
    with Image.open(path) as picture:
        frames, durations = [], []
        for number in range(picture.n_frames):
            picture.seek(number)
            frames.append(np.asarray(picture.convert("RGB")))
            durations.append(round(picture.info["duration"]))
        assert picture.info["loop"] == 0, "for ever"
        return np.stack(frames), durations


def read(path: Path) -> tuple[np.ndarray, SourceInfo]:
    """Read a clip as a source of this project."""
    source = Video(path=str(path))
    return np.concatenate([to_pixels(frames) for frames in source.chunks(4)]), source.info


def test_a_run_in_every_format_reads_back_with_every_frame_at_its_time(run: Runner) -> None:
    folder = run([*FORMATS]).folder
    for name in ("reconstructed", "reconstructed_with_noise"):
        exact = iio.imread(folder / f"{name}.apng", index=...)
        for kind in ANIMATED:
            frames, info = read(folder / f"{name}.{kind}")
            assert len(frames) == len(shown(folder / f"{name}.{kind}")[0]) == 12
            assert (
                info.remarks == () or kind == "webp"
            )  # which may leave out what stays, and is opaque all the same
            ends = list(accumulate(shown(folder / f"{name}.{kind}")[1]))
            assert ends == pytest.approx([(n + 1) * 1000 / 12 for n in range(12)], abs=TICK_MS[kind] / 2)
            apart = np.abs(frames[:, None].astype(int) - exact[None]).mean((2, 3, 4))
            if name == "reconstructed_with_noise":
                assert list(apart.argmin(1)) == [*range(12)], "each is most like its own frame"
            assert apart.diagonal().max() == 0 or kind != "apng"
        pictures, _ = read(folder / f"{name}_png")
        assert np.array_equal(pictures, exact)
        assert [path.name for path in sorted((folder / f"{name}_png").iterdir())] == [
            f"{number:05d}.png" for number in range(12)
        ]
    sheets, _ = shown(folder / "comparison.apng")
    assert sheets.shape[0] == 12
    assert sheets.shape[2] > 3 * 48
    assert not (folder / "comparison_png").exists()
    assert not list(folder.glob("original*.gif"))


def test_png_and_apng_hold_the_very_pixels_that_were_measured(run: Runner) -> None:
    source = MovingCircle(size="48x40", frames=12, fps="12")
    folder = run(["png", "apng"], source=source).folder
    original = np.concatenate([to_pixels(frames) for frames in source.chunks(4)])
    metrics = json.loads((folder / FINISHED).read_text())
    for name in ("reconstructed", "reconstructed_with_noise"):
        pictures = np.stack([iio.imread(path) for path in sorted((folder / f"{name}_png").iterdir())])
        squared = np.mean((pictures.astype(float) - original) ** 2)
        assert 10 * np.log10(255**2 / squared) == pytest.approx(metrics[name]["psnr_db"], abs=1e-6)
        assert np.array_equal(iio.imread(folder / f"{name}.apng", index=...), pictures)


UNEVEN = [Fraction(n) for n in ("0", "1/30", "1/15", "0.1", "0.5", "0.75", "2", "3.1", "3.14")]


def test_a_variable_rate_goes_through_a_run(run: Runner, tmp_path: Path) -> None:
    write(tmp_path / "clip.apng", "apng", soft_clip(8), OutputClock(8 / UNEVEN[-1], UNEVEN))
    source = Video(path=str(tmp_path / "clip.apng"))
    times = [*source.info.times, source.info.end]
    assert times == pytest.approx([float(moment) for moment in UNEVEN], abs=0.0005)
    folder = run(ANIMATED, source=source).folder
    for kind in ANIMATED:
        _, info = read(folder / f"reconstructed_with_noise.{kind}")
        assert [*map(float, info.times), float(info.end)] == pytest.approx(
            [*map(float, times)], abs=TICK_MS[kind] / 2000
        )


def test_a_retimed_video_plays_at_the_mean_rate(run: Runner) -> None:
    folder = run(["apng", "png"], Retime(speed=0.5), comparison=False).folder
    _, info = read(folder / "reconstructed_with_retime.apng")
    assert (info.frames, float(info.end)) == (24, 2)
    assert len(list((folder / "reconstructed_with_retime_png").iterdir())) == 24
    assert len(list((folder / "reconstructed_png").iterdir())) == 12


@pytest.mark.parametrize("kind", ANIMATED)
def test_rounded_times_do_not_add_up(tmp_path: Path, kind: str) -> None:
    clock = OutputClock(Fraction(30000, 1001))
    durations = FORMATS[kind].durations(clock, 600)
    tick = TICK_MS[kind]
    for number, end in enumerate(accumulate(durations)):
        assert abs(end - clock.begins(number + 1) * 1000) <= Fraction(tick, 2)
    assert write(tmp_path / f"clip.{kind}", kind, soft_clip(), clock) == []
    assert shown(tmp_path / f"clip.{kind}")[1] == durations[:7]


@pytest.mark.parametrize(
    ("kind", "fps", "least", "remark"),
    [
        ("gif", 60, 20, "gif: plays 20% longer than the video: a frame of it lasts 20 ms at least"),
        ("webp", 120, 11, "webp: plays 32% longer than the video: a frame of it lasts 11 ms at least"),
        ("apng", 120, 11, "apng: plays 32% longer than the video: a frame of it lasts 11 ms at least"),
    ],
)
def test_what_browsers_would_slow_down_tenfold_plays_a_little_slower_and_is_remarked(
    tmp_path: Path, kind: str, fps: int, least: int, remark: str
) -> None:
    assert write(tmp_path / f"clip.{kind}", kind, soft_clip(), OutputClock(Fraction(fps))) == [remark]
    assert shown(tmp_path / f"clip.{kind}")[1] == [least] * 7


def test_after_frames_of_one_moment_the_others_catch_up(tmp_path: Path) -> None:
    times = [Fraction(n) for n in ("0", "0", "0", "0.1", "0.2")]
    clock = OutputClock(4 / times[-1], times)
    assert write(tmp_path / "clip.gif", "gif", soft_clip(4), clock) == []
    assert shown(tmp_path / "clip.gif")[1] == [20, 20, 60, 100]


def test_equal_frames_stay_apart_in_apng_and_are_one_that_lasts_as_long_in_gif_and_webp(
    tmp_path: Path,
) -> None:
    still = np.repeat(soft_clip(1), 5, axis=0)
    moving = np.concatenate([still, 255 - still[:1]])
    for kind, ends in (("gif", [500, 600]), ("webp", [500, 600]), ("apng", [100, 200, 300, 400, 500, 600])):
        write(tmp_path / f"clip.{kind}", kind, moving, OutputClock(Fraction(10)))
        assert list(accumulate(shown(tmp_path / f"clip.{kind}")[1])) == ends


@pytest.mark.parametrize("name", FORMATS)
def test_one_frame_is_written_as_well(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"clip{FORMATS[name].suffix}"
    write(path, name, soft_clip(1), OutputClock(Fraction(8)))
    frames, info = read(path)
    assert (len(frames), info.size) == (1, Size(64, 48))


def test_what_does_not_fit_is_one_line_and_nothing_is_written(run: Runner, tmp_path: Path) -> None:
    rule = r"output.formats=\[png,gif\]: gif takes at most 600 frames, and here are 601; .* png, which has no"
    long = MovingCircle(size="48x40", frames=601, fps="12")
    with pytest.raises(SettingError, match=rule):
        run(["png", "gif"], source=long)
    assert list((tmp_path / "run").iterdir()) == []
    with pytest.raises(SettingError, match="webp takes at most 600 frames, and here are 602"):
        run(["webp"], Retime(speed=0.5), source=MovingCircle(size="48x40", frames=301, fps="12"))
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "size", "frames", "fps", "problem"),
    [
        ("gif", Size(1024, 1024), 200, 8, "gif holds all frames in memory, 3.1 GiB here and at most 1 GiB"),
        (
            "webp",
            Size(16384, 16),
            9,
            8,
            "webp takes at most 16383 pixels a side, and a frame here is 16384x16",
        ),
        ("apng", Size(64, 64), 2, Fraction(1, 66), "in apng, a frame lasts at most 65.535 s"),
        ("gif", Size(64, 64), 66, Fraction(1, 10), "in gif, all frames together last at most 655.35 s"),
    ],
)
def test_memory_size_and_time_have_their_bounds(
    kind: str, size: Size, frames: int, fps: Any, problem: str
) -> None:
    info = SourceInfo.steady(size, Fraction(fps), frames)
    with pytest.raises(SettingError, match=problem):
        Output(formats=[kind]).check(info, frames, videos=3)
    Output(formats=["png"]).check(info, frames, videos=3)


def test_the_longest_times_that_are_allowed_can_be_written(tmp_path: Path) -> None:
    for kind, seconds in (("gif", 65), ("webp", 16_000), ("apng", 65)):
        write(tmp_path / f"clip.{kind}", kind, soft_clip(), OutputClock(Fraction(1, seconds)))
        assert shown(tmp_path / f"clip.{kind}")[1] == [seconds * 1000] * 7


def test_a_wrong_name_is_told_what_there_is() -> None:
    rule = r"output.formats=\[png,gfi\]: there is no gfi; did you mean gif\? choose from: apng, ffv1, gif, png, prores, webm, webp"
    with pytest.raises(SettingError, match=rule):
        experiment_from(composed("output.formats=[png,gfi]"))
    with pytest.raises(SettingError, match=rule):
        Output(formats=["png", "gfi"])
    assert experiment_from(composed("output.formats=[png,gif]")).output.formats == ["png", "gif"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("end", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_breaks_off_leaves_nothing(tmp_path: Path, name: str, end: type[BaseException]) -> None:
    clock, size = OutputClock(Fraction(8)), Size(64, 48)
    with (
        pytest.raises(end),
        FORMATS[name].open(tmp_path / f"clip{FORMATS[name].suffix}", size, clock, print) as copy,
    ):
        copy.write(soft_clip())
        raise end
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_is_interrupted_leaves_nothing_and_does_not_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def interrupted(*_: object, **__: object) -> None:
        begun.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "clip.gif", "gif", soft_clip(), OutputClock(Fraction(8)))
    gc.collect()
    assert begun == [1]
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, signal, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from vae_experiments.tensors import Size
from vae_experiments.writers import FORMATS, OutputClock
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
kind = FORMATS[sys.argv[1]]
path = Path(sys.argv[2]) / f"clip{kind.suffix}"
with kind.open(path, Size(64, 64), OutputClock(Fraction(8)), print) as copy:
    copy.write(noise)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits are Unix's")
@pytest.mark.parametrize("name", FORMATS)
def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", LIMITED, name, str(tmp_path)]
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 1
    sentence = f"WriteError: {tmp_path}/clip{FORMATS[name].suffix} grew beyond the size that a file may have"
    assert sentence in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_page_links_them_and_the_digests_cover_them(run: Runner) -> None:
    result = run([*FORMATS], report=True)
    page = (result.folder / "report.html").read_text()
    names = [f"reconstructed_with_noise{kind.suffix}" for kind in FORMATS.values()]
    for name in [*names, "comparison.gif"]:
        assert f'href="{name}"' in page
        assert any(fnmatch(name, pattern) for pattern in WRITTEN), "a new run in this folder clears it"
    assert is_complete(result.folder, FINISHED)
    for name in ("reconstructed.webp", "reconstructed_with_noise_png/00007.png"):
        path = result.folder / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"x")
        assert not is_complete(result.folder, FINISHED)
        path.write_bytes(content)


def test_a_format_that_is_named_twice_is_written_once(run: Runner) -> None:
    folder = run(["png", "png"], comparison=False).folder
    assert len(list((folder / "reconstructed_png").iterdir())) == 12


def test_without_formats_nothing_is_added(run: Runner) -> None:
    assert {path.suffix for path in run([]).folder.iterdir()} == {".mp4", ".json", ""}
