"""An entry of the cache is whole or absent, and what is not what was written is never given."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import shutil
import time
from typing import TYPE_CHECKING

import pytest
import torch

from vae_experiments.cache import Cache, CachedStream, RunCache, Store
from vae_experiments.cache.latent_files import FILE_BYTES, INDEX
from vae_experiments.cache.store import ABANDONED_SECONDS
from vae_experiments.files import SUMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

NAME, OTHER, THIRD = (f"{letter * 40}-latents" for letter in "abc")
LATENTS = torch.randn(11, 4, 3, 5, generator=torch.Generator().manual_seed(0))
FRAMES = torch.linspace(-1, 1, 256)[:, None, None, None].repeat(1, 3, 2, 2)
PLENTY = 1e9


def computed(counts: list[int], chunk: int = 3) -> Iterator[torch.Tensor]:
    counts.append(1)
    yield from LATENTS.split(chunk)


def through(store: Store, counts: list[int], chunk: int = 3) -> torch.Tensor:
    return torch.cat(list(CachedStream(store, NAME).through(computed(counts, chunk))))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", PLENTY)
    assert torch.equal(through(store, []), LATENTS)
    return store


def test_what_was_kept_is_given_and_not_computed_again(store: Store) -> None:
    counts: list[int] = []
    assert CachedStream(store, NAME).found
    assert torch.equal(through(store, counts), LATENTS)
    assert counts == []


def test_the_chunks_that_were_kept_do_not_tell_the_batch_size(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other", PLENTY)
    through(other, [], chunk=1)
    assert (other.folder / NAME / SUMS).read_text() == (store.folder / NAME / SUMS).read_text()


def test_a_long_stream_is_kept_in_files_of_a_bounded_size(tmp_path: Path) -> None:
    store, frame = Store(tmp_path, PLENTY), torch.zeros(1, 16, 64, 64)
    count = 2 * FILE_BYTES // frame.nbytes + 3
    written = store.write(NAME)
    for number in range(count):
        frame.fill_(number)
        written.write(NAME, frame)
    store.publish(NAME, written)
    files = list((tmp_path / NAME).glob("*.safetensors"))
    assert len(files) == 3
    assert max(file.stat().st_size for file in files) < FILE_BYTES + 4096
    values = torch.cat(list(store.read(NAME)))[:, 0, 0, 0]
    assert values.tolist() == list(range(count))


def damages(seed: int) -> Iterator[Callable[[Path], None]]:
    """Flip 200 bits and cut 50 files, anywhere in an entry, index and digests included."""
    chance = random.Random(seed)

    def flip(folder: Path) -> None:
        file = chance.choice(sorted(folder.iterdir()))
        data = bytearray(file.read_bytes())
        bit = chance.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(data)

    def cut(folder: Path) -> None:
        file = chance.choice(sorted(folder.iterdir()))
        os.truncate(file, chance.randrange(file.stat().st_size))

    for number in range(250):
        yield cut if number % 5 == 4 else flip


@pytest.mark.slow
def test_after_200_flipped_bits_and_50_cuts_a_damaged_entry_was_never_used(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    place, intact = store.folder / NAME, store.folder.parent / "intact"
    shutil.copytree(place, intact)
    for number, damage in enumerate(damages(seed=1)):
        shutil.rmtree(place)
        shutil.copytree(intact, place)
        damage(place)
        counts: list[int] = []
        caplog.clear()
        assert torch.equal(through(store, counts), LATENTS), number
        assert counts == [1], number
        assert len(caplog.messages) == 1, number
        assert "it is computed again" in caplog.text
        assert (place / SUMS).read_bytes() == (intact / SUMS).read_bytes()


@pytest.mark.parametrize("file", [INDEX, SUMS, f"{NAME}-00000.safetensors"])
def test_a_file_that_is_missing_empty_text_or_a_folder_is_not_used(store: Store, file: str) -> None:
    place = store.folder / NAME / file
    spoilings: list[Callable[[], object]] = [
        place.unlink,
        lambda: place.write_bytes(b""),
        lambda: place.write_text("hello\n"),
        lambda: (place.unlink(), place.mkdir()),
    ]
    for spoil in spoilings:
        spoil()
        counts: list[int] = []
        assert torch.equal(through(store, counts), LATENTS)
        assert counts == [1]
        assert torch.equal(through(store, counts), LATENTS)
        assert counts == [1]


def test_a_stream_that_is_left_in_the_middle_keeps_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, PLENTY)
    stream = CachedStream(store, NAME).through(computed([]))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


def test_what_no_longer_is_what_its_key_says_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, PLENTY)
    slot = CachedStream(store, NAME, still_true=lambda: False)
    assert torch.equal(torch.cat(list(slot.through(computed([])))), LATENTS)
    assert list(tmp_path.iterdir()) == []


def missed_at_once(folder: Path, all_have_missed: Barrier) -> None:
    import fcntl

    fcntl.flock = lambda *_: None  # nothing here may lean on a lock
    store = Store(folder, PLENTY)
    slot = CachedStream(store, NAME)
    assert not slot.found
    all_have_missed.wait(60)
    assert torch.equal(torch.cat(list(slot.through(computed([])))), LATENTS)


def test_eight_processes_that_miss_the_same_entry_at_once_leave_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context(
        "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    )
    all_have_missed = context.Barrier(8)
    processes = [context.Process(target=missed_at_once, args=(tmp_path, all_have_missed)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert Store(tmp_path, PLENTY).damaged() == []


def test_the_least_recently_used_entry_goes_first(tmp_path: Path) -> None:
    for name in (NAME, OTHER):
        list(CachedStream(Store(tmp_path, PLENTY), name).through(computed([])))
    one = Store(tmp_path, PLENTY).entries()[0].size_bytes
    for name, age in ((NAME, 100), (OTHER, 200)):
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    list(CachedStream(Store(tmp_path, PLENTY), OTHER).through(computed([])))  # used: now the younger one
    list(CachedStream(Store(tmp_path, 2.5 * one), THIRD).through(computed([])))
    assert sorted(path.name for path in tmp_path.iterdir()) == [OTHER, THIRD]


def test_a_new_entry_larger_than_the_limit_is_there_for_the_next_job(tmp_path: Path) -> None:
    list(CachedStream(Store(tmp_path, 1), NAME).through(computed([])))
    assert Store(tmp_path, 1).has(NAME)


def test_what_a_killed_process_left_is_swept_after_a_day_and_nothing_else(tmp_path: Path) -> None:
    old, young, foreign = f".{NAME}.1.00000000", f".{NAME}.2.00000000", ".keep"
    for name in (old, young, foreign):
        (tmp_path / name).mkdir()
    for name in (old, foreign):
        os.utime(tmp_path / name, (time.time() - ABANDONED_SECONDS - 60,) * 2)
    through(Store(tmp_path, PLENTY), [])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([young, foreign, NAME])


def test_an_entry_evicted_while_it_is_read_is_computed_from_there(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slot, stream_of = CachedStream(store, NAME), store.read

    def read(_: Store, name: str) -> Iterator[torch.Tensor]:
        whole = next(iter(stream_of(name)))
        yield whole[:4]
        raise ValueError("gone")

    monkeypatch.setattr(Store, "read", read)
    assert torch.equal(torch.cat(list(slot.through(computed([])))), LATENTS)
    assert not slot.found
    assert len(caplog.messages) == 1


def test_a_cache_that_cannot_be_written_to_is_said_once_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").write_text("")
    store = Store(tmp_path / "a file" / "store", PLENTY)
    assert torch.equal(through(store, []), LATENTS)
    assert len(caplog.messages) == 1
    assert "continuing without it" in caplog.text


def test_a_cache_that_cannot_be_written_to_is_one_warning_a_run_and_not_one_a_stream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").write_text("")
    shelf = RunCache.of(Store(tmp_path / "a file" / "store", PLENTY), ({}, {}, {}), lambda: True)
    for slot in (shelf.latents, shelf.frames):
        assert torch.equal(torch.cat(list(slot.through([FRAMES]))), FRAMES)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("chunk", [3, len(LATENTS)])
def test_a_stream_that_was_being_kept_is_left_when_the_disk_fails_another(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, PLENTY)
    first = CachedStream(store, NAME).through(computed([], chunk))
    given = [next(first)]
    monkeypatch.setattr(os, "mkdir", full)
    assert torch.equal(torch.cat(list(CachedStream(store, OTHER).through(computed([])))), LATENTS)
    monkeypatch.undo()
    assert torch.equal(torch.cat([*given, *first]), LATENTS)
    assert len(caplog.messages) == 1
    assert list(tmp_path.iterdir()) == []


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_below_safetensors_is_said_once_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resource = pytest.importorskip("resource")
    store, limits = Store(tmp_path / "store", PLENTY), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        given = through(store, [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.equal(given, LATENTS)
    (message,) = caplog.messages
    assert "cache: " in message
    assert message.endswith("grew beyond the size that a file may have here; continuing without it")
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize("fault", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["fsync", "mkdir"])
def test_a_disk_that_fails_is_said_once_and_left(
    call: str, fault: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, call, broken)
    assert torch.equal(through(Store(tmp_path / "new" / "store", PLENTY), []), LATENTS)
    (message,) = caplog.messages
    assert message.startswith("cache: ")
    assert message.endswith("; continuing without it")
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_a_cache_that_may_not_be_looked_into_has_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "stat", forbidden)
    assert not store.has(NAME)


def test_two_entries_that_were_exchanged_by_hand_are_refused(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    list(CachedStream(store, OTHER).through(iter([LATENTS + 1])))
    (store.folder / NAME).rename(store.folder / "aside")
    (store.folder / OTHER).rename(store.folder / NAME)
    (store.folder / "aside").rename(store.folder / OTHER)
    assert sorted(store.damaged()) == [NAME, OTHER]
    counts: list[int] = []
    assert torch.equal(through(store, counts), LATENTS)
    assert counts == [1]
    assert len(caplog.messages) == 1
    assert f"it holds {OTHER}" in caplog.text
    assert torch.equal(through(store, counts), LATENTS)
    assert counts == [1]


def test_the_folder_is_the_setting_or_the_variable_or_the_systems_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VAE_EXPERIMENTS_CACHE", str(tmp_path / "variable"))
    assert Cache(dir=str(tmp_path)).folder() == tmp_path
    assert Cache().folder() == tmp_path / "variable"
    monkeypatch.delenv("VAE_EXPERIMENTS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert Cache().folder() == tmp_path / "vae_experiments"
    monkeypatch.setattr("sys.platform", "darwin")
    assert Cache().folder().parts[-3:] == ("Library", "Caches", "vae_experiments")
    assert Cache(enabled=False).store() is None
