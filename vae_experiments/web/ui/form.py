"""The form: the controls of all settings, and what the browser sent for each of them."""

from __future__ import annotations

from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr

from vae_experiments.cli.settings_help import grouped, sentence
from vae_experiments.web.requests.catalog import DEFAULT, models, offered
from vae_experiments.web.requests.controls import SECOND, Control
from vae_experiments.web.requests.run_request import LONGEST_CHAIN, NOT_ASKED, VIDEO, RawRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vae_experiments.web.requests.catalog import Offered

PATTERN, OWN = "moving_circle", "your own video"
OVER_TIME = "@"
"""Marks the text beside a slider, which takes its place: a schedule, or a number beyond the slider."""
SCHEDULE = "empty, a number beyond the slider, or as ramp(0,1)"


class Key(NamedTuple):
    """Which setting a control is for: ``('manipulation', 'noise', 'scale')``."""

    group: str
    owner: str
    name: str


class Form:
    """Makes the controls inside a ``gr.Blocks`` that is open, and reads their values again.

    ``controls`` holds them in the order in which their values come.
    """

    def __init__(self) -> None:
        self.controls: dict[Key, Any] = {}
        self.groups: dict[str, Any] = {}
        """What is shown of a source or of a manipulation only while it is chosen."""

    def asked(self, values: Sequence[Any]) -> RawRequest:
        """Put the values of all controls together; they are neither typed nor checked."""
        sent = dict(zip(self.controls, values, strict=True))
        source, model, chain = (sent[Key("page", "", name)] for name in ("source", "model", "chain"))
        names = names_in(chain)[: LONGEST_CHAIN + 1]  # one too many is enough to be refused
        return RawRequest(
            source=source,
            source_values=_of(sent, "source", VIDEO if source == VIDEO else PATTERN),
            model=model,
            model_values=_of(sent, "model", ""),
            decoder=sent[Key("page", "", "decoder")],
            chain=names,
            values={name: _of(sent, "manipulation", name) for name in names},
        )

    def add_choice_of_source(self) -> Any:
        """Add the choice between an upload and the patterns."""
        choices = [(OWN, VIDEO), *_with_labels(name for name in offered("source") if name != VIDEO)]
        return self._choice("source", gr.Dropdown(choices, value=PATTERN, label="Video", elem_id="source"))

    def add_source_settings(self) -> None:
        """Add the settings of a pattern, which all patterns share, and those of a video."""
        for owner in (PATTERN, VIDEO):
            with gr.Group(visible=owner != VIDEO, elem_id=f"source-{owner}") as self.groups[owner]:
                controls = [
                    made for made in offered("source")[owner].controls() if made.name not in NOT_ASKED
                ]
                for pair in zip_longest(controls[::2], controls[1::2]):
                    with gr.Row():
                        self._add("source", owner, filter(None, pair))

    def others(self) -> list[Any]:
        """List the controls that name the other video of a manipulation that mixes two."""
        return [
            made for key, made in self.controls.items() if key.group == "manipulation" and key.name == "path"
        ]

    def add_model(self) -> None:
        """Add the choice among the models that are on this machine, and its settings."""
        here = models()
        choices = [(f"{name}: {one.title.partition(':')[0]}", name) for name, one in here.items()]
        self._choice("model", gr.Dropdown(choices, value=DEFAULT["model"], label="Model", elem_id="model"))
        decoders = [("the model itself", str(DEFAULT["decoder"])), *choices]
        made = gr.Dropdown(
            decoders, value=DEFAULT["decoder"], label="Decoder", elem_id="decoder", visible=len(here) > 1
        )
        self._choice("decoder", made)
        with gr.Accordion("Settings of the model", open=False):
            self._add("model", "", here[str(DEFAULT["model"])].controls())  # which every model has

    def add_chain(self) -> Any:
        """Add the choice of manipulations, in the order in which they are picked."""
        by_group = [name for members in grouped().values() for name in members]
        known = sorted(offered("manipulation"), key=[*by_group, *offered("manipulation")].index)
        made = gr.Dropdown(
            _with_labels(known),
            value=list(DEFAULT["manipulation"]),
            multiselect=True,
            max_choices=LONGEST_CHAIN,
            label="Manipulations, in this order",
            elem_id="chain",
        )
        return self._choice("chain", made)

    def add_manipulations(self) -> None:
        """Add the settings of every manipulation; only those of the chain are shown."""
        with gr.Column(elem_classes="chain"):
            for name, one in offered("manipulation").items():
                shown = name in DEFAULT["manipulation"]
                with gr.Group(visible=shown, elem_id=f"settings-{name}") as self.groups[name]:
                    title, text = name.replace("_", " "), sentence(one.kind).replace("`", "")
                    gr.HTML(
                        f'<div class="what"><h3>{escape(title)}</h3><p>{escape(text)}</p></div>',
                        padding=False,
                    )
                    self._add_settings(name, one)

    def _add_settings(self, name: str, one: Offered) -> None:
        common, controls = one.common(), one.controls()
        self._add("manipulation", name, [made for made in controls if made.name not in common])
        shared = [made for made in controls if made.name in common]
        scheduled = [made for made in controls if made.scheduled]
        if shared or scheduled:
            with gr.Accordion("Where, when and how much", open=False):
                self._add("manipulation", name, shared)
                for made in scheduled:
                    text = Control("text", f"{made.name} over time", "", "", scheduled=True)
                    self.controls[Key("manipulation", name, f"{made.name}{OVER_TIME}")] = component(text)

    def _add(self, group: str, owner: str, controls: Iterable[Control]) -> None:
        for made in controls:
            self.controls[Key(group, owner, made.name)] = component(made)

    def _choice(self, name: str, made: Any) -> Any:
        self.controls[Key("page", "", name)] = made
        return made


def mixes_two(chain: Sequence[str]) -> bool:
    """Whether a step of a chain has a setting that names another video."""
    known = offered("manipulation")
    steps = [known[name] for name in chain if name in known]
    return any(SECOND in control.choices for step in steps for control in step.controls())


def names_in(chain: Any) -> list[str]:
    """Read the names of a chain as the browser sent it; what is no list of texts has none."""
    return [name for name in chain if isinstance(name, str)] if isinstance(chain, list) else []


def _with_labels(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), name) for name in names]


def component(control: Control) -> Any:
    """Make the Gradio component of one control; its values are checked by the settings, not by it."""
    both: dict[str, Any] = {"label": control.name.replace("_", " "), "info": control.help or None}
    if control.shape == "slider":
        bounds = control.minimum or 0, control.maximum or 1
        return gr.Slider(*bounds, value=control.default, step=control.step, buttons=[], **both)
    if control.shape == "checkbox":
        return gr.Checkbox(control.default, **both)
    if control.shape == "dropdown":
        choices = [(label or "none", name) for label, name in _with_labels(control.choices)]
        return gr.Dropdown(choices, value=control.default, **both)
    if control.shape == "number":
        return gr.Number(control.default, step=control.step or 1, **both)
    placeholder = SCHEDULE if control.scheduled else None
    return gr.Textbox(control.default, max_lines=1, placeholder=placeholder, **both)


def _of(sent: dict[Key, Any], group: str, owner: str) -> dict[str, Any]:
    """Collect the values of one owner's settings; a text over time takes the place of its slider."""
    found = {key.name: value for key, value in sent.items() if key[:2] == (group, owner)}
    for name in [name for name in found if name.endswith(OVER_TIME)]:
        text = found.pop(name)
        if isinstance(text, str) and text.strip():
            found[name.removesuffix(OVER_TIME)] = _number_or_text(text)
    return found


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def in_order(chain: Sequence[str]) -> str:
    """Put the settings of a chain in its order, as a style sheet."""
    known = offered("manipulation")
    rules = [f"#settings-{name}{{order:{place}}}" for place, name in enumerate(chain) if name in known]
    return f"<style>{''.join(rules)}</style>"
