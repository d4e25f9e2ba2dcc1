"""The page that lays runs side by side: numbers, the same frame, and a wiper over their videos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.writers.pages.html_page import write_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.writers.pages.sweep_report import Cell, Plot


class RunEntry(NamedTuple):
    """A run as the page names it, and where a click on it leads."""

    name: str
    words: str
    """What sets it apart from the others."""
    link: str | None


class PageVideo(NamedTuple):
    """A video of a run; the file is named relative to the page."""

    name: str
    file: str


class NumberRow(NamedTuple):
    """A row of the table: one number, or one setting, of each run."""

    name: str
    cells: Sequence[Cell]
    best: frozenset[int] = frozenset()
    """The runs whose value is the best; none where all are the same, or none is better than another."""


@dataclass(frozen=True)
class ComparePage:
    """What stands on the page; files are named relative to it."""

    title: str
    subtitle: str
    remarks: Sequence[str]
    """What cannot be compared, and why."""
    runs: Sequence[RunEntry]
    groups: Mapping[str, Sequence[NumberRow]]
    """The rows of the table by their heading."""
    note: str
    """What to know about the numbers."""
    frame: int
    pictures: Sequence[Plot]
    videos: Sequence[PageVideo]
    wiper: Sequence[PageVideo]
    """The videos of one size that can be laid over each other, the first two to begin with; empty without two."""
    files: Sequence[str]
    command: str


def write_compare_page(path: Path, content: ComparePage) -> None:
    """Write the page."""
    write_page(path, "compare.html", vars(content))
