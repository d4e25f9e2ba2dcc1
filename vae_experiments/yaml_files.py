"""Yaml files that a person gives: read within bounds, and refused in one line where they cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from omegaconf._utils import get_yaml_loader

from vae_experiments.errors import VaeExperimentsError, system_reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGEST = 300_000
MOST = 2000
"""Values, those that an alias repeats counted each time: OmegaConf copies every one of them many times."""
NUMBERS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool"))
HINT = "give a yaml of settings, such as a run's .hydra/config.yaml"


def read_yaml(path: Path, is_text: Callable[[str], bool] = lambda _: False, most: int = MOST) -> Any:
    """Return the plain values of a yaml file.

    Args:
        path: the file.
        is_text: whether the value of a setting, by the last part of its name, is text as it is written: a folder
            may be called 2024_05_17, which yaml takes for a number.
        most: how many values it may have.

    Raises:
        VaeExperimentsError: it cannot be read, is no yaml, too large, nested too deep, or repeats itself for ever.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise _refused(path, f"is larger than {LARGEST // 1000} kB")
        loader = get_yaml_loader()(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            size = _size(node, {}, is_text)
            if size > most:
                raise _refused(path, f"has {size} values, and {most} are allowed; aliases count each time")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _refused(path, f"is no yaml ({' '.join(str(error).split())[:200]})") from None
    except (UnicodeError, ValueError, TypeError) as error:
        raise _refused(path, f"is no yaml ({str(error)[:200]})") from None
    except RecursionError:
        raise _refused(path, "is nested too deep") from None
    except OSError as error:
        raise _refused(path, f"cannot be read ({system_reason(error)})") from None


def _refused(path: Path, problem: str) -> VaeExperimentsError:
    return VaeExperimentsError(f"{path} {problem}", HINT)


def _size(node: yaml.Node, known: dict[int, int], is_text: Callable[[str], bool]) -> int:
    """Count a node with all below it, as large as it is once its aliases are written out."""
    if id(node) in known:
        if not known[id(node)]:
            raise yaml.YAMLError("an alias stands inside what it names")
        return known[id(node)]
    known[id(node)] = 0
    size = 1
    if isinstance(node, yaml.SequenceNode):
        size += sum(_size(element, known, is_text) for element in node.value)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if _stays_text(key, value, is_text):
                value.tag = "tag:yaml.org,2002:str"
            size += _size(key, known, is_text) + _size(value, known, is_text)
    known[id(node)] = size
    return size


def _stays_text(key: yaml.Node, value: yaml.Node, is_text: Callable[[str], bool]) -> bool:
    return value.tag in NUMBERS and is_text(str(key.value).rpartition(".")[2])
