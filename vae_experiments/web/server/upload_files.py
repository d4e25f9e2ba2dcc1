"""Arrivals: uploads on their way in. One that is cut off leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from stat import S_ISREG
from typing import IO, TYPE_CHECKING

from starlette.datastructures import Headers

from vae_experiments.web.server.request_guard import UPLOAD, RefusalError

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST_BYTES = 10**6
UNCLAIMED_SECONDS, STALL_SECONDS = 300, 30
PART_BYTES = 2**20


class Arrivals:
    """Hands an upload on when all of it has arrived. Plain ASGI.

    Gradio would write what comes under a name that stays when the connection ends. Until it is whole, an upload
    lies here in a file without a name, which the system removes with the connection or with the server.

    Args:
        app: what takes whole uploads.
        folder: where it puts them.
        upload_bytes: the most that one request may bring.
        stored_bytes: the most that may lie there or be on its way.
    """

    def __init__(self, app: ASGIApp, folder: Path, upload_bytes: int, stored_bytes: int) -> None:
        self.app, self.folder = app, folder
        self.upload_bytes, self.stored_bytes = upload_bytes, stored_bytes
        self._promised = 0
        self._turn = asyncio.Lock()

    def has_room(self, count: int | None) -> bool:
        """Whether so many bytes more may come; None where a request does not say how many it brings."""
        asked = self.upload_bytes if count is None else count
        return self._promised + asked + _taken_below(self.folder) <= self.stored_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on a request; an upload when it is whole.

        Raises:
            RefusalError: no more of it comes.
            OSError: the disk is full.
        """
        if scope["type"] != "http" or scope["path"] != UPLOAD:
            await self.app(scope, receive, send)
            return
        promised = int(Headers(scope=scope).get("content-length") or self.upload_bytes)
        self._promised += promised
        try:
            with tempfile.TemporaryFile(dir=self.folder) as file:
                if await _arrived(receive, file):
                    await self._hand_on(scope, file, receive, send)
        finally:
            self._promised -= promised

    async def _hand_on(self, scope: Scope, file: IO[bytes], receive: Receive, send: Send) -> None:
        """Let Gradio take a whole upload apart; one at a time, so that what lies about afterwards is nobody's."""
        more = True

        async def again() -> Message:
            nonlocal more
            if not more:
                return await receive()
            part = file.read(PART_BYTES)
            more = bool(part)
            return {"type": "http.request", "body": part, "more_body": more}

        async with self._turn:
            try:
                await self.app(scope, again, send)
            except (OSError, RefusalError):
                raise
            except Exception as error:  # it is whole, and yet no form with files in it
                raise RefusalError(400, "this is no upload that the page can take") from error
            finally:
                self._clear()

    def _clear(self) -> None:
        """Remove what was not taken; a file that was lies in a folder of its own."""
        for path in self.folder.iterdir():
            if not path.is_dir():
                with contextlib.suppress(OSError):  # Windows keeps what is open for the next time
                    os.truncate(path, 0)  # Gradio may hold it open, and its bytes with it
                    path.unlink()


async def _arrived(receive: Receive, file: IO[bytes]) -> bool:
    """Write down what comes, and tell whether it came to its end."""
    more = True
    while more:
        try:
            message = await asyncio.wait_for(receive(), STALL_SECONDS)
        except asyncio.TimeoutError:
            raise RefusalError(408, "the rest of the upload did not come; send it again") from None
        if message["type"] == "http.disconnect":
            return False
        file.write(message.get("body", b""))
        more = message.get("more_body", False)
    file.seek(0)
    return True


def _taken_below(folder: Path) -> int:
    """Count the bytes of what lies there; a small file counts as a large one, so that there are not too many.

    A page takes an upload as soon as it is whole, and the file goes with that: what was not taken for long goes here.
    """
    taken, long_ago = 0, time.time() - UNCLAIMED_SECONDS
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            found = path.stat()
            if S_ISREG(found.st_mode) and found.st_mtime < long_ago:
                path.unlink(missing_ok=True)
            elif S_ISREG(found.st_mode) and found.st_size:
                taken += max(found.st_size, LEAST_BYTES)
    return taken
