"""Schedules: every form of the grammar, and a sentence for everything else."""

from __future__ import annotations

from math import cos, pi, sin

import pytest

from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Noise
from vae_experiments.schedules import GRAMMAR, Timeline, parse_schedule, split_outside_brackets

TWO_SECONDS = Timeline(24, 2.0)


def values(text: str, *moments: float) -> list[float]:
    return [parse_schedule(text).at(moment, TWO_SECONDS) for moment in moments]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", [0.5, 0.5, 0.5]),
        ("-2e-1", [-0.2, -0.2, -0.2]),
        ("ramp(0, 1)", [0, 0.5, 1]),
        ("ramp(3,1)", [3, 2, 1]),
        ("ramp(0,1,0.5s,1.5s)", [0, 0.5, 1]),
        ("ramp(0,1,0%,50%)", [0, 1, 1]),
        ("ramp(0,1,12f,24f)", [0, 1, 1]),
        ("ease(0,1)", [0, 0.5, 1]),
        ("triangle(period=2s)", [0, 1, 0]),
        ("triangle(2s, low=1, high=3)", [1, 3, 1]),
        ("square(period=2s)", [1, 0, 1]),
        ("square(period=100%, phase=0.5)", [0, 1, 0]),
        ("0s:0 1s:0.5 2s:0", [0, 0.5, 0]),
        ("2s:1 0s:0", [0, 0.5, 1]),
        ("12f:4", [4, 4, 4]),
        ("0s:1 1s:1 1s:0 2s:0", [1, 0, 0]),
        ("0s:0 1s:0 1s:1 2s:1", [0, 1, 1]),
        ("ramp(1,0,1s,1s)", [1, 0, 0]),
        ("0%:0 100%:2", [0, 1, 2]),
    ],
)
def test_a_schedule_has_its_values_at_the_start_the_middle_and_the_end(
    text: str, expected: list[float]
) -> None:
    assert values(text, 0, 1, 2) == pytest.approx(expected)


def test_a_sine_goes_up_and_down_between_low_and_high() -> None:
    moments = [0.0, 0.3, 0.9, 1.7]
    expected = [2 + 1.5 * sin(2 * pi * (moment / 1.6 + 0.25)) for moment in moments]
    assert values("sine(period=1.6s, low=0.5, high=3.5, phase=0.25)", *moments) == pytest.approx(expected)


def test_an_ease_is_half_a_cosine() -> None:
    assert values("ease(1,3)", 0.5) == pytest.approx([2 - cos(pi / 4)])


def test_only_shares_of_a_clip_need_its_length() -> None:
    assert all(parse_schedule(text).needs_length for text in ("ramp(0,1)", "0%:1", "sine(period=50%)"))
    assert not any(parse_schedule(text).needs_length for text in ("1", "ramp(0,1,0s,1s)", "sine(period=2s)"))


def test_a_clip_of_one_frame_is_at_the_end_of_every_ramp() -> None:
    assert parse_schedule("ramp(0,1)").at(0, Timeline(24, 0.0)) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rmap(0,1)", r"there is no rmap\(\)"),
        ("ramp(0)", r"ramp\(\) takes two values, and two times if you like"),
        ("ramp(0,1,2,3)", "'2' is not a time"),
        ("ramp(0,nan)", "'nan' is not a number"),
        ("ramp(0,1", "cannot read"),
        ("sine()", r"sine\(\) takes period="),
        ("sine(2s,frequency=3)", r"sine\(\) takes period="),
        ("sine(period=0s)", "a period is more than 0"),
        ("1s:a", "'a' is not a number"),
        ("1x:3", "cannot read '1x:3'"),
        ("-1s:3", "'-1s' is not a time"),
        ("abc", "'abc' is not a number"),
        ("", "'' is not a number"),
        ("__import__('os')", "there is no __import__"),
        ("inf", "'inf' is not a number"),
    ],
)
def test_a_typo_gets_its_reason_and_the_grammar(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_schedule(text)
    with pytest.raises(
        SettingError, match=rf"noise.scale=.*must be a number or a schedule \(.*{reason}"
    ) as told:
        Noise(scale=text)  # type: ignore[arg-type]
    assert told.value.hint == GRAMMAR


@pytest.mark.parametrize("text", ["ramp(-1,1)", "sine(period=2s,low=-0.1)", "0s:1 1s:-2"])
def test_a_schedule_keeps_the_rule_of_its_setting_everywhere(text: str) -> None:
    with pytest.raises(SettingError, match="must be at least 0"):
        Noise(scale=text)  # type: ignore[arg-type]


def test_commas_in_brackets_and_quotes_do_not_split() -> None:
    assert split_outside_brackets("a(1,2),b,'c,d',[e,f],\"g(,\"") == [
        "a(1,2)",
        "b",
        "'c,d'",
        "[e,f]",
        '"g(,"',
    ]
