"""Manipulations of time: which moment is shown when, and how moments blend.

On a temporal model they leave the first latent, which stands for one frame, where it is and work on
the rest; the frames inside one latent keep their order.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from vae_experiments.manipulations.manipulation import Manipulation, WholeClip
from vae_experiments.options import Choice, Scheduled, setting
from vae_experiments.runtime.seeding import place_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents

REACH_SIGMAS = 4


class TemporalSmooth(WholeClip):
    """Blends each moment with its neighbours in time, so that motion leaves soft trails.

    A Gaussian over time of ``sigma`` frames; the clip's ends are repeated. Holds all latents of the clip.
    """

    keeps_first_latent = True
    gallery_values = ("sigma", (0.7, 1.5, 4))

    sigma: Scheduled = setting(
        "width of the blend: 0 changes nothing", default=1.5, unit="frames", minimum=0, maximum=1000
    )

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Blur along time."""
        return smoothed(latents, self.sigma / clip.time_stride)


class TemporalSharpen(WholeClip):
    """Pushes each moment away from its neighbours, so that changes become jerky and bright.

    ``z + amount * (z - smooth(z))`` with the Gaussian of ``temporal_smooth``. Holds all latents of the clip.
    """

    keeps_first_latent = True
    gallery_values = ("amount", (0.5, 1.5, 3))

    amount: Scheduled = setting("how far from its neighbours: 0 changes nothing", default=1.5)
    sigma: Scheduled = setting(
        "width of the blend that it is pushed from", default=1.5, unit="frames", minimum=0, maximum=1000
    )

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Add what a blur along time takes away."""
        return latents + self.amount * (latents - smoothed(latents, self.sigma / clip.time_stride))


def smoothed(latents: Latents, sigma: float) -> Latents:
    """Blur along time by a Gaussian of ``sigma`` latents, one for all or ``T 1 1 1``; the ends are repeated."""
    import torch

    # A width of nearly 0 leaves the middle alone with a weight of exactly 1.
    widths = torch.as_tensor(sigma, dtype=torch.float32).clamp(min=1e-3)
    reach = ceil(REACH_SIGMAS * float(widths.max()))
    numbers = torch.arange(len(latents))
    total, blurred = torch.zeros_like(widths), torch.zeros_like(latents)
    for offset in range(-reach, reach + 1):
        weight = torch.exp(-((offset / widths) ** 2) / 2)
        blurred += weight * latents[(numbers + offset).clamp(0, len(latents) - 1)]
        total = total + weight
    return blurred / total


class Echo(WholeClip):
    """Lets earlier moments shine through, each echo weaker than the one before.

    ``(z_t + f z_(t-d) + f^2 z_(t-2d) + ...) / (1 + f + f^2 + ...)``, over as many echoes as the clip has
    gone on for. Holds all latents of the clip.
    """

    keeps_first_latent = True
    gallery_values = ("feedback", (0.3, 0.6, 0.9))

    feedback: Scheduled = setting(
        "strength of each echo against the one before", default=0.6, minimum=0, maximum=1
    )
    delay: int = setting("from one echo to the next", default=3, unit="frames", minimum=1, maximum=10**6)
    echoes: int = setting("how many", default=4, minimum=1)

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Add delayed copies, and divide by what they weigh."""
        import torch

        delay = max(1, round(self.delay / clip.time_stride))
        feedback = torch.as_tensor(self.feedback).expand(len(latents), 1, 1, 1)
        total, weight = latents.clone(), torch.ones(len(latents), 1, 1, 1)
        for number in range(1, self.echoes + 1):
            late = number * delay
            if late >= len(latents):
                break
            share = feedback[late:] ** number
            total[late:] += share * latents[:-late]
            weight[late:] += share
        return total / weight


class Reverse(WholeClip):
    """Plays the clip backwards. Holds all latents of the clip."""

    keeps_first_latent = True

    def whole(self, latents: Latents, _clip: Clip) -> Latents:
        """Turn time round."""
        return latents.flip(0)


class Freeze(Manipulation):
    """Holds one moment still, from its frame to the end of the clip."""

    gallery_values = ("frame", (0, 4, 8))

    frame: int = setting("the frame that is held", default=0, minimum=0)

    def check(self, clip: Clip) -> None:
        """Look whether the clip has that frame.

        Raises:
            SettingError: it has not.
        """
        super().check(clip)
        if clip.frames is not None and self.frame >= clip.frames:
            raise self.error_for(
                "frame", f"the clip has {clip.frames} frames", f"name one of 0 to {clip.frames - 1}"
            )

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Let latents pass up to the one that stands for the frame, and repeat that."""
        import torch

        number = max(clip.latent(self.frame), clip.has_single_frame_first_latent)
        at, held = 0, None
        for latents in chunks:
            if held is None and at + len(latents) > number:
                held = latents[number - at : number - at + 1].clone()
                latents = torch.cat(
                    [latents[: number - at], held.expand(at + len(latents) - number, -1, -1, -1)]
                )
                yield latents
            else:
                yield latents if held is None else held.expand_as(latents)
            at += len(latents)


class Joint(Choice):
    """How a loop comes back to its beginning."""

    pingpong = "pingpong"
    crossfade = "crossfade"


class Loop(WholeClip):
    """Makes the end lead back to the beginning, so that the video can be played round and round.

    ``pingpong`` plays the first half forwards and then backwards: no step is larger than the clip's own.
    ``crossfade`` plays the whole clip and fades its last frames into the clip's beginning, reversed.
    Holds all latents of the clip.
    """

    keeps_first_latent = True

    joint: Joint = setting("how the end meets the beginning", default=Joint.pingpong)
    overlap: int = setting("how long a crossfade takes", default=8, unit="frames", minimum=1, maximum=10**6)

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Choose the moment for each place in time."""
        import torch

        count = len(latents)
        numbers = torch.arange(count)
        if self.joint is Joint.pingpong:
            return latents[torch.minimum(numbers, (count - numbers).clamp(max=count - 1))]
        fade = max(1, min(round(self.overlap / clip.time_stride), count - 1))
        # The last place is followed by place 0: it shows what comes just after that, going backwards.
        backwards = latents[(count - numbers).clamp(0, count - 1)]
        share = ((numbers - (count - 1 - fade)) / (fade + 1)).clamp(0, 1).reshape(-1, 1, 1, 1)
        return torch.lerp(latents, backwards, share.expand_as(latents))


class ShuffleFrames(WholeClip):
    """Puts the frames of each short stretch of time in another order.

    Windows of ``window`` frames, each shuffled by itself (after FreeNoise, Qiu et al. 2023, which
    shuffles noise so). Holds all latents of the clip.
    """

    keeps_first_latent = True
    gallery_values = ("window", (2, 4, 12))

    window: int = setting("how far a frame can go", default=4, unit="frames", minimum=1, maximum=10**6)
    seed: int = setting("seed of the order", default=0, minimum=0)

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Draw an order for each window, by its number."""
        import torch

        window = max(1, round(self.window / clip.time_stride))
        order = []
        for number, part in enumerate(torch.split(torch.arange(len(latents)), window)):
            generator = torch.Generator().manual_seed(
                place_seed(self.seed, f"order of {self.purpose}", number)
            )
            order.append(part[torch.randperm(len(part), generator=generator)])
        return latents[torch.cat(order)]
