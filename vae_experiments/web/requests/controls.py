"""Controls: what a declared setting looks like on the page, and what comes back from it.

Nothing here knows the page: a control is plain data, and a value from the browser is untrusted text or
numbers until its declaration has typed it.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from vae_experiments.errors import SettingError
from vae_experiments.manipulations import ChainStep
from vae_experiments.manipulations.masks import Mask
from vae_experiments.options import Scheduled, kinds
from vae_experiments.sources import Pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vae_experiments.options import Option, Rule

SECOND = "second_video"
"""What stands for the second upload wherever a setting names another video."""
LONGEST_TEXT = 200
FARTHEST = 20
"""A bound that is farther off than so many times the default is for what is typed, not for a hand's slider."""
TEXT = re.compile(r"[\w ,.()*=+:%-]*|\d+/\d+", re.ASCII)
"""All that the grammars of ranges, masks, schedules and rates need; no slash of a path, no ``$``."""
ELSEWHERE = "type the command yourself for any other"


@dataclass(frozen=True)
class Control:
    """One control: slider, number, checkbox, dropdown or text."""

    shape: str
    name: str
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    scheduled: bool = False
    """Whether a schedule such as ``ramp(0,1)`` may take the place of the number."""


def patterns() -> list[str]:
    """Name the videos that need no file."""
    return [name for name, kind in sorted(kinds("source").items()) if issubclass(kind, Pattern)]


def control(kind: type[Option], name: str, default: Any, rule: Rule) -> Control:
    """Choose the control of one declared setting."""
    unit = f", in {rule.unit}" if rule.unit and rule.unit not in rule.help else ""
    text = f"{rule.help}{unit}"
    text = text[:1].upper() + text[1:]
    wanted = _type_of(kind, name)
    if wanted is bool:
        return Control("checkbox", name, bool(default), text)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        names = tuple(choice.name for choice in wanted)
        return Control("dropdown", name, getattr(default, "name", default), text, choices=names)
    if _is_path(name):
        return Control("dropdown", name, default, text, choices=(SECOND, *patterns(), ""))
    if wanted in (int, float, Scheduled):
        return _number(kind, name, default, rule, text, wanted)
    if wanted is list:
        default = ", ".join(map(str, default or []))
    return Control("text", name, "" if default is None else str(default), text)


def _number(kind: type[Option], name: str, default: Any, rule: Rule, text: str, wanted: Any) -> Control:
    scheduled = wanted is Scheduled
    if not isinstance(default, int | float):
        return Control("number", name, None, text, rule.minimum, rule.maximum, 1 if wanted is int else None)
    if name == "seed":
        return Control("number", name, default, text, rule.minimum, rule.maximum, 1)
    low, high = _slider_range(kind, name, default, rule)
    whole = isinstance(default, int) and not isinstance(default, bool)
    step = 1 if whole else 10.0 ** math.floor(math.log10(max(high - low, 1e-6)) - 1.7)
    if rule.above is not None and low <= rule.above:
        low = rule.above + step
    return Control("slider", name, default, text, low, high, step, scheduled=scheduled)


def _slider_range(kind: type[Option], name: str, default: float, rule: Rule) -> tuple[float, float]:
    """Take the declared range, and where it is open or too wide for a hand, one around usual values."""
    shown, values = kind.gallery_values if issubclass(kind, ChainStep) else ("", ())
    usual = [abs(value) for value in values if isinstance(value, int | float)] if shown == name else []
    far = _rounded_up(2 * max([abs(default), *usual, 0.5 if isinstance(default, float) else 4]))
    most = FARTHEST * max(abs(default), 1 if isinstance(default, int) else 0.5)
    low, high = (rule.above if rule.minimum is None else rule.minimum), rule.maximum
    if low is None or -low > most:
        low = -far
    if high is None or high > most:
        high = max(far, low + 1)
    return low, high


def _rounded_up(value: float) -> float:
    """Return the next of 1, 2, 4, 5, 10, 20, ..."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * first for first in (1, 2, 4, 5, 10) if power * first >= value * 0.999)


def typed(kind: type[Option], name: str, value: Any, address: str) -> Any:
    """Return a value from the browser the type that its setting declares.

    Raises:
        SettingError: it cannot have that type, or is a text that this page does not take.
    """
    wanted = _type_of(kind, name)
    where = f"{address}.{name}"
    if wanted is bool:
        if not isinstance(value, bool):
            raise SettingError(where, _said(value), "must be true or false", "tick the box or do not")
        return value
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        if str(value) not in wanted.__members__:
            names = ", ".join(wanted.__members__)
            raise SettingError(where, _said(value), "no such choice", f"choose from: {names}")
        return wanted[str(value)]
    if _is_path(name):
        return _pattern(where, value)
    if _empty(value) and _optional(kind, name):
        return None
    if wanted in (int, float) or (wanted is Scheduled and not isinstance(value, str)):
        return _as_number(where, value, wanted is int)
    text = _text(where, value)
    if wanted is list:
        return _whole_numbers(where, text)
    if name == "mask" and not _draws_or_names_a_pattern(text):
        raise SettingError(
            where,
            text,
            "no shape and no pattern",
            f"circle(...), box(...) or one of: {', '.join(patterns())}",
        )
    return text


def _draws_or_names_a_pattern(mask: str) -> bool:
    """Whether a mask reads no file; what is wrong with one that breaks the grammar, the setting itself says."""
    try:
        return Mask.read(mask).path in ("", *patterns())
    except ValueError:
        return True


def _as_number(where: str, value: Any, whole: bool) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
        if whole and not number.is_integer():
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        rule = f"must be a {'whole ' if whole else ''}number"
        raise SettingError(where, _said(value), rule, "move the slider or type one") from None
    # The digits that are shown are the number: the printed command then means the same.
    return int(number) if whole else float(f"{number:.6g}")


def _whole_numbers(where: str, text: str) -> list[int]:
    try:
        return [int(word) for word in text.strip("[] ").replace(",", " ").split()]
    except ValueError:
        raise SettingError(where, text, "must be whole numbers", "write them as 0, 3, 5") from None


def _pattern(where: str, value: Any) -> str:
    if value not in (SECOND, "", *patterns()):
        names = ", ".join((SECOND, *patterns()))
        raise SettingError(where, _said(value), "no such video here", f"choose from: {names}")
    return str(value)


def _text(where: str, value: Any) -> str:
    text = "" if value is None else str(value).strip()
    if len(text) > LONGEST_TEXT or not TEXT.fullmatch(text) or ".." in text:
        raise SettingError(where, _said(text), "has signs that this page does not take", ELSEWHERE)
    return text


def _said(value: Any) -> str:
    """Return a value from the browser as it may stand in a sentence."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in str(value))
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


def _is_path(name: str) -> bool:
    return name == "path" or name.endswith("_path")


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _optional(kind: type[Option], name: str) -> bool:
    return type(None) in get_args(_hint(kind, name))


def _type_of(kind: type[Option], name: str) -> Any:
    """Return the plain type of a setting: without its None, and ``list`` for any list."""
    hint = _hint(kind, name)
    if hint == Scheduled:
        return Scheduled
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    return get_origin(hint) or hint


def _hint(kind: type[Option], name: str) -> Any:
    owner = next(base for base in kind.__mro__ if name in vars(base).get("__annotations__", {}))
    # Only the module of the class that declares it knows the names in its annotation.
    return get_type_hints(owner, localns={"Scheduled": Scheduled})[name]


def defaults_of(kind: type[Option], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting's default: the chosen yaml's, or else the class's; none for what has to be given."""
    values = {**{name: default for name, default, _ in kind.settings()}, **chosen}
    return {name: value for name, value in values.items() if value not in (dataclasses.MISSING, "???")}
