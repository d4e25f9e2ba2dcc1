"""The page: what stands where, and what happens when something is pressed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator  # noqa: TC003  Gradio reads the annotations of what it calls
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from vae_experiments.errors import VaeExperimentsError
from vae_experiments.web import cards
from vae_experiments.web.choices import offered
from vae_experiments.web.desk import State
from vae_experiments.web.form import PATTERN, Form, Key, in_order
from vae_experiments.web.order import VIDEO, first_settings
from vae_experiments.web.sweeping import FEWEST, MOST, Range, sweepable

if TYPE_CHECKING:
    from collections.abc import Callable

    from vae_experiments.web.bench import Bench, Visit
    from vae_experiments.web.desk import Ticket
    from vae_experiments.web.results import Kept

TITLE = "VAE experiments"
LEAD = f"<div class='lead'><h1>{TITLE}</h1><p>A video goes through an autoencoder; its latents are changed on the way.</p></div>"
POLL_SECONDS, WAITING_SECONDS = 0.25, 2.0
MOST_READERS = 200
SELDOM: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
RAW: dict[str, Any] = {**SELDOM, "preprocess": False}
"""The values of the controls come as the browser sent them: our own declarations check them."""
HERE = Path(__file__).parent


class Page:
    """Lays out the page over a bench, and answers what is pressed on it."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.form = bench, Form()
        with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 1800)) as self.blocks:
            gr.HTML(LEAD, padding=False)
            with gr.Tabs():
                with gr.Tab("Run"):
                    self._lay_out_run()
                with gr.Tab("Sweep"):
                    self._lay_out_sweep()
                with gr.Tab("History"):
                    self.history = gr.HTML(cards.history([]), padding=False, elem_id="history")
            self._connect()

    def _lay_out_run(self) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self.source = self.form.add_choice_of_source()
                self.file = gr.File(label="Upload a video", visible=False, height=130, elem_id="upload")
                self.facts = gr.HTML("", padding=False, elem_id="facts")
                with gr.Accordion("Size, length and rate", open=False):
                    self.form.add_source_settings()
                self.form.add_model()
                self.chain = self.form.add_chain()
                self.order = gr.HTML("", padding=False, visible="hidden")
                self.form.add_manipulations()
            with gr.Column(scale=7, min_width=300):
                with gr.Row():
                    self.run = gr.Button("Run", variant="primary", scale=3, elem_id="run")
                    self.cancel = gr.Button(
                        "Cancel", interactive=False, scale=1, min_width=90, elem_id="cancel"
                    )
                self.status = gr.HTML("", padding=False, elem_id="status")
                self.preview = gr.HTML("", padding=False, elem_id="preview")
                self.result = gr.HTML("", padding=False, elem_id="result")

    def _lay_out_sweep(self) -> None:
        gr.HTML(
            cards.note("One setting of the chain of the first tab, over a few values: a picture and a plot."),
            padding=False,
        )
        with gr.Row(equal_height=True):
            names = sweepable(["noise"])
            self.setting = gr.Dropdown(names, value=names[0], label="Setting", elem_id="sweep-setting")
            self.first = gr.Number(0.1, label="from", elem_id="sweep-first")
            self.last = gr.Number(1.0, label="to", elem_id="sweep-last")
            self.count = gr.Slider(FEWEST, MOST, value=4, step=1, label="values", buttons=[])
        with gr.Row():
            self.begin = gr.Button("Sweep", variant="primary", scale=3, elem_id="sweep")
            self.stop = gr.Button("Cancel", interactive=False, scale=1, min_width=90)
        self.sweep_status = gr.HTML("", padding=False, elem_id="sweep-status")
        self.sheet = gr.HTML("", padding=False, elem_id="sheet")

    def _connect(self) -> None:
        every = list(self.form.controls.values())
        self.source.change(self._show_source, self.source, [self.file, *self._sources()], **SELDOM)
        self.chain.change(self._show_chain, self.chain, [self.order, self.setting, *self._groups()], **SELDOM)
        sizes = [self.form.controls[Key("source", VIDEO, name)] for name in ("size", "frames")]
        arrived = self.file.upload(self._receive, self.file, [self.facts, *sizes], **SELDOM)
        self.file.clear(self._forget, None, self.facts, **SELDOM)
        readers: dict[str, Any] = {**RAW, "concurrency_limit": MOST_READERS}
        self.run.click(
            self._run, every, [self.run, self.cancel, self.status, self.preview, self.result, self.history], api_name="run", **readers
        )  # fmt: skip
        over = [self.setting, self.first, self.last, self.count]
        self.begin.click(
            self._sweep, [*over, *every], [self.begin, self.stop, self.sweep_status, self.sheet], **readers
        )
        for button in (self.cancel, self.stop):
            button.click(self._cancel, None, None, **readers)
        self.blocks.unload(self._cancel)
        shows: dict[str, Any] = {"fn": self._preview, "inputs": every, "outputs": self.preview, **readers}
        gr.on([self.blocks.load, *self._changes()], trigger_mode="always_last", **shows)
        arrived.then(**shows)

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

    def _show_source(self, source: str) -> list[Any]:
        own = source == VIDEO
        return [gr.update(visible=own), gr.update(visible=not own), gr.update(visible=own)]

    def _show_chain(self, chain: list[str]) -> list[Any]:
        names = sweepable(chain)
        return [
            f"<style>{''.join(in_order(chain))}</style>",
            gr.update(choices=names, value=names[0] if names else None),
            *(gr.update(visible=name in chain) for name in offered("manipulation")),
        ]

    def _receive(self, file: str, request: gr.Request) -> list[Any]:
        """Take an upload; Gradio's own copy of it goes."""
        path = Path(file)
        try:
            upload = self.bench.receive(self._visit(request), path, path.name)
        except VaeExperimentsError as error:
            return [cards.mistake(self.bench.sentence(error)), gr.skip(), gr.skip()]
        finally:
            path.unlink(missing_ok=True)
        first = first_settings(upload)
        damage = cards.mistake(self.bench.sentence(upload.damage)) if upload.damage else ""
        return [damage or cards.uploaded(upload), first["size"], first["frames"]]

    def _forget(self, request: gr.Request) -> str:
        self._visit(request).upload = ""
        return ""

    async def _run(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        visit = self._visit(request)
        async for busy, status, kept in self._followed(
            lambda: self.bench.run(visit, self.form.asked(values))
        ):
            shown = (
                [gr.skip()] * 3 if kept is None else ["", cards.result(kept), cards.history(visit.history)]
            )
            yield [gr.update(interactive=not busy), gr.update(interactive=busy), status, *shown]

    async def _sweep(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        visit = self._visit(request)
        async for busy, status, kept in self._followed(
            lambda: self.bench.sweep(visit, self.form.asked(values[4:]), Range.of(*values[:4]))
        ):
            shown = gr.skip() if kept is None else cards.sweep(kept)
            yield [gr.update(interactive=not busy), gr.update(interactive=busy), status, shown]

    async def _followed(self, order: Callable[[], Ticket]) -> AsyncIterator[tuple[bool, str, Kept | None]]:
        """Order, and say how it stands until it is over; whoever leaves has cancelled."""
        try:
            ticket = await asyncio.to_thread(order)
        except VaeExperimentsError as error:
            yield False, cards.mistake(self.bench.sentence(error)), None
            return
        try:
            shown = ""
            while not ticket.is_over:
                status = cards.progress(ticket, self.bench.desk.ahead_of(ticket))
                if status != shown:
                    yield True, status, None
                shown = status
                # Fifty who wait, told of every step before them, would keep the server busy with that.
                await asyncio.sleep(POLL_SECONDS if ticket.state is State.running else WAITING_SECONDS)
        finally:
            ticket.cancel()
        yield False, self._end(ticket), ticket.result

    def _end(self, ticket: Ticket) -> str:
        if ticket.state is State.failed:
            return cards.mistake(self.bench.sentence(ticket.sentence))
        return cards.note("cancelled") if ticket.state is State.cancelled else ""

    async def _preview(self, request: gr.Request, *values: Any) -> Any:
        visit = self._visit(request)
        try:
            asked = self.form.asked(values)
            if asked.source == VIDEO and not visit.upload:
                return ""
            ticket = await asyncio.to_thread(self.bench.preview, visit, asked)
        except VaeExperimentsError as error:
            return cards.mistake(self.bench.sentence(error))
        if ticket is None:
            return gr.skip()
        while not ticket.is_over:
            await asyncio.sleep(POLL_SECONDS / 4)
        return cards.preview(ticket.result) if ticket.state is State.done else self._end(ticket)

    async def _cancel(self, request: gr.Request) -> None:
        self.bench.desk.cancel(self._visit(request).id)

    def _visit(self, request: gr.Request) -> Visit:
        return self.bench.visit(request.session_hash)


def style() -> dict[str, Any]:
    """Give what Gradio wants to know of the page's looks; nothing of it is fetched from elsewhere."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", font=fonts, font_mono=["ui-monospace", "monospace"]
    ).set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    return {
        "theme": theme,
        "css": (HERE / "page.css").read_text(encoding="utf-8"),
        "head": f"<script>{script}</script>",
    }
