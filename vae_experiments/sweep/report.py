"""The sweep's page: everything read, drawn and written, whole files only, sweep.html last."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import StoppedError, VaeExperimentsError
from vae_experiments.files import write_json
from vae_experiments.pipeline.folder_lock import FAILURE
from vae_experiments.sweep.baselines import baselines, has_own_row
from vae_experiments.sweep.contact_frames import moment, tiles_of_baselines, tiles_of_jobs
from vae_experiments.sweep.csv_table import write_table
from vae_experiments.sweep.jobs import OVERRIDES, Status, read_jobs
from vae_experiments.sweep.paper_tables import write_paper_tables
from vae_experiments.sweep.plot_selection import draw_plots
from vae_experiments.sweep.set_summary import describe, in_sentences, over_videos, write_summary
from vae_experiments.sweep.swept import in_order, in_words, shared_settings, swept_settings, values_of
from vae_experiments.sweep.table_rows import LABEL, baseline_row, columns_of, job_row, without_empty
from vae_experiments.sweep.verdicts import BATCH_SIZE, determinism, recommend, throughputs
from vae_experiments.writers import write_page
from vae_experiments.writers.pages.contact_sheets import write_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.pipeline.experiment import Experiment
    from vae_experiments.sweep.baselines import Baseline
    from vae_experiments.sweep.jobs import Job
    from vae_experiments.sweep.swept import Swept

PAGE, TABLE, SUMMARY, CONTACT_SHEET = "sweep.html", "sweep.csv", "sweep_summary.csv", "contact_sheet.png"
SUMMARIES = [SUMMARY, "sweep_summary.md", "sweep_summary.tex"]
NOTE = (
    f"{LABEL}: what the video loses when nothing is changed. All is against the original, but where the "
    "head says otherwise."
)
CACHED = ' "cached": these latents were read and not encoded, so that there is no time.'


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


def run_sweep(experiments: Mapping[str, Experiment], folder: Path) -> Summary:
    """Run experiments one after the other, and write sweep.html and sweep.csv over them.

    One that fails costs its own job only: it becomes a row that says why.

    Args:
        experiments: by what tells one from another, as it would be typed: ``"noise.scale=0.1 batch_size=4"``.
        folder: a new one, or an empty one; each run gets a numbered folder in it.

    Raises:
        VaeExperimentsError: the folder holds something already, or cannot be written.
        StoppedError: a signal asked to stop.
    """
    if folder.exists() and any(folder.iterdir()):
        raise VaeExperimentsError(f"{folder} holds something already", "choose another folder")
    for number, (typed, experiment) in enumerate(experiments.items()):
        place = folder / str(number)
        (place / OVERRIDES).parent.mkdir(parents=True)
        # A list in JSON is one in YAML: this is the file that Hydra leaves.
        write_json(place / OVERRIDES, shlex.split(typed))
        try:
            experiment.run(place)
        except StoppedError:
            raise
        except VaeExperimentsError as error:
            write_json(place / FAILURE, {"sentence": str(error)})
    return write_sweep([folder])


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
    swept = swept_settings(jobs)
    ordered = in_order(jobs, swept)
    is_about_batches = any(setting.key == BATCH_SIZE for setting in swept)
    measured = throughputs(ordered, swept) if is_about_batches else []
    advice = recommend(measured)
    failures = [_failure(job, swept) for job in jobs if job.status is not Status.finished]
    remarks = [line for line in (determinism(ordered, swept), advice and advice.sentence) if line]
    plots = draw_plots(into, ordered, swept, measured, advice)
    write_table(into / TABLE, jobs, into)
    shared = " ".join(f"{key}={value}" for key, value in shared_settings(jobs, swept).items())
    if combinations := over_videos(ordered, swept):
        write_summary(into / SUMMARY, combinations)
        write_paper_tables(into / SUMMARY, combinations, shared)
    frame = moment(ordered)
    grounds = baselines(ordered, swept)
    tiles = [*tiles_of_baselines(grounds, frame, into), *tiles_of_jobs(ordered, swept, frame, into)]
    write_page(
        into / PAGE,
        "sweep_report.html",
        title=f"Sweep of {', '.join(setting.key for setting in swept) or len(jobs)}",
        subtitle=_subtitle(len(jobs), len(failures), folders),
        remarks=remarks,
        failures=failures,
        video_set=describe(combinations, ordered) if combinations else None,
        plots=plots,
        frame=frame,
        sheet_file=CONTACT_SHEET,
        sheet=write_sheet(into / CONTACT_SHEET, [tile for tile, _ in tiles]),
        cards=[card for _, card in tiles],
        **_table(ordered, swept, grounds, into),
        note=NOTE + CACHED if any(job.is_cached for job in jobs) else NOTE,
        shared=shared,
        files=[TABLE, *(SUMMARIES if combinations else []), CONTACT_SHEET, *(plot.file for plot in plots)],
        command=_command(folders, into),
    )
    remarks += in_sentences(combinations, str(into / SUMMARY))
    return Summary(len(jobs), len(jobs) - len(failures), failures, remarks, into / PAGE)


def _table(
    jobs: Sequence[Job], swept: Sequence[Swept], grounds: Sequence[Baseline], into: Path
) -> dict[str, Any]:
    """Return heads and rows of the table of jobs, without the columns in which nothing stands."""
    has_failures = any(job.status is not Status.finished for job in jobs)
    own = [ground for ground in grounds if not has_own_row(ground)]
    first = [baseline_row(ground, swept, has_failures) for ground in own]
    rows = [job_row(job, swept, into, has_failures) for job in jobs]
    columns, filled = without_empty(columns_of(swept, has_failures), [*first, *rows])
    return {"columns": columns, "baselines": filled[: len(first)], "rows": filled[len(first) :]}


def _failure(job: Job, swept: Sequence[Swept]) -> str:
    values = in_words(values_of(job, swept))
    return f"job {job.name}{f' ({values})' if values else ''}: {job.sentence}"


def _subtitle(jobs: int, failures: int, folders: Sequence[Path]) -> str:
    where = ", ".join("/".join(folder.resolve().parts[-2:]) for folder in folders)
    state = f"{failures} of them not finished" if failures else "all finished"
    return f"{jobs} job{'s' if jobs != 1 else ''}, {state}, in {where}"


def _command(folders: Sequence[Path], into: Path) -> str:
    words = ["vae-experiments", "report", *map(str, folders)]
    is_alone = len(folders) == 1 and folders[0].resolve() == into.resolve()
    return shlex.join(words if is_alone else [*words, "--into", str(into)])
