"""Manipulations in space: each frame by itself, and each channel by itself."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from vae_experiments.manipulations.manipulation import Manipulation
from vae_experiments.options import Choice, Scheduled, setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.manipulations.steering import Steering
    from vae_experiments.tensors import Latents

REACH_SIGMAS = 4
STEER = (
    "turn the detail inside each latent cell too; true fits that to the model first, in a minute or more; "
    "left out, where the model brings a fit, as the bundled one does"
)


class Mirror(Choice):
    """Which sides of a picture change places."""

    horizontal = "left and right"
    vertical = "top and bottom"
    both = "all four, which is half a turn"


class Flip(Manipulation):
    """Mirrors the picture; with `steer=false` only where things are, and the detail in each cell breaks up."""

    gallery_values = ("direction", (Mirror.horizontal, Mirror.vertical, Mirror.both))

    direction: Mirror = setting("which sides change places", default=Mirror.horizontal)
    steer: bool | None = setting(STEER, default=None)

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Mirror chunk after chunk, and what is in the cells where a steering is there."""
        steering = clip.steered(self.steer)
        for latents in chunks:
            yield frame_by_frame(partial(self._steered, steering), latents) if steering else self(latents, 0)

    def __call__(self, latents: Latents, _at: int) -> Latents:
        """Turn one or both of the last two axes round."""
        axes = {Mirror.horizontal: (-1,), Mirror.vertical: (-2,), Mirror.both: (-2, -1)}
        return latents.flip(axes[self.direction])

    def _steered(self, steering: Steering, frame: Tensor) -> Tensor:
        height, width = frame.shape[-2:]

        def source(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return (
                x if self.direction is Mirror.vertical else width - 1 - x,
                y if self.direction is Mirror.horizontal else height - 1 - y,
            )

        return steering.look_up(frame, source)


class Blur(Manipulation):
    """Blurs each latent channel over space: outlines melt, fine detail goes first.

    A Gaussian of standard deviation ``sigma`` in latent cells, cut off at 4 sigma; the border is
    repeated outwards.
    """

    gallery_values = ("sigma", (0.4, 0.6, 1))

    sigma: Scheduled = setting(
        "width of the blur: 0 is none", default=0.6, unit="latent cells", minimum=0, maximum=100
    )

    def __call__(self, latents: Latents, _at: int) -> Latents:
        """Blur every frame by the width of its moment."""
        return frame_by_frame(blurred, latents, self.sigma)


class Sharpen(Manipulation):
    """Exaggerates outlines and fine detail.

    Unsharp masking, ``z + amount * (z - blur(z))``, with the Gaussian of ``blur``.
    """

    gallery_values = ("amount", (0.3, 1, 3))

    amount: Scheduled = setting("how much of the detail is added: 0 is none", default=1.0, minimum=0)
    sigma: Scheduled = setting(
        "width of the blur that detail is measured by",
        default=1.0,
        unit="latent cells",
        minimum=0,
        maximum=100,
    )

    def __call__(self, latents: Latents, _at: int) -> Latents:
        """Add what the blur takes away."""
        return latents + self.amount * (latents - frame_by_frame(blurred, latents, self.sigma))


class Mosaic(Manipulation):
    """Averages squares of latent cells, so that what is smaller than a square dissolves.

    Each square gets its mean; squares begin in the top left corner, and those that the border cuts off
    are smaller.
    """

    gallery_values = ("size", (2, 3, 5))

    size: Scheduled = setting(
        "side of a square, rounded to a whole number: 1 changes nothing",
        default=3,
        unit="latent cells",
        minimum=1,
        maximum=1000,
    )

    def __call__(self, latents: Latents, _at: int) -> Latents:
        """Average the squares of every frame."""
        return frame_by_frame(_squares, latents, self.size)


class ErodeDilate(Manipulation):
    """Spreads the highest latent values over their neighbours, or the lowest: a woven, coloured texture.

    The maximum (dilates) or, for a negative radius, the minimum (erodes) of each channel over the square
    of ``2 * radius + 1`` cells (after the transforms of Broad et al. 2021, Network Bending).
    """

    gallery_values = ("strength", (0.15, 0.4, 1))

    radius: Scheduled = setting(
        "reach, rounded to a whole number: 0 changes nothing, below 0 erodes",
        default=1,
        unit="latent cells",
        minimum=-100,
        maximum=100,
    )

    def __call__(self, latents: Latents, _at: int) -> Latents:
        """Take the largest or smallest value around each cell."""
        return frame_by_frame(_extremes, latents, self.radius)


def frame_by_frame(change: Callable[..., Tensor], latents: Latents, *values: float | Tensor) -> Latents:
    """Change each frame ``C h w`` by itself, with its own values of some scheduled settings.

    No kernel then sees how many frames a chunk has, so that the chunk size cannot change a rounding.
    """
    import torch

    columns = [each_frames(value, len(latents)) for value in values]
    return torch.stack([change(*row) for row in zip(latents, *columns, strict=True)])


def each_frames(value: float | Tensor, count: int) -> list[float]:
    """Return the value of a scheduled setting for each of ``count`` frames, rounded to float32."""
    import torch

    values: list[float] = torch.as_tensor(value, dtype=torch.float32).flatten().expand(count).tolist()
    return values


def blurred(frame: Tensor, sigma: float) -> Tensor:
    """Blur one frame ``C h w`` by a Gaussian of ``sigma`` cells, its border repeated outwards."""
    if sigma == 0:
        return frame
    height, width = frame.shape[-2:]
    # In float64: what a product rounds to in float32 may depend on where in memory the frame lies.
    return (_gaussian(height, sigma) @ frame.double() @ _gaussian(width, sigma).T).to(frame)


def _gaussian(side: int, sigma: float) -> Tensor:
    """Return the blur of a line of cells as a matrix; what would come from outside comes from its ends."""
    import torch

    reach = ceil(REACH_SIGMAS * sigma)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-((offsets.double() / sigma) ** 2) / 2)
    cells = (torch.arange(side)[:, None] + offsets).clamp(0, side - 1)
    blur = torch.zeros(side, side, dtype=torch.float64)
    return blur.scatter_add_(1, cells, (weights / weights.sum()).expand(side, -1))


def _squares(frame: Tensor, size: float) -> Tensor:
    from torch.nn.functional import avg_pool2d

    height, width = frame.shape[-2:]
    tall, wide = min(round(size), height), min(round(size), width)
    means = avg_pool2d(frame, (tall, wide), ceil_mode=True, count_include_pad=False)
    return means.repeat_interleave(tall, -2).repeat_interleave(wide, -1)[:, :height, :width]


def _extremes(frame: Tensor, radius: float) -> Tensor:
    from torch.nn.functional import max_pool2d

    height, width = frame.shape[-2:]
    sign = -1 if radius < 0 else 1
    # Further than a side no cell can be; rows and columns one after the other are the square.
    down, across = min(abs(round(radius)), height), min(abs(round(radius)), width)
    columns = max_pool2d(sign * frame, (2 * down + 1, 1), 1, (down, 0))
    return sign * max_pool2d(columns, (1, 2 * across + 1), 1, (0, across))
