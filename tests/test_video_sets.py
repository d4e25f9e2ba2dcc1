"""A set of videos: every one is a job, a bad one costs its own jobs only, and the summary is arithmetic."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from tests.conftest import REPOSITORY
from tests.sources.conftest import write_film, write_pictures
from tests.test_launchers import HERE, results, skip_where_missing
from vae_experiments.cli.overrides import as_text
from vae_experiments.errors import SourceError
from vae_experiments.files import SUMS
from vae_experiments.sources import Videos

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]

NAMES = ["a b.mp4", "it's.mkv", "x{1}.mov", "日本 語.webm", 'q"uote.mp4', "comma,eq=.mp4", "[br].mp4"]
NAMES += [
    "true.mp4",
    "12.mp4",
    "semi;colon.mp4",
    "~home.mp4",
    "per%cent.mp4",
    "-dash.mp4",
    "#hash.mp4",
    "a=b.mp4",
]
ODDER = ["back\\slash.avi", "d${now:%Y}.mp4", "a\\${b$.mp4", "new\nline.mp4", "ends in a space.mp4 "]
"""As only Unix has them."""
H264: dict[str, Any] = {"codec": "libx264", "pix_fmt": "yuv420p"}
SCALES = ("0.1", "0.5", "2")
VIDEOS, JOBS = 19, 57
"""That are whole."""
SUMMARY = "sweep_summary.csv"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("clip") / "clip.mp4", 6, **H264)


def test_a_folder_is_searched_to_the_bottom_and_sorted(tmp_path: Path) -> None:
    for name in (
        "b.mp4",
        "a.MKV",
        "sub/c.webm",
        ".hidden/d.mp4",
        ".e.mp4",
        "notes.txt",
        "sub/f.gif",
        "one/still.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    write_pictures(tmp_path / "frames", ["1.png", "2.png"])
    for name in ("outputs/run/.hydra/config.yaml", "outputs/run/original.mp4", "outputs/sweep/multirun.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write_pictures(tmp_path / "outputs" / "sweep" / "plots", ["1.png", "2.png"])
    (tmp_path / "sub" / "again").symlink_to(tmp_path)
    found = [Path(video).relative_to(tmp_path).as_posix() for video in Videos(path=str(tmp_path)).videos()]
    assert found == ["a.MKV", "b.mp4", "frames", "sub/c.webm", "sub/f.gif"]
    assert Videos(path=str(tmp_path), limit=1).passed_over() == 2, "notes.txt and one/still.png"
    run = tmp_path / "outputs" / "run"
    assert Videos(path=str(run)).videos() == [str(run / "original.mp4")]


def test_a_pattern_takes_what_it_matches_whatever_it_is_called(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.data", "sub/c.mp4", "sub/deeper/d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def found(pattern: str, **settings: int) -> list[str]:
        videos = Videos(path=str(tmp_path / pattern), **settings).videos()
        return [Path(video).relative_to(tmp_path).as_posix() for video in videos]

    assert found("*.mp4") == ["b.mp4"]
    assert found("a.*") == ["a.data"]
    assert found("**/*.mp4") == ["b.mp4", "sub/c.mp4", "sub/deeper/d.mp4"]
    assert found("**/*.mp4", limit=2) == ["b.mp4", "sub/c.mp4"]
    write_pictures(tmp_path / "frames", ["1.png", "2.png"])
    assert found("*") == ["a.data", "b.mp4", "frames"]


def test_a_file_that_is_called_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].mp4").touch()
    (tmp_path / "a1.mp4").touch()
    assert Videos(path=str(tmp_path / "a[1].mp4")).videos() == [str(tmp_path / "a[1].mp4")]


@pytest.mark.parametrize("path", ["nothing", "nothing/*.mp4"])
def test_a_set_without_a_video_says_so(path: str, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "notes.txt").touch()
    with pytest.raises(
        SourceError, match=r"no video is there; give a folder of videos, or a pattern such as"
    ):
        Videos(path=str(tmp_path / path)).videos()


@pytest.mark.parametrize("path", ["", "*.mp4"])
def test_a_run_takes_one_video_and_says_how_to_take_all(path: str, clip: Path) -> None:
    with pytest.raises(
        SourceError, match=r"is a set of videos, and a run takes one; type -m, and a sweep makes a job"
    ):
        Videos(path=str(clip.parent / path)).info  # noqa: B018


def test_one_video_of_a_set_is_read_as_any_video(clip: Path) -> None:
    assert Videos(path=str(clip), frames=4).info.frames == 4


@pytest.mark.parametrize("name", [*NAMES, *ODDER, "ends in \\", "a\\'b", "a\\\\${b}'", "${a:${b}}"])
def test_hydra_reads_every_name_as_it_is(name: str) -> None:
    [override] = OverridesParser.create().parse_overrides([f"source.path={as_text(name)},'other'"])
    first = next(override.sweep_string_iterator())
    [job] = OverridesParser.create().parse_overrides([f"source.path={first}"])
    assert OmegaConf.create({"path": job.value()}).path == name


@pytest.mark.slow
def test_every_name_is_a_job_of_its_own(type_command: Command, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "2024_05_17"
    (folder / "sub, a=b").mkdir(parents=True)
    names = [*NAMES, "sub, a=b/zz.mp4"] + (ODDER if os.sep == "/" else [])
    for name in names:
        shutil.copy(clip, folder / name)
    done = type_command(
        *("run.py", "-m", "source=videos", f"source.path={folder}", "source.size=16", "source.frames=1"),
        *("output=minimal", "manipulation=none", f"hydra.sweep.dir={tmp_path / 'sweep'}"),
    )
    assert done.returncode == 0, done.stderr
    rows = read_table(tmp_path / "sweep" / "sweep.csv")
    assert sorted(row["source.path"] for row in rows) == sorted(str(folder / name) for name in names)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 19 videos, and one that breaks off."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(VIDEOS):
        suffix = (".mp4", ".mkv", ".avi")[number % 3]
        write_film(folder / f"clip {number:02d}{suffix}", 4 + number % 3, fps=6 + number, **H264)
    whole = (folder / "clip 00.mp4").read_bytes()
    (folder / "broken.mp4").write_bytes(whole[: len(whole) // 2])
    return folder


def study_of(clips: Path, folder: Path, *more: str) -> tuple[str, ...]:
    """Give the words of a study, with a cache of its own."""
    words = ("run.py", "-m", "source=videos", f"source.path={clips}", f"noise.scale={','.join(SCALES)}")
    places = (f"hydra.sweep.dir={folder / 'sweep'}", f"cache.dir={folder / 'cache'}")
    return (*words, "source.size=32", "output=minimal", *places, *more)


@pytest.fixture(scope="module")
def study(type_command: Command, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a study to its end, and see what it says of the broken video."""
    folder = tmp_path_factory.mktemp("study")
    done = type_command(*study_of(clips, folder), timeout=500)
    assert done.returncode == 1
    names_the_broken_one(done.stderr)
    assert f"{JOBS} of {JOBS + 3} jobs finished" in done.stdout
    assert f"{clips}: 20 videos\n" in done.stdout
    said = re.findall(r"^noise.scale=(.*): PSNR .* dB \[.*\] over 19 videos$", done.stdout, re.MULTILINE)
    assert tuple(said) == SCALES
    return folder / "sweep"


def names_the_broken_one(complaints: str, jobs: int = 3) -> None:
    errors = [line for line in complaints.splitlines() if line.startswith("error: job ")]
    assert len(errors) == jobs
    assert all("broken.mp4" in line and "the file was not finished" in line for line in errors)
    assert "Traceback" not in complaints


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_encodes_each_video_once_and_its_summary_is_arithmetic(study: Path) -> None:
    assert encodings(study) == dict.fromkeys(range(VIDEOS), 1)
    assert summary_of(study) == pytest.approx(by_hand(study), rel=0, abs=0)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 is Unix's")
def test_a_study_that_is_killed_and_typed_again_is_the_study(
    type_command: Command, clips: Path, study: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(clips, tmp_path / "clips")
    words, sweep = study_of(own, tmp_path), tmp_path / "sweep"
    with subprocess.Popen([sys.executable, *words], cwd=REPOSITORY, stdout=subprocess.DEVNULL) as killed:
        while len(finished(sweep)) < JOBS // 4 and killed.poll() is None:
            time.sleep(0.02)
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    before = finished(sweep)
    assert JOBS // 4 <= len(before) < JOBS

    again = type_command(*words, timeout=500)
    assert again.returncode == 1
    names_the_broken_one(again.stderr)
    assert f"{JOBS} of {JOBS + 3} jobs finished" in again.stdout
    assert again.stdout.count("is finished already") == len(before)
    assert {file: finished(sweep)[file] for file in before} == before
    # The kill may have come after a video was encoded and before its job was finished.
    assert sorted(encodings(sweep).values()) in ([1] * VIDEOS, [0] + [1] * (VIDEOS - 1))
    assert len(list((tmp_path / "cache").glob("*-latents"))) == VIDEOS
    assert (sweep / SUMMARY).read_text() == (study / SUMMARY).read_text()
    assert results(sweep) == results(study)

    before = finished(sweep)
    shutil.copy(own / "clip 00.mp4", own / "broken.mp4")
    mended = type_command(*words, timeout=500)
    assert mended.returncode == 0, mended.stderr
    assert {file: finished(sweep)[file] for file in before} == before
    assert f"{JOBS + 3} of {JOBS + 3} jobs finished" in mended.stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("launcher", HERE)
def test_an_engine_gives_a_study_the_summary_of_the_basic_launcher(
    launcher: str, type_command: Command, clips: Path, tmp_path: Path
) -> None:
    skip_where_missing(launcher)
    for engine in ("basic", launcher):
        few = ("source.limit=4", f"hydra/launcher={engine}")
        done = type_command(*study_of(clips, tmp_path / engine, *few), fresh=True, timeout=300)
        assert done.returncode == 1
        names_the_broken_one(done.stderr)
    found = [(tmp_path / engine / "sweep" / SUMMARY).read_text() for engine in ("basic", launcher)]
    assert found[0] == found[1]


def finished(sweep: Path) -> dict[Path, int]:
    """Tell of each finished job when its last file was written."""
    return {file: file.stat().st_mtime_ns for file in sweep.glob(f"*/{SUMS}")}


def encodings(sweep: Path) -> dict[int, int]:
    """Count the jobs of each video that encoded it, rather than take its latents from the cache."""
    videos = list(dict.fromkeys(row["source.path"] for row in read_table(sweep / "sweep.csv")))
    assert "broken" in videos.pop(0)
    counts = dict.fromkeys(range(len(videos)), 0)
    for row in read_table(sweep / "sweep.csv"):
        if row["status"] == "finished" and row["timing.encode_seconds"] != "cached":
            counts[videos.index(row["source.path"])] += 1
    return counts


def read_table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def summary_of(sweep: Path) -> dict[str, float]:
    rows = read_table(sweep / SUMMARY)
    assert [(row["noise.scale"], row["videos"], row["failed"]) for row in rows] == [
        (scale, "19", "1") for scale in SCALES
    ]
    return {
        f"{row['noise.scale']} {key}": float(value)
        for row in rows
        for key, value in row.items()
        if "." in key[1:] and key != "noise.scale"
    }


def by_hand(sweep: Path) -> dict[str, float]:
    """Take the summary from the jobs' own numbers as a reader of the documentation would."""
    found = {}
    for scale in SCALES:
        videos = []
        for metrics in sorted(sweep.glob("*/metrics.json"), key=lambda file: int(file.parent.name)):
            overrides = (metrics.parent / ".hydra" / "overrides.yaml").read_text(encoding="utf-8")
            if f"noise.scale={scale}\n" in overrides:
                videos.append(json.loads(metrics.read_text()))
        columns = {
            name: [video["reconstructed_with_noise"][name] for video in videos]
            for name in ("psnr_db", "ssim", "flicker", "psnr_db_against_reconstructed")
        }
        columns |= {
            f"reconstructed.{name}": [video["reconstructed"][name] for video in videos]
            for name in ("psnr_db", "ssim", "flicker")
        }
        for name, numbers in columns.items():
            values = np.array(numbers)
            resampled = values[np.random.default_rng(0).integers(0, len(values), (10_000, len(values)))].mean(
                axis=1
            )
            low, high = np.percentile(resampled, [2.5, 97.5])
            found |= {f"{scale} {name}.videos": len(values), f"{scale} {name}.mean": values.mean()}
            found |= {f"{scale} {name}.std": values.std(ddof=1)}
            found |= {f"{scale} {name}.low": low, f"{scale} {name}.high": high}
    return found
