"""Progress: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from vae_experiments.runtime.interruption import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 15.0
SECONDS_BEFORE_A_WORD = 2.5
_onlooker: ContextVar[Callable[[int, int | None], None] | None] = ContextVar("onlooker", default=None)


@contextmanager
def shown_to(look: Callable[[int, int | None], None]) -> Iterator[None]:
    """Show the progress of this block to a function, as how much is done and of how much in all.

    An error that the function raises ends what is under way: so a page cancels a run between chunks.
    """
    before = _onlooker.set(look)
    try:
        yield
    finally:
        _onlooker.reset(before)


def announce(*libraries: str) -> None:
    """Announce which libraries are about to be loaded, where they are not yet: that takes seconds."""
    if new := [name for name in libraries if name not in sys.modules]:
        log.info("loading %s ...", ", ".join(new))


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Return what the block is about, if it takes so long that a person wonders."""
    word = threading.Timer(SECONDS_BEFORE_A_WORD, log.info, ("%s ...", what))
    word.daemon = True
    word.start()
    try:
        yield
    finally:
        word.cancel()


class Progress:
    """Shows how much is done, how much a second, and the time that is left."""

    def __init__(self, total: int | None, unit: str = "frames", done: int = 0) -> None:
        self.total, self.unit, self.done, self._done_before = total, unit, done, done
        self._start = self._last_line = time.perf_counter()
        self._bar: Any = None
        self._stack, self._before_the_first = ExitStack(), ExitStack()

    def __enter__(self) -> Progress:
        self._stack.enter_context(self._before_the_first)
        if sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm
            from tqdm.contrib.logging import logging_redirect_tqdm

            # Lines of the log go above the bar, not into it.
            self._stack.enter_context(logging_redirect_tqdm())
            self._bar = tqdm(
                total=self.total, initial=self.done, unit=f" {self.unit}", dynamic_ncols=True, leave=False
            )
        else:
            all_of_them = "" if self.total is None else f" of {self.total}"
            self._before_the_first.enter_context(
                waiting(f"{self.done}{all_of_them} {self.unit} are done, at work on the next")
            )
        return self

    def add(self, count: int, remark: str = "") -> None:
        """Count what is finished, and say how it stands; an interruption that was swallowed comes out here."""
        check()
        self._before_the_first.close()
        self.done += count
        if (look := _onlooker.get()) is not None:
            look(self.done, self.total)
        now = time.perf_counter()
        if self._bar is not None:
            self._bar.set_postfix_str(remark, refresh=False)
            self._bar.update(count)
        elif now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            line = self._line((self.done - self._done_before) / (now - self._start))
            log.info("%s", f"{line}; {remark}" if remark else line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        self._stack.close()

    def _line(self, rate: float) -> str:
        if self.total is None:
            return f"{self.done} {self.unit}, {rate:.1f} a second"
        left = (self.total - self.done) / rate
        return f"{self.done} of {self.total} {self.unit}, {rate:.1f} a second, {left:.0f} s left"
