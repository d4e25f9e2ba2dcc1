"""Two clips' latents to numbers: how far apart the distributions of their cells are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from vae_experiments.analysis.statistics import Gaussian


def mean_shifts(first: Gaussian, second: Gaussian) -> list[float | None]:
    """Return how far each channel's mean lies from the first clip's in the second, in standard deviations.

    Cohen's d (1988), of the second less the first: ``(m2 - m1) / sqrt((v1 + v2) / 2)``. None where the
    channel never changes in either clip and yet has another mean.
    """
    apart = (second.mean - first.mean).tolist()
    spread = ((first.covariance.diagonal() + second.covariance.diagonal()) / 2).sqrt().tolist()
    return [
        0.0 if difference == 0 else difference / width if width > 0 else None
        for difference, width in zip(apart, spread, strict=True)
    ]


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """Return the Frechet distance of two normal distributions, in standard deviations of the latents.

    ``d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`` (Dowson and Landau 1982); the FID is such a
    ``d^2``, of other features. The trace is found as ``min over rotations Q of |C1^(1/2) - C2^(1/2) Q|^2``
    (Bhatia, Jain and Lim 2019), which has no difference of large numbers in it: two equal clips are
    0 apart but for rounding.
    """
    import torch

    root_first, root_second = _root(first.covariance), _root(second.covariance)
    left, _, right = torch.linalg.svd(root_second @ root_first)
    shapes = (root_first - root_second @ left @ right).square().sum()
    return float(((first.mean - second.mean).square().sum() + shapes).sqrt())


def _root(covariance: Tensor) -> Tensor:
    """Return the symmetric matrix whose square is the covariance."""
    import torch

    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
