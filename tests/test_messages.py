"""A message is one line that any terminal shows as it is, and holds no secret."""

from __future__ import annotations

import logging

import pytest

from vae_experiments import errors as messages
from vae_experiments.errors import LONGEST, Printable, SettingError, as_typed, one_line, remember


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_typed_for", {})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\n", r"a\nb\r\n"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\udcff.mp4", r"\udcff.mp4"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("two  spaces, ü and 日本", "two  spaces, ü and 日本"),
    ],
)
def test_what_a_terminal_would_act_on_is_written_out(text: str, shown: str) -> None:
    assert one_line(text) == shown
    assert one_line(one_line(text)) == shown
    assert str(SettingError("source.path", text, "no such file", "check it")) == (
        f"source.path={shown}: no such file; check it"
    )


def test_a_value_of_megabytes_loses_its_middle_and_keeps_setting_and_cure() -> None:
    said = str(SettingError("noise.frames", "\n" * 10**7, "must be a range", "write 10:20"))
    assert len(said) <= LONGEST
    assert said.startswith(r"noise.frames=\n")
    assert said.endswith(": must be a range; write 10:20")


def test_what_came_from_the_environment_is_shown_as_it_was_typed() -> None:
    remember("sk-secret", "${oc.env:TOKEN}")
    remember("7", "${oc.env:N}")
    assert as_typed("x=sk-secret/a: no, not sk-secret") == "x=${oc.env:TOKEN}/a: no, not ${oc.env:TOKEN}"
    assert as_typed("x=7: not 17 or 7.5") == "x=${oc.env:N}: not 17 or 7.5"


@pytest.mark.parametrize("names", [("A", "B"), ("B", "A")])
def test_of_a_secret_that_holds_another_one_nothing_is_left(names: tuple[str, str]) -> None:
    secrets = {"A": "sk-secret", "B": "sk-secret-of-mine"}
    for name in names:
        remember(secrets[name], f"${{oc.env:{name}}}")
    assert as_typed("x=sk-secret-of-mine, y=sk-secret") == "x=${oc.env:B}, y=${oc.env:A}"


def test_a_log_escapes_names_and_keeps_the_lines_of_a_traceback() -> None:
    remember("sk-secret", "${oc.env:TOKEN}")
    try:
        raise ValueError("\x1b[31msk-secret")
    except ValueError as error:
        record = logging.LogRecord(
            "a", 40, "", 1, "%s", ("\x1b[2J",), (type(error), error, error.__traceback__)
        )
    lines = Printable("%(message)s").format(record).splitlines()
    assert lines[0] == r"\x1b[2J"
    assert lines[-1] == r"ValueError: \x1b[31m${oc.env:TOKEN}"


def test_a_secret_that_lies_where_a_long_message_is_cut_is_not_shown_in_part() -> None:
    secret = "hunter2" * 40
    remember(secret, "${oc.env:TOKEN}")
    for place in range(LONGEST - 300, LONGEST + 20, 7):
        assert "hunter2" not in one_line("x" * place + secret + "y" * 3 * LONGEST)
