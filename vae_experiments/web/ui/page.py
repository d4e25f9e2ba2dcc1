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
from vae_experiments.web.ui.form import PATTERN, Form, Key, in_order, names_in
from vae_experiments.web.ui.layout import TITLE, Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    """Puts the layout over a bench, and answers what is pressed on it.

    Args:
        bench: what does the work.
        listens: tells whether an open page hears what is said to it.
    """

    def __init__(self, service: WebService, listens: Callable[[str], bool]) -> None:
        self.service, self.listens, self.form = service, listens, Form()
        with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 1800)) as self.blocks:
            self.on = Layout(self.form)
            self._connect()

    def takes_files(self) -> dict[int, list[bool]]:
        """Tell of each value that comes with all that can be pressed, by its number, whether it is a file."""
        return {
            number: [isinstance(made, gr.File) for made in event.inputs]
            for number, event in self.blocks.fns.items()
        }

    def _connect(self) -> None:
        every = list(self.form.controls.values())
        self.on.source.change(self._show_source, self.on.source, self._sources(), **RAW)
        self.on.chain.change(
            self._show_chain,
            [self.on.chain, self.on.setting],
            [self.on.order, self.on.setting, self.on.second, *self._groups()],
            **RAW,
        )
        self.on.setting.change(self._show_range, self.on.setting, [self.on.first, self.on.last], **RAW)
        sizes = [self.form.controls[Key("source", VIDEO, name)] for name in ("size", "frames")]
        arrived = self.on.file.upload(
            self._receive, self.on.file, [self.on.facts, self.on.source, *sizes], **RAW
        )
        self.on.file.clear(self._forget, None, [self.on.facts, self.on.source], **RAW)
        others = [self.form.controls[key] for key in self.form.others()]
        second = self.on.second.upload(
            self._receive_second, self.on.second, [self.on.second_facts, *others], **RAW
        )
        self.on.second.clear(self._forget_second, None, self.on.second_facts, **RAW)
        readers: dict[str, Any] = {**RAW, "concurrency_limit": MOST_READERS}
        self.on.run.click(
            self._run, every, [self.on.run, self.on.cancel, self.on.status, self.on.preview, self.on.result, self.on.history], api_name="run", **readers
        )  # fmt: skip
        over = [self.on.setting, self.on.first, self.on.last, self.on.count]
        self.on.begin.click(
            self._sweep,
            [*over, *every],
            [self.on.begin, self.on.stop, self.on.sweep_status, self.on.sheet],
            **readers,
        )
        for button in (self.on.cancel, self.on.stop):
            button.click(self._cancel, None, None, **readers)
        self.blocks.unload(self._cancel)
        shows: dict[str, Any] = {
            "fn": self._preview,
            "inputs": every,
            "outputs": [self.on.preview, self.on.history],
            **readers,
        }
        gr.on([self.blocks.load, *self._changes()], trigger_mode="always_last", **shows)
        arrived.then(**shows)
        second.then(**shows)

    def _changes(self) -> list[Any]:
        """List what begins a preview: a slider let go, a choice, a text that was typed."""
        found = []
        for made in self.form.controls.values():
            if isinstance(made, gr.Slider):
                found.append(made.release)
            elif isinstance(made, gr.Textbox | gr.Number):
                found += [made.submit, made.blur]
            else:
                found.append(made.input)
        return found

    def _sources(self) -> list[Any]:
        return [self.form.groups[PATTERN], self.form.groups[VIDEO]]

    def _groups(self) -> list[Any]:
        return [self.form.groups[name] for name in offered("manipulation")]

    def _show_source(self, source: Any) -> list[Any]:
        own = source == VIDEO
        return [gr.update(visible=not own), gr.update(visible=own)]

    def _show_chain(self, sent: Any, setting: Any) -> list[Any]:
        chain = names_in(sent)
        names = sweepable(chain)
        chosen = setting if setting in names else next(iter(names), None)
        return [
            f"<style>{''.join(in_order(chain))}</style>",
            gr.update(choices=names, value=chosen),
            gr.update(visible=self.form.mixes_two(chain)),
            *(gr.update(visible=name in chain) for name in offered("manipulation")),
        ]

    def _show_range(self, setting: Any) -> list[Any]:
        known = sweepable(list(offered("manipulation")))
        return list(usual_range(setting)) if setting in known else [gr.skip(), gr.skip()]

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
            return None, self._mistake(error)
        finally:
            path.unlink(missing_ok=True)
        return upload, (
            cards.mistake(self.service.sentence(upload.damage)) if upload.damage else cards.uploaded(upload)
        )

    def _forget(self, request: gr.Request) -> list[str]:
        self._session(request).uploads.pop(VIDEO, None)
        return ["", PATTERN]

    def _forget_second(self, request: gr.Request) -> str:
        self._session(request).uploads.pop(SECOND, None)
        return ""

    async def _run(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        session = self._session(request)
        async for busy, status, kept in self._followed(
            session, lambda: self.service.run(session, self.form.asked(values))
        ):
            shown = (
                [gr.skip()] * 3
                if kept is None
                else ["", cards.result(kept), cards.history(session.browser.history)]
            )
            yield [gr.update(interactive=not busy), gr.update(interactive=busy), status, *shown]

    async def _sweep(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        session = self._session(request)
        async for busy, status, kept in self._followed(
            session,
            lambda: self.service.sweep(session, self.form.asked(values[4:]), SweepRange.of(*values[:4])),
        ):
            shown = gr.skip() if kept is None else cards.sweep(kept)
            yield [gr.update(interactive=not busy), gr.update(interactive=busy), status, shown]

    async def _followed(
        self, session: PageSession, order: Callable[[], Job]
    ) -> AsyncIterator[tuple[bool, str, Kept | None]]:
        """Order, and say how it stands until it is over; whoever leaves has cancelled."""
        try:
            job = await asyncio.to_thread(order)
        except Exception as error:
            yield False, self._mistake(error), None
            return
        patience = self._patience(session)
        try:
            shown = ""
            while not job.is_over and patience.lasts():
                status = cards.progress(job, self.service.queue.ahead_of(job))
                if status != shown:
                    yield True, status, None
                shown = status
                # Fifty who wait, told of every step before them, would keep the server busy with that.
                await asyncio.sleep(POLL_SECONDS if job.state is State.running else WAITING_SECONDS)
        finally:
            self.service.queue.cancel_one(job)
        yield False, self._end(job), job.result

    def _patience(self, session: PageSession) -> Patience:
        return Patience(lambda: self.listens(session.id))

    def _mistake(self, error: Exception) -> str:
        return cards.mistake(self.service.sentence(sentence_of(error)))

    def _end(self, job: Job) -> str:
        if job.state is State.failed:
            return cards.mistake(self.service.sentence(job.sentence))
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
            return self._mistake(error)
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
