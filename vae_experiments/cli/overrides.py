"""What a person types, as Hydra's grammar has to get it: a schedule is no function, a folder's name no number."""

from __future__ import annotations

import contextlib
import re

from hydra.core.override_parser.overrides_parser import create_functions

from vae_experiments.errors import SettingError
from vae_experiments.options import is_text
from vae_experiments.schedules import split_outside_brackets

HYDRA_FUNCTIONS = set(create_functions().functions)
PLAIN = re.compile(r"(?:[A-Za-z0-9_./:+%*@?|$,-]|\$\{[^{}]*\})*")
"""What the grammar takes as it is, and ``${...}``."""
QUOTES = ("", "'", '"', "[", "{")
"""What a value begins with that the grammar reads as it is; or it is empty."""
NAMES = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.job.name")
"""Settings of Hydra's own that take text."""
LONGEST, LONGEST_NESTED = 20_000, 4000
"""Letters of one word that Hydra's grammar reads in about a second: of lists and blocks it takes the square."""
SHOWN = 40
"""Letters that are shown of a word which is too long."""


def quoted(word: str) -> str:
    """Put values such as ``ramp(0,1)``, and ``2024_05_17`` where a name is meant, in quotes.

    Each element of a sweep, ``noise.scale=ramp(0,1),0.5``, is looked at by itself.

    Raises:
        SettingError: the word is longer than the grammar reads in a moment.
    """
    key, equals, value = word.partition("=")
    longest = LONGEST_NESTED if set(value) & set("[{") else LONGEST
    if len(word) > longest:
        rule = f"has {len(word)} letters, and {longest} are read in one word"
        raise SettingError(_shortened(key), _shortened(value), rule, "give a shorter value")
    if not equals:
        return word
    elements = split_outside_brackets(value)
    bare = value.strip()
    if len(elements) == 1 and bare[:1] not in QUOTES and value != bare and _is_text(key.lstrip("+"), value):
        return f"{key}='{escaped(value)}'"
    return f"{key}={','.join(_quoted_element(key.lstrip('+'), one) for one in elements)}"


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _quoted_element(key: str, element: str) -> str:
    bare = element.strip()
    if bare.startswith("choice(") and bare.endswith(")"):
        inside = split_outside_brackets(bare[len("choice(") : -1])
        return f"choice({','.join(_quoted_element(key, one) for one in inside)})"
    before, bracket, _ = element.partition("(")
    name = re.split(r"\W", before.rstrip())[-1]
    if bare[:1] in QUOTES or (bracket and name in HYDRA_FUNCTIONS):
        return element
    is_schedule = bool(bracket)
    if not is_schedule and not (
        (_reads_otherwise(bare) or not PLAIN.fullmatch(bare)) and _is_text(key, bare)
    ):
        return element
    return f"'{escaped(element)}'"


def escaped(text: str) -> str:
    """Return a text as it stands between quotes, where a backslash counts as one unless a quote follows."""

    def escape(found: re.Match[str]) -> str:
        if found[0] == "'":
            return "\\'"
        return found[0] * 2 if text[found.end() : found.end() + 1] in ("", "'") else found[0]

    return re.sub(r"\\+|'", escape, text)


def literal(text: str) -> str:
    """Return a text as a config holds it, so that a ``${`` in it is looked up nowhere."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def as_text(text: str) -> str:
    """Return a text as Hydra's grammar takes it, to be read back letter by letter."""
    return f"'{escaped(literal(text))}'"


def _is_text(key: str, value: str) -> bool:
    address, _, name = key.rpartition(".")
    return key in NAMES or (bool(address) and is_text(address, name, value))


def _reads_otherwise(text: str) -> bool:
    """Whether the grammar takes a text for something that is written in another way."""
    if text.lower() in ("true", "false", "null"):
        return True
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return str(number(text)) != text
    return False
