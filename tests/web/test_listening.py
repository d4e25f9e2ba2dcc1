"""Listening: an order is for somebody who hears of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from tests.web.conftest import small, waited
from vae_experiments.web.server import browsers as listening
from vae_experiments.web.server.browsers import SILENT_SECONDS, Listeners, Patience
from vae_experiments.web.server.request_guard import ANSWERS
from vae_experiments.web.service import WebService
from vae_experiments.web.state.job_queue import Job, State


def test_a_page_listens_as_long_as_it_holds_a_stream_open_also_when_that_breaks() -> None:
    heard: list[bool] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        heard.append(listeners.has("abc"))
        raise KeyError

    listeners = Listeners(inside)

    async def ask(path: str, query: bytes) -> None:
        with contextlib.suppress(KeyError):
            await listeners({"type": "http", "path": path, "query_string": query}, None, None)  # type: ignore[arg-type]

    asyncio.run(ask(ANSWERS, b"session_hash=abc"))
    asyncio.run(ask(ANSWERS, b"session_hash=other"))
    asyncio.run(ask("/config", b"session_hash=abc"))
    assert heard == [True, False, False]
    assert not listeners.has("abc")


def test_two_streams_of_one_page_are_two() -> None:
    async def ask() -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        left = list(gates)

        async def inside(scope: Any, receive: Any, send: Any) -> None:
            await left.pop(0).wait()

        listeners = Listeners(inside)
        scope = {"type": "http", "path": ANSWERS, "query_string": b"session_hash=abc"}
        tasks = [asyncio.create_task(listeners(scope, None, None)) for _ in gates]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        for gate, task, still in zip(gates, tasks, (True, False), strict=True):
            gate.set()
            await task
            assert listeners.has("abc") is still

    asyncio.run(ask())


def test_patience_begins_anew_whenever_somebody_listened(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(listening.time, "monotonic", lambda: now[0])
    answers = [True, False, False, False]
    patience = Patience(lambda: answers.pop(0))
    for seconds, lasts in (
        (SILENT_SECONDS * 0.9, True),
        (SILENT_SECONDS * 0.9, True),
        (SILENT_SECONDS * 0.2, False),
    ):
        now[0] += seconds
        assert patience.lasts() is lasts


@pytest.mark.slow
def test_an_order_that_nobody_hears_of_stops_before_its_end(
    bench: WebService, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio")
    from vae_experiments.web.ui.page import Page

    visit, asked = bench.session("me"), small()
    tickets: list[Job] = []

    def order() -> Job:
        tickets.append(bench.run(visit, asked))
        return tickets[-1]

    async def followed(listens: bool) -> list[Any]:
        return [kept async for _, kept in Page(bench, lambda _: listens)._followed(visit, order)]

    assert asyncio.run(followed(listens=True))[-1] is tickets[-1].result is not None
    monkeypatch.setattr(listening, "SILENT_SECONDS", 0.5)
    asked = small(source_values={"size": "64", "frames": 9000})
    asyncio.run(followed(listens=False))
    assert waited(tickets[-1], 20).state is State.cancelled
    assert tickets[-1].share < 1


@pytest.mark.parametrize(
    "sent", [5, None, "noise", {}, [{}], [[]], [5, None], ["nosuch"], [["noise"]], ["noise"] * 10**5]
)
def test_whatever_stands_where_the_chain_should_is_a_sentence_or_nothing(
    sent: Any, bench: WebService
) -> None:
    pytest.importorskip("gradio")
    from vae_experiments.web.ui.form import Form, Key

    form = Form()
    form.controls = dict.fromkeys([Key("page", "", name) for name in ("source", "model", "decoder", "chain")])
    asked = form.asked(["moving_circle", "tiny", "same", sent])
    assert all(isinstance(name, str) for name in asked.chain)
    assert len(asked.chain) <= 7
