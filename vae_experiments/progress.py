"""Progress: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Shows how many frames are done, how many a second, and the time that is left."""

    def __init__(self, total_frames: int | None) -> None:
        self.total, self.done = total_frames, 0
        self._start = self._last_line = time.perf_counter()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, unit=" frames", dynamic_ncols=True, leave=False)
        return self

    def add(self, frames: int) -> None:
        """Count frames that are finished."""
        self.done += frames
        now = time.perf_counter()
        if self._bar is not None:
            self._bar.update(frames)
        elif now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            log.info(self._line(self.done / (now - self._start)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def _line(self, rate: float) -> str:
        if self.total is None:
            return f"{self.done} frames, {rate:.1f} a second"
        left = (self.total - self.done) / rate
        return f"{self.done} of {self.total} frames, {rate:.1f} a second, {left:.0f} s left"
