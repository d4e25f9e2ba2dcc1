"""The house of DESIGN: imports point down, neighbours do not know each other, one door a library."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "vae_experiments"
FLOORS: list[set[str]] = [
    {"errors", "schedules"},
    {"options", "tensors", "tracks", "yaml_files"},
    {"runtime"},
    {"files"},
    {"metrics"},
    {"sources", "models", "manipulations", "writers", "cache"},
    {"pipeline"},
    {"sweep"},
    {"cli"},
    {"commands", "analysis", "training", "web"},
    {"__main__"},
]
MOST_ROOMS, MOST_FILES, MOST_LINES = 23, 14, 400
DOORS = {
    "diffusers": {"models", "manipulations", "training"},
    "huggingface_hub": {"models"},
    "av": {"sources", "writers", "tracks"},
    "imageio": {"sources", "writers"},
    "imageio_ffmpeg": {"metrics", "writers"},
    "PIL": {"sources", "writers", "training"},
    "matplotlib": {"writers"},
    "jinja2": {"writers"},
    "hydra": {"cli", "commands", "analysis", "training", "web"},
    "omegaconf": {"yaml_files", "cli", "sweep", "commands", "analysis", "training", "web"},
    "safetensors": {"cache", "models", "training"},
    "gradio": {"web"},
    "fastapi": {"web"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "cv2": {"sources"},
}
HEAVY = {
    "torch",
    "diffusers",
    "av",
    "cv2",
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
    """Name the module or folder of the package that a file belongs to; a __main__ is a door, and above all."""
    if path.name == "__main__.py":
        return "__main__"
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def dotted(path: Path) -> str:
    """Name the module of a file as an import does."""
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> list[tuple[str, str]]:
    """List what a file imports, and whether at its top, in a function, or for types only."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        when = "types" if id(node) in typing_only else "top" if id(node) in top else "function"
        if isinstance(node, ast.Import):
            found += [(alias.name, when) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            found += [(f"{node.module}.{alias.name}", when) for alias in node.names]
    return found


EVERY = {dotted(path): path for path in PACKAGE.rglob("*.py")}


def module_of(name: str) -> str | None:
    """Find the module of ours that an imported name comes from, through what an __init__ passes on."""
    if name in EVERY:
        return name
    home, _, own = name.rpartition(".")
    if home not in EVERY:
        return None
    if EVERY[home].name == "__init__.py" and home != "vae_experiments":
        passed_on = (module for module, _ in imports(EVERY[home]) if module.rpartition(".")[2] == own)
        return next((module_of(module) for module in passed_on), home)
    return home


ARROWS = {
    name: {other for imported, _ in imports(path) if (other := module_of(imported)) and other != name}
    for name, path in EVERY.items()
    if path.name != "__init__.py"
}
"""From each module to those that it imports: at its top, inside a function, or for types only."""


def circle(start: str) -> list[str]:
    """Return a way along imports from a module back to itself; empty where there is none."""
    waiting, came_from = [start], {}
    while waiting:
        name = waiting.pop()
        for other in ARROWS.get(name, ()):
            if other == start:
                way = [name]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return [*reversed(way), start]
            if other not in came_from:
                came_from[other] = name
                waiting.append(other)
    return []


@pytest.mark.parametrize("name", sorted(ARROWS))
def test_imports_point_down_and_neighbours_do_not_know_each_other(name: str) -> None:
    for other in ARROWS[name]:
        below = f"{other}.".split(".")[1]
        above = room(EVERY[name])
        if above != below and below:
            assert floor(below) < floor(above), f"{name} imports {other}"


def test_no_import_runs_in_a_circle_not_even_for_types_or_inside_a_function() -> None:
    assert [way for name in sorted(ARROWS) if (way := circle(name))] == []


def test_a_stranger_can_read_the_tree() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")}
    assert len(rooms) <= MOST_ROOMS, sorted(rooms)
    for folder in (folder for folder in PACKAGE.rglob("*") if (folder / "__init__.py").exists()):
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MOST_FILES, (folder, sorted(files))
    long = {name: n for name, path in EVERY.items() if (n := path.read_text().count("\n")) > MOST_LINES}
    assert long == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_library_has_one_door(path: Path) -> None:
    for name, _ in imports(path):
        library = name.split(".")[0]
        if library in DOORS:
            assert room(path) in DOORS[library], f"{path.name} imports {name}"


@pytest.mark.parametrize(
    "path",
    # Whoever imports training, or the painters of procedural frames, is about to use them.
    [path for path in MODULES if room(path) != "training" and path.parent.name != "procedural"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_heavy_libraries_are_imported_where_they_are_needed_and_not_before(path: Path) -> None:
    for name, when in imports(path):
        assert not (when == "top" and name.split(".")[0] in HEAVY), f"{path.name} imports {name} at the top"


def test_every_room_stands_on_a_floor() -> None:
    rooms = {room(path) for path in MODULES}
    assert rooms == set().union(*FLOORS)


def test_matplotlib_has_one_file() -> None:
    files = [path.name for path in MODULES if any(name.startswith("matplotlib") for name, _ in imports(path))]
    assert files == ["run_plots.py"]


def test_every_picture_is_written_through_imageio_in_one_folder() -> None:
    written = {
        path.name
        for path in MODULES
        if {"imwrite(", "imopen("} & set(re.findall(r"im\w+\(", path.read_text()))
    }
    assert written == {"formats.py", "png.py"}
    for path in MODULES:
        assert not re.search(r"savefig\(|\.save\((hidden|path|file)", path.read_text()), path


def test_nothing_unpickles_and_nothing_is_instantiated_by_name() -> None:
    for path in MODULES:
        text = path.read_text()
        for word in ("pickle.load", "torch.load", "hydra.utils", "trust_remote_code=True", "eval(", "exec("):
            assert word not in text.replace(".eval(", "").replace("eval()", ""), (path, word)
