"""Structural similarity, at one scale and at five."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

WINDOW, SIGMA = 11, 1.5
PIXELS_AT_ONCE = 2**20
"""A larger frame is compared in strips."""
BLOCK = 48
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The weight of each scale, the finest first (Wang et al. 2003, table 1)."""
SMALLEST_SIDE = WINDOW * 2 ** (len(SCALES) - 1)


def ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor | None:
    """Return the structural similarity of each frame, for ``T 3 H W`` in 8-bit levels.

    The windows lie wholly inside the frame, as in scikit-image and torchmetrics. None where the
    frame is smaller than the window.
    """
    if min(first.shape[-2:]) < WINDOW:
        return None
    return _mean_over_windows(_similarities, first, second).mean(1)


def ms_ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor | None:
    """Return the structural similarity over five scales of each frame, for ``T 3 H W`` in 8-bit levels.

    The contrast and structure of every scale and the luminance of the coarsest, each to the power of its
    weight (Wang, Simoncelli and Bovik 2003), by channel. None where a side is shorter than ``SMALLEST_SIDE``.
    """
    from torch.nn.functional import avg_pool2d

    if min(first.shape[-2:]) < SMALLEST_SIDE:
        return None
    product = first.new_ones(first.shape[:2]).double()
    for weight in SCALES[:-1]:
        product = product * _mean_over_windows(_contrasts, first, second).clamp(min=0) ** weight
        first, second = avg_pool2d(first, 2), avg_pool2d(second, 2)
    coarsest = _mean_over_windows(_similarities, first, second).clamp(min=0) ** SCALES[-1]
    return (product * coarsest).mean(1)


def _mean_over_windows(
    compare: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], first: torch.Tensor, second: torch.Tensor
) -> torch.Tensor:
    """Return a mean for each frame and channel; a large frame is taken in strips, since it needs 140 bytes a pixel."""
    height, width = first.shape[-2:]
    rows = max(WINDOW, PIXELS_AT_ONCE // (4 * width))
    total = first.new_zeros(first.shape[:2]).double()
    for top in range(0, height - WINDOW + 1, rows):
        strip = slice(top, top + rows + WINDOW - 1)
        total += compare(first[..., strip, :], second[..., strip, :]).flatten(2).double().sum(2)
    return total / ((height - WINDOW + 1) * (width - WINDOW + 1))


def _similarities(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the similarity at every place where a window lies wholly inside."""
    product, squares, covariance, variances = _moments(first, second)
    return (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))


def _contrasts(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the similarity of contrast and structure, without that of the luminance."""
    _, _, covariance, variances = _moments(first, second)
    return (2 * covariance + C2) / (variances + C2)


def _moments(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, ...]:
    mean_first, mean_second = _blurred(first), _blurred(second)
    product, squares = mean_first * mean_second, mean_first.square() + mean_second.square()
    covariance = _blurred(first * second) - product
    variances = _blurred(first.square() + second.square()) - squares
    return product, squares, covariance, variances


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
