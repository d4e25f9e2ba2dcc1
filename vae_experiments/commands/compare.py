"""Finished runs side by side on one page: numbers, one frame of each, and a wiper over their videos.

vae-experiments compare outputs/2026-01-31/12-30-00 outputs/2026-01-31/12-31-00
vae-experiments compare RUN RUN RUN --output FOLDER
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.cli.entry import Parser, status_of
from vae_experiments.cli.hydra_setup import numbered
from vae_experiments.errors import WriteError, one_line
from vae_experiments.sweep.comparison import write_comparison

if TYPE_CHECKING:
    from collections.abc import Sequence

ELSEWHERE = "choose another folder with --output FOLDER"


def main(words: Sequence[str] | None = None) -> int:
    """Compare the runs that the command line names, say where the page is, and give the exit status."""
    parser = Parser(
        prog="vae-experiments compare",
        description="Write compare.html, compare.csv and their pictures: two or more finished runs side by side.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="folder of a finished run")
    output = "where the page goes, a new or an empty folder; else one of its own in outputs/compare/"
    parser.add_argument("--output", metavar="FOLDER", type=Path, help=output)
    asked = parser.parse_args(words)
    if len(asked.runs) < 2:
        parser.error("one run cannot be compared; name two or more")

    def write() -> None:
        written = write_comparison(asked.runs, _target(asked.output))
        for remark in written.remarks:
            print(one_line(remark))
        print(f"{written.runs} runs: {written.page}")

    return status_of(write, ELSEWHERE)


def _target(output: Path | None) -> Path:
    """Return the folder that the page goes to, which is not made before there is a page; one that is typed is empty."""
    if output is None:
        first = Path(f"outputs/compare/{datetime.now().astimezone():%Y-%m-%d/%H-%M-%S}")
        return next(path for path in numbered(first) if not path.exists())
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise WriteError(f"--output {output} holds something already", ELSEWHERE)
    return output
