from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from vae_experiments.runtime.stopwatch import Stopwatch
from vae_experiments.runtime.streams import CHUNKS_AHEAD, BackgroundWriter, prefetch, tee


def test_reading_ahead_keeps_every_item_in_order() -> None:
    assert list(prefetch(range(50))) == list(range(50))


def test_reading_ahead_stays_a_few_chunks_ahead_at_most() -> None:
    pulled = []

    def numbers() -> object:
        for number in range(50):
            pulled.append(number)
            yield number

    reader = prefetch(numbers())  # type: ignore[arg-type]
    assert next(reader) == 0
    time.sleep(0.1)
    assert len(pulled) <= CHUNKS_AHEAD + 2
    reader.close()


def test_an_error_of_the_reader_comes_out_where_the_items_do() -> None:
    def numbers() -> object:
        yield 1
        raise OSError("damaged")

    reader = prefetch(numbers())  # type: ignore[arg-type]
    assert next(reader) == 1
    with pytest.raises(OSError, match="damaged"):
        next(reader)


def test_a_reader_that_is_given_up_ends_its_thread() -> None:
    before = threading.active_count()
    reader = prefetch(iter(range(1000)))
    next(reader)
    reader.close()
    assert threading.active_count() == before


def test_writing_behind_takes_every_item_in_order_before_the_block_ends() -> None:
    taken: list[int] = []
    with BackgroundWriter(taken.append) as behind:
        for number in range(50):
            behind.put(number)
    assert taken == list(range(50))


def test_an_error_of_the_writer_stops_the_run() -> None:
    def take(number: int) -> None:
        if number == 3:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), BackgroundWriter(take) as behind:
        for number in range(1000):
            behind.put(number)


def test_after_an_error_of_the_writer_not_another_item_is_made() -> None:
    failed = threading.Event()

    def take(number: int) -> None:
        failed.set()
        raise OSError("disk full")

    made = []
    with pytest.raises(OSError, match="disk full"), BackgroundWriter(take) as behind:
        for number in range(1000):
            made.append(number)
            behind.put(number)
            failed.wait(5)
            time.sleep(0.01)
    assert len(made) < 100


def test_an_error_of_the_block_is_not_hidden_by_the_writer() -> None:
    def take(number: int) -> None:
        raise OSError("disk full")

    with pytest.raises(RuntimeError, match="the model failed"), BackgroundWriter(take) as behind:
        behind.put(1)
        raise RuntimeError("the model failed")


def test_each_second_is_counted_once_and_what_comes_after_a_stage_is_not_counted_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(
        "vae_experiments.runtime.stopwatch.time", SimpleNamespace(perf_counter=lambda: now[0])
    )

    def source() -> Iterator[int]:
        for number in range(3):
            now[0] += 2
            yield number

    def doubled(items: Iterator[int]) -> Iterator[int]:
        for number in items:
            now[0] += 4
            yield 2 * number

    watch, taken = Stopwatch(), []
    watch.switch("write")
    for number in watch.timed("double", doubled(watch.timed("source", source()))):
        taken.append(number)
        now[0] += 1
    now[0] += 8
    watch.switch("finish")
    assert taken == [0, 2, 4]
    assert [watch.seconds(stage) for stage in ("source", "double", "write")] == [6, 12, 3 + 8]
    assert watch.total_seconds() == 29


class Chunk:
    """Something that tells when it is let go of."""


@pytest.mark.parametrize("lead", [0, 1, 3])
def test_two_readers_of_a_stream_keep_only_what_one_has_not_read(lead: int) -> None:
    alive: weakref.WeakSet[Chunk] = weakref.WeakSet()

    def chunks() -> Iterator[Chunk]:
        for _ in range(100):
            chunk = Chunk()
            alive.add(chunk)
            yield chunk
            del chunk

    first, second = tee(chunks())
    for _ in range(lead):
        next(first)
    for _ in range(100 - lead):
        next(first)
        next(second)
        assert len(alive) <= lead + 2
    assert (len(list(first)), len(list(second))) == (0, lead)


def test_two_readers_see_the_same_items_in_the_same_order() -> None:
    first, second = tee(range(10))
    seen = [next(first) for _ in range(4)] + [next(second) for _ in range(7)]
    assert seen == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6]
    assert [list(first), list(second)] == [[4, 5, 6, 7, 8, 9], [7, 8, 9]]


def send_when(leaving: threading.Event) -> None:
    """Send a signal when the block is left, and not before."""
    leaving.wait(5)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_while_the_writer_finishes_is_neither_lost_nor_does_it_leave_the_writer_alone() -> None:
    taken = []
    leaving = threading.Event()

    def take(number: int) -> None:
        if number == 0:
            send_when(leaving)
        time.sleep(0.05)
        taken.append(number)

    with pytest.raises(KeyboardInterrupt), BackgroundWriter(take) as behind:
        for number in range(CHUNKS_AHEAD):
            behind.put(number)
        leaving.set()
    assert taken == list(range(CHUNKS_AHEAD))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("write-behind")]


def test_a_signal_and_a_full_disk_at_once_are_both_told(caplog: pytest.LogCaptureFixture) -> None:
    leaving = threading.Event()

    def take(number: int) -> None:
        send_when(leaving)
        time.sleep(0.05)
        raise OSError("disk full")

    with pytest.raises(KeyboardInterrupt), BackgroundWriter(take) as behind:
        behind.put(0)
        leaving.set()
    assert caplog.messages == ["what was being written failed too: disk full"]


def test_what_the_writer_says_is_told_where_the_block_fails_as_well(caplog: pytest.LogCaptureFixture) -> None:
    begun, failed = threading.Event(), threading.Event()

    def take(number: int) -> None:
        begun.set()
        failed.wait(5)
        raise OSError("disk full")

    with pytest.raises(KeyboardInterrupt), BackgroundWriter(take) as behind:
        behind.put(0)
        begun.wait(5)
        threading.Timer(0.1, failed.set).start()
        raise KeyboardInterrupt
    assert caplog.messages == ["what was being written failed too: disk full"]


def test_a_writer_that_fails_while_its_queue_is_full_lets_nobody_wait() -> None:
    full = threading.Event()

    def take(number: int) -> None:
        full.wait(5)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), BackgroundWriter(take) as behind:
        threading.Timer(0.1, full.set).start()
        for number in range(CHUNKS_AHEAD + 5):
            behind.put(number)


def test_a_thread_beside_the_network_computes_with_few_threads_and_changes_nobody_elses() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(8)
    counted: list[int] = []
    try:

        def numbers() -> Iterator[int]:
            counted.append(torch.get_num_threads())
            yield 1

        assert list(prefetch(numbers())) == [1]
        with BackgroundWriter(lambda _: counted.append(torch.get_num_threads())) as writer:
            writer.put(1)
        other = threading.Thread(target=lambda: counted.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert counted == [2, 2, 8]
        assert torch.get_num_threads() == 8
    finally:
        torch.set_num_threads(before)
