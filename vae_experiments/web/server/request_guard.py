"""The guard: what reaches the page at all. Plain ASGI; it knows neither Gradio nor the project.

A browser lets any web page send requests to 127.0.0.1, and a name that a stranger owns may be made to
point there. So a request counts only when it was addressed to a name that this server answers to, and
when the page that sent it, if it says, is this one. What the page needs is listed; all else is not there.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections import OrderedDict
from contextlib import nullcontext
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketClose

from vae_experiments.web.server.fault_page import FAULT, tell_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOAD, JOIN, ANSWERS = "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/queue/data"
FILES = {"/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"}
CALLS = {
    f"/gradio_api/{name}" for name in ("startup-events", "upload_progress", "cancel", "reset", "theme.css")
}
EXACT = {*FILES, *CALLS, UPLOAD, JOIN, ANSWERS}
BELOW = ("/assets/", "/static/", "/svelte/", "/results/", "/gradio_api/heartbeat/")
METHODS = ("GET", "HEAD", "POST")
BODY_BYTES = 2 * 10**6
"""The largest request that is no upload: the values of all controls are some tens of kilobytes."""
MOST_SEEN = 1000
PAUSE_SECONDS = 0.06
"""Between two who come for the first time: Gradio takes some 70 ms of everybody's time to make room for a new visitor."""
ENVELOPE_BYTES = 10**5
"""What a form may need besides the file in it."""
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_SNEAKY = re.compile(rb"%2e|%2f|%5c|%[01][0-9a-f]|%25|\\|//|\.\.", re.IGNORECASE)


class RefusalError(Exception):
    """A request that goes no further."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Guard:
    """Lets through what the page itself asks for.

    Args:
        app: what is guarded.
        hosts: names and ports that this server answers to, as ``127.0.0.1:7860``.
        upload_bytes: the largest file.
        has_room: tells whether so many bytes more may be stored, or None where a request does not say how many.
        session_of: gives the open page that an event comes from, or refuses it.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Iterable[str],
        upload_bytes: int,
        has_room: Callable[[int | None], bool],
        session_of: Callable[[bytes], str],
    ) -> None:
        self.app, self.hosts = app, {host.lower() for host in hosts}
        self.upload_bytes, self.has_room, self.session_of = upload_bytes, has_room, session_of
        self._turn = asyncio.Lock()
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on; what breaks on the way is a sentence, without its details."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await WebSocketClose(1008)(scope, receive, send)
            return
        begun = ended = False

        async def with_headers(message: Message) -> None:
            nonlocal begun, ended
            if message["type"] == "http.response.start":
                if message["status"] == 500:  # what was raised comes here as well, and is told below
                    return
                begun = True
                headers = MutableHeaders(scope=message)
                for name in list(headers):  # by which Gradio lets other pages read its answers
                    if name.startswith("access-control-"):
                        del headers[name]
                headers.update(HEADERS)
            if begun:
                await send(message)
                ended = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            limited = _limited(receive, self._checked(scope))
            hand_on = self._hand_on_event if scope["path"] == JOIN else self.app
            await hand_on(scope, limited, with_headers)
            refused = RefusalError(500, FAULT)
        except RefusalError as error:
            refused = error
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                refused = RefusalError(507, "the disk is full; try again later")
            else:
                refused = RefusalError(500, tell_fault(error, scope["path"]))
        if begun and not ended:
            await send({"type": "http.response.body", "body": b""})
        if not begun:
            headers = {**HEADERS, "connection": "close"}
            await PlainTextResponse(f"{refused.sentence}\n", refused.status, headers)(scope, receive, send)

    async def _hand_on_event(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on an event when all of it has arrived, so that who is slow keeps nobody waiting.

        New pages take turns. The events of a page that is known follow each other at once: were a second one
        held back, Gradio might end the stream of answers after the first, and nobody would see the second's.
        """
        arrived = [await receive()]
        while arrived[-1].get("more_body"):
            arrived.append(await receive())
        session = self.session_of(b"".join(message.get("body", b"") for message in arrived))

        async def again() -> Message:
            return arrived.pop(0) if arrived else await receive()

        is_new = session not in self._seen
        self._seen[session] = None
        self._seen.move_to_end(session)
        if len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        async with self._turn if is_new else nullcontext():
            await self.app(scope, again, send)
            if is_new:
                await asyncio.sleep(PAUSE_SECONDS)

    def _checked(self, scope: Scope) -> int:
        """Check all that comes before the body, and say how large that may be."""
        headers, path = Headers(scope=scope), str(scope["path"])
        if any(len(headers.getlist(name)) > 1 for name in ("host", "origin", "content-length")):
            raise RefusalError(400, "a header stands there twice")
        self._check_place(headers)
        if scope["method"] not in METHODS:
            raise RefusalError(405, "no such method here")
        is_sneaky = any(map(_SNEAKY.search, (scope.get("raw_path") or b"", path.encode())))
        if is_sneaky or (path not in EXACT and not path.startswith(BELOW)):
            raise RefusalError(404, "there is nothing of that name")
        if scope["method"] == "POST" and "origin" not in headers and headers.get("sec-fetch-site"):
            raise RefusalError(403, "a page must say where it is from")
        if path == ANSWERS and session_in(scope) not in self._seen:
            raise RefusalError(404, "no page of that name has asked for anything")
        most = self.upload_bytes + ENVELOPE_BYTES if path == UPLOAD else BODY_BYTES
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            raise _too_large(most)
        if path == UPLOAD and not self.has_room(int(length) if "content-length" in headers else None):
            raise RefusalError(507, "no room for more uploads; try again later")
        return most

    def _check_place(self, headers: Headers) -> None:
        if headers.get("host", "").lower() not in self.hosts:
            raise RefusalError(403, "this server does not answer to that name")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        scheme, _, place = (origin or "").lower().partition("://")
        is_foreign = origin is not None and (scheme not in ("http", "https") or place not in self.hosts)
        is_embedded = site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate"
        if is_foreign or is_embedded:
            raise RefusalError(403, "another page may not ask this server")


def _limited(receive: Receive, most: int) -> Receive:
    """Receive no more than so many bytes."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise _too_large(most)
        return message

    return limited


def _too_large(most: int) -> RefusalError:
    return RefusalError(413, f"more than {most // 10**6} MB")


def session_in(scope: Scope) -> str:
    """Return the open page that a request names in its address; empty where it names none."""
    return QueryParams(scope.get("query_string", b"")).get("session_hash", "")
