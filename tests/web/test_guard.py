"""The guard, asked as a server would ask it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from vae_experiments.web.server import request_guard as module
from vae_experiments.web.server.fault_page import keep_traces_in, traces
from vae_experiments.web.server.request_guard import ANSWERS, JOIN, PAUSE_SECONDS, UPLOAD, Guard, RefusalError

HOST = "127.0.0.1:7860"
TRAVERSALS = [
    "/../etc/passwd",
    "/results/../../etc/passwd",
    "/results/%2e%2e/%2e%2e/etc/passwd",
    "/results/..%2f..%2fetc/passwd",
    "/results/%252e%252e/x",
    "/results/..\\..\\x",
    "/results/%5c..%5c",
    "/results/a/%00.png",
    "//etc/passwd",
    "/static//etc/passwd",
    "/assets/..;/x",
    "/gradio_api/file=/etc/passwd",
    "/file=/etc/passwd",
    "/gradio_api/file/etc/passwd",
]
NOT_FOR_THE_PAGE = [
    "/gradio_api/proxy=http://a.example/x",
    "/proxy=http://a.example/x",
    "/monitoring",
    "/gradio_api/info",
    "/gradio_api/openapi.json",
    "/gradio_api/api/run",
    "/gradio_api/call/run",
    "/gradio_api/run/run",
    "/gradio_api/component_server",
    "/gradio_api/vibe-code",
    "/gradio_api/deep_link",
    "/runs",
    "/docs",
    "/openapi.json",
    "/login",
]


POST = {
    "type": "http",
    "method": "POST",
    "path": JOIN,
    "raw_path": JOIN.encode(),
    "headers": [(b"host", HOST.encode())],
}


async def inside(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"access-control-allow-origin", b"http://a.example"), (b"x-inside", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"inside"})


def ask(
    path: str = "/",
    method: str = "GET",
    body: tuple[bytes, ...] = (b"",),
    room: bool = True,
    kind: str = "http",
    **headers: str,
) -> tuple[int, dict[str, str], str]:
    guard = Guard(inside, [HOST, "localhost:7860"], 10**6, lambda _: room, lambda _: "a page")
    given = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    from urllib.parse import unquote

    scope = {
        "type": kind,
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    parts[-1]["more_body"] = False
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    if sent[0]["type"] != "http.response.start":
        return 0, {}, sent[0]["type"]
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, sent[1]["body"].decode()


def test_what_the_page_asks_for_goes_through_with_a_strict_policy_and_opens_to_no_other_page() -> None:
    status, headers, body = ask(origin=f"http://{HOST}", sec_fetch_site="same-origin")
    assert (status, body, headers["x-inside"]) == (200, "inside", "1")
    assert "connect-src 'self'" in headers["content-security-policy"]
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.example:7860", "", f"{HOST}@evil.example"]
)  # fmt: skip
def test_a_foreign_host_gets_403(host: str) -> None:
    assert ask(host=host)[0] == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"http://{HOST}.evil.example", "http://127.0.0.1:8080", "", "file://", f"ftp://{HOST}", HOST]
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", UPLOAD, "/gradio_api/queue/join"])
def test_a_foreign_origin_gets_403(origin: str, path: str) -> None:
    assert ask(path, "POST", origin=origin)[0] == 403


def test_a_page_elsewhere_may_link_here_but_not_send_or_embed() -> None:
    assert ask(sec_fetch_site="cross-site", sec_fetch_mode="navigate")[0] == 200
    assert ask(sec_fetch_site="cross-site", sec_fetch_mode="no-cors")[0] == 403
    assert ask(UPLOAD, "POST", sec_fetch_site="cross-site", sec_fetch_mode="navigate")[0] == 403


@pytest.mark.parametrize("path", TRAVERSALS)
def test_a_traversal_gets_nothing(path: str) -> None:
    assert ask(path)[0] == 404
    assert ask(path, "POST")[0] == 404


@pytest.mark.parametrize("path", NOT_FOR_THE_PAGE)
def test_what_the_page_does_not_need_is_not_there(path: str) -> None:
    assert ask(path)[0] == 404


def test_a_body_that_is_too_large_gets_413_whether_it_says_so_or_not() -> None:
    assert ask(UPLOAD, "POST", content_length=str(10**7))[0] == 413
    assert ask(UPLOAD, "POST", (b"x" * 10**6,) * 3)[0] == 413
    assert ask("/gradio_api/queue/join", "POST", (b"x" * 10**6,) * 3)[0] == 413
    assert ask(UPLOAD, "POST", (b"x" * 10**6,))[0] == 200
    for length in ("-1", "abc", "1e3", ""):
        assert ask(UPLOAD, "POST", content_length=length)[0] == 413


def test_uploads_stop_when_there_is_no_more_room() -> None:
    assert ask(UPLOAD, "POST", room=False)[0] == 507
    assert ask("/", room=False)[0] == 200


def test_who_sends_slowly_keeps_nobody_waiting() -> None:
    guard = Guard(inside, [HOST], 10**6, lambda _: True, lambda _: "a page")
    scope = POST
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def at_once() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def never() -> Any:
        await asyncio.sleep(60)

    async def both() -> None:
        slow = asyncio.create_task(guard(scope, never, send))
        await asyncio.sleep(0.01)
        await asyncio.wait_for(guard(scope, at_once, send), 5)
        slow.cancel()

    asyncio.run(both())
    assert [message.get("status") for message in sent] == [200, None]


def test_new_pages_take_turns_and_the_events_of_one_that_is_known_follow_at_once() -> None:
    async def time_of(*pages: str) -> float:
        pages_to_come = list(pages)
        guard = Guard(inside, [HOST], 10**6, lambda _: True, lambda _: pages_to_come.pop(0))

        async def receive() -> Any:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(_message: Any) -> None:
            pass

        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(guard(POST, receive, send) for _ in pages))
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(time_of("a", "b", "c", "d")) >= 4 * PAUSE_SECONDS
    assert asyncio.run(time_of("a", *"a" * 30)) < 4 * PAUSE_SECONDS


def test_an_event_that_is_refused_goes_no_further() -> None:
    def refuse(body: bytes) -> str:
        raise RefusalError(403, f"not {body.decode()}")

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"this", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(inside, [HOST], 10**6, lambda _: True, refuse)(POST, receive, send))
    assert (sent[0]["status"], sent[1]["body"]) == (403, b"not this\n")


def asked(guard: Guard, path: str, query: str = "") -> list[Any]:
    """Ask a guard for a path, and give all that it sent."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {**POST, "path": path, "raw_path": path.encode(), "query_string": query.encode()}
    asyncio.run(guard(scope, receive, send))
    return sent


def test_a_stream_of_answers_is_only_for_a_page_that_has_asked_for_something() -> None:
    guard = Guard(inside, [HOST], 10**6, lambda _: True, lambda _: "abc")
    for query in ("", "session_hash=abc", "session_hash=", "session_hash=%ff"):
        assert asked(guard, ANSWERS, query)[0]["status"] == 404
    assert asked(guard, JOIN)[0]["status"] == 200
    assert asked(guard, ANSWERS, "session_hash=abc")[0]["status"] == 200
    assert asked(guard, ANSWERS, "session_hash=abd")[0]["status"] == 404


def test_a_page_in_use_is_remembered_however_many_come_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SEEN", 2)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)
    visits = iter(("first", "second", "first", "third"))
    guard = Guard(inside, [HOST], 10**6, lambda _: True, lambda _: next(visits))
    for _ in range(4):
        asked(guard, JOIN)
    known = [
        asked(guard, ANSWERS, f"session_hash={page}")[0]["status"] for page in ("first", "second", "third")
    ]
    assert known == [200, 404, 200]


@pytest.mark.parametrize(
    ("error", "status"), [(KeyError("/secret/place"), 500), (OSError(28, "No space left"), 507)]
)
@pytest.mark.parametrize("tells_first", [True, False])
def test_what_breaks_inside_is_one_line_and_no_traceback(
    error: Exception, status: int, tells_first: bool, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if tells_first:  # as Starlette does
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"Internal Server Error"})
        raise error

    keep_traces_in(tmp_path / "web.log")
    with caplog.at_level(logging.ERROR):
        sent = asked(Guard(broken, [HOST], 10**6, lambda _: True, lambda _: "abc"), "/config")
    while traces.handlers:
        traces.handlers[0].close()
        traces.removeHandler(traces.handlers[0])
    traces.propagate = True
    assert sent[0]["status"] == status
    assert b"secret" not in sent[1]["body"]
    assert len(caplog.records) == (status == 500)
    if caplog.records:
        (line,) = caplog.text.splitlines()
        assert (
            "error: internal: KeyError: '/secret/place' (/config); this is a fault of vae_experiments" in line
        )
        assert str(tmp_path / "web.log") in line
        assert "Traceback" in (tmp_path / "web.log").read_text()


def test_what_breaks_in_the_middle_of_an_answer_ends_it() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise KeyError

    sent = asked(Guard(broken, [HOST], 10**6, lambda _: True, lambda _: "abc"), "/config")
    assert [message.get("body") for message in sent] == [None, b"half", b""]
    assert not sent[-1].get("more_body")

    async def broken_afterwards(scope: Any, receive: Any, send: Any) -> None:
        await inside(scope, receive, send)
        raise KeyError

    sent = asked(Guard(broken_afterwards, [HOST], 10**6, lambda _: True, lambda _: "abc"), "/config")
    assert [message.get("body") for message in sent] == [None, b"inside"]


def test_an_upload_that_does_not_say_how_long_it_is_asks_for_all_that_it_may_bring() -> None:
    lengths: list[int | None] = []

    def has_room(length: int | None) -> bool:
        lengths.append(length)
        return True

    asked(Guard(inside, [HOST], 10**6, has_room, lambda _: "abc"), UPLOAD)
    assert lengths == [None]


def test_other_methods_and_other_kinds_of_connection_are_refused() -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"):
        assert ask(method=method)[0] == 405
    assert ask(kind="websocket")[2] == "websocket.close"
