"""Which settings a sweep swept, and in which order their values stand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vae_experiments.sweep.jobs import Job


WHOLE = "sweep."
"""How settings of a sweep as a whole begin."""


@dataclass(frozen=True)
class Swept:
    """A setting that is not the same in every job."""

    key: str
    values: tuple[str, ...]
    """Each once: numbers by size, words in the order of their first job."""

    @cached_property
    def is_numeric(self) -> bool:
        """Whether every value is a number."""
        return all(as_number(value) is not None for value in self.values)

    @cached_property
    def _numbers(self) -> dict[float | str | None, int]:
        return {same(value): number for number, value in enumerate(self.values)}

    def of(self, job: Job) -> str | None:
        """Return a job's value, as the first job with an equal one wrote it; None where it has none."""
        value = (job.overrides or {}).get(self.key)
        return None if value is None else self.values[self._numbers[same(value)]]

    def place(self, job: Job) -> int:
        """Return where a job stands along this setting; before all others where it has no value."""
        value = self.of(job)
        return -1 if value is None else self._numbers[same(value)]


def as_number(text: str) -> float | None:
    """Read a finite number; None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def same(text: str | None) -> float | str | None:
    """Return what two values have in common that mean the same: 0.1 and 0.10, 0.3 and 0.30000000000000004."""
    value = None if text is None else as_number(text)
    if value is None or value.is_integer():  # of a seed no digit is dropped
        return text if value is None else value
    return float(f"{value:.12g}")  # without what Hydra's range(0.1,1,0.1) leaves behind, counting up


def swept_settings(jobs: Sequence[Job]) -> list[Swept]:
    """Find the settings whose values differ between jobs, in the order in which they were typed.

    A key that one job has and another has not counts as well. Jobs whose overrides nobody knows do
    not count, and neither do settings of the sweep as a whole: half of a resumed one has ``sweep.resume``.
    """
    typed = [job.overrides for job in jobs if job.overrides is not None]
    keys = dict.fromkeys(key for overrides in typed for key in overrides if not key.startswith(WHOLE))
    return [
        Swept(key, tuple(_ordered(overrides[key] for overrides in typed if key in overrides)))
        for key in keys
        if len({same(overrides.get(key)) for overrides in typed}) > 1
    ]


def shared_settings(jobs: Sequence[Job], swept: Sequence[Swept]) -> dict[str, str]:
    """Return the settings that every job was given alike."""
    typed = next((job.overrides for job in jobs if job.overrides is not None), {})
    return {key: value for key, value in typed.items() if key not in {setting.key for setting in swept}}


def in_order(jobs: Iterable[Job], swept: Sequence[Swept]) -> list[Job]:
    """Sort jobs by the swept settings, the first one first; equal ones stay as they were."""
    return sorted(jobs, key=lambda job: [setting.place(job) for setting in swept])


def values_of(job: Job, swept: Iterable[Swept]) -> dict[str, str]:
    """Return a job's values of swept settings by key; those that it has."""
    return {setting.key: value for setting in swept if (value := setting.of(job)) is not None}


def in_words(values: Mapping[str, str]) -> str:
    """Write values as they are typed: ``noise.scale=0.5, batch_size=4``."""
    return ", ".join(f"{key}={value}" for key, value in values.items())


def short_names(swept: Sequence[Swept]) -> dict[str, str]:
    """Shorten each key to its last word, where no other one ends in the same."""
    ends = {setting.key: setting.key.rpartition(".")[2] for setting in swept}
    return {key: end if [*ends.values()].count(end) == 1 else key for key, end in ends.items()}


def _ordered(values: Iterable[str]) -> list[str]:
    found: dict[float | str | None, str] = {}
    for value in values:
        meant = same(value)
        found.setdefault(meant, value if meant in (value, as_number(value)) else str(meant))
    numbers = {text: as_number(text) for text in found.values()}
    return (
        list(numbers) if None in numbers.values() else sorted(numbers, key=lambda text: numbers[text] or 0.0)
    )
