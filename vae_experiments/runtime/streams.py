"""Streams beside the network: read ahead of it, written behind it, read twice; a few chunks at most."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from vae_experiments.runtime.interruption import asked, held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

log = logging.getLogger(__name__)
Item = TypeVar("Item")
CHUNKS_AHEAD = 2
_CHECK_SECONDS = 0.2


class _End:
    """Says that a stream is over, and why."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """Pass on items that another thread pulls a little ahead of time; its errors come out here."""
    ready: queue.Queue[Item | _End] = queue.Queue(CHUNKS_AHEAD)
    stopped = threading.Event()

    def put(item: Item | _End) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=_CHECK_SECONDS)
                return

    def pull() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
            put(_End())
        except BaseException as error:
            put(_End(error))

    thread = threading.Thread(target=pull, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()


def tee(items: Iterable[Item]) -> tuple[Iterator[Item], Iterator[Item]]:
    """Yield two readers of one stream, which keep only what one of them has not read yet.

    ``itertools.tee`` does the same, but lets go of items in blocks of 57: at 8 frames an item that
    is a clip of 456 frames in memory.
    """
    source = iter(items)
    waiting: tuple[deque[Item], deque[Item]] = (deque(), deque())

    def reader(mine: deque[Item], others: deque[Item]) -> Iterator[Item]:
        while True:
            if mine:
                yield mine.popleft()
                continue
            try:
                item = next(source)
            except StopIteration:
                return
            others.append(item)
            yield item
            del item  # the other reader may be done with it while this one waits

    return reader(*waiting), reader(*reversed(waiting))


class BackgroundWriter(Generic[Item]):
    """Hands items to a function in another thread; leaving the block waits until all are done."""

    def __init__(self, take: Callable[[Item], None]) -> None:
        self._take = take
        self._waiting: queue.Queue[Item | _End] = queue.Queue(CHUNKS_AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="write-behind", daemon=True)

    def __enter__(self) -> BackgroundWriter[Item]:
        self._thread.start()
        return self

    def put(self, item: Item) -> None:
        """Queue one item; raises here what went wrong with an earlier one."""
        self._raise_late()
        self._waiting.put(item)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with held():  # nobody may close the files under the thread that writes them
            self._error = self._error or error  # what is still queued is then dropped
            self._waiting.put(_End(error))
            self._thread.join()
            if self._error is not error:
                if error is None and not asked():
                    self._raise_late()
                log.error("what was being written failed too: %s", self._error)

    def _work(self) -> None:
        # After a failure it continues taking items off the queue, so that nobody waits for ever.
        while not isinstance(item := self._waiting.get(), _End):
            if self._error is None:
                try:
                    self._take(item)
                except BaseException as error:
                    self._error = error

    def _raise_late(self) -> None:
        if self._error is not None:
            raise self._error
