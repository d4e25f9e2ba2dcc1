"""The page that lays finished runs side by side: numbers, one frame of each, a wiper over their videos."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vae_experiments.files import named_as, whole_folder
from vae_experiments.metrics import METRICS
from vae_experiments.pipeline.run_folder import ORIGINAL, RECONSTRUCTED
from vae_experiments.sweep.compared_runs import DIGITS, frame_of, mismatches, read_runs
from vae_experiments.sweep.csv_table import relative, write_table
from vae_experiments.sweep.swept import in_words, swept_settings, values_of
from vae_experiments.sweep.table_rows import (
    COST_TITLES,
    REPORT,
    TIMES,
    VIDEO_TITLES,
    cost_cells,
    number_cell,
    score_cells,
    setting_cell,
    spoken_name,
    video_cells,
)
from vae_experiments.writers import write_page, write_png
from vae_experiments.writers.pages.html_page import Cell, NumberRow, Plot

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence
    from pathlib import Path

    from vae_experiments.sources.video_file.clip_reader import ClipReader
    from vae_experiments.sweep.compared_runs import ComparedRun
    from vae_experiments.sweep.jobs import Job
    from vae_experiments.sweep.swept import Swept
    from vae_experiments.tensors import Pixels

PAGE, TABLE = "compare.html", "compare.csv"
GAIN = 4
"""Brings a difference into sight that nobody would see at its own size."""
MOST_NAMED = 3
HIGHER_IS_BETTER = {metric.label for metric in METRICS.values() if metric.higher_is_better}
HIGHER_IS_BETTER |= {"PSNR against reconstr. (dB)", "frames per second"}
NOTE = (
    "A star marks the best: nearest to the original, fastest, smallest; none where all show the same. The "
    "numbers of videos are against the run's own original, and were taken before the videos were compressed; the pictures below "
    'were taken from the videos. "cached": these latents were read and not encoded, so that times have no best.'
)


@dataclass(frozen=True)
class Written:
    """What came of a comparison."""

    page: Path
    runs: int
    remarks: list[str]
    """What cannot be compared, a line each."""


def write_comparison(folders: Sequence[Path], into: Path) -> Written:
    """Write compare.html, compare.csv and their pictures over finished runs into a new folder, whole or not at all.

    Raises:
        VaeExperimentsError: one is no finished run, is named twice, or lacks a video.
        WriteError: ``into`` holds files already, or cannot be written.
    """
    runs = read_runs(folders)
    jobs, first = [run.job for run in runs], runs[0]
    swept = swept_settings(jobs)
    keys = [setting.key for setting in swept]
    what = ", ".join(keys) if len(keys) <= MOST_NAMED else f"{len(keys)} settings"
    number = min(clip.frames for run in runs for clip in (run.original, run.video)) // 2
    words = [_words(job, swept) for job in jobs]
    pictures = _pictures(runs, words, number)  # a damaged video must not leave a folder behind
    shown = {f"{run.name}: {spoken_name(run.job.shown)}": run.video for run in runs}
    originals = {f"{run.name}: {ORIGINAL}": run.original for run in _of_own_source(runs)}
    remarks = mismatches(runs)
    with whole_folder(into) as hidden, named_as(into):
        for plot, pixels in pictures:
            write_png(hidden / plot.file, pixels)
        write_table(hidden / TABLE, [replace(job, overrides=values_of(job, swept)) for job in jobs], into)
        write_page(
            hidden / PAGE,
            "compare.html",
            title=f"{len(runs)} runs " + (f"that differ in {what}" if keys else "of the same settings"),
            subtitle=f"{first.video.frames} frames of {first.video.size} in {first.name}",
            remarks=remarks,
            runs=[(job.name, text, _report(job, into)) for job, text in zip(jobs, words, strict=True)],
            groups=groups(runs, swept),
            note=NOTE,
            frame=number,
            pictures=[plot for plot, _ in pictures],
            videos={name: relative(clip.path, into) for name, clip in (originals | shown).items()},
            wiper={name: relative(clip.path, into) for name, clip in _alike(shown, originals).items()},
            files=[TABLE, *(plot.file for plot, _ in pictures)],
            command=shlex.join(["vae-experiments", "compare", *(str(job.folder) for job in jobs)]),
        )
    return Written(into / PAGE, len(runs), remarks)


def _words(job: Job, swept: Sequence[Swept]) -> str:
    """Say what sets a run apart from the others."""
    words = in_words(values_of(job, swept[:MOST_NAMED]))
    return f"{words}, ..." if len(swept) > MOST_NAMED else words


def _report(job: Job, into: Path) -> str | None:
    path = job.folder / REPORT
    return relative(path, into) if path.exists() else None


def _of_own_source(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Return the runs whose original is not that of a run before them."""
    first: dict[object, ComparedRun] = {}
    for run in runs:
        first.setdefault((run.source or run.number, run.original.size, run.original.frames), run)
    return list(first.values())


def _alike(shown: dict[str, ClipReader], originals: dict[str, ClipReader]) -> dict[str, ClipReader]:
    """Return the videos of the size that most runs have, which can lie over each other; none without two runs."""
    sizes = [clip.size for clip in shown.values()]
    size = max(sizes, key=sizes.count)
    alike = {name: clip for name, clip in (shown | originals).items() if clip.size == size}
    return alike if sizes.count(size) > 1 else {}


def _pictures(runs: Sequence[ComparedRun], words: Sequence[str], number: int) -> list[tuple[Plot, Pixels]]:
    """Return the same frame of every original and every run, and how far each run is from the first."""
    first, drawn = runs[0], []
    for run in _of_own_source(runs):
        title = ORIGINAL if run is first else f"{ORIGINAL} of {run.name}"
        drawn.append((Plot(f"original_{run.number}.png", title, ""), frame_of(run.original, number)))
    frames = [frame_of(run.video, number) for run in runs]
    for run, text, frame in zip(runs, words, frames, strict=True):
        title = f"{run.name}: {spoken_name(run.job.shown)}"
        drawn.append((Plot(f"run_{run.number}.png", title, text), frame))
    for run, frame in zip(runs[1:], frames[1:], strict=True):
        if run.video.size == first.video.size:
            title = f"difference of {first.name} and {run.name}, times {GAIN}"
            plot = Plot(f"difference_1_{run.number}.png", title, "absolute; black where they are the same")
            apart = abs(frames[0].astype("int16") - frame) * GAIN
            drawn.append((plot, apart.clip(0, 255).astype("uint8")))
    return drawn


def groups(runs: Sequence[ComparedRun], swept: Sequence[Swept]) -> dict[str, list[NumberRow]]:
    """Return the rows of the table by heading; rows, and headings, about which no run knows anything are left out."""
    jobs = [run.job for run in runs]
    untouched = [score_cells(job.scores(RECONSTRUCTED), job.is_identical(RECONSTRUCTED)) for job in jobs]
    # A run whose latents were read from the cache was quick for that.
    unranked = TIMES.values() if any(job.is_cached for job in jobs) else ()
    grounds = [run.ground() for run in runs]
    names = dict.fromkeys(name for ground in grounds for name in ground)
    found = [NumberRow(name, [Cell(ground.get(name, "")) for ground in grounds]) for name in names]
    rows = {
        "The settings in which they differ": [
            NumberRow(setting.key, [setting_cell(setting.of(job)) for job in jobs]) for setting in swept
        ],
        "The changed video, without a manipulation the reconstructed one": _ranked(
            VIDEO_TITLES, [video_cells(job) for job in jobs]
        ),
        "The reconstructed video": _ranked(VIDEO_TITLES, untouched),
        "Time and memory": _ranked(COST_TITLES, [cost_cells(job) for job in jobs], unranked),
        "The videos": [
            NumberRow("frames", [Cell(str(run.video.frames)) for run in runs]),
            NumberRow("size", [Cell(str(run.video.size)) for run in runs]),
            NumberRow(
                "plays at (frames per second)", [number_cell(job.number("fps"), ".4g") for job in jobs]
            ),
            NumberRow("source (digest)", [Cell(run.source[:DIGITS]) for run in runs]),
        ],
        "Where they did not run alike": [row for row in found if len(set(row.cells)) > 1],
    }
    filled = {
        title: [row for row in members if any(cell.text for cell in row.cells)]
        for title, members in rows.items()
    }
    return {title: members for title, members in filled.items() if members}


def _ranked(
    titles: Sequence[str], columns: Iterable[Sequence[Cell]], unranked: Container[str] = ()
) -> list[NumberRow]:
    """Return a row a title out of a column a run, with the best cells marked but in those that have no best."""
    rows = zip(titles, zip(*columns, strict=True), strict=False)
    return [
        NumberRow(name, cells, frozenset() if name in unranked else _best(name, cells))
        for name, cells in rows
    ]


def _best(name: str, cells: Sequence[Cell]) -> frozenset[int]:
    """Find the best cells, those that show the same alike; none where all of them do."""
    values = {cell.text: cell.value for cell in cells if cell.value is not None}
    if len(values) < 2:
        return frozenset()
    best = (max if name in HIGHER_IS_BETTER else min)(values.values())
    return frozenset(place for place, cell in enumerate(cells) if values.get(cell.text) == best)
