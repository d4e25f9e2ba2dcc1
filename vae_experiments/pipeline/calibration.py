"""Calibrated strength: the strength at which a chain costs a given PSNR, in few decodes of few frames."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments import manipulations
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import chain, lengths_differ, weakened
from vae_experiments.metrics import psnr_db
from vae_experiments.models.framewise import Framewise
from vae_experiments.options import Option, setting
from vae_experiments.pipeline.runner import finite, regrouped, with_bent_decoder
from vae_experiments.runtime.progress import Progress
from vae_experiments.runtime.streams import prefetch
from vae_experiments.tensors import Joined, to_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

    from vae_experiments.cache import CachedStream
    from vae_experiments.manipulations import ChainStep, Clip
    from vae_experiments.models import Autoencoder
    from vae_experiments.sources import Source

MOST_DECODES = 8
DIGITS = 4
"""Of a share that is tried: enough for 0.01 dB, and few enough to be typed again."""
USUAL_SLOPE, LEAST_SLOPE, GREATEST_SLOPE = 2.0, 0.05, 8.0
"""Of the error over the strength, both logarithmic: small changes add up as squares, large ones saturate."""
LARGEST_LOG_STEP = math.log(30)
"""That a guess may lie from the nearest trial, as the logarithm of a factor."""


class Trial(NamedTuple):
    """What a fraction of the chain's strength costs."""

    share: float
    mse: float
    """Mean squared error in 8-bit levels."""

    @property
    def psnr_db(self) -> float:
        """It in decibels, infinite for identical frames."""
        found = psnr_db(self.mse)
        return math.inf if found is None else found


class Target(Option, group="target", single=True):
    """Searches the strength of the manipulations that costs a given PSNR."""

    psnr_db: float | None = setting(
        "PSNR against the original at which the changed video shall lie; its strength is searched",
        default=None,
        unit="dB",
        above=0,
        maximum=150,
    )
    tolerance_db: float = setting(
        "how far from it a strength may lie that is found", default=0.25, unit="dB", minimum=0.02
    )
    frames: int = setting("how many frames are decoded to try a strength", default=8, minimum=1)

    @property
    def wanted_mse(self) -> float:
        """The target as a mean squared error in 8-bit levels."""
        assert self.psnr_db is not None, "no target"
        return float(255**2 / 10 ** (self.psnr_db / 10))

    def check(self, links: Sequence[ChainStep]) -> None:
        """Look, before any work, whether the chain has a strength that can be searched.

        Raises:
            SettingError: there is no manipulation, or one without a strength, or one that changes the length.
        """
        if self.psnr_db is None:
            return
        if not links:
            raise self.miss("there is no manipulation to weaken", "choose one, as manipulation=noise")
        without = [link.name for link in links if not hasattr(link, "strength")]
        if without:
            raise self.miss(f"{without[0]} has no strength", "leave it, or target.psnr_db, out")
        if lengths_differ(links):
            name = next(link.name for link in links if link.changes_length)
            rule = f"{name} changes the length, and frames of other moments would be compared"
            raise self.miss(rule, f"leave {name}, or target.psnr_db, out")

    def distance_db(self, trial: Trial) -> float:
        """Return how far a trial lies from the target."""
        assert self.psnr_db is not None, "no target"
        return abs(trial.psnr_db - self.psnr_db)

    def miss(self, rule: str, hint: str) -> SettingError:
        """Make the error for a target that cannot be reached."""
        return SettingError("target.psnr_db", f"{self.psnr_db:g}", rule, hint)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Leave it to the run itself to log what manipulations remark: a trial would repeat it."""
    logger = logging.getLogger(manipulations.__name__)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


class Sample:
    """A few frames that stand for a clip, decoded of what a chain makes of all its latents.

    Frames that are spread over the clip, where the model sees each by itself; else the clip's first
    ones, since what a temporal model decodes depends on all that came before. (The one model whose
    decoder draws noise by the frame's number draws other noise here.) Holds the latents of the clip,
    what manipulations asked of other videos' latents, and of frames only those few.
    """

    def __init__(
        self,
        source: Source,
        autoencoder: Autoencoder,
        clip: Clip,
        batch_size: int,
        cached: CachedStream,
        frames: int,
    ) -> None:
        import torch

        self.autoencoder, self.size, self.clip = autoencoder, source.info.size, _remembering(clip)
        self.at_once = max(1, batch_size // autoencoder.time_stride)
        self.spread = isinstance(autoencoder, Framewise)
        with Progress(source.info.frames) as progress:
            encoded = cached.through(autoencoder.encode(prefetch(source.chunks(batch_size))))
            self.chunks = []
            for latents in regrouped(encoded, self.at_once):
                self.chunks.append(latents)
                progress.add(len(latents) * autoencoder.time_stride)
        count = sum(map(len, self.chunks))
        few = min(frames, count)
        spread = [(2 * place + 1) * count // (2 * few) for place in range(few)]
        self.numbers = spread if self.spread else list(range(frames))
        self.original = to_pixels(torch.cat(list(picked(source.chunks(batch_size), self.numbers))))

    @property
    def frames(self) -> int:
        """How many frames are compared."""
        return len(self.original)

    def __str__(self) -> str:
        """Return which they are."""
        return f"{'' if self.spread else 'the first '}{self.frames} frame{'s' if self.frames != 1 else ''}"

    @_hushed()
    def mse(self, links: Sequence[ChainStep]) -> float:
        """Decode them through a chain and give the mean squared error, in 8-bit levels as in ``metrics``."""
        changed = finite(chain(links, iter(self.chunks), self.clip))
        latents = regrouped(picked(changed, self.numbers) if self.spread else changed, self.at_once)
        network = with_bent_decoder(self.autoencoder, links)
        frames = Joined(network.decode(latents, self.size)).take(self.frames)
        assert frames is not None, "nothing was decoded"
        error = to_pixels(frames).astype("int32") - self.original
        return float((error**2).mean())


def picked(chunks: Iterable[Tensor], numbers: Sequence[int]) -> Iterator[Tensor]:
    """Take those of a stream whose numbers, which rise, are named, and read no further."""
    at = 0
    for chunk in chunks:
        inside = [number - at for number in numbers if at <= number < at + len(chunk)]
        if inside:
            yield chunk[inside]
        at += len(chunk)
        if at > numbers[-1]:
            return


def _remembering(clip: Clip) -> Clip:
    """Encode for all trials once what a manipulation asks of another video or of the posterior."""
    latents_of, posterior_std = clip.latents_of, clip.posterior_std
    if latents_of is None or posterior_std is None:
        return clip
    # A copy of a reader of `tee` that nobody reads begins where that one stands: at the start.
    others = functools.cache(lambda path: itertools.tee(latents_of(path), 1)[0])
    own = functools.cache(lambda: itertools.tee(posterior_std(), 1)[0])
    return replace(
        clip, latents_of=lambda path: copy.copy(others(path)), posterior_std=lambda: copy.copy(own())
    )


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
    return nearest * math.exp(min(max(step, -LARGEST_LOG_STEP), LARGEST_LOG_STEP))


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
