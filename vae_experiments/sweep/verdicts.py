"""What a sweep over batch sizes says: whether the results stayed the same, and which one to take."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.pipeline.run_folder import RECONSTRUCTED
from vae_experiments.sweep.jobs import Status
from vae_experiments.sweep.swept import same

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vae_experiments.sweep.jobs import Job
    from vae_experiments.sweep.swept import Swept

BATCH_SIZE = "batch_size"
ROUNDING_DB = 0.01
"""Two PSNRs that are nearer than this are the same to rounding: batches of another size add up in another order."""
TINY = 1e-6
NEAR_FASTEST = 0.97


class Throughput(NamedTuple):
    """What one job measured."""

    batch_size: int
    frames_per_second: float
    peak_memory_bytes: float | None


class Recommendation(NamedTuple):
    """The batch size to take, and why."""

    batch_size: int
    sentence: str


def throughputs(jobs: Iterable[Job], swept: Sequence[Swept]) -> list[Throughput]:
    """List what finished jobs measured that can be compared: in all but the batch size each has its like.

    A job whose latents came from the cache measured no throughput. A choice of the other settings
    counts if it was measured at as many batch sizes as any: else a size of which only the small
    videos are known would look fast.
    """
    alike: dict[tuple[object, ...], list[Throughput]] = defaultdict(list)
    for job in jobs:
        batch_size, rate = job.number(BATCH_SIZE), job.number("timing", "frames_per_second")
        is_measured = job.number("timing", "encode_seconds") is not None
        if batch_size is not None and rate is not None and is_measured:
            measured = Throughput(int(batch_size), rate, job.number("peak_memory_bytes"))
            alike[_all_but_batch_size(job, swept)].append(measured)
    sizes = {others: {one.batch_size for one in found} for others, found in alike.items()}
    most = max(sizes.values(), key=len, default=set())
    return sorted(one for others, found in alike.items() if sizes[others] >= most for one in found)


def recommend(measured: Sequence[Throughput]) -> Recommendation | None:
    """Name the smallest batch size within 3 % of the fastest; None where fewer than two were measured.

    Of several jobs with one batch size the median counts.
    """
    rates: dict[int, list[float]] = defaultdict(list)
    for one in measured:
        rates[one.batch_size].append(one.frames_per_second)
    if len(rates) < 2:
        return None
    medians = {batch_size: median(values) for batch_size, values in sorted(rates.items())}
    best = min(size for size, rate in medians.items() if rate >= NEAR_FASTEST * max(medians.values()))
    each = ", ".join(f"{size}: {rate:.3g}" for size, rate in medians.items())
    how = "" if len(measured) == len(rates) else ", the median of each"
    end = "; larger ones were not tried" if best == max(medians) else ""
    sentence = (
        f"recommended batch size: {best}, the smallest within 3 % of the fastest "
        f"(frames per second by batch size {each}; {len(measured)} jobs measured it{how}{end})"
    )
    return Recommendation(best, sentence)


def determinism(jobs: Iterable[Job], swept: Sequence[Swept]) -> str | None:
    """Return by how much the results of jobs differ that are alike in everything but the batch size.

    None where the batch size was not swept, or no two such jobs finished.
    """
    if all(setting.key != BATCH_SIZE for setting in swept):
        return None
    alike: dict[tuple[object, ...], list[Job]] = defaultdict(list)
    for job in jobs:
        if job.status is Status.finished:
            alike[_all_but_batch_size(job, swept)].append(job)
    groups = [group for group in alike.values() if len({job.number(BATCH_SIZE) for job in group}) > 1]
    if not groups:
        return None
    seen = sorted({int(job.number(BATCH_SIZE) or 0) for group in groups for job in group})
    sizes, apart = ", ".join(map(str, seen)), _psnr_apart(groups)
    statistics = [
        [job.number("latents", name) for job in group] for group in groups for name in ("mean", "std")
    ]
    latents = max(map(_spread, statistics))
    if apart is None:
        return f"THEY DIFFER over batch sizes {sizes}: some videos are identical to the original and others are not"
    if apart > ROUNDING_DB:
        return (
            f"THEY DIFFER by {_plain(apart)} dB over batch sizes {sizes}, "
            f"more than the {ROUNDING_DB} dB of rounding; mean and deviation of the latents by {latents:.2g}"
        )
    if apart == latents == 0:
        return f"the metrics are the same to the last digit over batch sizes {sizes}"
    return (
        f"the metrics agree to {_plain(apart)} dB over batch sizes {sizes}, "
        f"mean and deviation of the latents to {_plain(latents)}; up to {ROUNDING_DB} dB is rounding"
    )


def _all_but_batch_size(job: Job, swept: Iterable[Swept]) -> tuple[object, ...]:
    return tuple(same(setting.of(job)) for setting in swept if setting.key != BATCH_SIZE)


def _psnr_apart(groups: Iterable[Sequence[Job]]) -> float | None:
    """Return the largest difference in dB; None where a video is identical to the original in some jobs only."""
    apart = 0.0
    for group in groups:
        untouched = [job.number(RECONSTRUCTED, "psnr_db") for job in group]
        for psnrs in (untouched, [job.number(job.shown, "psnr_db") for job in group]):
            if None in psnrs and len(set(psnrs)) > 1:
                return None
            apart = max(apart, _spread(psnrs))
    return apart


def _plain(value: float) -> str:
    """Write a small number without an exponent: 0.00003; nothing below a millionth."""
    if 0 < value < TINY:
        value = TINY
    return f"{Decimal(f'{value:.1g}'):f}" if value < ROUNDING_DB else f"{value:.3g}"


def _spread(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return max(known) - min(known) if known else 0.0
