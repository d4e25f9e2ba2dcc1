"""The settings of an analysis, and the mistakes that only all of them together show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.cache.latent_files import Which
from vae_experiments.errors import SettingError
from vae_experiments.options import Choice, Option, setting

if TYPE_CHECKING:
    from collections.abc import Sequence

ENCODING = ("source", "model", "device", "batch_size", "seed")
"""What decides how a video is encoded, and nothing where latents are read from a folder."""


class Plots(Choice):
    """Which files are made beside the numbers, pca.png and correlation.png."""

    all = "few, and channels.png and pca.mp4"
    few = "spectrum.png and distances.png"
    none = "no more"


class Analysis(Option, group="analysis", single=True):
    """Says what is analysed beside the source, or in place of it, and what is drawn."""

    path: str = setting("a second video to compare with: a file, or a pattern by name", default="")
    folder: str = setting("a run's folder whose latents are read, instead of encoding a source", default="")
    latents: Which = setting("which latents of that folder: encoded or changed", default=Which.encoded)
    equivariance: bool = setting(
        "measure how the latents turn, stretch and move with the picture, plain and steered", default=False
    )
    plots: Plots = setting("which pictures are drawn: all, few or none", default=Plots.few)

    def __post_init__(self) -> None:
        """Check what two settings must be together."""
        super().__post_init__()
        if self.folder and self.path:
            raise self.error_for(
                "path", "only encoded videos can be compared, not analysis.folder", "leave one of them out"
            )
        if self.folder and self.equivariance:
            rule = "needs the model, and not only latents from analysis.folder"
            raise self.error_for("equivariance", rule, "leave one of them out")
        if self.latents is Which.changed and not self.folder:
            raise self.error_for("latents", "needs the run that saved them", "give analysis.folder=RUN")

    def check_typed(self, overrides: Sequence[str]) -> None:
        """Stop at a source, or at how to encode one, beside latents that are encoded already.

        Raises:
            SettingError: names the first of them.
        """
        for override in overrides if self.folder else ():
            setting, _, value = override.lstrip("+~").partition("=")
            if setting.partition(".")[0] in ENCODING:
                rule = f"there is nothing to encode in analysis.folder={self.folder}"
                raise SettingError(setting, value, rule, "leave one of them out")
