"""What the tests of manipulations share: latents, a clip around them, and a manipulation run over it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import torch

from vae_experiments.manipulations import ChainStep, Clip, chain

if TYPE_CHECKING:
    from collections.abc import Iterator


def latents_of(shape: tuple[int, ...], seed: int = 3) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def second(shape: tuple[int, ...]) -> torch.Tensor:
    """The latents of another video, 5 of them before it begins again."""
    return latents_of((5, *shape[1:]), seed=8)


@dataclass(frozen=True)
class Flows:
    """Flow that somebody measured: of the clip as long as it is, of another video without end."""

    count: int
    alone: int = 0
    """How many latents at the start stand for one frame."""

    def check(self, setting: str, value: object) -> None: ...

    def of(self, path: str, cells: tuple[int, int], from_first: bool) -> Iterator[torch.Tensor]:
        still = 1 + self.alone * from_first
        yield torch.zeros(still, 4, *cells)
        moves = 0.6 * latents_of((5, 4, *cells), seed=11 + len(path) + from_first)
        for number in range(still, self.count) if not path else count(still):
            yield moves[number % 5][None]


def clip_of(latents: torch.Tensor, fps: float = 24.0, time_stride: int = 1) -> Clip:
    """A clip around latents, with another video of five latents (or frames) that begins again."""
    shape = tuple(latents.shape)
    frames = (3, shape[2] * 8, shape[3] * 8)

    def latents_again(_path: str) -> Iterator[torch.Tensor]:
        for _ in count():
            yield from second(shape).split(2)

    def frames_again(_path: str) -> Iterator[torch.Tensor]:
        for _ in count():
            yield from latents_of((5, *frames), seed=9).clamp(-1, 1).split(2)

    def posterior_std() -> Iterator[torch.Tensor]:
        yield from latents_of(shape, seed=10).abs().split(3)

    clip = Clip(
        fps=fps,
        channels=shape[1],
        time_stride=time_stride,
        latents_of=latents_again,
        frames_of=frames_again,
        posterior_std=posterior_std,
        flows=Flows(len(latents), int(time_stride > 1)),
    )
    return replace(clip, frames=clip.of_length(len(latents)).frames)


def through(
    link: ChainStep, latents: torch.Tensor, chunk: int = 99, clip: Clip | None = None
) -> torch.Tensor:
    """Send latents through one manipulation, so many at a time."""
    return torch.cat(list(chain([link], latents.split(chunk), clip or clip_of(latents))))
