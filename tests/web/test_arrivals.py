"""Uploads on their way in: whole, or as if they had never begun."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from vae_experiments.web.server import upload_files as module
from vae_experiments.web.server.request_guard import UPLOAD, RefusalError
from vae_experiments.web.server.upload_files import Arrivals
from vae_experiments.web.state.scratch import PREFIX, Scratch

BODY = [b"first", b"second", b"third"]


def scope(length: int | None = None) -> dict[str, Any]:
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return {"type": "http", "path": UPLOAD, "headers": headers}


def coming(parts: list[bytes], end: str = "whole") -> Callable[[], Awaitable[Any]]:
    """Bring the parts of a body, and then its end, or the end of the connection, or nothing any more."""
    left = list(parts)

    async def receive() -> Any:
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or end != "whole"}
        if end == "stalls":
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    return receive


async def nobody(message: Any) -> None:
    pass


class Taker:
    """Takes uploads as Gradio does: into a nameless place first, and then to a file in a folder."""

    def __init__(self, folder: Path, error: Exception | None = None) -> None:
        self.folder, self.error = folder, error
        self.taken: list[bytes] = []
        self.most = self.now = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        part = self.folder / f"tmp{len(self.taken)}"
        with part.open("wb") as file:
            while (message := await receive())["more_body"]:
                file.write(message["body"])
                await asyncio.sleep(0.01)
        self.now -= 1
        if self.error:
            raise self.error
        self.taken.append(part.read_bytes())
        place = self.folder / f"whole{len(self.taken)}"
        place.mkdir()
        part.rename(place / "clip.mp4")


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_whole_upload_is_handed_on_as_it_came(tmp_path: Path) -> None:
    taker = Taker(tmp_path)
    asyncio.run(Arrivals(taker, tmp_path, 10**6, 10**7)(scope(), coming(BODY), nobody))
    assert taker.taken == [b"firstsecondthird"]
    assert [path.name for path in files_in(tmp_path)] == ["clip.mp4"]


def test_an_upload_that_is_cut_off_is_never_handed_on_and_leaves_neither_a_file_nor_a_claim(
    tmp_path: Path,
) -> None:
    taker = Taker(tmp_path)
    arrivals = Arrivals(taker, tmp_path, 10**6, 10**6)
    for _ in range(30):
        asyncio.run(arrivals(scope(900_000), coming(BODY, end="cut"), nobody))
    assert taker.taken == []
    assert files_in(tmp_path) == []
    assert arrivals.has_room(10**6)


def test_an_upload_that_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.05)
    arrivals = Arrivals(Taker(tmp_path), tmp_path, 10**6, 10**6)
    with pytest.raises(RefusalError, match="the rest of the upload did not come") as refused:
        asyncio.run(arrivals(scope(), coming(BODY, end="stalls"), nobody))
    assert refused.value.status == 408
    assert arrivals.has_room(10**6)


def test_a_whole_upload_that_no_page_takes_does_not_hold_its_room_for_ever(tmp_path: Path) -> None:
    arrivals = Arrivals(Taker(tmp_path), tmp_path, 10**6, 2 * 10**6)
    for age in (0, module.UNCLAIMED_SECONDS + 1):
        asyncio.run(arrivals(scope(), coming(BODY), nobody))
        (found,) = files_in(tmp_path)
        then = found.stat().st_mtime - age
        os.utime(found, (then, then))
        assert arrivals.has_room(2 * 10**6) is bool(age)
        assert found.exists() is not bool(age)
        found.unlink(missing_ok=True)


@pytest.mark.parametrize(("error", "status"), [(TypeError("no file"), 400), (RefusalError(413, "more"), 413)])
def test_a_body_that_cannot_be_taken_apart_is_refused_and_its_parts_go(
    error: Exception, status: int, tmp_path: Path
) -> None:
    with pytest.raises(RefusalError) as refused:
        asyncio.run(Arrivals(Taker(tmp_path, error), tmp_path, 10**6, 10**7)(scope(), coming(BODY), nobody))
    assert refused.value.status == status
    assert files_in(tmp_path) == []


def test_a_full_disk_is_told_and_the_half_file_goes_with_its_bytes_though_it_is_held_open(
    tmp_path: Path,
) -> None:
    full = OSError(28, "No space left on device")
    taker = Taker(tmp_path, full)
    held: list[Any] = []

    async def holding(scope: Any, receive: Any, send: Any) -> None:
        try:
            await taker(scope, receive, send)
        finally:
            held.append((tmp_path / "tmp0").open("rb"))

    with pytest.raises(OSError, match="No space left"):
        asyncio.run(Arrivals(holding, tmp_path, 10**6, 10**7)(scope(), coming(BODY), nobody))
    assert files_in(tmp_path) == []
    assert os.fstat(held[0].fileno()).st_size == 0
    held[0].close()


def test_what_is_on_its_way_counts_against_the_limit_and_uploads_are_taken_apart_one_at_a_time(
    tmp_path: Path,
) -> None:
    taker = Taker(tmp_path)
    arrivals = Arrivals(taker, tmp_path, 3 * 10**6, 10**7)

    async def both() -> None:
        coming_in = [
            asyncio.create_task(arrivals(scope(length), coming(BODY), nobody)) for length in (4 * 10**6, None)
        ]
        await asyncio.sleep(0.001)
        assert arrivals.has_room(3 * 10**6)
        assert not arrivals.has_room(3 * 10**6 + 1)
        assert arrivals.has_room(None)
        await asyncio.gather(*coming_in)

    asyncio.run(both())
    assert taker.most == 1
    assert taker.taken == [b"firstsecondthird"] * 2
    assert arrivals.has_room(8 * 10**6)
    assert not arrivals.has_room(8 * 10**6 + 1), "two files of a few bytes count as a megabyte each"


def test_the_scratch_of_a_server_that_was_killed_goes_when_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import time; from vae_experiments.web.state.scratch import Scratch; print(Scratch().folder, flush=True); time.sleep(60)"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    server = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    folder = Path(server.stdout.readline().strip())
    (folder / "half").write_bytes(b"x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "video.mp4").write_bytes(b"x")
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "mine")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    beside = Scratch()
    assert (folder / "half").exists(), "it is running still"
    server.send_signal(signal.SIGKILL)
    server.wait(30)
    server.stdout.close()
    next_one = Scratch()
    assert not folder.exists()
    assert beside.folder.exists()
    assert (tmp_path / "mine" / "video.mp4").exists()
    for scratch in (beside, next_one):
        scratch.close()
        assert not scratch.folder.exists()


def test_nothing_of_an_upload_has_a_name_before_it_is_whole(tmp_path: Path) -> None:
    seen: list[list[Path]] = []
    whole = coming(BODY)

    async def watched() -> Any:
        seen.append(files_in(tmp_path))
        return await whole()

    asyncio.run(Arrivals(Taker(tmp_path), tmp_path, 10**6, 10**7)(scope(), watched, nobody))
    assert seen == [[], [], []]
