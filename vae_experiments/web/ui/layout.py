"""The layout: what stands where on the page, and how it looks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from vae_experiments.web.sweep_job import FEWEST, MOST, sweepable, usual_range
from vae_experiments.web.ui import html as cards

if TYPE_CHECKING:
    from vae_experiments.web.ui.form import Form

TITLE = "VAE experiments"
LEAD = f"<div class='lead'><h1>{TITLE}</h1><p>A video goes through an autoencoder; its latents are changed on the way.</p></div>"
HERE = Path(__file__).parent


class Layout:
    """Makes all that stands on the page, inside a ``gr.Blocks`` that is open."""

    def __init__(self, form: Form) -> None:
        gr.HTML(LEAD, padding=False)
        with gr.Tabs():
            with gr.Tab("Run"):
                self._lay_out_run(form)
            with gr.Tab("Sweep"):
                self._lay_out_sweep()
            with gr.Tab("History"):
                self.history = gr.HTML(cards.history([]), padding=False, elem_id="history")

    def _lay_out_run(self, form: Form) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                self.source = form.add_choice_of_source()
                self.file = gr.File(label="Upload a video of your own", height=130, elem_id="upload")
                self.facts = gr.HTML("", padding=False, elem_id="facts")
                with gr.Accordion("Size, length and rate", open=False):
                    form.add_source_settings()
                form.add_model()
                self.chain = form.add_chain()
                label = "Upload a second video"
                self.second = gr.File(label=label, visible=False, height=130, elem_id="second")
                self.second_facts = gr.HTML("", padding=False, elem_id="second-facts")
                self.order = gr.HTML("", padding=False, visible="hidden")
                form.add_manipulations()
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
        lead = "One setting of the chain of the first tab, over a few values: a picture and a plot."
        gr.HTML(cards.note(lead), padding=False)
        with gr.Row(equal_height=True):
            names = sweepable(["noise"])
            self.setting = gr.Dropdown(names, value=names[0], label="Setting", elem_id="sweep-setting")
            first, last = usual_range(names[0])
            self.first = gr.Number(first, label="from", elem_id="sweep-first")
            self.last = gr.Number(last, label="to", elem_id="sweep-last")
            self.count = gr.Slider(FEWEST, MOST, value=5, step=1, label="values", buttons=[])
        with gr.Row():
            self.begin = gr.Button("Sweep", variant="primary", scale=3, elem_id="sweep")
            self.stop = gr.Button("Cancel", interactive=False, scale=1, min_width=90)
        self.sweep_status = gr.HTML("", padding=False, elem_id="sweep-status")
        self.sheet = gr.HTML("", padding=False, elem_id="sheet")


def style() -> dict[str, Any]:
    """Return what Gradio wants to know of the page's looks; nothing of it is fetched from elsewhere."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="stone", font=fonts, font_mono=["ui-monospace", "monospace"]
    ).set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_300")
    script, css = ((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    return {"theme": theme, "css": css, "head": f"<script>{script}</script>"}
