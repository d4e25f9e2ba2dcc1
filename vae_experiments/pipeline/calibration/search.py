"""The search: which fraction of a chain's strength lies at the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vae_experiments.manipulations import weakened
from vae_experiments.pipeline.calibration.target import Trial
from vae_experiments.pipeline.metrics import psnr_db

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vae_experiments.errors import SettingError
    from vae_experiments.manipulations import ChainStep
    from vae_experiments.pipeline.calibration.sample import Sample
    from vae_experiments.pipeline.calibration.target import Target

MOST_DECODES = 8
DIGITS = 4
"""Of a share that is tried: enough for 0.01 dB, and few enough to be typed again."""
USUAL_SLOPE, LEAST_SLOPE, GREATEST_SLOPE = 2.0, 0.05, 8.0
"""Of the error over the strength, both logarithmic: small changes add up as squares, large ones saturate."""
FARTHEST = math.log(30)
"""That a guess may lie from the nearest trial, as the logarithm of a factor."""


@dataclass(frozen=True)
class Calibration:
    """The chain at the strength that was found, and how near that came to the target."""

    links: list[ChainStep]
    trial: Trial
    decodes: int
    target: Target
    frames: int
    where: str
    """The frames that were compared, in words."""

    @property
    def own(self) -> float | None:
        """The strength of a single manipulation; None of a chain, and where it is scheduled."""
        strength = getattr(self.links[0], "strength", None)
        return None if len(self.links) > 1 or isinstance(strength, str) else strength

    def summary(self) -> dict[str, Any]:
        """Return the numbers of metrics.json; the strength of several is the factor on what was set."""
        return {
            "psnr_db": self.target.psnr_db,
            "strength": self.trial.share if self.own is None else self.own,
            "measured_db": psnr_db(self.trial.mse),
            "decodes": self.decodes,
            "frames": self.frames,
        }

    def __str__(self) -> str:
        """Return what was found, and how far off it lies where that is more than was allowed."""
        name = self.links[0].name if len(self.links) == 1 else "the chain"
        share = "all" if self.trial.share == 1 else f"{self.trial.share:g}"
        what = (
            f"{name} at {share} of its strength" if self.own is None else f"strength {self.own:g} of {name}"
        )
        off = self.target.distance_db(self.trial)
        nearest = (
            f", {off:.2f} dB off and the nearest that was found" if off > self.target.tolerance_db else ""
        )
        found = f"{what} lies at {self.trial.psnr_db:.2f} dB on {self.where}"
        return f"{found}{nearest}, after {self.decodes} decodes"


def calibrated(target: Target, links: Sequence[ChainStep], sample: Sample) -> Calibration:
    """Find the fraction of a chain's strength at which the sample lies at the target.

    Raises:
        SettingError: the chain as it is set costs less, or the model alone costs more.
        NumbersError: the chain gives values that are not finite.
    """
    assert target.psnr_db is not None, "no target"
    untouched = Trial(0, sample.mse([]))
    if untouched.mse >= target.wanted_mse:
        cost = f"the model alone costs that: reconstructed {untouched.psnr_db:.2f} dB on {sample}"
        raise target.miss(cost, f"ask for less than {math.floor(untouched.psnr_db * 10) / 10:g}")
    full = Trial(1, sample.mse(links))
    if full.psnr_db > target.psnr_db + target.tolerance_db:
        raise _too_weak(target, links, sample, untouched, full)
    trials = search(lambda share: sample.mse(weakened(links, share)), untouched, full, target)
    best = min(trials[1:], key=target.distance_db)
    return Calibration(weakened(links, best.share), best, len(trials), target, sample.frames, str(sample))


def search(mse_at: Callable[[float], float], untouched: Trial, full: Trial, target: Target) -> list[Trial]:
    """Try shares until one lies within the tolerance, and give all trials, the two ends first.

    A secant over the logarithms of share and of what it adds to the untouched error, kept inside what
    brackets the target by bisection. An error that does not grow with the share is met with what was found.
    """
    wanted = target.wanted_mse
    trials, low, high = [untouched, full], untouched, full
    while len(trials) < MOST_DECODES and target.distance_db(trials[-1]) > target.tolerance_db:
        middle = math.sqrt(low.share * high.share) or high.share / 2
        guesses = (float(f"{share:.{DIGITS}g}") for share in (_secant(trials, wanted), middle))
        share = next((share for share in guesses if low.share < share < high.share), None)
        if share is None:
            break
        trial = Trial(share, mse_at(share))
        trials.append(trial)
        low, high = (trial, high) if trial.mse < wanted else (low, trial)
    return trials


def _secant(trials: Sequence[Trial], wanted: float) -> float:
    """Guess the share from the two trials nearest to the wanted error, or from the only one."""
    alone = trials[0].mse
    added = {trial.share: math.log(trial.mse - alone) for trial in trials[1:] if trial.mse > alone}
    goal, slope = math.log(wanted - alone), USUAL_SLOPE
    nearest, *others = sorted(added, key=lambda share: abs(added[share] - goal))
    if others:
        slope = (added[nearest] - added[others[0]]) / math.log(nearest / others[0])
        slope = min(max(slope, LEAST_SLOPE), GREATEST_SLOPE)
    step = (goal - added[nearest]) / slope
    return nearest * math.exp(min(max(step, -FARTHEST), FARTHEST))


def _too_weak(
    target: Target, links: Sequence[ChainStep], sample: Sample, untouched: Trial, full: Trial
) -> SettingError:
    """Return what the chain costs at the strength that it was given, and what would cost more."""
    one, names = len(links) == 1, " and ".join(link.name for link in links)
    if full.mse == untouched.mse:
        rule = f"{names} as set {'changes' if one else 'change'} nothing on {sample}"
    else:
        rule = f"{names} as set {'costs' if one else 'cost'} less: {full.psnr_db:.2f} dB on {sample}"
    able = {link.name: link.gallery_values[0] for link in links if link.gallery_values[0] != "strength"}
    stronger = " or ".join(f"{name}.{key}" for name, key in able.items())
    hints = [f"give {stronger} a stronger value"] if stronger else []
    hints += ["choose another manipulation"] + ([] if sample.spread else ["raise target.frames"])
    return target.miss(rule, ", or ".join(hints))
