"""Pace: when a training saves by the clock."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST_SHARE = 0.05
"""Of the time, that saving may take."""


class Pace:
    """Tells when to save: as often as asked, unless saving would then take too much of the time."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self._saved_at, self._cost = clock(), 0.0

    def is_due(self) -> bool:
        """Whether the last save is long enough ago."""
        return self._clock() - self._saved_at >= max(self.seconds, self._cost / LARGEST_SHARE)

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Measure what the block, which saves, costs."""
        began = self._clock()
        yield
        self._saved_at = self._clock()
        self._cost = self._saved_at - began
