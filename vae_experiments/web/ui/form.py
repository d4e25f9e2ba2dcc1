"""The form: the controls of all settings, and what the browser sent for each of them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.cli.settings_help import grouped, sentence
from vae_experiments.manipulations import ChainStep
from vae_experiments.web.requests.catalog import DEFAULT, models, offered
from vae_experiments.web.requests.controls import SECOND, Control
from vae_experiments.web.requests.run_request import LONGEST_CHAIN, NOT_ASKED, VIDEO, RawRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
        source = sent[Key("page", "", "source")]
        # One too many is enough to be refused.
        chain = names_in(sent[Key("page", "", "chain")])[: LONGEST_CHAIN + 1]
        owner = VIDEO if source == VIDEO else PATTERN
        return RawRequest(
            source=source,
            source_values=_of(sent, "source", owner),
            model=sent[Key("page", "", "model")],
            model_values=_of(sent, "model", ""),
            chain=chain,
            values={name: _of(sent, "manipulation", name) for name in chain},
        )

    def add_choice_of_source(self) -> Any:
        """Add the choice between an upload and the patterns."""
        import gradio as gr

        names = [(name.replace("_", " "), name) for name in offered("source") if name != VIDEO]
        return self._keep(
            Key("page", "", "source"),
            gr.Dropdown([(OWN, VIDEO), *names], value=PATTERN, label="Video", elem_id="source"),
        )

    def add_source_settings(self) -> None:
        """Add the settings of a pattern, which all patterns share, and those of a video."""
        import gradio as gr

        for owner in (PATTERN, VIDEO):
            with gr.Group(visible=owner != VIDEO, elem_id=f"source-{owner}") as group:
                controls = [c for c in offered("source")[owner].controls() if c.name not in NOT_ASKED]
                for first in range(0, len(controls), 2):
                    with gr.Row():
                        for control in controls[first : first + 2]:
                            self._add(Key("source", owner, control.name), control)
            self.groups[owner] = group

    def others(self) -> list[Key]:
        """List the settings that name the other video of a manipulation that mixes two."""
        return [key for key in self.controls if key.group == "manipulation" and key.name == "path"]

    def mixes_two(self, chain: Sequence[Any]) -> bool:
        """Whether a step of a chain has a setting that names another video."""
        return any(
            SECOND in control.choices
            for name in chain
            if name in offered("manipulation")
            for control in offered("manipulation")[name].controls()
        )

    def add_model(self) -> None:
        """Add the choice among the models that are on this machine, and its settings."""
        import gradio as gr

        here = models()
        choices = [(f"{name}: {one.title.partition(':')[0]}", name) for name, one in here.items()]
        self._keep(
            Key("page", "", "model"),
            gr.Dropdown(choices, value=DEFAULT["model"], label="Model", elem_id="model"),
        )
        with gr.Accordion("Settings of the model", open=False):
            for control in here[str(DEFAULT["model"])].controls():  # which every model has
                self._add(Key("model", "", control.name), control)

    def add_chain(self) -> Any:
        """Add the choice of manipulations, in the order in which they are picked."""
        import gradio as gr

        known = offered("manipulation")
        by_group = [name for members in grouped().values() for name in members if name in known]
        names = [*by_group, *(name for name in known if name not in by_group)]
        return self._keep(
            Key("page", "", "chain"),
            gr.Dropdown(
                [(name.replace("_", " "), name) for name in names],
                value=list(DEFAULT["manipulation"]),
                multiselect=True,
                max_choices=LONGEST_CHAIN,
                label="Manipulations, in this order",
                elem_id="chain",
            ),
        )

    def add_manipulations(self) -> None:
        """Add the settings of every manipulation; only those of the chain are shown."""
        import gradio as gr

        with gr.Column(elem_classes="chain"):
            for name, one in offered("manipulation").items():
                shown = name in DEFAULT["manipulation"]
                with gr.Group(visible=shown, elem_id=f"settings-{name}") as self.groups[name]:
                    gr.HTML(_heading(one), padding=False)
                    self._add_settings(name, one)

    def _add_settings(self, name: str, one: Offered) -> None:
        import gradio as gr

        common, controls = one.common(), one.controls()
        for control in controls:
            if control.name not in common:
                self._add(Key("manipulation", name, control.name), control)
        scheduled = [control for control in controls if control.scheduled]
        shared = [control for control in controls if control.name in common]
        if shared or scheduled:
            with gr.Accordion("Where, when and how much", open=False):
                for control in shared:
                    self._add(Key("manipulation", name, control.name), control)
                for control in scheduled:
                    label = f"{control.name} over time"
                    text = Control("text", label, "", "", scheduled=True)
                    self._add(Key("manipulation", name, f"{control.name}{OVER_TIME}"), text)

    def _add(self, key: Key, control: Control) -> None:
        self._keep(key, component(control))

    def _keep(self, key: Key, made: Any) -> Any:
        self.controls[key] = made
        return made


def names_in(chain: Any) -> list[str]:
    """Read the names of a chain as the browser sent it; what is no list of texts has none."""
    return [name for name in chain if isinstance(name, str)] if isinstance(chain, list) else []


def component(control: Control) -> Any:
    """Make the Gradio component of one control; its values are checked by the settings, not by it."""
    import gradio as gr

    label, info = control.name.replace("_", " "), control.help or None
    if control.shape == "slider":
        return gr.Slider(
            control.minimum or 0,
            control.maximum or 1,
            value=control.default,
            step=control.step,
            label=label,
            info=info,
            buttons=[],
        )
    if control.shape == "checkbox":
        return gr.Checkbox(control.default, label=label, info=info)
    if control.shape == "dropdown":
        names = [(name.replace("_", " ") or "none", name) for name in control.choices]
        return gr.Dropdown(names, value=control.default, label=label, info=info)
    if control.shape == "number":
        return gr.Number(control.default, label=label, info=info, step=control.step or 1)
    placeholder = SCHEDULE if control.scheduled else None
    return gr.Textbox(control.default, label=label, info=info, max_lines=1, placeholder=placeholder)


def _of(sent: dict[Key, Any], group: str, owner: str) -> dict[str, Any]:
    """Collect the values of one owner's settings; a text over time takes the place of its slider."""
    found = {key.name: value for key, value in sent.items() if key[:2] == (group, owner)}
    over_time = {name: found.pop(name) for name in list(found) if name.endswith(OVER_TIME)}
    return found | {
        name.removesuffix(OVER_TIME): _number_or_text(text) for name, text in over_time.items() if _says(text)
    }


def _says(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _heading(one: Offered) -> str:
    assert issubclass(one.kind, ChainStep), one
    title, text = escape(one.name.replace("_", " ")), escape(sentence(one.kind)).replace("`", "")
    return f'<div class="what"><h3>{title}</h3><p>{text}</p></div>'


def in_order(chain: Sequence[Any]) -> Iterator[str]:
    """Put the settings of a chain in its order, as rules of a style sheet."""
    for place, name in enumerate(chain):
        if name in offered("manipulation"):
            yield f"#settings-{name}{{order:{place}}}"
