"""How far a video is from the original: running sums, so memory does not grow with the clip.

All numbers are taken on 8-bit levels, of the frames as the model was given them and of the decoded
frames rounded as they are written, never of a compressed file.

    psnr_db   10 log10(255^2 / MSE); of the whole video from the MSE over all its frames (TokenBench's way)
    ssim      Wang et al. 2004: Gaussian window 11x11, sigma 1.5, RGB, mean over frames
    flicker   mean absolute change of the error from a frame to the next, in levels: what was not
              there in the original's own motion
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.errors import NumbersError
from vae_experiments.files import csv_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from fractions import Fraction

    import torch

    from vae_experiments.tensors import Latents, Pixels

WINDOW, SIGMA = 11, 1.5
PIXELS_AT_ONCE = 2**20
"""A larger frame is compared in strips."""
BLOCK = 48
REACH, BINS = 4.0, 80
NUMBERS = ("psnr_db", "ssim", "flicker")
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


class FrameScore(NamedTuple):
    """The numbers of one frame; ``flicker`` is None for the first one, ``ssim`` for one smaller than the window."""

    mse: float
    ssim: float | None
    flicker: float | None

    @property
    def psnr_db(self) -> float | None:
        """None for identical frames."""
        return psnr_db(self.mse)


class Fidelity:
    """Compares one video with the original, chunk by chunk."""

    def __init__(self) -> None:
        self.frames: list[FrameScore] = []
        self._last_error: torch.Tensor | None = None

    def update(self, original: Pixels, other: Pixels) -> None:
        """Take in the next frames of both, uint8 ``T H W 3``.

        Frame by frame, since a sum over several at once differs in its last bits with their number.
        """
        import torch

        assert original.shape == other.shape, (original.shape, other.shape)
        for frames in zip(original, other, strict=True):
            first, second = (torch.from_numpy(pixels).movedim(-1, 0)[None].float() for pixels in frames)
            error, last, similarity = second - first, self._last_error, ssim(first, second)
            alike = None if similarity is None else float(similarity)
            change = None if last is None else float((error - last).abs().mean())
            self._last_error = error
            self.frames.append(FrameScore(float(error.square().mean()), alike, change))

    def summary(self) -> dict[str, float | bool | None]:
        """Return the numbers of the whole video."""
        mse = math.fsum(frame.mse for frame in self.frames) / max(len(self.frames), 1)
        return {
            "psnr_db": psnr_db(mse),
            "ssim": _mean([frame.ssim for frame in self.frames]),
            "flicker": _mean([frame.flicker for frame in self.frames]),
            "identical": mse == 0,
        }


def as_table(fidelities: Mapping[str, Fidelity], frames: int, begins: Callable[[int], Fraction]) -> str:
    """Write when each frame begins and the numbers of every video as CSV, a row a frame.

    A number is empty where a video has no such frame.
    """
    header = ["frame", "seconds", *(f"{name}.{number}" for name in fidelities for number in NUMBERS)]
    rows = []
    for frame in range(frames):
        scores = [video.frames[frame] if frame < len(video.frames) else None for video in fidelities.values()]
        numbers = [getattr(score, number, None) for score in scores for number in NUMBERS]
        rows.append([frame, round(float(begins(frame)), 6), *numbers])
    return csv_text(header, rows)


def psnr_db(mse: float) -> float | None:
    """Turn a mean squared error in 8-bit levels into decibels; None where there is no error."""
    return 10 * math.log10(255**2 / mse) if mse > 0 else None


def ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor | None:
    """Return the structural similarity of each frame, for ``T 3 H W`` in 8-bit levels.

    The windows lie wholly inside the frame, as in scikit-image and torchmetrics. None where the
    frame is smaller than the window. A large frame is taken in strips, since it needs 140 bytes a pixel.
    """
    height, width = first.shape[-2:]
    if min(height, width) < WINDOW:
        return None
    rows = max(WINDOW, PIXELS_AT_ONCE // (4 * width))
    total = first.new_zeros(len(first)).double()
    for top in range(0, height - WINDOW + 1, rows):
        strip = slice(top, top + rows + WINDOW - 1)
        total += _similarities(first[..., strip, :], second[..., strip, :]).flatten(1).double().sum(1)
    return total / (3 * (height - WINDOW + 1) * (width - WINDOW + 1))


def _similarities(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the similarity at every place where a window lies wholly inside."""
    mean_first, mean_second = _blurred(first), _blurred(second)
    product, squares = mean_first * mean_second, mean_first.square() + mean_second.square()
    covariance = _blurred(first * second) - product
    variances = _blurred(first.square() + second.square()) - squares
    return (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))


def _blurred(values: torch.Tensor) -> torch.Tensor:
    """Blur ``... H W`` with the Gaussian window, keeping only what lies wholly inside."""
    import torch

    # A filter along an axis is a product with a banded matrix, and a band is cut into blocks that
    # are nearly full: 8 times faster than a convolution here.
    height, width = (range(0, side - WINDOW + 1, BLOCK) for side in values.shape[-2:])
    reach = BLOCK + WINDOW - 1
    columns = (values[..., start : start + reach] for start in width)
    across = torch.cat([part @ _band(part.shape[-1]).T for part in columns], dim=-1)
    rows = (across[..., start : start + reach, :] for start in height)
    return torch.cat([_band(part.shape[-2]) @ part for part in rows], dim=-2)


def _band(length: int) -> torch.Tensor:
    """Return the matrix that blurs so many values into ``WINDOW - 1`` fewer."""
    return _band_matrix()[: length - WINDOW + 1, :length]


@functools.cache
def _band_matrix() -> torch.Tensor:
    """Build the ``BLOCK`` by ``BLOCK + 10`` matrix whose rows are the shifted Gaussian window."""
    import torch

    weights = torch.exp(-((torch.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    matrix = torch.zeros(BLOCK, BLOCK + WINDOW - 1)
    for row in range(BLOCK):
        matrix[row, row : row + WINDOW] = weights / weights.sum()
    return matrix


class LatentStatistics:
    """Mean, standard deviation and histogram of latents, from running sums that no chunk size changes."""

    def __init__(self) -> None:
        self.shape: list[int] = []
        self.first: torch.Tensor | None = None
        self._histogram: torch.Tensor
        self._sum: torch.Tensor
        self._squares: torch.Tensor

    def update(self, latents: Latents) -> None:
        """Take in the next latents ``T C h w``."""
        import torch

        if self.first is None:
            self.first = latents[0].clone()
            self._histogram = torch.zeros(BINS, dtype=torch.float64)
            self._sum = self._squares = torch.zeros(latents.shape[1], dtype=torch.float64)
        self.shape = [sum(self.shape[:1]) + len(latents), *latents.shape[1:]]
        for latent in latents:
            # One at a time and in one order of memory: sums over several differ in their last bits.
            values = latent.contiguous()
            self._histogram = self._histogram + torch.histc(values.clamp(-REACH, REACH), BINS, -REACH, REACH)
            self._sum = self._sum + values.double().sum((1, 2))
            self._squares = self._squares + values.double().square().sum((1, 2))

    def summary(self) -> dict[str, list[int] | list[float] | float]:
        """Return shape ``[T, C, h, w]``, mean and std overall and by channel."""
        if self.first is None:
            raise NumbersError("the source gave no frames", "give a source with at least one frame")
        count = self.shape[0] * self.shape[2] * self.shape[3]
        means, squares = self._sum / count, self._squares / count
        return {
            "shape": list(self.shape),
            "mean": float(means.mean()),
            "std": math.sqrt(max(float(squares.mean()) - float(means.mean()) ** 2, 0.0)),
            "channel_means": means.tolist(),
            "channel_stds": (squares - means.square()).clamp(min=0).sqrt().tolist(),
        }

    def density(self) -> list[float]:
        """Return the histogram of all values from ``-REACH`` to ``REACH`` as a density."""
        return list((self._histogram / self._histogram.sum() * BINS / (2 * REACH)).tolist())


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
