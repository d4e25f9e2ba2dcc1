"""Controls: what a declared setting looks like on the page, and what comes back from it.

Nothing here knows the page: a control is plain data, and a value from the browser is untrusted text or
numbers until its declaration has typed it.
"""

from __future__ import annotations

import math
import re
import types
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from vae_experiments.errors import SettingError
from vae_experiments.manipulations import ChainStep
from vae_experiments.manipulations.masks import Mask
from vae_experiments.options import Scheduled, kinds
from vae_experiments.schedules import parse_schedule
from vae_experiments.sources import Pattern

if TYPE_CHECKING:
    from vae_experiments.options import Option, Rule

SECOND = "second_video"
"""What stands for the second upload wherever a setting names another video."""
LONGEST_TEXT = 200
SLIDER_SPAN = 20
"""A bound that is farther off than so many times the default is for what is typed, not for a hand's slider."""
TRI_STATE = {"left out": None, "true": True, "false": False}
"""What stands for a setting that may be true, false, or left to what is there."""
_TRI_STATE_WORDS = {value: word for word, value in TRI_STATE.items()}
TEXT = re.compile(r"[\w ,.()*=+:%#-]*|\d+/\d+", re.ASCII)
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
    text = f"{rule.help[:1].upper()}{rule.help[1:]}{unit}"
    wanted, is_optional = _type_of(kind, name)
    if wanted is bool and is_optional:
        return Control("dropdown", name, _TRI_STATE_WORDS[default], text, choices=tuple(TRI_STATE))
    if wanted is bool:
        return Control("checkbox", name, bool(default), text)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return Control(
            "dropdown", name, getattr(default, "name", default), text, choices=tuple(wanted.__members__)
        )
    if _is_path(name):
        return Control("dropdown", name, default, text, choices=(SECOND, *patterns(), ""))
    if wanted in (int, float, Scheduled):
        if name == "seed" or not isinstance(default, int | float):
            whole = 1 if wanted is int else None
            return Control("number", name, default, text, rule.minimum, rule.maximum, whole)
        low, high, step = _slider_range(kind, name, default, rule)
        return Control("slider", name, default, text, low, high, step, scheduled=wanted is Scheduled)
    if wanted is list:
        default = ", ".join(map(str, default or []))
    return Control("text", name, "" if default is None else str(default), text)


def _slider_range(kind: type[Option], name: str, default: float, rule: Rule) -> tuple[float, float, float]:
    """Take the declared range, and where it is open or too wide for a hand, one around usual values; and the step."""
    shown, values = kind.gallery_values if issubclass(kind, ChainStep) else ("", ())
    usual = [abs(value) for value in values if isinstance(value, int | float)] if shown == name else []
    whole = isinstance(default, int)
    far = _rounded_up(2 * max(abs(default), *usual, 4 if whole else 0.5))
    most = SLIDER_SPAN * max(abs(default), 1 if whole else 0.5)
    low, high = (rule.above if rule.minimum is None else rule.minimum), rule.maximum
    if low is None or -low > most:
        low = -far
    if high is None or high > most:
        high = max(far, low + 1)
    step: float = 1 if whole else 10.0 ** math.floor(math.log10(max(high - low, 1e-6)) - 1.7)
    return (rule.above + step if rule.above is not None and low <= rule.above else low), high, step


def _rounded_up(value: float) -> float:
    """Return the next of 1, 2, 4, 5, 10, 20, ..."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * first for first in (1, 2, 4, 5, 10) if power * first >= value * 0.999)


def typed(kind: type[Option], name: str, value: Any, address: str) -> Any:
    """Return a value from the browser the type that its setting declares.

    Raises:
        SettingError: it cannot have that type, or is a text that this page does not take.
    """
    wanted, is_optional = _type_of(kind, name)
    refused = partial(SettingError, f"{address}.{name}")
    if wanted is bool and is_optional:
        if str(value) not in TRI_STATE:
            raise refused(_said(value), "no such choice", f"choose from: {', '.join(TRI_STATE)}")
        return TRI_STATE[str(value)]
    if wanted is bool:
        if not isinstance(value, bool):
            raise refused(_said(value), "must be true or false", "tick the box or do not")
        return value
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        if str(value) not in wanted.__members__:
            raise refused(_said(value), "no such choice", f"choose from: {', '.join(wanted.__members__)}")
        return wanted[str(value)]
    if _is_path(name):
        if value not in (SECOND, "", *patterns()):
            names = ", ".join((SECOND, *patterns()))
            raise refused(_said(value), "no such video here", f"choose from: {names}")
        return str(value)
    text = "" if value is None else str(value).strip()
    if not text and is_optional:
        return None
    if wanted in (int, float) or (wanted is Scheduled and not isinstance(value, str)):
        try:
            return _number(value, wanted is int)
        except (TypeError, ValueError, OverflowError):
            rule = f"must be a {'whole ' if wanted is int else ''}number"
            raise refused(_said(value), rule, "move the slider or type one") from None
    if len(text) > LONGEST_TEXT or not TEXT.fullmatch(text) or ".." in text:
        raise refused(_said(text), "has signs that this page does not take", ELSEWHERE)
    if wanted is list:
        try:
            return [int(word) for word in text.strip("[] ").replace(",", " ").split()]
        except ValueError:
            raise refused(text, "must be whole numbers", "write them as 0, 3, 5") from None
    if wanted is Scheduled and _names_a_file(text):
        raise refused(text, "reads a file, and this page takes none in an expression", ELSEWHERE)
    if name == "mask" and not _draws_or_names_a_pattern(text):
        names = ", ".join(patterns())
        raise refused(text, "no shape and no pattern", f"circle(...), box(...) or one of: {names}")
    return text


def _said(value: Any) -> str:
    """Return a value from the browser as it may stand in a sentence."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in str(value))
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


def _number(value: Any, whole: bool) -> float:
    number = float(value)
    if isinstance(value, bool) or (whole and not number.is_integer()):
        raise ValueError(value)
    # The digits that are shown are the number: the printed command then means the same.
    return int(number) if whole else float(f"{number:.6g}")


def _names_a_file(text: str) -> bool:
    """Whether a schedule reads a file; what is wrong with one that breaks the grammar, the setting itself says."""
    try:
        return bool(parse_schedule(text).files)
    except ValueError:
        return False


def _draws_or_names_a_pattern(mask: str) -> bool:
    """Whether a mask reads no file; what is wrong with one that breaks the grammar, the setting itself says."""
    try:
        return set(Mask.read(mask).paths) <= set(patterns()) and not Mask.read(mask).files
    except ValueError:
        return True


def _is_path(name: str) -> bool:
    return name == "path" or name.endswith("_path")


def _type_of(kind: type[Option], name: str) -> tuple[Any, bool]:
    """Return the plain type of a setting, ``list`` for any list, and whether it may be None."""
    owner = next(base for base in kind.__mro__ if name in vars(base).get("__annotations__", {}))
    # Only the module of the class that declares it knows the names in its annotation.
    hint = get_type_hints(owner, localns={"Scheduled": Scheduled})[name]
    is_optional = type(None) in get_args(hint)
    if hint == Scheduled:
        return Scheduled, is_optional
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    return get_origin(hint) or hint, is_optional
