"""HTML pages out of the templates beside this module: one style, every text escaped, no network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from vae_experiments.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TEMPLATES = "writers/pages/templates"


class Plot(NamedTuple):
    """A picture of a page, and what to know about it."""

    file: str
    title: str
    caption: str


class Card(NamedTuple):
    """What stands under a frame of the contact sheet, and what a click on it plays; files relative to the page."""

    caption: str
    score: str
    link: str | None
    videos: Mapping[str, str]
    """By what they are called; the last one plays where scripts are off."""

    def addresses(self) -> dict[str, str]:
        """Return the videos as a browser asks for them."""
        return {name: address(file) for name, file in self.videos.items()}


class Cell(NamedTuple):
    """What a cell of a table shows, and what it is sorted by where that is not the same."""

    text: str
    value: float | None = None
    hint: str = ""
    """More, for whoever points at it."""


class Row(NamedTuple):
    """A row of the table of jobs; its first cell leads to the job."""

    cells: Sequence[Cell]
    link: str | None
    is_finished: bool


class NumberRow(NamedTuple):
    """A row of the table that compares runs: one number, or one setting, of each."""

    name: str
    cells: Sequence[Cell]
    best: frozenset[int] = frozenset()
    """The runs whose value is the best; none where all are the same, or none is better than another."""


def write_page(path: Path, template: str, **content: object) -> None:
    """Write the page that a template makes of all that it asks for.

    Files are named relative to the page; a link goes through the filter ``address``.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("vae_experiments", TEMPLATES)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters["address"] = address
    write_text(path, environment.get_template(template).render(content))


def address(file: str) -> str:
    """Return a path as a link: what means something else in one (``#``, ``?``, ``%``) is quoted."""
    return quote(os.fsencode(file))


def chain_label(names: Sequence[str]) -> str:
    """Return a list of manipulations in words: ``noise, then blur``."""
    return ", then ".join(name.replace("_", " ") for name in names) or "no manipulation"
