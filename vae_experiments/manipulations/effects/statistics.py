"""Manipulations of statistics: mean, spread and correlation of the channels, principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.manipulations.manipulation import WholeClip
from vae_experiments.options import Choice, Scheduled, setting

if TYPE_CHECKING:
    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents

FLAT_SHARE = 1e-9
"""A spread of this fraction of a mean is what rounding leaves of none at all."""


def channel_moments(latents: Latents) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel over a clip, ``1 C 1 1`` in float64."""
    import torch

    std, mean = torch.std_mean(latents.double(), dim=(0, 2, 3), correction=0, keepdim=True)
    return mean, std.masked_fill(std <= FLAT_SHARE * mean.abs(), 0)


def standardised(latents: Latents) -> Tensor:
    """Bring each channel to mean 0 and standard deviation 1, in float64; a flat one to 0."""
    mean, std = channel_moments(latents)
    return (latents.double() - mean) / std.where(std > 0, float("inf"))


class Adain(WholeClip):
    """Gives each channel the mean and spread that it has in another video: its colours and contrast.

    ``(z - mean) / std * other_std + other_mean`` for each channel (adaptive instance normalisation,
    Huang and Belongie 2017); the other video's statistics are over as many latents as this one has.
    With ``path`` empty every channel gets ``mean`` and ``std``. Holds all latents of the clip.
    """

    gallery_values = ("strength", (0.3, 0.6, 1))

    path: str = setting(
        "the other video: a file, or a pattern by name; empty for mean and std", default="plasma"
    )
    mean: Scheduled = setting("mean of every channel, where path is empty", default=0.0)
    std: Scheduled = setting(
        "standard deviation of every channel, where path is empty", default=1.0, minimum=0
    )

    def __post_init__(self) -> None:
        """Check every value, and that nothing asked for is dropped in silence.

        Raises:
            SettingError: a value breaks its rule, or has no effect beside the path.
        """
        super().__post_init__()
        for name, usual in (("mean", 0), ("std", 1)):
            if self.path.strip() and getattr(self, name) != usual:
                rule = f"has no effect beside path={self.path}"
                raise self.error_for(name, rule, f"set {self.address()}.path= to nothing, or leave it out")

    def check(self, clip: Clip) -> None:
        """Look the other video over before anything is written.

        Raises:
            VaeExperimentsError: there is no such video, or it cannot be read.
        """
        super().check(clip)
        if self.path.strip() and clip.check_path:
            clip.check_path(self.path, f"{self.address()}.path")

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Standardise each channel and give it the other statistics."""
        mean: float | Tensor = self.mean
        std: float | Tensor = self.std
        if self.path.strip():
            other = clip.second(self.path).take(len(latents))
            assert other is not None, "a second video has no end"
            mean, std = channel_moments(other)
        return (standardised(latents) * std + mean).float()


class Whiten(WholeClip):
    """Makes the channels independent and equally strong: faint colours and faint detail come forward.

    ``E D^-1/2 E^T (z - mean) + mean`` with the channels' covariance ``E D E^T`` over all cells and
    frames (ZCA, Bell and Sejnowski 1997). Holds all latents of the clip.
    """

    gallery_values = ("strength", (0.3, 0.6, 1))

    floor: float = setting(
        "variance that weaker directions count as, so that nearly nothing is not made much",
        default=0.05,
        unit="squared standard deviations of the latents",
        above=0,
    )

    def whole(self, latents: Latents, _clip: Clip) -> Latents:
        """Divide each principal direction by its spread, and turn back."""
        rows, mean = _cells(latents)
        found = _principal(rows.T @ rows / len(rows))
        directions, variances = found.directions, found.variances
        whitening = directions @ (directions.T / variances.clamp(min=self.floor).sqrt()[:, None])
        return _latents(rows @ whitening + mean, latents)


class PcaOver(Choice):
    """What a principal component is a direction of."""

    cells = "channel space: one vector of channels for all cells"
    frames = "whole latents: one picture that all frames have more or less of"


class PcaDirection(WholeClip):
    """Moves all latents along one principal component of the clip, such as its light or its main motion.

    ``z + amount * s_k * v_k`` with the direction v_k and its standard deviation s_k (GANSpace, Härkönen
    et al. 2020), over the channels of all cells or over whole latents; the largest entry of v_k is
    positive. Holds all latents of the clip.
    """

    gallery_values = ("amount", (0.3, 0.7, 1.5))

    component: int = setting("which component, 0 is the strongest", default=0, minimum=0)
    amount: Scheduled = setting("how far to move", default=0.7, unit="standard deviations of the component")
    over: PcaOver = setting(
        "components of cells (channel space) or of frames (whole latents)", default=PcaOver.cells
    )

    def check(self, clip: Clip) -> None:
        """Look whether there is such a component.

        Raises:
            SettingError: there are not so many.
        """
        super().check(clip)
        self._check_component(clip.channels if self.over is PcaOver.cells else clip.latents)

    def whole(self, latents: Latents, _clip: Clip) -> Latents:
        """Add the component."""
        count, channels = latents.shape[:2]
        self._check_component(channels if self.over is PcaOver.cells else count)
        if self.over is PcaOver.cells:
            rows, _ = _cells(latents)
            found = _principal(rows.T @ rows / len(rows))
            scale = found.variances[self.component].sqrt()
            step = (scale * found.directions[:, self.component]).reshape(1, channels, 1, 1)
        else:
            rows, _ = _frames(latents)
            found = _principal(rows @ rows.T / count)
            # s_k v_k without a division by s_k, which may be 0.
            step = found.directions[:, self.component] @ rows / count**0.5
            step = step.reshape(1, *latents.shape[1:])
        if step.flatten()[step.abs().argmax()] < 0:
            step = -step
        return (latents.double() + self.amount * step).float()

    def _check_component(self, count: int | None) -> None:
        if count is not None and self.component >= count:
            raise self.error_for(
                "component", f"there are {count} components over {self.over}", f"name one of 0 to {count - 1}"
            )


class PcaTruncate(WholeClip):
    """Keeps only the strongest principal components: with few of them colours, or motion, flatten out.

    ``mean + sum over k < keep of v_k v_k^T (z - mean)``, over the channels of all cells or over whole
    latents; a fraction in ``keep`` is so much of the next component. Holds all latents of the clip.
    """

    gallery_values = ("keep", (10, 5, 2))

    keep: Scheduled = setting("how many components stay; 0 leaves the mean", default=3, minimum=0)
    over: PcaOver = setting(
        "components of cells (channel space) or of frames (whole latents)", default=PcaOver.cells
    )

    def whole(self, latents: Latents, _clip: Clip) -> Latents:
        """Project on the components that stay."""
        import torch

        count, channels = latents.shape[:2]
        number = channels if self.over is PcaOver.cells else count
        weights = (torch.as_tensor(self.keep) - torch.arange(number)).clamp(0, 1).double()
        if self.over is PcaOver.cells:
            rows, mean = _cells(latents)
            found = _principal(rows.T @ rows / len(rows)).directions
            weights = weights.reshape(-1, 1, number).expand(count, 1, number)
            scores = (rows @ found).reshape(count, -1, number) * weights
            return _latents(scores.reshape(-1, number) @ found.T + mean, latents)
        rows, mean = _frames(latents)
        found = _principal(rows @ rows.T / count).directions
        kept = (found * weights.reshape(-1, number)) @ (found.T @ rows)
        return (kept + mean).reshape(latents.shape).float()


class Components(NamedTuple):
    """Principal components: ``directions`` are the columns, strongest first, with their ``variances``."""

    directions: Tensor
    variances: Tensor


def _principal(covariance: Tensor) -> Components:
    import torch

    variances, directions = torch.linalg.eigh(covariance)
    return Components(directions.flip(1), variances.flip(0).clamp(min=0))


def _cells(latents: Latents) -> tuple[Tensor, Tensor]:
    """Return every cell of every frame as a row of its channels, about their mean, and that mean; float64."""
    from einops import rearrange

    rows = rearrange(latents.double(), "t c h w -> (t h w) c")
    mean = rows.mean(0)
    return rows - mean, mean


def _latents(rows: Tensor, like: Latents) -> Latents:
    """Put rows of channels back where ``_cells`` took them from."""
    from einops import rearrange

    height, width = like.shape[2:]
    return rearrange(rows, "(t h w) c -> t c h w", h=height, w=width).contiguous().float()


def _frames(latents: Latents) -> tuple[Tensor, Tensor]:
    """Return every frame as a row, about their mean, and that mean; float64."""
    rows = latents.double().flatten(1)
    mean = rows.mean(0)
    return rows - mean, mean
