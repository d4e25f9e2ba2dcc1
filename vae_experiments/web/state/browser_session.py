"""Sessions: browsers that come again, each known by a cookie that says nothing else."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vae_experiments.web.server.request_guard import App, Message, Receive, Send
    from vae_experiments.web.state.results import Kept

COOKIE = "vae_experiments_guest"
MONTH_SECONDS = 30 * 24 * 3600
_NAME = re.compile(r"[\w-]{22}", re.ASCII)


@dataclass
class BrowserSession:
    """One browser, however often it loads the page."""

    history: list[Kept] = field(default_factory=list)
    """Its last runs, the newest first."""


def browser_of(cookies: Mapping[str, str]) -> str | None:
    """Read the name that a browser was given; None where it has none of ours."""
    name = cookies.get(COOKIE, "")
    return name if _NAME.fullmatch(name) else None


class SessionCookie:
    """Gives a browser that loads the page for the first time a name. Plain ASGI.

    Of two servers on one machine a browser keeps one cookie: the name then means another session to each.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand on a request, and add a cookie to the answer where it is wanted."""
        from starlette.requests import HTTPConnection

        if scope["type"] != "http" or scope["path"] != "/" or browser_of(HTTPConnection(scope).cookies):
            await self.app(scope, receive, send)
            return
        name = secrets.token_urlsafe(16)
        cookie = f"{COOKIE}={name}; Path=/; Max-Age={MONTH_SECONDS}; HttpOnly; SameSite=Lax"

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"set-cookie", cookie.encode())]
            await send(message)

        await self.app(scope, receive, with_cookie)
