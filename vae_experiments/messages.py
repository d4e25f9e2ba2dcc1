"""A message as it leaves the program: one printable line of bounded length, without a secret of the environment."""

from __future__ import annotations

import logging
import re

LONGEST = 1200
"""Room for the longest list of choices; a value of megabytes loses its middle, never its setting or the hint."""
SHORT = 4
_typed_for: dict[str, str] = {}
"""What a person typed for each value that came out of the environment."""


def one_line(text: str) -> str:
    """Return a text as one line that a terminal shows as it is."""
    text = as_typed(text)  # before a cut, which would leave half of a secret
    # Cut before the work on it as well: a value may have megabytes.
    if len(text) > 2 * LONGEST:
        text = f"{text[:LONGEST]}{text[-LONGEST:]}"
    shown = printable(text).strip()
    head = LONGEST * 2 // 3
    return shown if len(shown) <= LONGEST else f"{shown[:head]} ... {shown[head + 5 - LONGEST :]}"


def printable(text: str, keep: str = "") -> str:
    """Write escape codes, line breaks and halves of characters as Python writes them in a string."""
    return "".join(sign if sign.isprintable() or sign in keep else ascii(sign)[1:-1] for sign in text)


def remember(value: str, typed: str) -> None:
    """Remember what was typed for a value, which may be a secret: messages show what was typed."""
    if value:
        _typed_for[value] = typed


def as_typed(text: str) -> str:
    """Put what was typed in the place of each value that came out of the environment."""
    for value, typed in sorted(_typed_for.items(), key=lambda pair: -len(pair[0])):
        # A short value stands in other words at random.
        alone = rf"(?<![\w.]){re.escape(value)}(?![\w.])"
        text = re.sub(alone, lambda _: typed, text) if len(value) < SHORT else text.replace(value, typed)  # noqa: B023
    return text


class Printable(logging.Formatter):
    """Formats what is logged as messages are shown; a traceback keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole text of a record."""
        return printable(as_typed(super().format(record)), keep="\n")
