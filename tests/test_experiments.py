"""Every named experiment is a sweep by itself, leaves its page, and takes other settings."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.types import RunMode
from omegaconf import DictConfig

from tests.conftest import REPOSITORY
from vae_experiments.cli.config import experiment_from
from vae_experiments.pipeline.run_folder import FINISHED

Run = Callable[..., subprocess.CompletedProcess[str]]

CONF = REPOSITORY / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
NEEDED = {"robustness": ["source.path=clips"]}
"""What an experiment cannot know."""
SMALL = ("source.size=32", "source.frames=4", "output=minimal")


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def hydra_of(name: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", [f"experiment={name}"], return_hydra_config=True).hydra


@pytest.fixture
def run(type_command: Run, tmp_path: Path) -> Run:
    """Run words in a folder of their own."""
    return lambda *words: type_command(str(REPOSITORY / "run.py"), *words, where=tmp_path)


def only_sweep(where: Path) -> Path:
    [folder] = (where / "outputs" / "sweeps").glob("*/*")
    return folder


def test_the_experiments_that_are_promised_are_there() -> None:
    promised = {"noise_ladder", "batch_sizes", "all_manipulations", "compare_models", "motion_study"}
    promised |= {"robustness"}
    assert set(EXPERIMENTS) == promised


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_how_it_is_typed_and_each_of_its_jobs_can_be_built(name: str) -> None:
    assert f": python run.py experiment={name}\n" in (CONF / "experiment" / f"{name}.yaml").read_text()
    sweep = hydra_of(name)
    assert sweep.mode is RunMode.MULTIRUN
    [(setting, values)] = sweep.sweeper.params.items()
    assert len(values.split(",")) >= 4
    for value in values.split(","):
        experiment_from(composed(f"experiment={name}", f"{setting}={value.strip()}", *NEEDED.get(name, [])))


def test_the_experiment_over_all_manipulations_has_all() -> None:
    values = hydra_of("all_manipulations").sweeper.params.manipulation
    names = [value.strip() for value in values.split(",")]
    assert names[0] == "none"
    assert sorted(names) == sorted(path.stem for path in (CONF / "manipulation").glob("*.yaml"))


@pytest.mark.slow
def test_the_manipulations_are_drawn_side_by_side(run: Run, tmp_path: Path) -> None:
    done = run("experiment=all_manipulations", "manipulation=none,echo", *SMALL)
    assert done.returncode == 0, done.stderr
    assert (only_sweep(tmp_path) / "metrics_by_manipulation.png").exists()


def test_no_manipulation_is_given_the_clip_itself_as_the_other_video() -> None:
    source = composed("experiment=all_manipulations").source.kind
    config = composed(
        f"manipulation=[{','.join(path.stem for path in (CONF / 'manipulation').glob('*.yaml'))}]"
    )
    others = {
        value
        for block in config.manipulation.values()
        for setting, value in block.items()
        if setting.endswith("path")
    }
    assert len(others) > 1
    assert source not in others


@pytest.mark.slow
def test_the_batch_sizes_name_the_fastest_and_agree(run: Run, tmp_path: Path) -> None:
    done = run("experiment=batch_sizes", "batch_size=1,2,4", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "recommended batch size: " in done.stdout
    assert "over batch sizes 1, 2, 4" in done.stdout
    assert "DIFFER" not in done.stdout
    metrics = [json.loads(file.read_text()) for file in only_sweep(tmp_path).glob(f"*/{FINISHED}")]
    assert len(metrics) == 3
    assert all(one["timing"]["encode_seconds"] != "cached" for one in metrics)


@pytest.mark.slow
def test_an_experiment_is_the_same_with_m_and_a_job_of_it_runs_again_alone(run: Run, tmp_path: Path) -> None:
    done = run("-m", "experiment=motion_study", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "7 of 7 jobs finished, all on one page: " in done.stdout
    sweep = only_sweep(tmp_path)
    assert (sweep / "metrics_by_motion_gain.gain.png").exists()
    again = run("--config-path", str(sweep / "5" / ".hydra"), "--config-name", "config")
    assert again.returncode == 0, again.stderr
    assert only_sweep(tmp_path) == sweep, "a single run makes no second sweep"
    [alone] = (tmp_path / "outputs").glob(f"2*/*/{FINISHED}")
    first, second = (json.loads(file.read_text()) for file in (sweep / "5" / FINISHED, alone))
    assert first["reconstructed_with_motion_gain"] == second["reconstructed_with_motion_gain"]


@pytest.mark.slow
def test_a_model_that_is_not_there_fails_with_a_line_and_the_others_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = run("experiment=compare_models", "model=tiny,taesd", *SMALL)
    assert done.returncode == 1
    assert "error: job 1 (model=taesd): " in done.stderr
    assert "Traceback" not in done.stderr
    assert "1 of 2 jobs finished, all on one page: " in done.stdout


@pytest.mark.slow
def test_the_noise_ladder_costs_more_at_each_step(run: Run, tmp_path: Path) -> None:
    done = run("experiment=noise_ladder", *SMALL)
    assert done.returncode == 0, done.stderr
    jobs = [json.loads((only_sweep(tmp_path) / str(job) / FINISHED).read_text()) for job in range(5)]
    costs = [job["reconstructed_with_noise"]["psnr_db"] for job in jobs]
    assert costs == sorted(costs, reverse=True)
