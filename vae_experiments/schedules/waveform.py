"""Sound as numbers: what listeners hear of a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Waveform(NamedTuple):
    """Sound, all channels averaged, between -1 and 1; silence where there is none."""

    samples: np.ndarray
    """float32."""
    rate: int
    """Samples in a second."""
    begins: float
    """When the first sample is heard, in seconds from the clip's first frame."""


class UnheardError(ValueError):
    """A listener has nothing to listen to: the rule that is broken, and the hint."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint
