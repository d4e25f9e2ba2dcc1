"""What listeners see: how bright a clip's frames are, and how much moves in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.schedules.sound import normalised
from vae_experiments.schedules.waveform import UnheardError

if TYPE_CHECKING:
    from torch import Tensor

    from vae_experiments.schedules.timeline import Timeline

LUMA = (0.2126, 0.7152, 0.0722)


class Light(NamedTuple):
    """Of each latent of a clip, 0 to 1 over it: the mean of the frames that it stands for."""

    brightness: list[float]
    motion: list[float]


def light_of(timeline: Timeline) -> Light:
    """Look through the clip's frames, once.

    Raises:
        UnheardError: there are none, as where a run begins with latents.
    """
    return timeline.once("light", lambda: _looked_at(timeline))


def luma_of(frames: Tensor) -> Tensor:
    """Return the brightness of the pixels of frames ``T 3 H W``: ``T 1 H W`` from 0 to 1, by the weights of BT.709."""
    import torch

    luma: Tensor = (torch.tensordot(frames, torch.tensor(LUMA), dims=([1], [0]))[:, None] + 1) / 2
    return luma


def _looked_at(timeline: Timeline) -> Light:
    import numpy as np
    import torch

    if timeline.frames is None or timeline.latents is None:
        raise UnheardError(
            "there are no frames to look at here", "begin with a video, and look before the length changes"
        )
    last = None
    light, change = list[float](), list[float]()
    for frames in timeline.frames():
        luma = luma_of(frames)[:, 0]
        light += luma.mean((1, 2)).tolist()
        before = torch.cat([luma[:1] if last is None else last, luma[:-1]])
        change += (luma - before).abs().mean((1, 2)).tolist()
        last = luma[-1:].clone()
    change[:1] = change[1:2] or change[:1]  # nothing is before the first frame: it has what the second has
    firsts = [min(timeline.frame(latent), len(light) - 1) for latent in range(timeline.latents)]
    spans = list(zip(firsts, [*firsts[1:], len(light)], strict=True))
    means = [
        normalised(np.array([np.mean(values[first : max(last, first + 1)]) for first, last in spans]))
        for values in (light, change)
    ]
    return Light(*means)
