"""Controls and values: the declaration that the command line uses is the one that the page uses."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from vae_experiments import options
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Manipulation
from vae_experiments.options import Choice, Scheduled, setting
from vae_experiments.web.requests.catalog import models, offered
from vae_experiments.web.requests.controls import Control, control, typed

EVERY = [(group, name) for group in ("manipulation", "source") for name in offered(group)] + [
    ("model", name) for name in models()
]
NAMES = [name for _, name in EVERY]


class Weather(Choice):
    """What a test chooses from."""

    rain = "rain"
    sun = "sun"


class Kite(Manipulation):
    """Flies, in a test only."""

    height: Scheduled = setting("how high", default=3.0, unit="metres", minimum=0, maximum=8)
    tail: bool = setting("whether it has one", default=True)
    lit: bool | None = setting("whether it has lights; left out, at night", default=None)
    weather: Weather = setting("what it is like", default=Weather.sun)
    strings: int = setting("how many", default=2, minimum=1)
    colour: str = setting("what it is painted", default="red")


# Tests of other modules go through every manipulation that there is.
options._GROUPS["manipulation"].pop("kite")


def of_kite(name: str) -> Control:
    default, rule = next((default, rule) for key, default, rule in Kite.settings() if key == name)
    return control(Kite, name, default, rule)


def test_a_manipulation_nobody_has_heard_of_gets_a_control_for_each_of_its_settings() -> None:
    height = of_kite("height")
    assert (height.shape, height.minimum, height.maximum, height.default) == ("slider", 0, 8, 3.0)
    assert height.help == "How high, in metres"
    assert height.scheduled
    assert of_kite("tail").shape == "checkbox"
    assert of_kite("lit").choices == ("left out", "true", "false")
    assert of_kite("lit").default == "left out"
    assert of_kite("weather").choices == ("rain", "sun")
    assert (of_kite("strings").step, of_kite("strings").minimum) == (1, 1)
    assert of_kite("colour").shape == "text"


@pytest.mark.parametrize("name", [kind for group, kind in EVERY if group == "manipulation"])
def test_a_slider_reaches_every_value_that_the_gallery_shows(name: str) -> None:
    kind = options.kinds("manipulation")[name]
    shown, values = kind.gallery_values
    default, rule = next((default, rule) for key, default, rule in kind.settings() if key == shown)
    slider = control(kind, shown, default, rule)
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    assert all(slider.minimum <= value <= slider.maximum for value in numbers if slider.shape == "slider")


@pytest.mark.parametrize(("group", "name"), EVERY, ids=NAMES)
def test_the_default_of_every_setting_lies_on_its_control_and_comes_back_from_it(
    group: str, name: str
) -> None:
    one = offered(group)[name]
    assert one.controls()
    for made in one.controls():
        if made.shape == "slider":
            assert made.minimum is not None
            assert made.maximum is not None
            assert made.minimum <= made.default <= made.maximum
            assert 0 < (made.step or 0) <= (made.maximum - made.minimum) / 5
        if made.shape == "dropdown" and made.default is not None:
            assert made.default in made.choices
        if made.default is not None:
            value, default = typed(one.kind, made.name, made.default, one.address), one.defaults[made.name]
            assert value == default
            assert not isinstance(default, Enum) or value is default


@pytest.mark.parametrize(("group", "name"), EVERY, ids=NAMES)
def test_both_ends_of_every_slider_keep_the_declared_rule(group: str, name: str) -> None:
    one = offered(group)[name]
    rules = {key: rule for key, _, rule in one.kind.settings()}
    for made in one.controls():
        for end in (made.minimum, made.maximum):
            assert end is None or rules[made.name].admits(end), (made.name, end)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("height", "abc", "kite.height=abc: must be a number or a schedule"),
        ("height", float("nan"), "kite.height=nan: must be a finite number"),
        ("height", 1e400, "must be a finite number"),
        ("height", 9, "must be at least 0 and at most 8 metres"),
        ("height", None, "must be a number"),
        ("height", True, "must be a number"),
        ("strings", 1.5, "kite.strings=1.5: must be a whole number"),
        ("strings", "2", None),
        ("tail", "yes", "must be true or false"),
        ("lit", "left out", None),
        ("lit", "true", None),
        ("lit", ["true"], "no such choice; choose from: left out, true, false"),
        ("lit", True, "no such choice"),
        ("weather", "snow", "kite.weather=snow: no such choice; choose from: rain, sun"),
        ("weather", ["rain"], "no such choice"),
        ("colour", "../../etc/passwd", "has signs that this page does not take"),
        ("colour", "${oc.env:HOME}", "has signs that this page does not take"),
        ("colour", "http://a.example/b", "has signs that this page does not take"),
        ("colour", "x" * 300, "has signs that this page does not take"),
        ("colour", "a\nb", "has signs that this page does not take"),
        ("mask", "clip.mp4", "no shape and no pattern"),
        ("mask", "outside clip.mp4", "no shape and no pattern"),
        ("height", "table(pyproject.toml)", "reads a file, and this page takes none in an expression"),
        (
            "height",
            "1 + audio(low, path=song.wav)",
            "reads a file, and this page takes none in an expression",
        ),
        ("height", "0.5 + motion()*wander(seed=1)", None),
        ("mask", "plasma or clip.mp4", "no shape and no pattern"),
        ("mask", "circle(table(a.csv),0.5,0.3)", "no shape and no pattern"),
        ("mask", "plasma and not grow(color(#ff0000,0.2), 0.1)", None),
        ("mask", "circle(0.5,0.5,0.3)", None),
        ("mask", "checkerboard", None),
        ("channels", "0, 3", None),
        ("channels", "a", "must be whole numbers"),
    ],
)
def test_a_value_from_the_browser_is_typed_or_refused_in_one_line(
    name: str, value: Any, sentence: str | None
) -> None:
    def build() -> Kite:
        try:
            return Kite(**{name: typed(Kite, name, value, "kite")})
        except SettingError as error:
            raise error.at("kite") from error

    if sentence is None:
        build()
        return
    with pytest.raises(SettingError) as caught:
        build()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def answers() -> list[object]:
    """Give what the page makes of texts that may be names of files."""
    found: list[object] = []
    for kind, name, text in (
        (Kite, "colour", "red"),
        (Kite, "colour", "run.py"),
        (Kite, "colour", "nosuch.py"),
        (Kite, "mask", "clip.mp4"),
        (Kite, "mask", "8"),
        (Kite, "mask", "checkerboard"),
        (Kite, "height", "8"),
        (offered("source")["video"].kind, "fps", "8"),
        (offered("source")["video"].kind, "size", "48"),
    ):
        try:
            found.append(typed(kind, name, text, "somewhere"))
        except SettingError as error:
            found.append(str(error).replace(text, "TEXT"))
    return found


def test_no_answer_of_the_page_depends_on_what_lies_in_the_folder_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = answers()
    for name in ("red", "run.py", "clip.mp4", "8", "48", "checkerboard"):
        (tmp_path / name).write_text("secret")
    assert answers() == before
    assert before[:3] == ["red", "run.py", "nosuch.py"]
    assert before[3] == before[4]
    assert before[5:] == ["checkerboard", "8", "8", "48"]


@pytest.mark.parametrize("mask", ["blob(1)", "circle(1)", "circle(a,b,c)", "box((", "outside blob()"])
def test_a_mask_that_breaks_its_grammar_is_said_in_one_line(mask: str) -> None:
    with pytest.raises(SettingError, match="mask="):
        Kite(**{"mask": typed(Kite, "mask", mask, "kite")})


def test_a_setting_that_is_a_path_takes_the_names_of_patterns_and_nothing_else() -> None:
    blend = offered("manipulation")["blend"]
    assert blend.build({"path": "rainbow"}).path == "rainbow"  # type: ignore[attr-defined]
    for text in ("/etc/passwd", "clip.mp4", "http://a.example", None, ["rainbow"]):
        with pytest.raises(SettingError, match="no such video here; choose from: second_video, bars"):
            blend.build({"path": text})
