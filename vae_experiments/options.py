"""Options: a class's fields are its settings.

A manipulation, a source, a model, a device policy, an output: each is a class whose fields are its
settings. The base class makes it a dataclass and registers it under the snake_case of its name, so
that one declaration is the schema that Hydra checks, the object that runs, the range check, the
table in docs/manipulations.md and the control on the web page.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, Union

from typing_extensions import dataclass_transform

from vae_experiments.errors import SettingError, closest
from vae_experiments.schedules import GRAMMAR, parse_schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    Scheduled: TypeAlias = float
else:
    # What Hydra admits. A class never meets the text: it reads the number of the moment.
    Scheduled = Union[int, float, str]  # noqa: UP007  OmegaConf's own form
"""A number that may change over time: ``0.5`` or ``ramp(0,1)``."""

ROUNDED = 1e-12
_GROUPS: dict[str, dict[str, type[Option]]] = {}
_OTHER_KINDS: dict[str, str] = {}
"""Groups that take the kinds of another one beside their own."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """What one setting means and which values it takes."""

    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None

    def __str__(self) -> str:
        """The allowed range as a phrase: ``at least 0 and at most 1``; empty without a bound."""
        bounds = {"more than": self.above, "at least": self.minimum, "at most": self.maximum}
        phrase = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
        return f"{phrase} {self.unit}".strip() if phrase else ""

    def admits(self, value: float) -> bool:
        """Whether a finite number keeps every bound."""
        return (
            (self.above is None or value > self.above)
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )

    def unrounded(self, value: float) -> float:
        """Return a number, brought back to a bound that only rounding left."""
        for bound in (self.minimum, self.maximum):
            if bound is not None and abs(value - bound) <= ROUNDED * max(1, abs(bound)):
                return float(bound)
        return value

    def admits_some_of(self, low: float, high: float) -> bool:
        """Whether a number from ``low`` to ``high`` keeps every bound."""
        return (
            (self.above is None or high > self.above)
            and (self.minimum is None or high >= self.minimum)
            and (self.maximum is None or low <= self.maximum)
        )


def setting(
    help: str,
    *,
    default: Any,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    for_every_kind: bool = False,
) -> Any:
    """Declare one setting of an option: its meaning, its default, its unit and its range.

    One that every kind of a group has (``for_every_kind``) is listed after a kind's own.
    """
    metadata = {"rule": Rule(help, unit, minimum, maximum, above)}
    if isinstance(default, list):
        return dataclasses.field(
            default_factory=lambda: list(default), metadata=metadata, kw_only=for_every_kind
        )
    return dataclasses.field(default=default, metadata=metadata, kw_only=for_every_kind)


@dataclass_transform(field_specifiers=(setting,))
@dataclasses.dataclass
class Option:
    """Makes every subclass a dataclass, checks its values and registers it in its group.

    ``class Manipulation(Option, group="manipulation")`` opens a group; a subclass of it joins
    under the snake_case of its name; with ``single=True`` the class is the group's one member, but
    for the ``other_kinds_of`` another group. Every option carries that name as ``kind``, so that a saved
    config, which has lost its types, still says which class it was.
    """

    group: ClassVar[str] = ""
    kind: str = dataclasses.field(default="", kw_only=True, repr=False)

    def __init_subclass__(
        cls, *, group: str = "", other_kinds_of: str = "", single: bool = False, **arguments: Any
    ) -> None:
        super().__init_subclass__(**arguments)
        if group:
            cls.group = group
            _GROUPS.setdefault(group, {})
        if other_kinds_of:
            _OTHER_KINDS[group] = other_kinds_of
        kind = snake_case(cls.__name__)
        # A field is what its class declares: each class declares kind anew, with its own name.
        cls.__annotations__ = {**inspect.get_annotations(cls), "kind": "str"}
        cls.kind = dataclasses.field(default=kind, kw_only=True, repr=False)
        dataclasses.dataclass(cls)
        if single or not group:
            _GROUPS[cls.group][kind] = cls

    def __post_init__(self) -> None:
        """Check every value against its rule.

        Raises:
            SettingError: a number is outside its range or not finite.
        """
        for field in dataclasses.fields(self):
            if "rule" in field.metadata:
                self._check(field.name, getattr(self, field.name), field.metadata["rule"])

    def _check(self, name: str, value: object, rule: Rule) -> None:
        if name in self.scheduled() and isinstance(value, str):
            value = self._values_of(name, value, rule)
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, list | dict):  # which OmegaConf lets into a list of numbers
                raise self.error_for(
                    name, "must be a list of plain values in brackets, as [0,1] or [noise,blur]"
                )
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if isinstance(number, int) and abs(number) >= 2**63:
                raise self.error_for(name, "must be less than 2^63")
            if not math.isfinite(number):
                raise self.error_for(name, "must be a finite number")
            if not rule.admits(number):
                raise self.error_for(name, f"must be {rule}")

    def _values_of(self, name: str, text: str, rule: Rule) -> list[float]:
        """Read a schedule, and return what of its values can be told without the clip: all must keep the rule."""
        try:
            schedule = parse_schedule(text)
        except ValueError as error:
            raise self.error_for(name, f"must be a number or a schedule ({error})", GRAMMAR) from None
        if not schedule.is_exact and rule.admits_some_of(*schedule.bounds()):
            return []
        return list(schedule.bounds())

    @classmethod
    def scheduled(cls) -> list[str]:
        """Name the settings that may change over time."""
        return [field.name for field in dataclasses.fields(cls) if field.type in ("Scheduled", Scheduled)]

    def error_for(self, name: str, rule: str, hint: str = "") -> SettingError:
        """Make the error for a wrong value of one of this option's settings."""
        default = next(field.default for field in dataclasses.fields(self) if field.name == name)
        usual = default if isinstance(default, int | float) and default == default else None
        hint = hint or (f"the default is {usual:g}" if usual is not None else "leave it out for the default")
        return SettingError(dotted(self.address(), name), getattr(self, name), rule, hint)

    def address(self) -> str:
        """Where this option's settings are typed: ``source`` in ``source.fps=12``."""
        return self.group

    def __str__(self) -> str:
        """Return in words what it is set to: what is not as usual, and the first setting of its own."""
        settings = [(name, getattr(self, name), usual, rule) for name, usual, rule in self.settings()]
        parts = [
            f"{name.replace('_', ' ')} {shown(value)} {rule.unit if rule.unit != name else ''}".strip()
            for place, (name, value, usual, rule) in enumerate(settings)
            if value != usual or (place == 0 and shown(value))
        ]
        return ", ".join(parts) or "as usual"

    @classmethod
    def settings(cls) -> Iterator[tuple[str, Any, Rule]]:
        """List name, default and rule of each setting, in the order of their declaration."""
        fields = [field for field in dataclasses.fields(cls) if "rule" in field.metadata]
        for field in sorted(fields, key=lambda field: field.kw_only is True):
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            yield field.name, default, field.metadata["rule"]


class Choice(Enum):
    """A setting with a few named values; the names are lower case, as they are typed."""

    def __str__(self) -> str:
        return self.name


def foreign_settings(option: Option) -> dict[str, Any]:
    """Return the kind and the own settings of an option whose class another package, such as a plugin, brings.

    Empty for a class of ours: what its settings decide we know.
    """
    ours = [base for base in type(option).__mro__ if base.__module__.startswith(f"{__package__}.")]
    if type(option) in ours:
        return {}
    known = {name for base in ours for name in inspect.get_annotations(base)} - {"kind"}
    fields = [field.name for field in dataclasses.fields(option)]
    return {name: getattr(option, name) for name in fields if name not in known}


def option_groups() -> set[str]:
    """Name all groups of which there are classes."""
    return set(_GROUPS)


def kinds(group: str) -> dict[str, type[Option]]:
    """Return every registered class of a group by the name that selects it."""
    return _GROUPS[group] | _GROUPS.get(other_group(group), {})


def other_group(group: str) -> str:
    """Name the group whose choices can be chosen in this one too; empty where there is none."""
    return _OTHER_KINDS.get(group, "")


def kind_named(group: str, kind: str) -> type[Option]:
    """Find one class of a group by name.

    Raises:
        SettingError: there is none of that name; the message says which was probably meant.
    """
    known = kinds(group)
    if not isinstance(kind, str) or kind not in known:  # a saved config may hold anything
        raise SettingError(group, kind, "no such choice", closest(str(kind), known))
    return known[kind]


def shown(value: Any) -> str:
    """Return a setting's value as it is typed; empty where it has to be given, or may be left out."""
    if value is None or value is dataclasses.MISSING or value == "???":
        return ""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_text(address: str, name: str, value: str = "") -> bool:
    """Whether a setting takes text, as a path does: a folder called 1.10 or 1e3 is no number.

    Args:
        address: its group, or for a manipulation the name of its own; empty for any of that name.
        name: the setting.
        value: ``null`` is no text where the setting may be left out.
    """
    members = kinds(address) if address in _GROUPS else kinds("manipulation")
    if not address:
        members = {f"{group}.{kind}": one for group in _GROUPS for kind, one in kinds(group).items()}
    owners = [members[address]] if address in members else members.values()
    types = {str(field.type) for one in owners for field in dataclasses.fields(one) if field.name == name}
    texts = {"str", str(str)} | ({"str | None"} if value.lower() != "null" else set())
    return bool(types) and types <= texts


def dotted(address: str, name: str) -> str:
    """Join a setting's place and its name as they are typed."""
    return f"{address}.{name}" if address else name


def snake_case(name: str) -> str:
    """Turn ``MotionGain`` into ``motion_gain``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
