"""Every engine that shares out a sweep: the metrics of the basic launcher, and a kill that resuming mends."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf

from tests.conftest import REPOSITORY
from vae_experiments.cli.hydra_errors import mistake_of
from vae_experiments.cli.hydra_setup import ENGINES, cores_for_each, cores_up_to
from vae_experiments.files import SUMS
from vae_experiments.pipeline.run_folder import FINISHED

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]

LAUNCHERS = sorted(path.stem for path in (ENGINES / "hydra" / "launcher").glob("*.yaml"))
HERE = ["joblib", "submitit_local", "ray"]
"""Engines that need no cluster."""
SMALL = ("source.size=32", "source.frames=4", "output=minimal")
NOT_RESULTS = {"timing", "peak_memory_bytes"}
DEADLY = '''
import os, signal
from pathlib import Path
from vae_experiments import Manipulation, setting

class Deadly(Manipulation):
    """Kills the process that it is in, until somebody forbids it."""

    job: int = setting("the third is the deadly one", default=0)

    def __call__(self, latents, at):
        if self.job == 2 and not Path(os.environ["FORBIDDEN"]).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return latents
'''
DEADLY_YAML = """# @package _global_
defaults:
  - /hydra/schema/manipulation/deadly@deadly
  - _self_
manipulation:
  deadly: ${deadly}
"""


def extra(launcher: str) -> str:
    return launcher.partition("_")[0]


def skip_where_missing(launcher: str) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{extra(launcher)}_launcher")


def launcher_config(launcher: str, *overrides: str) -> DictConfig:
    skip_where_missing(launcher)
    words = [f"hydra/launcher={launcher}", *overrides]
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        return compose("config", words, return_hydra_config=True).hydra


def results(folder: Path) -> dict[str, Any]:
    """Read what jobs found out, without what it cost."""
    found = {file.parent.name: json.loads(file.read_text()) for file in folder.glob(f"*/{FINISHED}")}
    return {job: {k: v for k, v in metrics.items() if k not in NOT_RESULTS} for job, metrics in found.items()}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("launcher", HERE)
def test_an_engine_finds_what_the_basic_launcher_finds_and_a_mistake_costs_its_own_job_only(
    launcher: str, type_command: Command, tmp_path: Path
) -> None:
    skip_where_missing(launcher)
    # Two that fail at once: each worker of joblib is small after its first job, and replaced after the second.
    sweep = ("run.py", "-m", "noise.scale=-1,-2,0.1,0.5,2", *SMALL)
    for engine in ("basic", launcher):
        words = (f"hydra/launcher={engine}", f"hydra.sweep.dir={tmp_path / engine}")
        done = type_command(*sweep, *words, fresh=True, timeout=200)
        assert done.returncode == 1
        assert "error: job 0 (noise.scale=-1): noise.scale=-1: must be at least 0" in done.stderr
        assert "Traceback" not in done.stderr
        assert "Warning" not in done.stderr
        assert "3 of 5 jobs finished, all on one page: " in done.stdout
    found = results(tmp_path / launcher)
    assert sorted(found) == ["2", "3", "4"]
    assert found == results(tmp_path / "basic")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("launcher", HERE)
def test_a_worker_that_is_killed_costs_no_finished_job_and_resuming_does_the_rest(
    launcher: str, tmp_path: Path
) -> None:
    skip_where_missing(launcher)
    install_deadly(tmp_path / "site")

    def type_it(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(REPOSITORY / "run.py"), "-m", "manipulation=deadly", *SMALL, *words]
        known = {"PYTHONPATH": str(tmp_path / "site"), "FORBIDDEN": str(tmp_path / "forbidden")}
        return subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **known}, capture_output=True, text=True, timeout=200
        )

    broken = type_it("deadly.job=0,1,2,3", f"hydra/launcher={launcher}")
    assert broken.returncode == 1
    assert "the sweep broke off; the same command with sweep.resume=last does the rest" in broken.stderr
    assert "Traceback" not in broken.stderr
    [folder] = (tmp_path / "outputs" / "sweeps").glob("*/*")
    assert (folder / "sweep.html").exists()
    before = {file: file.stat().st_mtime_ns for file in folder.glob(f"*/{SUMS}")}
    assert len(before) < 4

    (tmp_path / "forbidden").touch()
    resumed = type_it("deadly.job=0,1,2,3", "sweep.resume=last")
    assert resumed.returncode == 0, resumed.stderr
    assert "4 of 4 jobs finished" in resumed.stdout
    assert resumed.stdout.count("is finished already") == len(before)
    assert {file: file.stat().st_mtime_ns for file in before} == before


def install_deadly(site: Path) -> None:
    """Do what pip does for a plugin: put its files and their entry point where Python finds them."""
    texts = {
        "deadly/__init__.py": DEADLY,
        "deadly/conf/manipulation/deadly.yaml": DEADLY_YAML,
        "deadly-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: deadly\nVersion: 0.1\n",
        "deadly-0.1.dist-info/entry_points.txt": "[vae_experiments]\ndeadly = deadly\n",
    }
    for name, text in texts.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_that_is_not_installed_says_how_to_install_it(
    launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module("vae_experiments.cli.config")
    monkeypatch.setitem(ConfigStore.instance().repo["hydra"]["schema"], "launcher", {})
    with (
        initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"),
        pytest.raises(MissingConfigException) as caught,
    ):
        compose("config", [f"hydra/launcher={launcher}"], return_hydra_config=True)
    assert mistake_of(caught.value) == (
        f"hydra/launcher={launcher}: its package is not installed; "
        f"pip install 'vae_experiments[{extra(launcher)}]'"
    )
    extras = (REPOSITORY / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    assert re.search(rf"^{extra(launcher)} = \[\"hydra-{extra(launcher)}-launcher>=", extras, re.MULTILINE)


def test_joblib_has_a_worker_a_core_and_each_takes_one_job_after_the_other() -> None:
    launcher = launcher_config("joblib").launcher
    assert (launcher.n_jobs, launcher.batch_size) == (cores_up_to(8), "1")


def test_submitit_on_this_machine_runs_no_more_jobs_than_cores_and_shares_the_cores_out() -> None:
    config = launcher_config("submitit_local")
    at_once, threads = config.sweeper.max_batch_size, int(config.job.env_set.OMP_NUM_THREADS)
    assert at_once == cores_up_to(8)
    assert at_once * threads <= cores_up_to(sys.maxsize)


def test_a_job_on_slurm_has_as_many_threads_as_it_asked_for_cores() -> None:
    wishes = ("hydra.launcher.partition=gpu", "hydra.launcher.gpus_per_node=1")
    config = launcher_config("submitit_slurm", *wishes)
    assert (config.launcher.partition, config.launcher.gpus_per_node) == ("gpu", 1)
    assert config.job.env_set.OMP_NUM_THREADS == str(config.launcher.cpus_per_task) == "4"
    assert config.sweeper.max_batch_size is None


def test_ray_is_this_machine_unless_a_cluster_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert launcher_config("ray").launcher.ray.init.address == "local"
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert launcher_config("ray").launcher.ray.init.address == "head:6379"


@pytest.mark.parametrize(("jobs", "threads"), [(1, 6), (2, 3), (4, 1), (6, 1), (9, 1)])
def test_cores_are_shared_out_and_a_job_has_one_at_least(
    jobs: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)), raising=False)
    assert cores_for_each(jobs) == threads
    assert cores_up_to(jobs) == min(jobs, 6)


def test_a_worker_may_meet_the_sweep_before_anything_else() -> None:
    """Engines unpickle their callbacks in whatever order."""
    command = [sys.executable, "-c", "import vae_experiments.cli.multirun"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_rerun_from_a_saved_config_knows_the_launchers(tmp_path: Path) -> None:
    skip_where_missing("joblib")
    (tmp_path / "saved.yaml").write_text(OmegaConf.to_yaml({"a": 1}))
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        config = compose("saved", ["hydra/launcher=joblib"], return_hydra_config=True)
    assert config.hydra.launcher.n_jobs == cores_up_to(8)
