"""The page of a sweep: verdicts, plots, the same frame of every job, a table; from disk, without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.writers.pages.html_page import address, write_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.writers.pages.sweep_contact_sheet import Sheet


class Plot(NamedTuple):
    """A picture of the page, and what to know about it."""

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
    """What a cell of the table shows, and what it is sorted by where that is not the same."""

    text: str
    value: float | None = None
    hint: str = ""
    """More, for whoever points at it."""


class Row(NamedTuple):
    """A row of the table; its first cell leads to the job."""

    cells: Sequence[Cell]
    link: str | None
    is_finished: bool


@dataclass(frozen=True)
class SweepPage:
    """What stands on the page; files are named relative to it."""

    title: str
    subtitle: str
    remarks: Sequence[str]
    failures: Sequence[str]
    plots: Sequence[Plot]
    frame: int
    """The number of the frame on the contact sheet."""
    sheet_file: str
    sheet: Sheet
    cards: Sequence[Card]
    """As many, and in the same order, as there are tiles on the sheet."""
    columns: Sequence[str]
    baselines: Sequence[Row]
    rows: Sequence[Row]
    note: str
    """What to know about the numbers of the table."""
    shared: str
    files: Sequence[str]
    command: str


def write_sweep_page(path: Path, content: SweepPage) -> None:
    """Write the page; every text is escaped, every file is named relative to the page."""
    assert len(content.cards) == len(content.sheet.corners), (len(content.cards), len(content.sheet.corners))
    write_page(path, "sweep_report.html", vars(content))
