"""The page: what stands where, and what happens when something is pressed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator  # noqa: TC003  Gradio reads the annotations of what it calls
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from vae_experiments.web.requests.catalog import offered
from vae_experiments.web.requests.controls import SECOND
from vae_experiments.web.requests.run_request import VIDEO, first_settings
from vae_experiments.web.server.browsers import Patience, browser_of
from vae_experiments.web.state.job_queue import State, sentence_of
from vae_experiments.web.sweep_job import SweepRange, sweepable, usual_range
from vae_experiments.web.ui import html as cards
from vae_experiments.web.ui.form import PATTERN, Form, Key, in_order, mixes_two, names_in
from vae_experiments.web.ui.layout import TITLE, Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vae_experiments.web.requests.run_request import RawRequest
    from vae_experiments.web.service import PageSession, WebService
    from vae_experiments.web.state.job_queue import Job
    from vae_experiments.web.state.results import Kept
    from vae_experiments.web.state.uploads import Upload

POLL_SECONDS, WAITING_SECONDS = 0.25, 2.0
PREVIEW_SECONDS = 30
"""How long a preview waits for others before it is given up."""
MOST_READERS = 200
RAW: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "preprocess": False}
"""The values of the controls come as the browser sent them: our own declarations check them."""


class Page:
    """Puts the layout over a service, and answers what is pressed on it.

    Args:
        service: what does the work.
        listens: tells whether an open page hears what is said to it.
    """

    def __init__(self, service: WebService, listens: Callable[[str], bool]) -> None:
        self.service, self.listens, self.form = service, listens, Form()
        with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 1800)) as self.blocks:
            self._connect(Layout(self.form))

    def takes_files(self) -> dict[int, list[bool]]:
        """Tell of each value that comes with all that can be pressed, by its number, whether it is a file."""
        return {
            number: [isinstance(made, gr.File) for made in event.inputs]
            for number, event in self.blocks.fns.items()
        }

    def _connect(self, on: Layout) -> None:
        form, every = self.form, list(self.form.controls.values())
        on.source.change(_show_source, on.source, [form.groups[PATTERN], form.groups[VIDEO]], **RAW)
        groups = [form.groups[name] for name in offered("manipulation")]
        shown = [on.order, on.setting, on.second, *groups]
        on.chain.change(_show_chain, [on.chain, on.setting], shown, **RAW)
        on.setting.change(_show_range, on.setting, [on.first, on.last], **RAW)
        sizes = [form.controls[Key("source", VIDEO, name)] for name in ("size", "frames")]
        arrived = on.file.upload(self._receive, on.file, [on.facts, on.source, *sizes], **RAW)
        on.file.clear(self._forget, None, [on.facts, on.source], **RAW)
        second = on.second.upload(self._receive_second, on.second, [on.second_facts, *form.others()], **RAW)
        on.second.clear(self._forget_second, None, on.second_facts, **RAW)
        readers: dict[str, Any] = {**RAW, "concurrency_limit": MOST_READERS}
        results = [on.run, on.cancel, on.status, on.preview, on.result, on.history]
        on.run.click(self._run, every, results, api_name="run", **readers)
        over = [on.setting, on.first, on.last, on.count]
        on.begin.click(
            self._sweep, [*over, *every], [on.begin, on.stop, on.sweep_status, on.sheet], **readers
        )
        for button in (on.cancel, on.stop):
            button.click(self._cancel, None, None, **readers)
        self.blocks.unload(self._cancel)
        shows: dict[str, Any] = {"fn": self._preview, "inputs": every, "outputs": [on.preview, on.history]}
        gr.on([self.blocks.load, *_changes(every)], trigger_mode="always_last", **shows, **readers)
        for upload in (arrived, second):
            upload.then(**shows, **readers)

    def _receive(self, file: dict[str, Any], request: gr.Request) -> list[Any]:
        upload, note = self._taken(file, request, VIDEO)
        if upload is None:
            return [note, gr.skip(), gr.skip(), gr.skip()]
        first = first_settings(upload)
        return [note, VIDEO, first["size"], first["frames"]]

    def _receive_second(self, file: dict[str, Any], request: gr.Request) -> list[Any]:
        upload, note = self._taken(file, request, SECOND)
        return [note, *[SECOND if upload else gr.skip() for _ in self.form.others()]]

    def _taken(self, file: dict[str, Any], request: gr.Request, place: str) -> tuple[Upload | None, str]:
        """Take an upload, and say what it is; Gradio's own copy of it goes."""
        path = Path(file["path"])
        try:
            upload = self.service.receive(self._session(request), path, path.name, place)
        except Exception as error:
            return None, self._mistake(sentence_of(error))
        finally:
            path.unlink(missing_ok=True)
        return upload, self._mistake(upload.damage) if upload.damage else cards.uploaded(upload)

    def _forget(self, request: gr.Request) -> list[str]:
        self._session(request).uploads.pop(VIDEO, None)
        return ["", PATTERN]

    def _forget_second(self, request: gr.Request) -> str:
        self._session(request).uploads.pop(SECOND, None)
        return ""

    async def _run(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        session = self._session(request)
        async for status, kept in self._followed(
            session, lambda: self.service.run(session, self.form.asked(values))
        ):
            shown = (
                ["", cards.result(kept), cards.history(session.browser.history)] if kept else [gr.skip()] * 3
            )
            yield [*status, *shown]

    async def _sweep(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        session = self._session(request)
        async for status, kept in self._followed(
            session,
            lambda: self.service.sweep(session, self.form.asked(values[4:]), SweepRange.of(*values[:4])),
        ):
            yield [*status, cards.sweep(kept) if kept else gr.skip()]

    async def _followed(
        self, session: PageSession, order: Callable[[], Job]
    ) -> AsyncIterator[tuple[list[Any], Kept | None]]:
        """Order, and say how it stands until it is over; whoever leaves has cancelled.

        Each time these come: the button that begins, the one that cancels, the status; and at last the result.
        """

        def status(busy: bool, text: str) -> list[Any]:
            return [gr.update(interactive=not busy), gr.update(interactive=busy), text]

        try:
            job = await asyncio.to_thread(order)
        except Exception as error:
            yield status(False, self._mistake(sentence_of(error))), None
            return
        patience, shown = self._patience(session), ""
        try:
            while not job.is_over and patience.lasts():
                text = cards.progress(job, self.service.queue.ahead_of(job))
                if text != shown:
                    yield status(True, text), None
                shown = text
                # Fifty who wait, told of every step before them, would keep the server busy with that.
                await asyncio.sleep(POLL_SECONDS if job.state is State.running else WAITING_SECONDS)
        finally:
            self.service.queue.cancel_one(job)
        yield status(False, self._end(job)), job.result

    def _patience(self, session: PageSession) -> Patience:
        return Patience(lambda: self.listens(session.id))

    def _mistake(self, sentence: str) -> str:
        return cards.mistake(self.service.sentence(sentence))

    def _end(self, job: Job) -> str:
        if job.state is State.failed:
            return self._mistake(job.sentence)
        return cards.note("cancelled") if job.state is State.cancelled else ""

    async def _preview(self, request: gr.Request, *values: Any) -> list[Any]:
        """Show a preview, and to a page that was just loaded the history of its browser."""
        session = self._session(request)
        history = gr.skip() if session.greeted else cards.history(session.browser.history)
        session.greeted = True
        return [await self._previewed(session, values), history]

    async def _previewed(self, session: PageSession, values: Sequence[Any]) -> Any:
        try:
            asked = self.form.asked(values)
            if asked.source == VIDEO and VIDEO not in session.uploads:
                return ""
            job = await self._preview_job(session, asked)
        except Exception as error:
            return self._mistake(sentence_of(error))
        if job is None:
            return gr.skip()
        patience = self._patience(session)
        try:
            while not job.is_over and patience.lasts():
                await asyncio.sleep(POLL_SECONDS / 4)
        finally:
            self.service.queue.cancel_one(job)
        return cards.preview(job.result) if job.state is State.done else self._end(job)

    async def _preview_job(self, session: PageSession, asked: RawRequest) -> Job | None:
        """Order a preview when nobody else is served: none of what the person's own run shows, none after long."""
        for _ in range(round(PREVIEW_SECONDS / POLL_SECONDS)):
            job = await asyncio.to_thread(self.service.preview, session, asked)
            if job is not None or (self.service.queue.serves(session.id) and asked == session.asked):
                return job
            await asyncio.sleep(POLL_SECONDS)
        return None

    async def _cancel(self, request: gr.Request) -> None:
        self.service.queue.cancel(self._session(request).id)

    def _session(self, request: gr.Request) -> PageSession:
        return self.service.session(request.session_hash, browser_of(request.cookies))


def _changes(controls: Iterable[Any]) -> Iterator[Any]:
    """Yield what begins a preview: a slider let go, a choice, a text that was typed."""
    for made in controls:
        if isinstance(made, gr.Slider):
            yield made.release
        elif isinstance(made, gr.Textbox | gr.Number):
            yield from (made.submit, made.blur)
        else:
            yield made.input


def _show_source(source: Any) -> list[Any]:
    return [gr.update(visible=source != VIDEO), gr.update(visible=source == VIDEO)]


def _show_chain(sent: Any, setting: Any) -> list[Any]:
    chain = names_in(sent)
    names = sweepable(chain)
    return [
        in_order(chain),
        gr.update(choices=names, value=setting if setting in names else next(iter(names), None)),
        gr.update(visible=mixes_two(chain)),
        *(gr.update(visible=name in chain) for name in offered("manipulation")),
    ]


def _show_range(setting: Any) -> list[Any]:
    known = sweepable(list(offered("manipulation")))
    return list(usual_range(setting)) if setting in known else [gr.skip(), gr.skip()]
