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
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs

from vae_experiments.web.server.fault_page import FAULT, tell_fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]
    App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

UPLOAD, JOIN, ANSWERS = "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/queue/data"
EXACT = {
    "/",
    "/config",
    "/theme.css",
    "/favicon.ico",
    "/manifest.json",
    "/robots.txt",
    "/gradio_api/theme.css",
    "/gradio_api/startup-events",
    JOIN,
    ANSWERS,
    "/gradio_api/upload_progress",
    "/gradio_api/cancel",
    "/gradio_api/reset",
    UPLOAD,
}
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
        app: App,
        hosts: Iterable[str],
        upload_bytes: int,
        has_room: Callable[[int | None], bool],
        session_of: Callable[[bytes], str],
    ) -> None:
        self.app, self.hosts = app, {host.lower() for host in hosts}
        self.upload_bytes, self.has_room, self.session_of = upload_bytes, has_room, session_of
        self._turn = asyncio.Lock()
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            if scope["type"] != "http":
                raise RefusalError(403, "no such kind of connection")
            most = self._checked(scope)
        except RefusalError as refused:
            await _answer(send, refused, scope["type"])
            return
        if scope["path"] == JOIN:
            await self._hand_on_event(scope, receive, send, most)
        else:
            await self._hand_on(scope, receive, send, most)

    async def _hand_on_event(self, scope: Message, receive: Receive, send: Send, most: int) -> None:
        """Hand on an event when all of it has arrived, so that who is slow keeps nobody waiting.

        New pages take turns. The events of a page that is known follow each other at once: were a second one
        held back, Gradio might end the stream of answers after the first, and nobody would see the second's.
        """
        arrived: list[Message] = []
        while not arrived or arrived[-1].get("more_body"):
            arrived.append(await receive())
            if sum(len(message.get("body", b"")) for message in arrived) > most:
                await _answer(send, RefusalError(413, f"more than {most // 10**6} MB"), "http")
                return

        try:
            session = self.session_of(b"".join(message.get("body", b"") for message in arrived))
        except RefusalError as refused:
            await _answer(send, refused, "http")
            return

        async def again() -> Message:
            return arrived.pop(0) if arrived else await receive()

        if self._knows(session):
            await self._hand_on(scope, again, send, most)
            return
        async with self._turn:
            await self._hand_on(scope, again, send, most)
            await asyncio.sleep(PAUSE_SECONDS)

    def _knows(self, session: str) -> bool:
        known = session in self._seen
        self._seen[session] = None
        self._seen.move_to_end(session)
        if len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return known

    def _checked(self, scope: Message) -> int:
        """Check all that comes before the body, and say how large that may be."""
        headers = _headers(scope)
        self._check_place(headers)
        if scope["method"] not in METHODS:
            raise RefusalError(405, "no such method here")
        path = str(scope["path"])
        if _SNEAKY.search(scope.get("raw_path") or path.encode()) or _SNEAKY.search(path.encode()):
            raise RefusalError(404, "there is nothing of that name")
        if path not in EXACT and not path.startswith(BELOW):
            raise RefusalError(404, "there is nothing of that name")
        if scope["method"] == "POST" and "origin" not in headers and headers.get("sec-fetch-site"):
            raise RefusalError(403, "a page must say where it is from")
        if path == ANSWERS and session_in(scope) not in self._seen:
            raise RefusalError(404, "no page of that name has asked for anything")
        most = self.upload_bytes + ENVELOPE_BYTES if path == UPLOAD else BODY_BYTES
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            raise RefusalError(413, f"more than {most // 10**6} MB")
        if path == UPLOAD and not self.has_room(int(length) if "content-length" in headers else None):
            raise RefusalError(507, "no room for more uploads; try again later")
        return most

    def _check_place(self, headers: dict[str, str]) -> None:
        if headers.get("host", "").lower() not in self.hosts:
            raise RefusalError(403, "this server does not answer to that name")
        origin = headers.get("origin")
        scheme, _, place = (origin or "").lower().partition("://")
        if origin is not None and (scheme not in ("http", "https") or place not in self.hosts):
            raise RefusalError(403, "another page may not ask this server")
        site = headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate":
            raise RefusalError(403, "another page may not ask this server")

    async def _hand_on(self, scope: Message, receive: Receive, send: Send, most: int) -> None:
        received, begun, ended = 0, False, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise RefusalError(413, f"more than {most // 10**6} MB")
            return message

        async def with_headers(message: Message) -> None:
            nonlocal begun, ended
            if message["type"] == "http.response.start":
                if message["status"] == 500:  # what was raised comes here as well, and is told below
                    return
                begun = True
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                theirs = [(k, v) for k, v in message.get("headers", []) if not _opens_up(k)]
                message["headers"] = [*theirs, *ours]
            if begun:
                await send(message)
                ended = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await self.app(scope, counted, with_headers)
            refused = RefusalError(500, FAULT)
        except Exception as error:
            refused = _refusal_of(error, scope["path"])
            if begun and not ended:
                await send({"type": "http.response.body", "body": b""})
        if not begun:
            await _answer(send, refused, "http")


def _refusal_of(error: Exception, path: str) -> RefusalError:
    """Send the browser what stopped a request, without its details."""
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RefusalError(507, "the disk is full; try again later")
    return RefusalError(500, tell_fault(error, path))


def session_in(scope: Message) -> str:
    """Return the open page that a request names in its address; empty where it names none."""
    query: bytes = scope.get("query_string", b"")
    return parse_qs(query.decode("latin-1")).get("session_hash", [""])[-1]


def _opens_up(name: bytes) -> bool:
    """Whether a header is one by which Gradio lets other pages read its answers."""
    return name.lower().startswith(b"access-control-")


def _headers(scope: Message) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and key in ("host", "origin", "content-length"):
            raise RefusalError(400, "a header stands there twice")
        found[key] = value.decode("latin-1")
    return found


async def _answer(send: Send, refused: RefusalError, kind: str) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = f"{refused.sentence}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *((name.encode(), value.encode()) for name, value in HEADERS.items()),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
