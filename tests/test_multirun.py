"""A sweep encodes once, survives a job that fails and a kill, continues where it was, and ends on one page."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tests.conftest import REPOSITORY
from vae_experiments.cli.config import sweep_from
from vae_experiments.cli.multirun import Sweep, _swept
from vae_experiments.errors import SettingError
from vae_experiments.files import SUMS, is_complete
from vae_experiments.pipeline.folder_lock import FAILURE, RESERVATION
from vae_experiments.pipeline.run_folder import FINISHED

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]

SMALL = ("run.py", "-m", "source.size=32", "source.frames=4", "output=minimal")


def metrics_of(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / FINISHED).read_text())
    return metrics


def traces(folder: Path) -> dict[str, tuple[int, int]]:
    """Say when each file of a folder was last written, and how long it is."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file): (file.stat().st_mtime_ns, file.stat().st_size) for file in files}


def encodings(folder: Path) -> int:
    timings = [metrics_of(file.parent)["timing"] for file in folder.glob(f"*/{FINISHED}")]
    return sum(timing["encode_seconds"] != "cached" for timing in timings)


@pytest.mark.slow
def test_a_job_that_fails_costs_its_own_job_only_and_resuming_does_the_rest(
    type_command: Command, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    command = (*SMALL, "noise.scale=0.1,-1,1", f"hydra.sweep.dir={sweep}")
    first = type_command(*command)
    assert first.returncode == 1
    lines = first.stderr.splitlines()
    assert len(lines) == 2, "one when it happened, one in the summary"
    assert all("noise.scale=-1: must be at least 0" in line for line in lines)
    assert lines[-1].startswith("error: job 1 (noise.scale=-1): ")
    assert "2 of 3 jobs finished, all on one page: " in first.stdout
    assert [is_complete(sweep / job, FINISHED) for job in "012"] == [True, False, True]
    assert json.loads((sweep / "1" / FAILURE).read_text())["sentence"].startswith("noise.scale=-1")
    assert encodings(sweep) == 1
    with (sweep / "sweep.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["finished", "failed", "finished"]
    assert (sweep / "sweep.html").exists()

    (sweep / "2" / "reconstructed.mp4").write_bytes(b"damaged later")
    before = traces(sweep / "0")
    (sweep / "0" / RESERVATION).write_text("{}")  # its writer was killed after the last file
    again = type_command(*command)
    assert again.returncode == 1
    assert "noise.scale=0.1) is finished already, in " in again.stdout
    assert traces(sweep / "0") == before
    assert is_complete(sweep / "2", FINISHED)


@pytest.mark.slow
def test_a_folder_of_other_settings_is_never_taken_for_the_same_sweep(
    type_command: Command, tmp_path: Path
) -> None:
    where = f"hydra.sweep.dir={tmp_path / 'sweep'}"
    assert type_command(*SMALL, "noise.scale=1,2", where).returncode == 0
    before = traces(tmp_path / "sweep")
    other = type_command(*SMALL, "noise.scale=1,3", where)
    assert other.returncode == 1
    assert "holds a finished run already; choose another folder" in other.stderr
    assert traces(tmp_path / "sweep") == before


def finished_in(sweep: Path) -> list[Path]:
    return [path.parent for path in sweep.glob(f"*/{SUMS}")]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is Unix's")
def test_a_sweep_that_was_killed_goes_on_and_touches_nothing_that_was_finished(
    type_command: Command, tmp_path: Path
) -> None:
    scales = ",".join(str(number / 10) for number in range(12))
    sweep = tmp_path / "sweep"
    command = (*SMALL, f"noise.scale={scales}", f"hydra.sweep.dir={sweep}")
    sweeping = subprocess.Popen([sys.executable, *command], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while len(finished_in(sweep)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    sweeping.send_signal(signal.SIGKILL)
    sweeping.wait(30)
    before = {folder: traces(folder) for folder in finished_in(sweep)}
    assert 3 <= len(before) < 12
    resumed = type_command(*command)
    assert resumed.returncode == 0, resumed.stderr
    assert "12 of 12 jobs finished" in resumed.stdout
    assert {folder: traces(folder) for folder in before} == before
    assert all(is_complete(sweep / str(job), FINISHED) for job in range(12))
    assert encodings(sweep) in (1, 2)
    costs = [metrics_of(sweep / str(job))["reconstructed_with_noise"]["psnr_db"] for job in range(12)]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.slow
def test_the_last_sweep_of_the_same_settings_is_found(type_command: Command, tmp_path: Path) -> None:
    def type_it(*words: str) -> subprocess.CompletedProcess[str]:
        return type_command(str(REPOSITORY / "run.py"), *SMALL[1:], *words, where=tmp_path)

    missing = type_it("noise.scale=1,2", "sweep.resume=last")
    assert missing.returncode == 1
    assert missing.stderr == (
        "error: sweep.resume=last: finds no sweep of these settings in outputs/sweeps; "
        "leave it out the first time\n"
    )
    assert type_it("noise.scale=1,2").returncode == 0
    assert type_it("noise.scale=1,3").returncode == 0
    before = traces(tmp_path / "outputs")
    resumed = type_it("noise.scale=1,2", "sweep.resume=last")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("is finished already") == 2
    assert len(list((tmp_path / "outputs" / "sweeps").glob("*/*"))) == 2
    jobs = {name: trace for name, trace in before.items() if Path(name).parent.name in "01"}
    assert jobs == {name: trace for name, trace in traces(tmp_path / "outputs").items() if name in jobs}
    assert len(jobs) == 4 * 6, "three videos, numbers, digests and a log of each"


@pytest.mark.slow
def test_a_sweep_over_batch_sizes_measures_each_and_takes_nothing_from_the_cache(
    type_command: Command, tmp_path: Path
) -> None:
    result = type_command(*SMALL, "batch_size=1,3", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert result.returncode == 0, result.stderr
    assert encodings(tmp_path / "sweep") == 2
    for job in "01":
        timing = metrics_of(tmp_path / "sweep" / job)["timing"]
        assert isinstance(timing["frames_per_second"], float)
    assert "the metrics agree to 0 dB over batch sizes 1, 3" in result.stdout
    assert "recommended batch size: " in result.stdout


@pytest.mark.parametrize(
    ("named", "typed", "swept"),
    [
        ({}, ["noise.scale=1,2", "batch_size=4"], {"noise.scale"}),
        ({"batch_size": "1,4"}, [], {"batch_size"}),
        ({"batch_size": "1,4", "noise.scale": "1,2"}, ["batch_size=4"], {"noise.scale"}),
        ({"batch_size": 4}, ["batch_size=range(1,4)"], {"batch_size"}),
    ],
)
def test_what_is_typed_is_swept_or_not_whatever_the_named_experiment_says(
    named: dict[str, Any], typed: list[str], swept: set[str]
) -> None:
    asked = {"overrides": {"task": ["experiment=mine", *typed]}, "sweeper": {"params": named}}
    assert _swept(OmegaConf.create({"hydra": asked})) == swept


def sweep_of(*overrides: str) -> Sweep:
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        return sweep_from(compose("config", list(overrides)))


@pytest.mark.parametrize(
    ("objective", "value"),
    [
        ("psnr_db", 20.5),
        ("reconstructed.psnr_db", float("inf")),
        ("timing.total_seconds", 3),
        ("frames", 24),
    ],
)
def test_a_sweeper_that_optimises_is_given_the_objective(objective: str, value: float) -> None:
    metrics = {
        "frames": 24,
        "reconstructed": {"psnr_db": None},
        "reconstructed_with_noise": {"psnr_db": 20.5},
        "timing": {"total_seconds": 3},
    }
    assert sweep_of(f"sweep.objective={objective}").value(metrics) == value


@pytest.mark.parametrize("objective", ["flicker", "reconstructed.ssim"])
def test_an_objective_that_has_no_value_is_said_and_not_taken_for_infinity(objective: str) -> None:
    none = {"psnr_db": 3.0, "flicker": None, "ssim": None}
    name = objective.rpartition(".")[2]
    sentence = (
        f"sweep.objective={objective}: {name} has no value in this run; choose another, such as psnr_db"
    )
    with pytest.raises(SettingError, match=sentence):
        sweep_of(f"sweep.objective={objective}").value(
            {"reconstructed": none, "reconstructed_with_noise": none}
        )


@pytest.mark.parametrize("objective", ["psnr", "timing", "reconstructed.identical"])
def test_an_objective_that_is_no_number_is_refused(objective: str) -> None:
    metrics = {"reconstructed": {"psnr_db": 3.0, "identical": False}, "timing": {"total_seconds": 3}}
    with pytest.raises(SettingError, match=f"sweep.objective={objective}: is no number of metrics.json"):
        sweep_of(f"sweep.objective={objective}").value(metrics)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Give the one line that a command was refused with."""
    assert done.returncode == 1, done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


LADDER = "# @package _global_\nnoise:\n  scale: {scale}\nhydra:\n  sweeper:\n    params:\n      seed: 1,2\n"


@pytest.mark.slow
def test_a_finished_job_of_other_settings_is_refused(type_command: Command, tmp_path: Path) -> None:
    sweep, conf = tmp_path / "sweep", tmp_path / "conf" / "experiment"
    conf.mkdir(parents=True)
    command = (
        "run.py",
        "--config-dir",
        str(conf.parent),
        *SMALL[1:],
        "experiment=mine",
        f"hydra.sweep.dir={sweep}",
    )
    (conf / "mine.yaml").write_text(LADDER.format(scale=0.1))
    assert type_command(*command).returncode == 0
    before = traces(sweep)
    (conf / "mine.yaml").write_text(LADDER.format(scale=0.2))
    line = refused(type_command(*command))
    assert line == (
        f"error: hydra.sweep.dir={sweep / '0'}: holds a finished run already; choose another folder, or delete it\n"
    )
    assert traces(sweep) == before, "no failure is written into what is finished"
    (conf / "mine.yaml").write_text(LADDER.format(scale=0.1))
    assert type_command(*command).returncode == 0


@pytest.mark.slow
def test_a_wrong_objective_is_one_line_and_no_failure_of_a_finished_job(
    type_command: Command, tmp_path: Path
) -> None:
    command = (*SMALL, "noise.scale=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert type_command(*command).returncode == 0
    line = refused(type_command(*command, "sweep.objective=nonsense"))
    assert "sweep.objective=nonsense: is no number of metrics.json" in line
    assert not list(tmp_path.rglob(FAILURE))
    assert type_command(*command).returncode == 0


@pytest.mark.slow
def test_each_job_goes_to_the_folder_that_its_own_settings_name(
    type_command: Command, tmp_path: Path
) -> None:
    subdir = "hydra.sweep.subdir=scale_${noise.scale}"
    done = type_command(*SMALL, "noise.scale=1,2", subdir, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert done.returncode == 0, done.stderr
    assert {path.parent.name for path in (tmp_path / "sweep").glob(f"*/{SUMS}")} == {"scale_1", "scale_2"}


def test_two_jobs_of_one_folder_are_refused_before_anything_runs(
    type_command: Command, tmp_path: Path
) -> None:
    subdir = "hydra.sweep.subdir=scale_${noise.scale}"
    line = refused(
        type_command(*SMALL, "noise.scale=1,2", "seed=1,2", subdir, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    )
    assert line == (
        "error: hydra.sweep.subdir=scale_${noise.scale}: jobs 0 and 1 would share the folder scale_1; "
        "add ${hydra.job.num}, as in 'scale_${noise.scale}_${hydra.job.num}'\n"
    )
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("where", ["-m", "noise.scale=1"])
def test_a_run_that_would_not_keep_its_config_is_refused(
    type_command: Command, tmp_path: Path, where: str
) -> None:
    words = (*SMALL[:1], where, *SMALL[2:], "hydra.output_subdir=null")
    line = refused(
        type_command(*words, f"hydra.run.dir={tmp_path / 'x'}", f"hydra.sweep.dir={tmp_path / 'x'}")
    )
    assert line == "error: hydra.output_subdir=null: a run keeps its config in .hydra; leave it out\n"
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_finished_job_whose_config_is_gone_is_done_again(type_command: Command, tmp_path: Path) -> None:
    command = (*SMALL, "noise.scale=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert type_command(*command).returncode == 0
    (tmp_path / "sweep" / "1" / ".hydra" / "config.yaml").unlink()
    before = traces(tmp_path / "sweep" / "0")
    again = type_command(*command)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is finished already") == 1
    assert (tmp_path / "sweep" / "1" / ".hydra" / "config.yaml").exists()
    assert is_complete(tmp_path / "sweep" / "1", FINISHED)
    assert traces(tmp_path / "sweep" / "0") == before


@pytest.mark.slow
def test_of_two_sweeps_of_the_same_settings_the_newer_one_goes_on_and_a_damaged_one_is_said(
    type_command: Command, tmp_path: Path
) -> None:
    def type_it(*words: str) -> subprocess.CompletedProcess[str]:
        return type_command(str(REPOSITORY / "run.py"), *SMALL[1:], "noise.scale=1,2", *words, where=tmp_path)

    sweeps = tmp_path / "outputs" / "sweeps" / "2020-01-01"
    for number in (1, 2):
        assert type_it(f"hydra.sweep.dir={sweeps / str(number)}").returncode == 0
    for newer, older in (("1", "2"), ("2", "1")):
        os.utime(sweeps / older / "multirun.yaml", (10**9, 10**9))
        os.utime(sweeps / newer / "multirun.yaml", (10**9 + 1, 10**9 + 1))
        resumed = type_it("sweep.resume=last")
        assert resumed.returncode == 0, resumed.stderr
        assert f"is finished already, in {sweeps / newer}" in resumed.stdout
    (sweeps / "2" / "multirun.yaml").write_text("hydra: {overrides: [")
    line = refused(type_it("sweep.resume=last"))
    assert "error: sweep.resume=last: cannot tell what " in line
    assert "its multirun.yaml is damaged; type hydra.sweep.dir=FOLDER, or delete that file" in line
    assert len(list((tmp_path / "outputs" / "sweeps").glob("*/*"))) == 2


def test_a_job_never_writes_over_the_files_of_a_person(type_command: Command, tmp_path: Path) -> None:
    mine = tmp_path / "sweep" / "1" / "original.mp4"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    before = traces(tmp_path)
    line = refused(type_command(*SMALL, "noise.scale=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}"))
    assert line.startswith(
        f"error: hydra.sweep.dir={mine.parent}: holds original.mp4, which is not this run's; "
    )
    assert traces(tmp_path) == before
