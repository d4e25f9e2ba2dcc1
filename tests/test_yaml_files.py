"""A yaml that a person gives is read at once, or refused at once."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING

import pytest
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode

from tests.conftest import REPOSITORY
from vae_experiments.cli.trusted_config import Loader
from vae_experiments.errors import VaeExperimentsError
from vae_experiments.options import is_text
from vae_experiments.yaml_files import MOST, read_yaml

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., subprocess.CompletedProcess[str]]


def bomb(levels: int) -> str:
    """Write a few lines that stand for ten to that power of values."""
    lines = [f"a0: &a0 [{','.join('1' * 10)}]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


REFUSED = {
    "four levels of aliases": (bomb(4), "has 1.... values, and 2000 are allowed; aliases count each time"),
    "nine levels of aliases": (bomb(9), "has 1......... values, and 2000 are allowed"),
    "merged aliases": (
        "a: &a {a: 1, b: 2, c: 3, d: 4}\n" + "".join(f"k{n}: {{<<: *a, x: 1}}\n" for n in range(300)),
        "has .* values, and 2000",
    ),
    "an alias inside itself": ("a: &a [*a]", r"is no yaml \(an alias stands inside what it names"),
    "a deep nest": ("a: " + "[" * 5000 + "]" * 5000, "is nested too deep"),
    "a deep nest of blocks": ("{a: " * 3000 + "1" + "}" * 3000, "is nested too deep"),
    "ten megabytes": ("a: " + "x" * 10**7, "is larger than 300 kB"),
    "many values": ("a: [" + "1," * (MOST + 1) + "]", "has 200. values"),
    "half a line": ("a: [", "is no yaml"),
    "a key twice": ("a: 1\na: 2", "is no yaml .*duplicate key"),
    "code": ("a: !!python/object/apply:os.system [touch PWNED]", "is no yaml"),
    "a number of many digits": ("a: " + "1" * 5000, "is no yaml"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_take_for_ever_is_refused_at_once(name: str, tmp_path: Path) -> None:
    text, sentence = REFUSED[name]
    file = tmp_path / "config.yaml"
    file.write_text(text)
    before = time.process_time()
    with pytest.raises(VaeExperimentsError, match=f"config.yaml {sentence}"):
        read_yaml(file)
    assert time.process_time() - before < 2


def test_what_is_no_text_or_no_file_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VaeExperimentsError, match="is no yaml"):
        read_yaml(file)
    with pytest.raises(VaeExperimentsError, match=r"absent.yaml cannot be read \(no such file"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(VaeExperimentsError, match="cannot be read"):
        read_yaml(tmp_path)


def test_aliases_that_repeat_little_are_as_good_as_ever(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n")
    assert read_yaml(file) == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


def test_a_name_in_a_yaml_is_what_is_written_and_a_number_is_a_number(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "source: {path: 2024_05_17, frames: 1_0, fps: 1e1}\nmodel.path: 1.10\ndata: {path: true}\nx: {path: null}"
    )
    read = read_yaml(file, lambda name: is_text("", name))
    assert read == {
        "source": {"path": "2024_05_17", "frames": 10, "fps": "1e1"},
        "model.path": "1.10",
        "data": {"path": "true"},
        "x": {"path": None},
    }


def test_a_bomb_is_refused_wherever_a_yaml_is_given(type_command: Command, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(bomb(9))
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "bomb.yaml").write_text(f"# @package _global_\n{bomb(9)}")
    given = {
        "a saved config": ["--config-path", str(tmp_path), "--config-name", "config"],
        "an experiment": ["--config-dir", str(tmp_path), "experiment=bomb"],
    }
    for words in given.values():
        result = type_command(str(REPOSITORY / "run.py"), *words, where=tmp_path, timeout=60)
        assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
        assert "values, and 2000 are allowed" in result.stderr


def test_a_loader_that_travels_to_a_worker_takes_the_bounds_with_it(tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text(bomb(4))
    travelled = pickle.loads(pickle.dumps(Loader(create_config_search_path(str(tmp_path)))))
    with pytest.raises(VaeExperimentsError, match="has 1.... values, and 2000 are allowed"):
        travelled.load_configuration("bomb", [], RunMode.RUN)
