"""How near decode(T z) comes to T(decode z): plain, steered, and at the limit that a model sets itself."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, log10, radians, sin
from typing import TYPE_CHECKING

from vae_experiments.manipulations.lookup import looked_up, places
from vae_experiments.manipulations.steering import matrix
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from torch import Tensor

    from vae_experiments.manipulations.steering import Source, Steering
    from vae_experiments.models import Autoencoder
    from vae_experiments.tensors import Frames, Latents

IDENTICAL_DB = 99.0
"""Of frames between which no difference is measured."""


@dataclass(frozen=True)
class Transform:
    """A turn, a zoom, a mirror and a shift of a frame about its middle."""

    name: str
    across: tuple[float, float]
    """How far a step right and a step down in what is shown lead right in the source."""
    down: tuple[float, float]
    shift: tuple[float, float] = (0.0, 0.0)
    """Latent cells, of the source."""

    @classmethod
    def of(
        cls,
        name: str,
        degrees: float = 0,
        zoom: float = 1,
        pose: tuple[int, bool] = (0, False),
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> Transform:
        """Put it together: a turn by quarters and a mirror first, then what is between."""
        (a, b), (c, d) = matrix(pose)
        turn, scale = radians(degrees), 1 / zoom
        co, si = cos(turn) * scale, sin(turn) * scale
        return cls(name, (co * a - si * c, co * b - si * d), (si * a + co * c, si * b + co * d), shift)

    def source(self, width: float, height: float, cell: float = 1) -> Source:
        """Return it for frames of so many places, of which ``cell`` make a latent cell."""
        (a, b), (c, d), (right, down) = self.across, self.down, self.shift
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2

        def source(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            x, y = x - middle_x, y - middle_y
            return a * x + b * y + right * cell + middle_x, c * x + d * y + down * cell + middle_y

        return source

    def of_frames(self, frames: Frames, stride: int) -> Frames:
        """Look frames up in their pixels, bilinear, the border continued."""
        import torch

        height, width = frames.shape[-2:]
        x, y = self.source(width, height, stride)(*places(frames[0]))
        return torch.stack([looked_up(frame, x, y) for frame in frames])

    def of_latents(self, latents: Latents, steering: Steering | None = None) -> Latents:
        """Look latents up, plainly or steered."""
        import torch

        height, width = latents.shape[-2:]
        source = self.source(width, height)
        if steering is None:
            x, y = source(*places(latents[0]))
            return torch.stack([looked_up(frame, x, y) for frame in latents])
        return torch.stack([steering.look_up(frame, source) for frame in latents])


TRANSFORMS = (
    Transform.of("flip left and right", pose=(0, True)),
    Transform.of("flip top and bottom", pose=(2, True)),
    Transform.of("quarter turn", pose=(1, False)),
    Transform.of("half turn", pose=(2, False)),
    Transform.of("turn by 10 degrees", 10),
    Transform.of("turn by 30 degrees", 30),
    Transform.of("zoom 1.4", zoom=1.4),
    Transform.of("zoom 0.7", zoom=0.7),
    Transform.of("shift by half a cell", shift=(-0.5, 0)),
    Transform.of("shift by half a cell both ways", shift=(-0.5, -0.5)),
)
"""What is measured of a model."""


@dataclass(frozen=True)
class Score:
    """PSNR of decode(T z) against T(decode z), the mean over the frames."""

    transform: str
    plain_db: float
    steered_db: float | None
    limit_db: float
    """Of what was encoded anew after the transform: no change of latents is likely to come nearer."""


def measured(
    autoencoder: Autoencoder, latents: Latents, transform: Transform, steering: Steering | None
) -> Score:
    """Measure one transform on a clip's latents ``T C h w``."""
    import torch

    plain, steered = gained(autoencoder, latents, transform, steering)
    target = transform.of_frames(decoded(autoencoder, latents), autoencoder.stride)
    limit = torch.cat(list(autoencoder.encode([target])))
    return Score(transform.name, plain, steered, psnr_db(decoded(autoencoder, limit), target))


def gained(
    autoencoder: Autoencoder, latents: Latents, transform: Transform, steering: Steering | None
) -> tuple[float, float | None]:
    """Return the PSNR of plain and of steered latents."""
    target = transform.of_frames(decoded(autoencoder, latents), autoencoder.stride)
    plain = psnr_db(decoded(autoencoder, transform.of_latents(latents)), target)
    if steering is None:
        return plain, None
    return plain, psnr_db(decoded(autoencoder, transform.of_latents(latents, steering)), target)


def decoded(autoencoder: Autoencoder, latents: Latents) -> Frames:
    """Decode latents to frames of whole cells."""
    import torch

    height, width = latents.shape[-2:]
    size = Size(width * autoencoder.stride, height * autoencoder.stride)
    return torch.cat(list(autoencoder.decode([latents], size))).clamp(-1, 1).contiguous()


def psnr_db(frames: Frames, reference: Frames) -> float:
    """Return the mean over the frames, of values in [-1, 1]."""
    errors = ((frames - reference) / 2).square().mean((1, 2, 3)).tolist()
    return sum(-10 * log10(error) if error else IDENTICAL_DB for error in errors) / len(errors)
