"""Streams beside the network: read ahead of it, written behind it, read twice; a few chunks at most."""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vae_experiments.runtime.interruption import asked, held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

log = logging.getLogger(__name__)
_beginning = threading.Lock()
CORES_OF_THE_NETWORK_FOR_ONE = 4
"""How many of its threads stand for one of a thread that works beside it."""
Item = TypeVar("Item")
CHUNKS_AHEAD = 2
_END: Any = object()


def stand_back() -> None:
    """Let this thread compute with few threads of its own: as many as the network's would wait for each other.

    torch counts them by thread, but new threads get what any thread asked for last.
    """
    import torch

    with _beginning:
        usual = torch.get_num_threads()
        torch.set_num_threads(max(1, usual // CORES_OF_THE_NETWORK_FOR_ONE))
        keeper = threading.Thread(target=torch.set_num_threads, args=(usual,))
        keeper.start()
        keeper.join()


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """Pass on items that another thread pulls a little ahead of time; its errors come out here."""
    source = iter(items)
    worker = ThreadPoolExecutor(1, "read-ahead", stand_back)
    try:
        ahead = deque(worker.submit(next, source, _END) for _ in range(CHUNKS_AHEAD))
        while (item := ahead.popleft().result()) is not _END:
            ahead.append(worker.submit(next, source, _END))
            yield item
    finally:
        worker.shutdown(cancel_futures=True)


def tee(items: Iterable[Item]) -> tuple[Iterator[Item], Iterator[Item]]:
    """Yield two readers of one stream, which keep only what one of them has not read yet.

    ``itertools.tee`` does the same, but lets go of items in blocks of 57: at 8 frames an item that
    is a clip of 456 frames in memory.
    """
    source = iter(items)
    waiting: tuple[deque[Item], deque[Item]] = (deque(), deque())

    def reader(mine: deque[Item]) -> Iterator[Item]:
        while True:
            if not mine:
                item = next(source, _END)
                if item is _END:
                    return
                for unread in waiting:
                    unread.append(item)
                del item  # the other reader may be done with it while this one waits
            yield mine.popleft()

    return reader(waiting[0]), reader(waiting[1])


class BackgroundWriter(Generic[Item]):
    """Hands items to a function in another thread; leaving the block waits until all are done."""

    def __init__(self, take: Callable[[Item], None]) -> None:
        self._take = take
        self._worker = ThreadPoolExecutor(1, "write-behind", stand_back)
        self._room = threading.Semaphore(CHUNKS_AHEAD + 1)
        self._error: BaseException | None = None

    def __enter__(self) -> BackgroundWriter[Item]:
        return self

    def put(self, item: Item) -> None:
        """Queue one item; raises here what went wrong with an earlier one."""
        self._room.acquire()
        if self._error is not None:
            raise self._error
        self._worker.submit(self._work, item)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        with held():  # nobody may close the files under the thread that writes them
            self._error = self._error or error  # what is still queued is then dropped
            self._worker.shutdown()
            if self._error is not None and self._error is not error:
                if error is None and not asked():
                    raise self._error
                log.error("what was being written failed too: %s", self._error)

    def _work(self, item: Item) -> None:
        try:
            if self._error is None:
                self._take(item)
        except BaseException as error:
            self._error = error
        finally:
            self._room.release()
