"""One page with all of a run on it, which opens from disk and needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vae_experiments.writers.pages.html_page import write_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def write_report(
    path: Path,
    *,
    title: str,
    subtitle: str,
    videos: Mapping[str, str],
    scores: Mapping[str, Mapping[str, Any]],
    pictures: Mapping[str, str],
    facts: Mapping[str, object],
    files: Sequence[str],
    command: str,
) -> None:
    """Write the page; every text is escaped, every file is named relative to the page."""
    columns = {"psnr_db": "PSNR (dB)", "ssim": "SSIM", "flicker": "flicker (levels)"}
    content = {
        "title": title,
        "subtitle": subtitle,
        "videos": videos,
        "columns": list(columns.values()),
        "rows": {
            name: [_shown(score[column], score) for column in columns] for name, score in scores.items()
        },
        "pictures": pictures,
        "facts": facts,
        "files": files,
        "command": command,
    }
    write_page(path, "run_report.html", content)


def _shown(value: float | None, score: Mapping[str, Any]) -> str:
    if value is None:
        return "identical" if score.get("identical") else "-"
    return f"{value:.4g}"


def chain_label(names: Sequence[str]) -> str:
    """Return a list of manipulations in words: ``noise, then blur``."""
    return ", then ".join(name.replace("_", " ") for name in names) or "no manipulation"
