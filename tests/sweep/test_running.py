"""A sweep from Python leaves what a sweep from the command line leaves."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.sweep.conftest import MINIMAL
from vae_experiments import Experiment, Folder, MovingCircle, Noise, VaeExperimentsError
from vae_experiments.errors import StoppedError
from vae_experiments.sweep import run_sweep


@pytest.fixture
def experiments(network_folders: dict[str, Path]) -> dict[str, Experiment]:
    source = MovingCircle(size="32", frames=2)
    model = Folder(path=str(network_folders["AutoencoderKL"]))
    return {
        f"noise.scale={scale} batch_size=2": Experiment(
            source, [Noise(scale=scale)], model, output=MINIMAL, batch_size=2
        )
        for scale in (0.1, 0.5)
    }


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "sweep.csv").read_text().splitlines()))


def test_every_experiment_is_a_row_under_the_words_that_it_was_given(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    summary = run_sweep(experiments, tmp_path / "sweep")
    assert (summary.jobs, summary.finished, summary.failures) == (2, 2, [])
    found = rows(tmp_path / "sweep")
    assert [row["noise.scale"] for row in found] == ["0.1", "0.5"]
    assert [row["batch_size"] for row in found] == ["2", "2"]
    costs = [float(row["psnr_db_against_reconstructed"]) for row in found]
    assert costs[0] > costs[1]
    assert "Sweep of noise.scale" in summary.page.read_text()


def test_an_experiment_that_fails_costs_its_own_job_only(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    broken = Experiment(MovingCircle(size="2"), model=next(iter(experiments.values())).model, output=MINIMAL)
    summary = run_sweep({"source.size=2": broken, **experiments}, tmp_path)
    assert (summary.jobs, summary.finished) == (3, 2)
    assert [row["status"] for row in rows(tmp_path)].count("failed") == 1
    assert "a frame of 2x2 is smaller than the model needs" in summary.failures[0]


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(VaeExperimentsError, match=r"holds something already; choose another folder$"):
        run_sweep({}, tmp_path)


@dataclass
class Stopped:
    begun: list[str] = field(default_factory=list)

    def run(self, folder: Path) -> object:
        self.begun.append(folder.name)
        raise StoppedError(2, "stopped", "start it again")


def test_whoever_stops_a_job_stops_the_sweep(tmp_path: Path) -> None:
    stopped = Stopped()
    with pytest.raises(StoppedError):
        run_sweep({"seed=0": stopped, "seed=1": stopped}, tmp_path)
    assert stopped.begun == ["0"]
