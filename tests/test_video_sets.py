"""A set of videos: every one is a job, a bad one costs its own jobs only, and the summary is arithmetic."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from tests.sources.conftest import write_film, write_pictures
from vae_experiments.cli.video_sets import as_text
from vae_experiments.errors import SourceError
from vae_experiments.files import SUMS
from vae_experiments.sources import Videos

if TYPE_CHECKING:
    import subprocess
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
H264: dict[str, Any] = {"codec": "libx264", "pix_fmt": "yuv420p"}
SCALES = ("0.1", "0.5", "2")


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
    (tmp_path / "sub" / "again").symlink_to(tmp_path)
    found = [Path(video).relative_to(tmp_path).as_posix() for video in Videos(path=str(tmp_path)).videos()]
    assert found == ["a.MKV", "b.mp4", "frames", "sub/c.webm", "sub/f.gif"]


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


@pytest.mark.parametrize("name", [*NAMES, "back\\slash.avi", "ends in \\", "d${now}.mp4", "a\\'b"])
def test_hydra_reads_every_name_as_it_is(name: str) -> None:
    [override] = OverridesParser.create().parse_overrides([f"source.path={as_text(name)},'other'"])
    first = next(override.sweep_string_iterator())
    [job] = OverridesParser.create().parse_overrides([f"source.path={first}"])
    assert OmegaConf.create({"path": job.value()}).path == name


@pytest.mark.slow
def test_every_name_is_a_job_of_its_own(type_command: Command, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "2024_05_17"
    (folder / "sub, a=b").mkdir(parents=True)
    names = [*NAMES, "sub, a=b/zz.mp4"] + (["back\\slash.avi"] if os.sep == "/" else [])
    for name in names:
        shutil.copy(clip, folder / name)
    done = type_command(
        *("run.py", "-m", "source=videos", f"source.path={folder}", "source.size=16", "source.frames=1"),
        *("output=minimal", "manipulation=none", f"hydra.sweep.dir={tmp_path / 'sweep'}"),
    )
    assert done.returncode == 0, done.stderr
    rows = read_table(tmp_path / "sweep" / "sweep.csv")
    assert sorted(row["source.path"] for row in rows) == sorted(str(folder / name) for name in names)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_is_one_command_and_a_broken_video_costs_its_own_jobs(
    type_command: Command, tmp_path: Path
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(19):
        suffix = (".mp4", ".mkv", ".avi")[number % 3]
        write_film(clips / f"clip {number:02d}{suffix}", 4 + number % 3, fps=6 + number, **H264)
    whole = (clips / "clip 00.mp4").read_bytes()
    (clips / "broken.mp4").write_bytes(whole[: len(whole) // 2])
    sweep = tmp_path / "sweep"
    words = ("run.py", "-m", "source=videos", f"source.path={clips}", f"noise.scale={','.join(SCALES)}")
    words += ("source.size=32", "output=minimal", f"hydra.sweep.dir={sweep}")
    done = type_command(*words, timeout=280)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: job ")]
    assert len(errors) == 3
    assert all("broken.mp4" in line and "the file was not finished" in line for line in errors)
    assert "57 of 60 jobs finished" in done.stdout
    assert done.stdout.count("latents: encoded before, taken from the cache") == 57 - 19
    assert summary_of(sweep) == pytest.approx(by_hand(sweep), rel=0, abs=0)

    before = {file: file.stat().st_mtime_ns for file in sweep.glob(f"*/{SUMS}")}
    shutil.copy(clips / "clip 00.mp4", clips / "broken.mp4")
    again = type_command(*words, timeout=280)
    assert again.returncode == 0, again.stderr
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert "60 of 60 jobs finished" in again.stdout


def read_table(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def summary_of(sweep: Path) -> dict[str, float]:
    rows = read_table(sweep / "sweep_summary.csv")
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
