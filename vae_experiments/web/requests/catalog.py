"""Choices: what the yaml files offer by name, as the command line offers it, with their defaults."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from vae_experiments.cli.hydra_setup import CONF, plugin_confs
from vae_experiments.errors import ModelError, SettingError
from vae_experiments.manipulations import Manipulation
from vae_experiments.models import Bundled, Hub
from vae_experiments.options import Option, kind_named, shown, snake_case
from vae_experiments.web.requests.controls import Control, control, typed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT = {"model": "tiny", "decoder": "same", "source": "moving_circle", "manipulation": ["noise"]}
"""What conf/config.yaml chooses: of these the command says nothing."""

PLAIN = re.compile(r"[\w.%*+:-]+", re.ASCII)
CALL = re.compile(r"(outside )?(circle|box|ramp|ease|sine|triangle|square)\([\w ,.=()%-]*\)", re.ASCII)


@dataclass(frozen=True)
class Offered:
    """One choice of a group: its class, and the defaults that its yaml gives."""

    group: str
    name: str
    kind: type[Option]
    defaults: Mapping[str, Any]
    title: str
    """What its yaml says of it in its first line."""

    @property
    def address(self) -> str:
        """Where its settings are typed."""
        return self.name if self.group == "manipulation" else self.group

    def controls(self) -> list[Control]:
        """List the controls of its settings, those that every kind has at the end."""
        return [
            control(self.kind, name, self.defaults.get(name), rule) for name, _, rule in self.kind.settings()
        ]

    def common(self) -> set[str]:
        """Name the settings that it shares with every other manipulation."""
        is_one = issubclass(self.kind, Manipulation)
        return {name for name, _, _ in Manipulation.settings()} if is_one else set()

    def build(self, values: Mapping[str, Any], **ours: Any) -> Option:
        """Make the option of values from the browser and of ours; what is in neither keeps its default.

        Raises:
            SettingError: a value has not the type, or is outside the range, that was declared.
        """
        assert set(values) <= {name for name, _, _ in self.kind.settings()}, (self.name, values)
        given = {name: typed(self.kind, name, value, self.address) for name, value in values.items()}
        try:
            return self.kind(**{**self.defaults, **given, **ours})
        except SettingError as error:
            raise error.at(self.address) from error

    def words(self, option: Option) -> list[str]:
        """Return what differs from the defaults, as it is typed."""
        return [
            f"{self.address}.{name}={typed_value(value)}"
            for name, _, _ in self.kind.settings()
            if (value := getattr(option, name)) != self.defaults.get(name)
        ]


def typed_value(value: Any) -> str:
    """Write a value as Hydra reads it; a text that its grammar might read otherwise stands in quotes."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(typed_value, value))}]"
    if isinstance(value, float) and float(f"{value:g}") != value:
        return repr(value)
    if isinstance(value, str) and not _is_plain(value):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return shown(value)


def _is_plain(text: str) -> bool:
    """Whether Hydra reads a text, without quotes, as that very text; run.py itself quotes ``ramp(0,1)``."""
    if CALL.fullmatch(text):
        return True
    if not PLAIN.fullmatch(text) or text.lower() in ("null", "true", "false"):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return text.isdecimal() and str(int(text)) == text


@cache
def offered(group: str) -> dict[str, Offered]:
    """Read what a group offers, by the names that select it; what needs a file of its own is left out."""
    files = [file for conf in (CONF, *plugin_confs()) for file in sorted((conf / group).glob("*.yaml"))]
    return {file.stem: one for file in files if (one := _read(group, file))}


def models() -> dict[str, Offered]:
    """Return the models that are on this machine: the page downloads nothing."""
    return {name: one for name, one in offered("model").items() if _is_here(one)}


def chosen(group: str, name: object) -> Offered:
    """Find one choice by the name that the browser sent.

    Raises:
        SettingError: there is none of that name.
    """
    known = models() if group in ("model", "decoder") else offered(group)
    if not isinstance(name, str) or name not in known:
        safe = "".join(sign for sign in str(name) if sign.isalnum() or sign in "_-")[:40]
        raise SettingError(group, safe, "no such choice", f"choose from: {', '.join(known)}")
    return known[name]


def _read(group: str, file: Path) -> Offered | None:
    values = OmegaConf.load(file)
    assert isinstance(values, DictConfig), file
    schema = next((str(line) for line in values.pop("defaults", []) if "/hydra/schema/" in str(line)), None)
    if schema is None:
        return None
    kind = kind_named(group, snake_case(schema.partition("@")[0].rpartition("/")[2]))
    node = values.get(file.stem, {}) if group == "manipulation" else values
    given = OmegaConf.to_container(OmegaConf.create({"seed": 0, "node": node}).node, resolve=True)
    # The class gives what the yaml leaves out, and the types; what has to be given has no default.
    defaults = OmegaConf.to_container(OmegaConf.merge(kind, given), enum_to_str=False)
    assert isinstance(defaults, dict), file
    known = {name: value for name, _, _ in kind.settings() if (value := defaults[name]) != "???"}
    lines = file.read_text(encoding="utf-8").splitlines()
    title = next((line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line), "")
    return Offered(group, file.stem, kind, known, title)


def _is_here(one: Offered) -> bool:
    if one.kind is not Hub or "repository" not in one.defaults:
        return one.kind is Bundled
    try:
        model = one.build({})
        assert isinstance(model, Hub)
        return model.place.cached() is not None
    except ModelError:
        return False
