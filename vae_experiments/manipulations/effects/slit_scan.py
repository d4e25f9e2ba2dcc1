"""The slit scan: another moment at each place of the frame."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from vae_experiments.manipulations.manipulation import WholeClip
from vae_experiments.options import Choice, Scheduled, setting

if TYPE_CHECKING:
    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.manipulations.lookup import Extent
    from vae_experiments.tensors import Latents


class Direction(Choice):
    """Which way a slit travels over the frame."""

    horizontal = "horizontal"
    vertical = "vertical"
    radial = "radial"


class SlitScan(WholeClip):
    """Shows an earlier moment the further a place is from one edge, as a slit-scan camera does.

    ``z[t - delay * g(y, x)]`` with g from 0 to 1 across the frame (or from its centre), between two
    moments by linear interpolation; before the clip began there is its first frame. Holds all latents
    of the clip.
    """

    keeps_first_latent = True
    gallery_values = ("delay", (4, 10, 20))

    delay: Scheduled = setting(
        "how much later the far edge is", default=10.0, unit="frames", minimum=0, maximum=10**6
    )
    direction: Direction = setting("which way time runs over the frame", default=Direction.horizontal)

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Look up a moment for each cell of each frame."""
        import torch

        count, channels, height, width = latents.shape
        late = self.delay / clip.time_stride * _slope(self.direction, height, width, clip.extent(latents))
        moments = (torch.arange(float(count)).reshape(-1, 1, 1, 1) - late).clamp(min=0)
        earlier = moments.floor()
        share = (moments - earlier).expand(-1, channels, -1, -1)
        first = earlier.long().expand(count, channels, height, width)
        second = (first + 1).clamp(max=count - 1)
        return torch.lerp(latents.gather(0, first), latents.gather(0, second), share)


def _slope(direction: Direction, height: int, width: int, extent: Extent) -> Latents:
    """Return ``1 1 h w`` from 0 to 1 over the frame."""
    across, down = (_shares(*axis) for axis in ((width, extent.width), (height, extent.height)))
    if direction is Direction.horizontal:
        return across.expand(1, 1, height, width)
    if direction is Direction.vertical:
        return down[:, None].expand(1, 1, height, width)
    away = ((across - 0.5).square() + (down[:, None] - 0.5).square()).sqrt()
    return (away / away.max().clamp(min=1e-6)).expand(1, 1, height, width)


def _shares(cells: int, length: float) -> Tensor:
    """Return where the middle of each cell lies between that of the first and of the last one.

    Of a cell in which the frame ends only what is inside the frame counts.
    """
    import torch

    starts = torch.arange(float(cells))
    middles = (starts + (starts + 1).clamp(max=length)) / 2 - 0.5
    farthest = float(middles[ceil(length) - 1])
    return (middles / max(farthest, 0.5)).clamp(0, 1)
