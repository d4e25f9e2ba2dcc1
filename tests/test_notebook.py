"""The tutorial runs from clean, says nothing on stderr, and is kept in the one form that makes short diffs."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY
from tests.test_config import composed
from vae_experiments.cli.config import experiment_from
from vae_experiments.cli.overrides import quoted
from vae_experiments.schedules import split_outside_brackets

NOTEBOOK = REPOSITORY / "notebooks" / "autoencoder_tutorial.ipynb"


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a place that looks like a fresh clone, as far as the notebook can tell."""
    folder = tmp_path / "clone"
    (folder / "notebooks").mkdir(parents=True)
    shutil.copy(NOTEBOOK, folder / "notebooks")
    return folder


def texts(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


@pytest.mark.slow
def test_the_notebook_runs_top_to_bottom_and_writes_only_below_outputs(
    notebook: nbformat.NotebookNode, checkout: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(checkout.parent / name.lower()))
    place = {"metadata": {"path": str(checkout / "notebooks")}}
    NotebookClient(notebook, timeout=200, kernel_name="python3", resources=place).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    shown, code = [output.data for output in outputs if "data" in output], texts(notebook, "code")
    players = sum("<video controls" in data.get("text/html", "") for data in shown)
    pictures = sum("image/png" in data for data in shown)
    assert players == sum("bench.play(" in text for text in code) > 5
    assert pictures == sum("plt.subplots(" in text or "\nImage(" in text for text in code) > 3

    made = {path.relative_to(checkout).parts[0] for path in checkout.rglob("*") if path.is_file()}
    assert made == {"notebooks", "outputs"}
    assert [path.name for path in (checkout / "notebooks").iterdir()] == [NOTEBOOK.name]
    assert not own_cache.exists()
    (page,) = checkout.glob("outputs/tutorial/*/*/sweep/sweep.html")
    assert "noise.scale" in page.read_text()


@pytest.mark.slow
def test_it_finds_outputs_from_the_root_as_well(notebook: nbformat.NotebookNode, checkout: Path) -> None:
    set_up = texts(notebook, "code")[0].replace("from IPython.display import Image\n", "")
    said = subprocess.run(
        [sys.executable, "-c", f"{set_up}\nprint(outputs)"], cwd=checkout, capture_output=True, text=True
    )
    assert said.stderr == ""
    assert Path(said.stdout.strip()).is_relative_to(checkout / "outputs" / "tutorial")


def test_it_is_kept_without_outputs_in_one_form_with_cells_that_have_names(
    notebook: nbformat.NotebookNode,
) -> None:
    assert NOTEBOOK.read_text() == nbformat.writes(notebook) + "\n"
    for cell in notebook.cells:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cell.id)
        assert cell.metadata == {}
        assert (cell.get("outputs", []), cell.get("execution_count")) == ([], None)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert sorted(notebook.metadata) == ["kernelspec", "language_info"]


def test_its_links_lead_to_files_that_are_there(notebook: nbformat.NotebookNode) -> None:
    links = re.findall(r"\]\(([^)]+)\)", "\n".join(texts(notebook, "markdown")))
    assert links
    assert all((NOTEBOOK.parent / link).is_file() for link in links), links


def test_the_command_that_it_names_composes_to_the_sweep_that_it_runs(
    notebook: nbformat.NotebookNode,
) -> None:
    (command,) = re.findall(r"^    python run\.py -m (.*)$", "\n".join(texts(notebook, "markdown")), re.M)
    words = [word.split("=", 1) for word in shlex.split(command)]
    scales = dict(words)["noise.scale"]
    assert f"for scale in ({', '.join(scales.split(','))})" in "\n".join(texts(notebook, "code"))
    for number in range(len(scales.split(","))):
        values = {key: split_outside_brackets(value) for key, value in words}
        chosen = [f"{key}={value[min(number, len(value) - 1)]}" for key, value in values.items()]
        experiment_from(composed(*map(quoted, chosen)))
