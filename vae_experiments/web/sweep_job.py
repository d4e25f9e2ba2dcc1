"""Sweeps from the page: one setting of the chain over a few values."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from vae_experiments.errors import SettingError
from vae_experiments.manipulations import ChainStep
from vae_experiments.web.requests.catalog import offered
from vae_experiments.web.run_job import run_order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vae_experiments.web.requests.controls import Control
    from vae_experiments.web.requests.run_request import RawRequest, RunRequest
    from vae_experiments.web.state.job_queue import Job

FEWEST, MOST = 2, 9


@dataclass(frozen=True)
class SweepRange:
    """Values of one setting, evenly spaced."""

    setting: str
    first: float
    last: float
    count: int

    @classmethod
    def of(cls, setting: Any, first: Any, last: Any, count: Any) -> SweepRange:
        """Check what the browser sent.

        Raises:
            SettingError: no number, or too many values.
        """
        try:
            low, high, number = float(first), float(last), int(count)
        except (TypeError, ValueError, OverflowError):
            raise SettingError("range", "...", "must be numbers", "give a first and a last value") from None
        if not (FEWEST <= number <= MOST and abs(low) < 1e9 and abs(high) < 1e9 and low != high):
            rule = f"must be {FEWEST} to {MOST} different values"
            raise SettingError("range", f"{low:g} to {high:g}", rule, "widen it")
        return cls(str(setting)[:80], low, high, number)

    def values(self) -> list[float]:
        """List the values, each once; whole ones for a setting that is counted."""
        step = (self.last - self.first) / (self.count - 1)
        values = [float(f"{self.first + step * number:.6g}") for number in range(self.count)]
        if _slider(self.setting).step == 1:
            values = [float(round(value)) for value in values]
        return list(dict.fromkeys(values))


def sweepable(chain: Sequence[str]) -> list[str]:
    """Name the settings of a chain that are numbers."""
    known = offered("manipulation")
    return [
        f"{name}.{control.name}"
        for name in chain
        if name in known
        for control in known[name].controls()
        if control.shape == "slider"
    ]


def usual_range(setting: str) -> tuple[float, float]:
    """Suggest a range: from the weak to the strong value of its class, or else the slider's own."""
    name, _, key = setting.partition(".")
    kind = offered("manipulation")[name].kind
    assert issubclass(kind, ChainStep), kind
    shown, values = kind.gallery_values
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    if shown == key and numbers:
        return numbers[0], numbers[-1]
    slider = _slider(setting)
    return float(slider.minimum or 0), float(slider.maximum or 1)


def _slider(setting: str) -> Control:
    name, _, key = setting.partition(".")
    return next(control for control in offered("manipulation")[name].controls() if control.name == key)


def requests_of(asked: RawRequest, over: SweepRange) -> list[RawRequest]:
    """Return what was asked for once with each value.

    Raises:
        SettingError: the chain has no such setting.
    """
    if over.setting not in sweepable(asked.chain):
        hint = "choose one of the list" if asked.chain else "choose a manipulation on the first tab"
        raise SettingError("setting", "...", "not a number of this chain", hint)
    if len(over.values()) < FEWEST:
        reach = f"{over.first:g} to {over.last:g}"
        raise SettingError("range", reach, f"holds fewer than {FEWEST} values of that setting", "widen it")
    name, _, key = over.setting.partition(".")
    own = asked.values.get(name, {})
    return [replace(asked, values={**asked.values, name: {**own, key: value}}) for value in over.values()]


def sweep_command(orders: Sequence[RunRequest], over: SweepRange) -> str:
    """Return what to type for the same sweep."""
    values = ",".join(f"{value:g}" for value in over.values())
    others = [word for word in orders[0].words if not word.startswith(f"{over.setting}=")]
    return shlex.join(["python", "run.py", "-m", *others, f"{over.setting}={values}"])


def run_sweep_request(orders: Sequence[RunRequest], setting: str, folder: Path, job: Job) -> None:
    """Run every order into a numbered folder, and write the page over all of them.

    Raises:
        VaeExperimentsError: a run failed or was cancelled.
    """
    for number, order in enumerate(orders):
        place = folder / str(number)
        place.mkdir()
        part = cast("Job", _Part(job, number, len(orders)))
        run_order(order, place, part, words=order.swept_words(setting))
    job.tick(1.0, "drawing the page")
    from vae_experiments.sweep import write_sweep

    write_sweep([folder])


@dataclass
class _Part:
    """The job of a sweep as one of its runs sees it."""

    job: Job
    number: int
    count: int
    share: float = 0.0

    def tick(self, share: float | None = None, phase: str = "") -> None:
        self.share = self.share if share is None else share
        whole = (self.number + self.share) / self.count
        self.job.tick(whole, f"run {self.number + 1} of {self.count}, {phase}" if phase else "")
