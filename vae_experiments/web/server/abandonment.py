"""Listening: which open pages hear what is said to them."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from vae_experiments.web.server.request_guard import ANSWERS, session_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from vae_experiments.web.server.request_guard import App, Message, Receive, Send

SILENT_SECONDS = 10
"""How long an order continues when nobody hears of it; a browser listens as soon as it has asked."""


class Listeners:
    """Notes who holds the stream of answers open. Plain ASGI."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._streams: Counter[str] = Counter()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand on a request; as long as it is a stream of answers, its page listens."""
        if scope["type"] != "http" or scope["path"] != ANSWERS:
            await self.app(scope, receive, send)
            return
        session = session_in(scope)
        self._streams[session] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._streams[session] -= 1
            if not self._streams[session]:
                del self._streams[session]

    def has(self, session: str) -> bool:
        """Whether a page listens."""
        return session in self._streams


class Patience:
    """Waits for a page that does not listen: for a while, and from the start again whenever it did."""

    def __init__(self, listens: Callable[[], bool]) -> None:
        self.listens = listens
        self._heard = time.monotonic()

    def lasts(self) -> bool:
        """Whether to go on; asked every few seconds."""
        now = time.monotonic()
        if self.listens():
            self._heard = now
        return now - self._heard < SILENT_SECONDS
