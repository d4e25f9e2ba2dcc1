"""What a wheel holds is enough: every command works without a checkout, from any folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from vae_experiments.__main__ import COMMANDS

WITHOUT_SETTINGS = ("web", "cache", "report", "compare")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out what pyproject.toml says that a wheel holds, and nothing else of the checkout."""
    site = tmp_path_factory.mktemp("site")
    # tomllib is not in Python 3.10.
    written = (REPOSITORY / "pyproject.toml").read_text()
    assert 'packages = ["vae_experiments"]' in written
    wheel: dict[str, Any] = {"packages": ["vae_experiments"]}
    included = re.search(r"wheel.force-include\]\n((?:\".*\n)+)", written)
    wheel["force-include"] = dict(re.findall(r'"(.+)" = "(.+)"', included[1] if included else ""))
    for package in wheel["packages"]:
        shutil.copytree(
            REPOSITORY / package, site / package, ignore=shutil.ignore_patterns("__pycache__", "outputs")
        )
    for source, target in wheel["force-include"].items():
        shutil.copytree(REPOSITORY / source, site / target)
    return site


def vae_experiments(site: Path, where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "vae_experiments", *words]
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=120)


def test_without_a_command_all_are_listed_a_line_each(installed: Path, tmp_path: Path) -> None:
    said = vae_experiments(installed, tmp_path)
    assert said.returncode == 0
    lines = said.stdout.splitlines()
    assert all(any(line.split()[:1] == [name] for line in lines) for name in COMMANDS)


def test_a_command_that_there_is_not_is_answered_in_one_line(installed: Path, tmp_path: Path) -> None:
    said = vae_experiments(installed, tmp_path, "trian")
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert said.stderr.startswith("error: trian: no such command; did you mean train?")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_from_a_folder_without_the_checkout(
    installed: Path, tmp_path: Path, name: str
) -> None:
    said = vae_experiments(installed, tmp_path, name, "--help")
    assert (said.returncode, said.stderr) == (0, "")
    assert name in WITHOUT_SETTINGS or "change any setting" in said.stdout
    assert str(REPOSITORY) not in said.stdout


@pytest.mark.slow
def test_the_experiment_runs_from_a_folder_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    words = ("source.size=32", "source.frames=2", f"hydra.run.dir={tmp_path / 'run'}", "cache.enabled=false")
    said = vae_experiments(installed, tmp_path, "run", *words)
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "run" / "reconstructed_with_noise.mp4").exists()
