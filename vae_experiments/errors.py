"""Every error that this package raises on purpose, and how a message leaves the program.

    VaeExperimentsError        a sentence for a person: what is wrong, and the hint
    ├── SettingError           a setting breaks its rule
    ├── SourceError            a source cannot be read, or not as it should be
    ├── ModelError             an autoencoder cannot be found, loaded or trusted
    ├── DeviceError            a device was asked for that is not there or cannot do it
    ├── NumbersError           a network gave values that are not finite
    ├── TrainingError          a training cannot start or cannot go on
    ├── StoppedError           a signal stopped it; what was done is saved
    └── WriteError             a result cannot be written

The command line prints such an error as one line and exits with status 1. Anything else that
escapes is a fault of this package: one line too, and its traceback is in the log.
"""

from __future__ import annotations

import logging
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 1200
"""Room for the longest list of choices; a value of megabytes loses its middle, never its setting or the hint."""
SHORT = 4
_typed_for: dict[str, str] = {}
"""What a person typed for each value that came out of the environment."""
MODEL_SETTING = re.compile(r"(?<!\S)model(?=[:=]|\.[a-z_]+=|\.repository)")
"""What is typed for a model, and no part of a path."""


class VaeExperimentsError(Exception):
    """Tells a person what is wrong and how to cure it, in one line."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem, hint)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return one_line(f"{self.problem}; {self.hint}")


class SettingError(VaeExperimentsError):
    """Names a setting, its value, the rule that the value breaks, and the hint."""

    def __init__(self, setting: str, value: object, rule: str, hint: str) -> None:
        Exception.__init__(self, setting, value, rule, hint)
        self.setting, self.value, self.rule = setting, value, rule
        self.problem = f"{setting}={value}: {rule}"
        self.hint = hint

    def at(self, address: str, typed: object = None) -> SettingError:
        """Return the same error about another address: a second noise is called by its own name."""
        name = self.setting.rpartition(".")[2]
        return SettingError(
            f"{address}.{name}" if address else name,
            self.value if typed is None else typed,
            self.rule,
            self.hint,
        )


class SourceError(VaeExperimentsError):
    """A source cannot be read, or not as it should be."""


class ModelError(VaeExperimentsError):
    """An autoencoder cannot be found, loaded or trusted."""

    def at(self, group: str) -> ModelError:
        """Return the same error about another group that a model is chosen in, as ``decoder`` is."""
        problem, hint = (re.sub(MODEL_SETTING, group, text) for text in (self.problem, self.hint))
        return type(self)(problem, hint)


class DeviceError(VaeExperimentsError):
    """A device was asked for that is not there, or that cannot do what was asked."""


class NumbersError(VaeExperimentsError):
    """A network gave values that are not finite."""


class TrainingError(VaeExperimentsError):
    """A training cannot start or cannot go on."""


class StoppedError(VaeExperimentsError):
    """A signal stopped a training; what was done is saved."""

    def __init__(self, signal: int, problem: str, hint: str) -> None:
        super().__init__(problem, hint)
        self.signal = signal


class WriteError(VaeExperimentsError):
    """A result cannot be written."""


def system_reason(error: OSError) -> str:
    """Return what the system says of a file, as a part of a sentence."""
    return (error.strerror or str(error)).lower()


def closest(wrong: str, names: Iterable[str]) -> str:
    """Return which of the names was probably meant, and list them: the hint for a mistyped name."""
    known = sorted(names)
    near = get_close_matches(wrong, known, n=1)
    question = f"did you mean {near[0]}? " if near else ""
    return f"{question}choose from: {', '.join(known)}"


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
        return printable(as_typed(super().format(record)), keep="\n\t")
