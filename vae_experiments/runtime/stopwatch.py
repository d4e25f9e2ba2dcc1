"""Time, counted once: each second goes to the stage that was running, never to two."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")


class Stopwatch:
    """Counts seconds by stage; a stage that pulls from another is paused while that one works."""

    def __init__(self) -> None:
        self._start = self._since = time.perf_counter()
        self._stage = ""
        self._seconds: dict[str, float] = defaultdict(float)

    def timed(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Pass items on and count the time that each took to come."""
        iterator = iter(items)
        while True:
            before = self.switch(stage)
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.switch(before)
            yield item

    def switch(self, stage: str) -> str:
        """Count for another stage from now on; give back the one that was running."""
        now = time.perf_counter()
        self._seconds[self._stage] += now - self._since
        self._since, before, self._stage = now, self._stage, stage
        return before

    def seconds(self, stage: str) -> float:
        """Return how long a stage has run in all."""
        return self._seconds[stage]

    def total_seconds(self) -> float:
        """Return how long ago the stopwatch was started."""
        return time.perf_counter() - self._start
