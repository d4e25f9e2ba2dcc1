"""Latents as pictures: the three widest principal components of each cell as red, green and blue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.analysis.statistics import in_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from vae_experiments.analysis.statistics import PrincipalComponents
    from vae_experiments.tensors import Latents, Pixels, Size

PERCENTILES = (1, 99)
NOTHING = 1e-5
"""A range below this, in standard deviations or as a fraction of the widest component's, is only rounding."""


def component_pictures(latents: Latents, components: PrincipalComponents) -> Pixels:
    """Paint each cell by its first three principal components: uint8 ``T h w 3``.

    Each component is scaled so that its 1st percentile over the clip is 0 and its 99th is 255. One that
    does not vary, or is not there, is 128 everywhere; latents of one channel become grey.
    """
    import numpy as np

    scores = _scores(latents, components)
    low, high = np.percentile(scores, PERCENTILES, axis=(0, 1, 2))
    span = high - low
    varies = span > NOTHING * max(span.max(), 1)
    shares = np.where(varies, (scores - low) / np.where(varies, span, 1), 128 / 255)
    pixels = np.rint(shares.clip(0, 1) * 255).astype(np.uint8)
    grey = pixels.shape[-1] == 1
    missing = ((0, 0), (0, 0), (0, 0), (0, 3 - pixels.shape[-1]))
    painted: Pixels = pixels.repeat(3, axis=-1) if grey else np.pad(pixels, missing, constant_values=128)
    return painted


def _scores(latents: Latents, components: PrincipalComponents) -> np.ndarray:
    """Project every cell onto the first components: float32 ``T h w K``, K at most 3."""
    import numpy as np
    import torch

    directions = components.directions[:3]
    # Without taking off the mean: a shift does not change how scores lie between their percentiles.
    scores = (torch.einsum("tchw,kc->thwk", chunk.double(), directions) for chunk in in_chunks(latents))
    return np.concatenate([score.float().numpy() for score in scores])


def enlarged(pixels: Pixels, stride: int, size: Size) -> Iterator[Pixels]:
    """Make every cell a square of ``stride`` pixels, cut off at the size of the source, a picture at a time."""
    from einops import repeat

    for picture in pixels:
        square = repeat(picture, "h w c -> (h p) (w q) c", p=stride, q=stride)
        yield square[None, : size.height, : size.width]
