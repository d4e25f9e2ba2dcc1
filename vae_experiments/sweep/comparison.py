"""The page that lays finished runs side by side: numbers, one frame of each, a wiper over their videos."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vae_experiments.files import named_as, whole_folder
from vae_experiments.pipeline.run_folder import ORIGINAL, RECONSTRUCTED
from vae_experiments.sweep.compared_runs import DIGITS, frame_of, mismatches, read_runs
from vae_experiments.sweep.csv_table import relative, write_table
from vae_experiments.sweep.swept import in_words, swept_settings, values_of
from vae_experiments.sweep.table_rows import (
    AGAINST,
    MB,
    REPORT,
    SCORES,
    TIMES,
    number_cell,
    score_cell,
    setting_cell,
    spoken_name,
    time_cell,
)
from vae_experiments.writers import Cell, Plot, write_png
from vae_experiments.writers.pages.compare_page import (
    ComparePage,
    NumberRow,
    PageVideo,
    RunEntry,
    write_compare_page,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
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
HIGHER_IS_BETTER = {"psnr_db", "ssim", "frames_per_second"}
NOTE = (
    "A star marks the best: nearest to the original, fastest, smallest; none where all show the same. PSNR, SSIM and "
    "flicker are against the run's own original, and were taken before the videos were compressed; the pictures below "
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
    comparison = Comparison(runs, into)
    pictures = comparison.pictures()  # a damaged video must not leave a folder behind
    content = comparison.page([plot for plot, _ in pictures])
    with whole_folder(into) as hidden, named_as(into):
        for plot, pixels in pictures:
            write_png(hidden / plot.file, pixels)
        comparison.write_table(hidden / TABLE)
        write_compare_page(hidden / PAGE, content)
    return Written(into / PAGE, len(runs), list(content.remarks))


class Comparison:
    """What is known of the runs, put into the words of the page."""

    def __init__(self, runs: Sequence[ComparedRun], into: Path) -> None:
        self.runs, self.into = runs, into
        self.swept = swept_settings([run.job for run in runs])
        shortest = min(clip.frames for run in runs for clip in (run.original, run.video))
        self.frame = shortest // 2

    def write_table(self, path: Path) -> None:
        """Write compare.csv: a row a run, of its settings those in which the runs differ."""
        jobs = [replace(run.job, overrides=values_of(run.job, self.swept)) for run in self.runs]
        write_table(path, jobs, self.into)

    def pictures(self) -> list[tuple[Plot, Pixels]]:
        """Return the same frame of every original and every run, and how far each run is from the first."""
        first, *others = self.runs
        drawn = []
        for run in self._of_own_source():
            title = ORIGINAL if run is first else f"{ORIGINAL} of {run.name}"
            drawn.append((Plot(f"original_{run.number}.png", title, ""), frame_of(run.original, self.frame)))
        frames = {run.number: frame_of(run.video, self.frame) for run in self.runs}
        for run in self.runs:
            title = f"{run.name}: {spoken_name(run.job.shown)}"
            drawn.append((Plot(f"run_{run.number}.png", title, self._words(run)), frames[run.number]))
        for run in others:
            if run.video.size == first.video.size:
                title = f"difference of {first.name} and {run.name}, times {GAIN}"
                plot = Plot(
                    f"difference_1_{run.number}.png", title, "absolute; black where they are the same"
                )
                drawn.append((plot, difference(frames[first.number], frames[run.number])))
        return drawn

    def page(self, pictures: Sequence[Plot]) -> ComparePage:
        """Put all that there is into the words of the page."""
        videos = [self._video(run, run.video, spoken_name(run.job.shown)) for run in self.runs]
        originals = [self._video(run, run.original, ORIGINAL) for run in self._of_own_source()]
        first, count = self.runs[0], len(self.runs)
        keys = [setting.key for setting in self.swept]
        what = ", ".join(keys) if len(keys) <= MOST_NAMED else f"{len(keys)} settings"
        return ComparePage(
            title=f"{count} runs that differ in {what}" if keys else f"{count} runs of the same settings",
            subtitle=f"{first.video.frames} frames of {first.video.size} in {first.name}",
            remarks=mismatches(self.runs),
            runs=[RunEntry(run.job.name, self._words(run), self._report(run)) for run in self.runs],
            groups=groups(self.runs, self.swept),
            note=NOTE,
            frame=self.frame,
            pictures=pictures,
            videos=[*originals, *videos],
            wiper=self._wiper(),
            files=[TABLE, *(picture.file for picture in pictures)],
            command=shlex.join(["vae-experiments", "compare", *(str(run.job.folder) for run in self.runs)]),
        )

    def _of_own_source(self) -> list[ComparedRun]:
        """Return the runs whose original is not that of a run before them."""
        first: dict[object, ComparedRun] = {}
        for run in self.runs:
            first.setdefault((run.source or run.number, run.original.size, run.original.frames), run)
        return list(first.values())

    def _words(self, run: ComparedRun) -> str:
        words = in_words(values_of(run.job, self.swept[:MOST_NAMED]))
        return f"{words}, ..." if len(self.swept) > MOST_NAMED else words

    def _report(self, run: ComparedRun) -> str | None:
        path = run.job.folder / REPORT
        return relative(path, self.into) if path.exists() else None

    def _video(self, run: ComparedRun, clip: ClipReader, name: str) -> PageVideo:
        return PageVideo(f"{run.name}: {name}", relative(clip.path, self.into))

    def _wiper(self) -> list[PageVideo]:
        """Return the videos of the size that most runs have, which can lie over each other."""
        sizes = [run.video.size for run in self.runs]
        size = max(sizes, key=sizes.count)
        alike = [run for run in self.runs if run.video.size == size]
        if len(alike) < 2:
            return []
        videos = [self._video(run, run.video, spoken_name(run.job.shown)) for run in alike]
        originals = [
            self._video(run, run.original, ORIGINAL)
            for run in self._of_own_source()
            if run.original.size == size
        ]
        return videos + originals


def difference(one: Pixels, other: Pixels) -> Pixels:
    """Return how far apart two frames are, ``GAIN`` times and no more than white: uint8 ``H W 3``."""
    apart: Pixels = (abs(one.astype("int16") - other) * GAIN).clip(0, 255).astype("uint8")
    return apart


def groups(runs: Sequence[ComparedRun], swept: Sequence[Swept]) -> dict[str, list[NumberRow]]:
    """Return the rows of the table by heading; rows, and headings, about which no run knows anything are left out."""
    jobs = [run.job for run in runs]
    against = [number_cell(job.number(job.shown, AGAINST), ".2f") for job in jobs]
    rows = {
        "The settings in which they differ": [
            NumberRow(setting.key, [setting_cell(setting.of(job)) for job in jobs]) for setting in swept
        ],
        "The changed video, without a manipulation the reconstructed one": [
            *_scores(jobs, [job.shown for job in jobs]),
            _ranked("PSNR against reconstr. (dB)", against, max),
        ],
        "The reconstructed video": _scores(jobs, [RECONSTRUCTED] * len(jobs)),
        "Time and memory": _costs(jobs),
        "The videos": [
            NumberRow("frames", [Cell(str(run.video.frames)) for run in runs]),
            NumberRow("size", [Cell(str(run.video.size)) for run in runs]),
            NumberRow(
                "plays at (frames per second)", [number_cell(job.number("fps"), ".4g") for job in jobs]
            ),
            NumberRow("source (digest)", [Cell(run.source[:DIGITS]) for run in runs]),
        ],
        "Where they did not run alike": _grounds(runs),
    }
    filled = {
        title: [row for row in found if any(cell.text for cell in row.cells)] for title, found in rows.items()
    }
    return {title: found for title, found in filled.items() if found}


def _scores(jobs: Sequence[Job], videos: Sequence[str]) -> list[NumberRow]:
    rows = []
    for name, (title, _) in SCORES.items():
        pairs = zip(jobs, videos, strict=True)
        cells = [score_cell(job.number(video, name), name, job.is_identical(video)) for job, video in pairs]
        rows.append(_ranked(title, cells, _better(name)))
    return rows


def _costs(jobs: Sequence[Job]) -> list[NumberRow]:
    # A run whose latents were read from the cache was quick for that.
    is_timed = not any(job.word("timing", "encode_seconds") for job in jobs)
    rows = []
    for name, title in TIMES.items():
        cells = [time_cell(job, name) for job in jobs]
        rows.append(_ranked(title, cells, _better(name)) if is_timed else NumberRow(title, cells))
    memory = [job.number("peak_memory_bytes") for job in jobs]
    cells = [number_cell(value and value / MB, ".0f") for value in memory]
    return [*rows, _ranked("peak memory (MB)", cells, min)]


def _grounds(runs: Sequence[ComparedRun]) -> list[NumberRow]:
    grounds = [run.ground() for run in runs]
    names = dict.fromkeys(name for ground in grounds for name in ground)
    rows = [NumberRow(name, [Cell(ground.get(name, "")) for ground in grounds]) for name in names]
    return [row for row in rows if len(set(row.cells)) > 1]


def _better(name: str) -> Callable[[Iterable[float]], float]:
    return max if name in HIGHER_IS_BETTER else min


def _ranked(name: str, cells: Sequence[Cell], best_of: Callable[[Iterable[float]], float]) -> NumberRow:
    """Mark the best cells, those that show the same alike; none where all of them do."""
    values = {cell.text: cell.value for cell in cells if cell.value is not None}
    if len(values) < 2:
        return NumberRow(name, cells)
    best = best_of(values.values())
    return NumberRow(
        name,
        cells,
        frozenset(n for n, cell in enumerate(cells) if cell.text and values.get(cell.text) == best),
    )
