"""Every command in the README runs, or composes, as printed; every claim about files is true."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hydra import compose, initialize_config_dir

import vae_experiments
from tests.conftest import REPOSITORY
from tests.test_config import composed
from vae_experiments.analysis import command as analysis
from vae_experiments.cli.config import experiment_from
from vae_experiments.cli.hydra_setup import CONF, register
from vae_experiments.cli.overrides import quoted
from vae_experiments.options import kinds
from vae_experiments.schedules import split_outside_brackets
from vae_experiments.training.command import CONFIG_GROUPS, training_from

if TYPE_CHECKING:
    from collections.abc import Callable

README = (REPOSITORY / "README.md").read_text()
PAGES = "\n".join(path.read_text() for path in sorted((REPOSITORY / "docs").glob("*.md")))
EVERY_PAGE = README + PAGES
COMMANDS = re.findall(r"^    (python run\.py.*)$", EVERY_PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", [line for line in COMMANDS if "--" not in line])
def test_a_command_of_the_readme_composes_to_an_experiment(command: str) -> None:
    # Launchers may not be installed; test_launchers has them.
    words = [word for word in shlex.split(command)[2:] if word != "-m" and not word.startswith("hydra")]
    for first in (0, -1):
        chosen = [
            f"{key}={split_outside_brackets(value)[first]}"
            for key, value in (word.split("=", 1) for word in words)
        ]
        experiment_from(composed(*map(quoted, chosen)))


TRAININGS = re.findall(r"^    vae-experiments train (.*)$", EVERY_PAGE, re.MULTILINE)


@pytest.mark.parametrize("words", TRAININGS)
def test_a_training_command_of_the_readme_composes_to_a_training(words: str, tmp_path: Path) -> None:
    register(option_groups=CONFIG_GROUPS)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        training, data, _ = training_from(compose("train", words.split()), tmp_path)
    assert training.trainee() is not None
    assert data.kind == ("folder" if "data=folder" in words else "procedural")


ANALYSES = re.findall(r"^    vae-experiments analysis (?:-m )?(.*)$", EVERY_PAGE, re.MULTILINE)


@pytest.mark.parametrize("words", ANALYSES)
def test_an_analysis_command_of_the_docs_composes(words: str) -> None:
    register(option_groups=analysis.CONFIG_GROUPS)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert "analysis" in compose("analyze", words.removeprefix("-m ").split())


def test_every_kind_of_training_has_its_row() -> None:
    assert TRAININGS
    for kind in kinds("training"):
        assert f"| `{kind}` |" in PAGES


def test_the_readme_has_its_two_commands_first() -> None:
    first, second = re.findall(r"^    (pip .*?) *#.*$", README, re.MULTILINE)
    assert first == "pip install -e . && python run.py"
    assert second == "pip install -e '.[dev]' && pytest"
    assert README.index(first) < README.index(second) < README.index("## ")
    assert len(README.split()) <= 1200


def test_the_mistake_that_the_readme_shows_is_the_one_that_is_said(
    type_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    shown = re.findall(r"^    \$ python (run\.py.*)\n    (error: .*)$", README, re.MULTILINE)
    assert shown
    for command, sentence in shown:
        assert type_command(*shlex.split(command), folder=tmp_path / "run").stderr.strip() == sentence


@pytest.mark.slow
def test_the_python_of_the_docs_runs(
    type_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    code = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "python.md").read_text(), re.DOTALL)
    files = [tmp_path / f"part_{number}.py" for number, _ in enumerate(code)]
    for file, part in zip(files, code, strict=True):
        file.write_text(part)
    run, bench = (type_command(str(file), where=tmp_path) for file in files)
    assert (run.returncode, bench.returncode) == (0, 0), run.stderr + bench.stderr
    psnr, *shape = run.stdout.split(maxsplit=1)
    assert float(psnr) > 36
    assert "[8, 16, 32, 32]" in shape[0]
    assert float(bench.stdout) > 20


def test_the_page_about_python_names_what_the_package_offers() -> None:
    page = (REPOSITORY / "docs" / "python.md").read_text()
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(cells))
    assert sorted(named) == sorted(vae_experiments.__all__)
    assert len(named) <= 18


def test_every_file_in_the_tree_of_the_readme_is_there_and_every_module_is_in_the_tree() -> None:
    tree = README.partition("## The house")[2]
    tree = re.search(r"\n\n((?:    .*\n)+)", tree)[1]
    named = set(re.findall(r"(?<![.\w/])(\w+\.py|\w+/)(?= |$)", tree, re.MULTILINE))
    package = REPOSITORY / "vae_experiments"
    there = {path.name for path in package.glob("*.py") if path.name != "__init__.py"}
    there |= {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    assert there <= named
    assert all(any(REPOSITORY.glob(name)) or any(package.rglob(name)) for name in named)
