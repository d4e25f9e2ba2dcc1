"""The page of an analysis: its numbers and pictures, from disk and without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vae_experiments.writers.pages.html_page import write_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class AnalysisPage:
    """What stands on the page; files are named relative to it."""

    title: str
    subtitle: str
    remarks: Sequence[str]
    """A paragraph each."""
    summary: Mapping[str, str]
    """The numbers to read first, each with what it is."""
    video: str | None
    """The latents as colours, if they were painted."""
    pictures: Mapping[str, tuple[str, str]]
    """By file, a heading and a caption."""
    columns: Sequence[str]
    rows: Sequence[Sequence[float | int | None]]
    """A row a channel; None where a number is not defined."""
    facts: Mapping[str, object]
    files: Sequence[str]
    """All of the folder."""
    command: str


def write_analysis_page(path: Path, content: AnalysisPage) -> None:
    """Write the page; every text is escaped."""
    rows = [[shown(value) for value in row] for row in content.rows]
    write_page(path, "analysis_report.html", vars(content) | {"rows": rows})


def shown(value: float | None) -> str:
    """Write a number as a table shows it: whole numbers whole, others to three places, ``-`` for none."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
