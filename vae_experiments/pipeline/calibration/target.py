"""The settings of a search for a strength, and what it tries."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.errors import SettingError
from vae_experiments.manipulations import lengths_differ
from vae_experiments.options import Option, setting
from vae_experiments.pipeline.metrics import psnr_db

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vae_experiments.manipulations import ChainStep


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
