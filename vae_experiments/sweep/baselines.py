"""Baselines: what encoding and decoding alone cost, once for each source and model of a sweep."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.pipeline.run_folder import RECONSTRUCTED
from vae_experiments.sweep.jobs import SWEEP, Status, typical_scores
from vae_experiments.sweep.swept import Swept, same, values_of
from vae_experiments.sweep.verdicts import ROUNDING_DB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vae_experiments.sweep.jobs import Job

SCOPE = {SWEEP, "source", "model", "decoder", "device"}
"""What decides how well untouched latents are decoded; no manipulation and no batch size does."""


class Baseline(NamedTuple):
    """The untouched video of jobs that have source and model in common."""

    jobs: Sequence[Job]
    values: Mapping[str, str]
    """What sets these jobs apart from the others, of source, model, decoder and device."""
    scores: Mapping[str, float | None]
    """The median over these jobs of each number."""
    is_identical: bool
    remark: str
    """Where the jobs do not agree, by how much."""


def baselines(jobs: Iterable[Job], swept: Sequence[Swept]) -> list[Baseline]:
    """Find the baselines of a sweep, in the order of their first jobs."""
    scope = [setting for setting in swept if setting.key.partition(".")[0] in SCOPE]
    groups: dict[tuple[object, ...], list[Job]] = defaultdict(list)
    for job in jobs:
        if job.status is Status.finished:
            groups[tuple(same(setting.of(job)) for setting in scope)].append(job)
    return [_baseline(group, values_of(group[0], scope)) for group in groups.values()]


def has_own_row(baseline: Baseline) -> bool:
    """Whether one of the jobs is the baseline itself, having no manipulation."""
    return any(job.shown == RECONSTRUCTED for job in baseline.jobs)


def _baseline(jobs: Sequence[Job], values: Mapping[str, str]) -> Baseline:
    each = [job.scores(RECONSTRUCTED) for job in jobs]
    psnrs, remark = [psnr for one in each if (psnr := one.get("psnr_db")) is not None], ""
    if psnrs and max(psnrs) - min(psnrs) > ROUNDING_DB:
        remark = f"the median of jobs with {min(psnrs):.2f} to {max(psnrs):.2f} dB"
    is_identical = not psnrs and all(job.is_identical(RECONSTRUCTED) for job in jobs)
    return Baseline(jobs, values, typical_scores(each), is_identical, remark)
