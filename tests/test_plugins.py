"""A manipulation of another package: the class and the yaml that the README shows, installed and typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

README = (REPOSITORY / "README.md").read_text().partition("## Write your own")[2]
BLOCKS = re.findall(r"```(?:python|yaml|toml)\n(.*?)```", README, re.DOTALL)
PIECES = [(re.findall(r"^# (\S+\.\w+)$", block, re.MULTILINE)[0], block) for block in BLOCKS]
"""Each as it is printed, the comment with its name and all."""


def install(site: Path, broken: bool = False) -> None:
    """Do what pip does: put the files and their entry point where Python finds them."""
    for name, text in PIECES:
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("import missing_library\n" if broken and name.endswith(".py") else text)
    points = re.search(r"\[project.entry-points.vae_experiments\]\n(.*)", dict(PIECES)["pyproject.toml"])
    assert points
    info = site / "solarize-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: solarize\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[vae_experiments]\n{points[1]}\n".replace('"', ""))


def run(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run.py", "source.size=64", "source.frames=3", "output=minimal", *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_plugin_of_the_readme_is_15_lines() -> None:
    names = [name for name, _ in PIECES]
    assert names == ["solarize/__init__.py", "solarize/conf/manipulation/solarize.yaml", "pyproject.toml"]
    assert len([line for line in PIECES[0][1].splitlines()[1:] if line.strip()]) <= 15


@pytest.mark.slow
def test_the_plugin_of_the_readme_runs_sweeps_and_explains_itself(tmp_path: Path) -> None:
    install(tmp_path / "site")
    done = run(
        tmp_path / "site",
        "manipulation=[solarize,noise]",
        "solarize.threshold=0.3",
        "solarize.strength=0.5",
        f"hydra.run.dir={tmp_path / 'run'}",
    )
    assert (done.returncode, done.stderr) == (0, "")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["reconstructed_with_solarize_noise"]["psnr_db"] < metrics["reconstructed"]["psnr_db"]
    shown = run(tmp_path / "site", "manipulation=solarize", "--help").stdout
    assert "solarize.threshold=0.5" in shown
    assert re.search("manipulation: .*solarize", shown)


def test_a_mistake_in_a_plugins_setting_is_one_line(tmp_path: Path) -> None:
    install(tmp_path / "site")
    done = run(tmp_path / "site", "manipulation=solarize", "solarize.threshold=-1")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: solarize.threshold=-1")


@pytest.mark.slow
def test_a_plugin_that_cannot_be_imported_is_said_and_left_out(tmp_path: Path) -> None:
    install(tmp_path / "site", broken=True)
    done = run(tmp_path / "site", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 0
    assert (
        "the plugin solarize cannot be imported (No module named 'missing_library')"
        in done.stdout + done.stderr
    )
    assert (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("words", [["manipulation=solarize"]])
def test_without_the_plugin_its_name_is_no_choice(words: list[str], tmp_path: Path) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == 1
    assert "manipulation=solarize: no such choice" in done.stderr
