"""Ranges of frames: when a manipulation acts.

10:20, 0.5s:2s, 50%:               a frame is in if it begins there, as a schedule has for a frame its value
                                   of that moment; times are those of schedules. Since 100 % is when the
                                   last frame begins, a range up to it has all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.schedules import Time, number

if TYPE_CHECKING:
    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip

RANGES = "as 10:20 (frames), 0.5s:2s, 25%:75% or :12, from the first up to but without the last"
WHOLE = Time(100, "%")
_TOLERANCE_SECONDS = 1e-9


class FrameRange(NamedTuple):
    """The frames from ``first`` up to, but without, ``last``; None where it is open."""

    first: Time | None
    last: Time | None

    @classmethod
    def read(cls, text: str) -> FrameRange:
        """Read a range; an empty text is all of a clip.

        Raises:
            ValueError: it is none, or ends before it begins.
        """
        if not text.strip():
            return cls(None, None)
        ends = text.split(":")
        if len(ends) != 2:
            raise ValueError("must be a range of frames")
        first, last = (_time(end.strip()) for end in ends)
        if first and last and first.unit == last.unit and first.amount >= last.amount:
            raise ValueError("ends before it begins")
        return cls(first, last)

    def over(self, at: int, count: int, clip: Clip) -> Tensor:
        """Return ``T 1 1 1``: 1 for each of ``count`` latents that stands for a frame in the range, else 0."""
        import torch

        timeline = clip.timeline
        start = self.first.seconds(timeline) if self.first else -math.inf
        end = self.last.seconds(timeline) if self.last and self.last != WHOLE else math.inf

        def is_inside(latent: int) -> bool:
            frames = range(clip.frame(latent), clip.frame(latent + 1))
            return any(start <= timeline.seconds(frame) + _TOLERANCE_SECONDS < end for frame in frames)

        inside = [is_inside(latent) for latent in range(at, at + count)]
        return torch.tensor(inside, dtype=torch.float32).reshape(-1, 1, 1, 1)

    @property
    def needs_length(self) -> bool:
        """Whether only the clip's length says what it means."""
        return any(end is not None and end.unit == "%" for end in self)


def _time(text: str) -> Time | None:
    if not text:
        return None
    return Time(number(text), "f") if text.isdigit() else Time.read(text)
