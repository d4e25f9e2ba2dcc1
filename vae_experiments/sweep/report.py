"""The sweep's page: everything read, drawn and written, whole files only, sweep.html last."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vae_experiments.pipeline.run_folder import ORIGINAL, RECONSTRUCTED
from vae_experiments.sweep.baselines import LABEL, baselines, has_own_row
from vae_experiments.sweep.contact_frames import MOST_BASELINES, moment, tiles_of_baselines, tiles_of_jobs
from vae_experiments.sweep.csv_table import write_table
from vae_experiments.sweep.jobs import Status, read_jobs
from vae_experiments.sweep.plot_selection import draw_plots
from vae_experiments.sweep.set_summary import over_videos, write_summary
from vae_experiments.sweep.swept import in_order, in_words, shared_settings, swept_settings, values_of
from vae_experiments.sweep.table_rows import baseline_cards, baseline_row, columns_of, job_card, job_row
from vae_experiments.sweep.verdicts import BATCH_SIZE, determinism, recommend, throughputs
from vae_experiments.writers import SweepPage, write_sheet, write_sweep_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vae_experiments.sweep.jobs import Job
    from vae_experiments.sweep.swept import Swept
    from vae_experiments.writers import Card, Plot

PAGE, TABLE, SUMMARY, CONTACT_SHEET = "sweep.html", "sweep.csv", "sweep_summary.csv", "contact_sheet.png"


@dataclass(frozen=True)
class Summary:
    """What a person should hear of a sweep when it ends."""

    jobs: int
    finished: int
    failures: list[str]
    """A line for each job that failed or did not finish."""
    remarks: list[str]
    """The verdict on determinism, the batch size to take."""
    page: Path


def write_sweep(folders: Sequence[Path], into: Path | None = None) -> Summary:
    """Write sweep.csv, sweep.html and their pictures over all jobs of one or several sweeps.

    Args:
        folders: of the sweeps; each holds a folder a job.
        into: where the page goes, an existing folder; into the sweep's own if there is only one.

    Raises:
        VaeExperimentsError: a folder is not there or holds no job, or the page cannot be written. A
            bad job is no error: it becomes a row that says what is wrong with it.
    """
    assert into or len(folders) == 1, folders
    into = into or folders[0]
    jobs = read_jobs(folders)
    sweep = Sweep(folders, into, jobs, swept_settings(jobs))
    plots = draw_plots(into, sweep.in_order, sweep.swept, sweep.measured, sweep.recommendation)
    write_table(into / TABLE, jobs, into)
    if sweep.over_videos:
        write_summary(into / SUMMARY, sweep.over_videos)
    content = sweep.page(plots)
    write_sweep_page(into / PAGE, content)
    finished = len(jobs) - len(content.failures)
    return Summary(len(jobs), finished, list(content.failures), list(content.remarks), into / PAGE)


class Sweep:
    """What is known of the jobs, put into the words of the page."""

    def __init__(
        self, folders: Sequence[Path], into: Path, jobs: Sequence[Job], swept: Sequence[Swept]
    ) -> None:
        self.folders, self.into, self.jobs, self.swept = folders, into, jobs, swept
        self.in_order = in_order(jobs, swept)
        self.grounds = baselines(self.in_order, swept)
        self.over_videos = over_videos(self.in_order, swept)
        self.measured = throughputs(self.in_order, swept)
        is_swept = any(setting.key == BATCH_SIZE for setting in swept)
        self.recommendation = recommend(self.measured) if is_swept else None

    def page(self, plots: Sequence[Plot]) -> SweepPage:
        """Draw the contact sheet, and put all that there is into the words of the page."""
        failures = [self._failure(job) for job in self.jobs if job.status is not Status.finished]
        frame = moment(self.in_order)
        tiles = tiles_of_baselines(self.grounds, frame) + tiles_of_jobs(self.in_order, self.swept, frame)
        advice = self.recommendation and self.recommendation.sentence
        return SweepPage(
            title=f"Sweep of {', '.join(setting.key for setting in self.swept) or len(self.jobs)}",
            subtitle=self._subtitle(len(failures)),
            remarks=[line for line in (determinism(self.in_order, self.swept), advice) if line],
            failures=failures,
            plots=plots,
            frame=frame,
            sheet_file=CONTACT_SHEET,
            sheet=write_sheet(self.into / CONTACT_SHEET, tiles),
            cards=self._cards(),
            columns=columns_of(self.swept, bool(failures)),
            baselines=[
                baseline_row(ground, self.swept, bool(failures))
                for ground in self.grounds
                if not has_own_row(ground)
            ],
            rows=[job_row(job, self.swept, self.into, bool(failures)) for job in self.in_order],
            note=self._note(),
            shared=" ".join(
                f"{key}={value}" for key, value in shared_settings(self.jobs, self.swept).items()
            ),
            files=[TABLE, CONTACT_SHEET, *(plot.file for plot in plots)],
            command=self._command(),
        )

    def _failure(self, job: Job) -> str:
        values = in_words(values_of(job, self.swept))
        return f"job {job.name}{f' ({values})' if values else ''}: {job.sentence}"

    def _subtitle(self, failures: int) -> str:
        count = f"{len(self.jobs)} job{'s' if len(self.jobs) != 1 else ''}"
        where = ", ".join("/".join(folder.resolve().parts[-2:]) for folder in self.folders)
        return f"{count}, {f'{failures} of them not finished' if failures else 'all finished'}, in {where}"

    def _cards(self) -> list[Card]:
        first = [
            card
            for ground in self.grounds[:MOST_BASELINES]
            for card in baseline_cards(ground, (ORIGINAL, RECONSTRUCTED), self.into)
        ]
        return first + [job_card(job, self.swept, self.into) for job in self.in_order]

    def _note(self) -> str:
        note = (
            f"{LABEL}: what the video loses when nothing is changed. All is against the original, but where the "
            "head says otherwise."
        )
        is_cached = any(job.word("timing", "encode_seconds") for job in self.jobs)
        return note + (
            ' "cached": these latents were read and not encoded, so that there is no time.'
            if is_cached
            else ""
        )

    def _command(self) -> str:
        words = ["vae-experiments", "report", *(str(folder) for folder in self.folders)]
        alone = len(self.folders) == 1 and self.folders[0].resolve() == self.into.resolve()
        return shlex.join(words if alone else [*words, "--into", str(self.into)])
