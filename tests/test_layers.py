"""The house of DESIGN: imports point down, neighbours do not know each other, one door a library."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "vae_experiments"
FLOORS: list[set[str]] = [
    {"messages"},
    {"errors", "interruption"},
    {"schedules"},
    {
        "tensors",
        "tracks",
        "options",
        "plugins",
        "files",
        "randomness",
        "threads",
        "memory",
        "stopwatch",
        "progress",
        "provenance",
    },
    {"device", "claims", "overrides", "yaml_files"},
    {"models", "sources", "manipulations", "writers", "metrics", "latents"},
    {"runner", "companions", "explanation", "timings", "cache"},
    {"run_folder", "calibration"},
    {"experiment", "sweep", "workbench"},
    {"mistakes", "trust"},
    {"composition"},
    {"run_claims", "planning"},
    {"multirun"},
    {"config"},
    {"command_line"},
]
TOOLS = {"analysis", "benchmark", "doctor", "download", "gallery", "report", "training", "web"}
"""The top floor: commands beside run.py."""
DOORS = {
    "diffusers": {"models", "manipulations", "training"},
    "huggingface_hub": {"models"},
    "av": {"sources", "writers"},
    "imageio": {"sources", "writers"},
    "PIL": {"sources", "writers", "training"},
    "matplotlib": {"writers"},
    "jinja2": {"writers"},
    "hydra": {
        "overrides",
        "trust",
        "composition",
        "run_claims",
        "planning",
        "multirun",
        "config",
        "mistakes",
        "command_line",
        *TOOLS,
    },
    "omegaconf": {
        "yaml_files",
        "trust",
        "composition",
        "run_claims",
        "planning",
        "multirun",
        "config",
        "mistakes",
        "command_line",
        "sweep",
        *TOOLS,
    },
    "safetensors": {"latents", "models", "training"},
    "gradio": {"web"},
    "fastapi": {"web"},
    "starlette": {"web"},
    "uvicorn": {"web"},
}
HEAVY = {
    "torch",
    "diffusers",
    "av",
    "imageio",
    "PIL",
    "matplotlib",
    "jinja2",
    "numpy",
    "einops",
    "huggingface_hub",
    "safetensors",
    "tqdm",
}
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py"
)


def room(path: Path) -> str:
    """Name the module or folder of the package that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def floor(name: str) -> int:
    return next((number for number, rooms in enumerate(FLOORS) if name in rooms), len(FLOORS))


def imports(path: Path) -> list[tuple[str, bool]]:
    """List what a file imports while it runs, and whether at the top of the file."""
    tree = ast.parse(path.read_text())
    found = []
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for child in block.body
        for node in ast.walk(child)
    }
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            if node.module == "vae_experiments":
                found += [(f"vae_experiments.{alias.name}", id(node) in top) for alias in node.names]
            elif node.module:
                found.append((node.module, id(node) in top))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_and_neighbours_do_not_know_each_other(path: Path) -> None:
    for name, _ in imports(path):
        if name.startswith("vae_experiments."):
            other = name.split(".")[1]
            if other != room(path):
                assert floor(other) < floor(room(path)), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_library_has_one_door(path: Path) -> None:
    for name, _ in imports(path):
        library = name.split(".")[0]
        if library in DOORS:
            assert room(path) in DOORS[library], f"{path.name} imports {name}"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if room(path) != "training"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_heavy_libraries_are_imported_where_they_are_needed_and_not_before(path: Path) -> None:
    for name, at_top in imports(path):
        assert not (at_top and name.split(".")[0] in HEAVY), f"{path.name} imports {name} at the top"


def test_every_room_stands_on_a_floor() -> None:
    rooms = {room(path) for path in MODULES}
    assert rooms - TOOLS == set().union(*FLOORS)


def test_matplotlib_has_one_file() -> None:
    files = [path.name for path in MODULES if any(name.startswith("matplotlib") for name, _ in imports(path))]
    assert files == ["plots.py"]


def test_nothing_unpickles_and_nothing_is_instantiated_by_name() -> None:
    for path in MODULES:
        text = path.read_text()
        for word in ("pickle.load", "torch.load", "hydra.utils", "trust_remote_code=True", "eval(", "exec("):
            assert word not in text.replace(".eval(", "").replace("eval()", ""), (path, word)
