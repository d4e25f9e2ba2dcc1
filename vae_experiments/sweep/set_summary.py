"""What a sweep over a set of videos says of the set: means with their intervals, the worst and the best videos."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.files import write_csv
from vae_experiments.metrics import METRICS
from vae_experiments.pipeline.run_folder import RECONSTRUCTED
from vae_experiments.sweep.csv_table import AGAINST, FIRST
from vae_experiments.sweep.jobs import Status
from vae_experiments.sweep.swept import in_words, same, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.sweep.jobs import Job
    from vae_experiments.sweep.swept import Swept

VIDEO = "source.path"
NAMES = tuple(name for name in FIRST if not name.endswith("identical"))
RESAMPLES, SEED, LEVEL = 10_000, 0, 0.95
MOST_NAMED = 5
"""Of the worst and of the best videos."""


class Estimate(NamedTuple):
    """The mean of a number over videos, and how sure it is."""

    videos: int
    """That have this number: identical videos have no PSNR."""
    mean: float
    std: float | None
    """Of the sample, over n - 1; None for one video."""
    low: float
    high: float
    """The 95 % percentile bootstrap interval of the mean: 10,000 resamples of the videos, seeded by 0."""


PARTS = ("videos", "mean", "std", "low", "high")
"""Of an estimate, as its columns are called."""


@dataclass(frozen=True)
class Combination:
    """The jobs that differ in nothing but their video."""

    values: Mapping[str, str]
    """Of the other swept settings, by key."""
    finished: Sequence[Job]
    failed: int
    estimates: Mapping[str, Estimate]
    """By the name of the number in sweep.csv."""


def over_videos(in_order: Sequence[Job], swept: Sequence[Swept]) -> list[Combination]:
    """Summarise every combination of the other settings over the videos of a sweep; nothing where it had one."""
    others = [setting for setting in swept if setting.key != VIDEO]
    if len(others) == len(swept):
        return []
    groups: dict[tuple[object, ...], list[Job]] = defaultdict(list)
    for job in in_order:
        groups[tuple(same(setting.of(job)) for setting in others)].append(job)
    return [_combination(jobs, others) for jobs in groups.values()]


def ranked(in_order: Sequence[Job], name: str = "psnr_db") -> list[tuple[str, float]]:
    """Return each video with the mean of one of its numbers over its jobs, the worst first."""
    found: dict[str, list[float]] = defaultdict(list)
    for job in in_order:
        number = job.number(job.shown, name)
        if job.status is Status.finished and number is not None and job.overrides:
            found[job.overrides[VIDEO]].append(number)
    return sorted(((video, sum(all_) / len(all_)) for video, all_ in found.items()), key=lambda one: one[1])


def estimate(numbers: Sequence[float]) -> Estimate:
    """Return mean, deviation and interval of numbers, one a video."""
    import numpy as np

    values = np.array(numbers, dtype=np.float64)
    drawn = np.random.default_rng(SEED).integers(0, len(values), (RESAMPLES, len(values)))
    outside = 50 * (1 - LEVEL)
    low, high = np.percentile(values[drawn].mean(axis=1), [outside, 100 - outside])
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return Estimate(len(values), float(values.mean()), std, float(low), float(high))


class VideoSet(NamedTuple):
    """What stands on the page about the videos of a sweep."""

    videos: int
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    """A row a combination; each number with its interval."""
    worst: Sequence[str]
    best: Sequence[str]


def describe(combinations: Sequence[Combination], in_order: Sequence[Job]) -> VideoSet:
    """Put the summary of a sweep over videos into words, with its worst and its best videos by PSNR."""
    keys, titles = keys_of(combinations), titles_of(combinations)
    rows = [
        [
            *(one.values.get(key, "") for key in keys),
            str(len(one.finished)),
            str(one.failed or ""),
            *(with_interval(one.estimates.get(name), shown_numbers()[name][1]) for name in titles),
        ]
        for one in combinations
    ]
    order = [f"{video}: {psnr:.2f} dB" for video, psnr in ranked(in_order)]
    count = min(MOST_NAMED, len(order) // 2)
    columns = [*keys, "videos", "failed", *titles.values()]
    return VideoSet(
        len({job.overrides[VIDEO] for job in in_order if job.overrides and VIDEO in job.overrides}),
        columns,
        rows,
        order[:count],
        order[::-1][:count],
    )


def keys_of(combinations: Sequence[Combination]) -> list[str]:
    """Return the swept settings beside the videos, in the order in which they were typed."""
    return list(dict.fromkeys(key for one in combinations for key in one.values))


def titles_of(combinations: Sequence[Combination]) -> dict[str, str]:
    """Return the title of every number that any combination has, by its name in sweep.csv."""
    titles = {name: title for name, (title, _) in shown_numbers().items()}
    return {name: titles[name] for name in titles if any(name in one.estimates for one in combinations)}


def in_sentences(combinations: Sequence[Combination], table: str) -> list[str]:
    """Return the mean PSNR of every combination in a sentence, for a terminal, and which table has the rest."""
    found = [
        f"{in_words(one.values) or 'all'}: PSNR {psnr.mean:.2f} dB [{psnr.low:.2f}, {psnr.high:.2f}] over {psnr.videos} videos"
        for one in combinations
        if (psnr := one.estimates.get("psnr_db"))
    ]
    return [*found, f"means with their 95 % intervals: {table}"] if found else []


def shown_numbers() -> dict[str, tuple[str, str]]:
    """Return title and format of every number that page and tables show, by its name in sweep.csv."""
    changed = {metric.key: (metric.label, metric.digits) for metric in METRICS.values()}
    return {
        **changed,
        AGAINST: ("PSNR against reconstr. (dB)", ".2f"),
        f"{RECONSTRUCTED}.psnr_db": ("untouched: PSNR (dB)", ".2f"),
    }


def with_interval(estimate: Estimate | None, form: str) -> str:
    """Return a mean in that form with its interval in brackets; nothing where there is none."""
    return f"{estimate.mean:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]" if estimate else ""


def write_summary(path: Path, combinations: Sequence[Combination]) -> None:
    """Write the summary as a table, a row a combination, four columns a number."""
    keys = keys_of(combinations)
    names = [name for name in NAMES if any(name in one.estimates for one in combinations)]
    header = [*keys, "videos", "failed", *(f"{name}.{of}" for name in names for of in PARTS)]
    rows = []
    for one in combinations:
        typed = [one.values.get(key, "") for key in keys]
        found = [one.estimates.get(name) for name in names]
        numbers = [number for each in found for number in (each or [None] * len(PARTS))]
        rows.append([*typed, len(one.finished), one.failed, *numbers])
    write_csv(path, header, rows)


def _combination(jobs: Sequence[Job], others: Sequence[Swept]) -> Combination:
    finished = [job for job in jobs if job.status is Status.finished]
    numbers = {name: _numbers(finished, name) for name in NAMES}
    estimates = {name: estimate(values) for name, values in numbers.items() if values}
    return Combination(values_of(jobs[0], others), finished, len(jobs) - len(finished), estimates)


def _numbers(jobs: Sequence[Job], name: str) -> list[float]:
    """Return a number of all jobs that have it, by its name in sweep.csv."""
    video, _, number = name.rpartition(".")
    found = [job.number(RECONSTRUCTED if video else job.shown, number) for job in jobs]
    return [value for value in found if value is not None]
