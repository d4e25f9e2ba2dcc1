"""What every job of a sweep writes alike is encoded and measured once, and lies in each folder, byte for byte."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cache.test_runs import MINIMAL, numbers_of
from tests.test_experiment import runner
from vae_experiments import Noise, Output
from vae_experiments.cache import Cache, KeptFiles, Store
from vae_experiments.errors import NumbersError
from vae_experiments.files import SUMS, is_complete
from vae_experiments.manipulations import Retime
from vae_experiments.metrics import Fidelity
from vae_experiments.pipeline.run_folder import FINISHED
from vae_experiments.sources import MovingCircle
from vae_experiments.writers.video.video_file import VideoFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from vae_experiments.pipeline.experiment import Result

    Run = Callable[..., Result]

UNTOUCHED = ("original.mp4", "reconstructed.mp4")
NAME = f"{'a' * 40}-videos"


@pytest.fixture
def run(network_folders: dict[str, Path], tmp_path: Path) -> Run:
    run_it = runner(network_folders, tmp_path)
    return lambda scale, **parts: run_it(**({"manipulations": [Noise(scale=scale)]} | parts))


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the videos that are really encoded and the comparisons that are really made."""
    done: list[str] = []
    finish, summary = VideoFile.finish, Fidelity.__exit__

    def encoded(self: VideoFile) -> None:
        done.append("encoded")
        finish(self)

    def measured(self: Fidelity, *failure: Any) -> None:
        done.extend(["measured"] if self._last_error is not None else [])
        summary(self, *failure)

    monkeypatch.setattr(VideoFile, "finish", encoded)
    monkeypatch.setattr(Fidelity, "__exit__", measured)
    return done


def bytes_of(result: Result, *names: str) -> list[bytes]:
    return [(result.folder / name).read_bytes() for name in names or UNTOUCHED]


def test_a_sweep_encodes_and_measures_the_untouched_videos_once(run: Run, work: list[str]) -> None:
    first = run(0.1)
    assert (work.count("encoded"), work.count("measured")) == (3, 2)
    for scale in (0.5, 1.0):
        work.clear()
        other = run(scale)
        assert (work.count("encoded"), work.count("measured")) == (1, 1)
        assert bytes_of(other) == bytes_of(first)
        assert is_complete(other.folder, FINISHED)
        assert {path.name for path in other.folder.iterdir()} == {
            path.name for path in first.folder.iterdir()
        }
        assert other.metrics["timing"]["frames_per_second"] == "cached"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"output": Output()}, marks=pytest.mark.slow, id="all"),
        pytest.param(
            {"output": replace(MINIMAL, metrics=["ssim", "vmaf"], formats=["gif", "png"])},
            marks=pytest.mark.slow,
            id="formats",
        ),
        pytest.param({"manipulations": [Retime(speed=0.5)]}, id="another length"),
    ],
)
def test_whatever_is_written_is_the_same_with_files_from_the_cache_and_without(
    changes: dict[str, Any], run: Run
) -> None:
    without, made, taken = (
        run(0.5, **changes, cache=cache) for cache in (Cache(enabled=False), Cache(), Cache())
    )
    assert numbers_of(without.metrics) == numbers_of(made.metrics) == numbers_of(taken.metrics)
    names = sorted(path.relative_to(made.folder) for path in made.folder.rglob("*"))
    assert names == sorted(path.relative_to(taken.folder) for path in taken.folder.rglob("*"))
    assert is_complete(taken.folder, FINISHED)
    sums = [(result.folder / SUMS).read_text().splitlines() for result in (made, taken)]
    assert [line.split()[1] for line in sums[0]] == [line.split()[1] for line in sums[1]]
    same = [
        str(name) for name in names if str(name).startswith(("original", "reconstructed.", "metrics.csv"))
    ]
    assert bytes_of(made, *same) == bytes_of(taken, *same)
    assert set(UNTOUCHED) <= set(same)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": MovingCircle(size="48x40", frames=7, fps="13")},
        {"output": replace(MINIMAL, metrics=["psnr"])},
        {"output": replace(MINIMAL, formats=["gif"])},
    ],
    ids=["rate", "metrics", "formats"],
)
def test_what_changes_the_files_is_another_entry(changes: dict[str, Any], run: Run, work: list[str]) -> None:
    run(0.5)
    work.clear()
    run(0.5, **changes)
    assert work.count("encoded") == 3


@pytest.mark.parametrize("changes", [{"timed": True}, {"cache": Cache(enabled=False)}], ids=["timed", "off"])
def test_nothing_is_kept_or_taken_where_the_cache_is_not_used(
    changes: dict[str, Any], run: Run, work: list[str], own_cache: Path
) -> None:
    for _ in range(2):
        run(0.5, **changes)
    assert work.count("encoded") == 6
    assert not own_cache.exists()


def test_what_happens_to_a_file_of_one_run_happens_to_no_other(run: Run) -> None:
    first = run(0.1)
    kept = bytes_of(first)
    (first.folder / "original.mp4").write_bytes(b"cut later")
    assert bytes_of(run(0.5)) == kept


def test_damage_anywhere_in_an_entry_is_told_and_the_files_are_made_again(
    run: Run, own_cache: Path, work: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = run(0.1)
    (entry,) = own_cache.glob("*-videos")
    chance = random.Random(3)
    for file in sorted(entry.iterdir()):
        data = bytearray(file.read_bytes())
        data[chance.randrange(len(data) - 1)] ^= 1
        file.write_bytes(data)
        work.clear()
        caplog.clear()
        assert numbers_of(run(0.1).metrics) == numbers_of(first.metrics)
        assert work.count("encoded") == 3, file
        assert len([line for line in caplog.messages if "an entry is damaged" in line]) == 1
        assert entry.exists()
        assert Store(own_cache, 1e9).damaged() == []


def test_an_entry_under_the_name_of_another_or_with_a_name_that_leads_elsewhere_is_not_taken(
    tmp_path: Path,
) -> None:
    store, folder = Store(tmp_path / "cache", 1e9), tmp_path / "run"
    for place in (folder, tmp_path / "other", tmp_path / "cache"):
        place.mkdir()
    (folder / "a.mp4").write_bytes(b"a")
    KeptFiles(store, NAME).keep(folder, ["a.mp4"], {"value": 0.1})
    with KeptFiles(store, NAME).copied_into(tmp_path / "other") as numbers:
        assert numbers == {"value": 0.1}
        assert list(tmp_path.glob("other/a.mp4")) == [], "it appears at the end"
    assert (tmp_path / "other" / "a.mp4").read_bytes() == b"a"
    moved = f"{'b' * 40}-videos"
    (store.folder / NAME).rename(store.folder / moved)
    assert store.damaged() == [moved]
    with KeptFiles(store, moved).copied_into(folder) as numbers:
        assert numbers is None
    assert store.entries() == []
    KeptFiles(store, NAME).keep(folder, ["../run/a.mp4"], {})
    with KeptFiles(store, NAME).copied_into(folder) as numbers:
        assert numbers is None


def test_a_run_that_fails_leaves_neither_copies_nor_an_entry(
    run: Run, own_cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(NumbersError):
        run(1e38)
    assert list(own_cache.glob("*-videos")) == []
    run(0.1)
    with pytest.raises(NumbersError):
        run(1e38)
    assert [list((tmp_path / f"run {number}").iterdir()) for number in (0, 2)] == [[], []]


def test_numbers_that_were_kept_are_the_same_bit_for_bit() -> None:
    import numpy as np

    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    measured, other = Fidelity(), Fidelity()
    measured.update(*frames)
    other.take_kept(json.loads(json.dumps(measured.kept())))
    assert other.summary() == measured.summary()
    assert other.columns == measured.columns
