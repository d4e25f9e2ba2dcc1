"""Sound as numbers, and its bands: what listeners hear of a clip."""

from __future__ import annotations

import math
import re
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

    def between(self, start: float, end: float) -> np.ndarray:
        """Return what is heard from a moment to another as float64, silent where there is nothing."""
        import numpy as np

        first = math.ceil((start - self.begins) * self.rate - 1e-6)
        last = max(first + 1, math.ceil((end - self.begins) * self.rate - 1e-6))
        piece = np.zeros(last - first)
        inside = self.samples[max(0, first) : max(0, last)]
        piece[max(0, -first) : max(0, -first) + len(inside)] = inside
        return piece


class Band(NamedTuple):
    """The frequencies from ``low`` up to ``high``."""

    low_hz: float
    high_hz: float

    @classmethod
    def read(cls, text: str) -> Band:
        """Read a name, or two frequencies as in 40:200.

        Raises:
            ValueError: it is neither.
        """
        if text in BANDS:
            return BANDS[text]
        found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)\s*:\s*(\d{1,6}(?:\.\d{1,6})?)", text)
        if found is None:
            raise ValueError(f"{text[:40]!r} is not a band: {', '.join(BANDS)}, or 40:200 (Hz)")
        low, high = float(found[1]), float(found[2])
        if low >= high:
            raise ValueError(f"the band {text} ends before it begins")
        return cls(low, high)


BANDS = {
    "low": Band(20, 250),
    "mid": Band(250, 4000),
    "high": Band(4000, 16000),
    "all": Band(20, math.inf),
}


class UnheardError(ValueError):
    """A listener has nothing to listen to: the rule that is broken, and the hint."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint
