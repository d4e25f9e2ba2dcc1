"""The page over the jobs of a sweep, made again; or one page over several sweeps, or several runs.

vae-experiments report outputs/sweeps/2026-01-31/12-30-00
vae-experiments report SWEEP SWEEP --into FOLDER
vae-experiments report RUN RUN
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.cli.entry import Parser, status_of
from vae_experiments.cli.hydra_setup import reserve_folder
from vae_experiments.errors import WriteError, system_reason
from vae_experiments.sweep import write_sweep
from vae_experiments.sweep.jobs import read_jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

ELSEWHERE = "choose another folder with --into FOLDER"


def main(words: Sequence[str] | None = None) -> int:
    """Make the page that the command line asks for, say where it is, and give the exit status."""
    parser = Parser(
        prog="vae-experiments report",
        description="Write sweep.html, sweep.csv and their pictures over the jobs of sweeps, or over several runs.",
    )
    sweeps = "folder of a sweep, or of one of several runs"
    parser.add_argument("sweeps", metavar="DIR", nargs="+", type=Path, help=sweeps)
    into = "where the page goes; the sweep's own folder, or for several sweeps a new one in outputs/reports/"
    parser.add_argument("--into", metavar="FOLDER", type=Path, help=into)
    asked = parser.parse_args(words)

    def write() -> None:
        read_jobs(asked.sweeps)  # a mistake must not leave a folder behind
        summary = write_sweep(asked.sweeps, _target(asked.into, asked.sweeps))
        for line in (*summary.failures, *summary.remarks):
            print(line)
        print(f"{summary.jobs} jobs, {summary.finished} finished: {summary.page}")

    return status_of(write, ELSEWHERE)


def _target(requested: Path | None, sweeps: Sequence[Path]) -> Path:
    """Make the folder that the page goes to."""
    if requested is None and len(sweeps) == 1:
        return sweeps[0]
    try:
        if requested is None:
            return reserve_folder(Path(f"outputs/reports/{datetime.now().astimezone():%Y-%m-%d/%H-%M-%S}"))
        requested.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot make {error.filename} ({system_reason(error)})", ELSEWHERE) from error
    return requested
