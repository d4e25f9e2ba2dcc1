"""Browsers: which come again, each known by a cookie that says nothing else, and which open pages listen."""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

from vae_experiments.web.server.request_guard import ANSWERS, session_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "vae_experiments_guest"
MONTH_SECONDS = 30 * 24 * 3600
SILENT_SECONDS = 10
"""How long an order continues when nobody hears of it; a browser listens as soon as it has asked."""


def browser_of(cookies: Mapping[str, str]) -> str | None:
    """Read the name that a browser was given; None where it has none of ours."""
    name = cookies.get(COOKIE, "")
    return name if re.fullmatch(r"[\w-]{22}", name, re.ASCII) else None


class SessionCookie:
    """Gives a browser that loads the page for the first time a name. Plain ASGI.

    Of two servers on one machine a browser keeps one cookie: the name then means another session to each.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on a request, and add a cookie to the answer where it is wanted."""

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={secrets.token_urlsafe(16)}; Path=/; Max-Age={MONTH_SECONDS}"
                MutableHeaders(scope=message).append("set-cookie", f"{cookie}; HttpOnly; SameSite=Lax")
            await send(message)

        is_page = scope["type"] == "http" and scope["path"] == "/"
        is_new = is_page and browser_of(HTTPConnection(scope).cookies) is None
        await self.app(scope, receive, with_cookie if is_new else send)


class Listeners:
    """Notes who holds the stream of answers open. Plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._streams: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on a request; as long as it is a stream of answers, its page listens."""
        if scope["type"] != "http" or scope["path"] != ANSWERS:
            await self.app(scope, receive, send)
            return
        session = session_in(scope)
        self._streams[session] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._streams -= Counter([session])  # which forgets whoever holds none any more

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
