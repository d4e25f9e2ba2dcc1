"""Ranges of frames: ``10:20``, ``0.5s:2s``, ``50%:``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.schedules import Time

if TYPE_CHECKING:
    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip

RANGES = "as 10:20 (frames), 0.5s:2s, 25%:75% or :12, from the first up to but without the last"
_TOLERANCE_SECONDS = 1e-9


class Range(NamedTuple):
    """The frames from ``first`` up to, but without, ``last``; None where it is open."""

    first: Time | None
    last: Time | None

    @classmethod
    def read(cls, text: str) -> Range:
        """Read a range; an empty text is all of a clip.

        Raises:
            ValueError: it is none, or ends before it begins.
        """
        if not text.strip():
            return cls(None, None)
        ends = text.split(":")
        if len(ends) != 2:
            raise ValueError("must be a range of frames")
        first, last = (_time(end) for end in ends)
        if first and last and first.unit == last.unit and first.amount >= last.amount:
            raise ValueError("ends before it begins")
        return cls(first, last)

    def over(self, at: int, count: int, clip: Clip) -> Tensor:
        """Give ``T 1 1 1``: 1 for each of ``count`` latents that stands for a frame in the range, else 0."""
        import torch

        frames = [(clip.frame(number), clip.frame(number + 1)) for number in range(at, at + count)]
        start, end = self._seconds(self.first, clip, 0.0), self._seconds(self.last, clip, float("inf"))
        inside = [
            last / clip.fps > start + _TOLERANCE_SECONDS and first / clip.fps < end - _TOLERANCE_SECONDS
            for first, last in frames
        ]
        return torch.tensor(inside, dtype=torch.float32).reshape(-1, 1, 1, 1)

    @property
    def needs_length(self) -> bool:
        """Tell whether only the clip's length says what it means."""
        return any(end is not None and end.unit == "%" for end in self)

    @staticmethod
    def _seconds(end: Time | None, clip: Clip, usual: float) -> float:
        if end is None:
            return usual
        if end.unit == "%":
            assert clip.frames is not None, "a share of a clip needs its length"
            return end.amount / 100 * clip.frames / clip.fps
        return end.seconds(clip.timeline)


def _time(text: str) -> Time | None:
    text = text.strip()
    if not text:
        return None
    return Time(float(text), "f") if text.isdigit() else Time.read(text)
