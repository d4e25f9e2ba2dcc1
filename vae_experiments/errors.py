"""Every error that this package raises on purpose.

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

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from vae_experiments.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

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
