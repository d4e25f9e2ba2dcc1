"""Hydra's and OmegaConf's errors as sentences about what was typed."""

from __future__ import annotations

import errno
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    GrammarParseError,
    InterpolationResolutionError,
    OmegaConfBaseException,
)

from vae_experiments.cli.renamed import RENAMED
from vae_experiments.errors import SettingError, VaeExperimentsError, closest, system_reason
from vae_experiments.options import Option, dotted, kinds, option_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TYPE_RULES = {
    "to Float": "must be a number",
    "Union[int, float, str]": "must be a number or a schedule",
    "to Integer": "must be a whole number",
    "valid bool": "must be true or false",
    "not Optional": "must have a value",
    "is not a ListConfig": "must be a list in brackets, as [0,1] or [noise,blur]",
    "to string": "must be one value",
    "deletion": "cannot be taken away",
}
REFER = "refer to a key that exists, and type \\${ where a name has ${ in it"
QUOTES = "put a value with special characters in quotes twice: 'key=\"value\"'"
IN_A_FILE = re.compile(
    r"In '(.+?)': \w+ raised while composing config:\n(.*)\n\s+full_key: (\S+)\n\s+object_type=(\w+)"
)
GROUPS = ("source", "model", "decoder")
COMMANDS = re.compile("train|web|analysis|benchmark|doctor|download|gallery|cache|report|compare")
TYPOGRAPHIC = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
    | {"\u00a0": " "}
)
"""What editors and web pages make of quotes, dashes and spaces."""
NO_NAME = re.compile(r"(?<![\w.])(null|true|false|\d[\w.]*|\[.*\[)", re.IGNORECASE)
LAUNCHERS = "hydra/schema/launcher"
"""What installed launchers say that they can be told; our yaml files begin with it."""


def mistake_of(error: BaseException) -> str | None:
    """Return in one line what a person did wrong, or None where the fault is the program's."""
    if isinstance(error, VaeExperimentsError):
        return str(error)
    if isinstance(error, OverrideParseException):
        return _unreadable(str(error.override), error)
    if isinstance(error, MissingConfigException):
        return _missing_choice(error)
    if isinstance(error, ConfigCompositionException):
        return _composition_mistake(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _other_mistake(error)
    if isinstance(error, OSError) and error.errno:
        return _failed_file(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory; take a smaller batch_size, source.size or source.frames"
    return None


def no_name_of_a_choice() -> str:
    """Return the sentence for a group that was given something that Hydra cannot look up, as ``null`` or a list in a list."""
    groups = {*option_groups(), "experiment", ""}
    typed = [word.lstrip("+").partition("=") for word in sys.argv[1:]]
    wrong = [f"{key}={value}" for key, _, value in typed if key in groups and NO_NAME.search(value)]
    rule, examples = (
        "must be the name of a choice, or a list of names",
        "manipulation=none or 'manipulation=[noise,blur]'",
    )
    return f"{wrong[0] if wrong else 'a group'}: {rule}; as in {examples}"


def _unreadable(word: str, error: OverrideParseException) -> str:
    """Return why Hydra's grammar cannot read a word, and how it is typed."""
    plain = word.translate(TYPOGRAPHIC)
    if plain != word:
        problem = "has quotes, dashes or spaces of a text editor"
        return f"cannot read {word!r}: {problem}; type plain ones: {plain}"
    if "=" not in word:
        return f"cannot read {word!r}: a setting is typed as KEY=VALUE, {_for_a_word(word)}"
    line = _first_line(error)
    reason = "has a sign that a value cannot have" if line.startswith("LexerNoViableAlt") else line
    hint = "type each setting in quotes of its own" if re.search(r"\s\S+=", word) else QUOTES
    return f"cannot read {word!r}: {reason}; {hint}"


def _failed_file(error: OSError) -> str:
    """Return what the system says of a file that nobody asked about by itself."""
    what = f"cannot use {error.filename}" if error.filename is not None else "a file cannot be used"
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "free some space" if is_full else "choose another folder with hydra.run.dir=FOLDER"
    return f"{what} ({system_reason(error)}); {hint}"


def unknown_setting(address: str, key: str, value: Any, known: Iterable[str]) -> SettingError:
    """Make the error for a key that is not there, with the one that was probably meant."""
    setting = dotted(address, key)
    if not address and key in kinds("manipulation"):
        return _absent(key, value, key)
    options = kinds(address) if address in GROUPS else {}
    if owners := [kind for kind, option in options.items() if key in _settings(option)]:
        named = " and ".join(filter(None, (", ".join(owners[:-1]), owners[-1])))
        rule = f"this {address} has no such setting, {address}={named} {'have' if owners[1:] else 'has'}"
        return SettingError(setting, value, rule, f"add {address}={owners[0]}")
    if new := RENAMED.get(address, {}).get(key):
        return SettingError(setting, value, "has another name now", f"type {dotted(address, new)}")
    rule = f"{address} has no such setting" if address else "no such setting in this run"
    return SettingError(setting, value, rule, closest(key, set(known) - {"kind", "hydra", "run"}))


def _absent(setting: str, value: Any, name: str) -> SettingError:
    return SettingError(setting, value, f"{name} is not part of this run", f"add it with manipulation={name}")


def _settings(option: type[Option]) -> list[str]:
    return [name for name, _, _ in option.settings()]


def type_mistake(error: OmegaConfBaseException, address: str, values: Mapping[str, Any]) -> SettingError:
    """Turn OmegaConf's refusal of a value into a sentence about the setting."""
    key = str(error.full_key or error.key).removeprefix(f"{address}.").partition("[")[0]
    message = str(error.msg or error).splitlines()[0]
    choices = message.partition("[")[2].rstrip("]")
    rule = f"must be one of {choices}" if "expected one of" in message else _type_rule(message)
    return SettingError(dotted(address, key), values.get(key, ""), rule, "leave it out for the default")


def _type_rule(message: str) -> str:
    return next((rule for sign, rule in TYPE_RULES.items() if sign in message), message)


def _missing_choice(error: MissingConfigException) -> str:
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    if not group:
        return _other_mistake(error)
    if group == LAUNCHERS:
        hint = f"pip install 'vae_experiments[{choice.partition('_')[0]}]'"
        return str(SettingError("hydra/launcher", choice, "its package is not installed", hint))
    options = [option for option in error.options or [] if option != "schema"]
    if not options and group == "manipulation":  # Hydra lists none for a name inside a list
        options = [*kinds(group), "none"]
    hint = closest(choice, options) if options else "give one of those that --help lists"
    if group == "source":
        hint = f"{hint}; for a file: source=video source.path=FILE"
    return str(SettingError(group, choice, "no such choice", hint))


def _composition_mistake(error: ConfigCompositionException) -> str:
    cause = error.__cause__
    override = re.search(r"override (?:value )?'?([^\s']+)'?", str(error))
    if not isinstance(cause, OmegaConfBaseException) or override is None:
        return _mistake_in_a_file(error)
    setting, _, value = _typed(override.group(1).rstrip("."))
    place = setting.lstrip("+~")
    if cause.full_key and place.startswith(f"{cause.full_key}."):
        place = str(cause.full_key)  # a value that was taken for a block
    address, _, key = place.rpartition(".")
    if not isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return str(type_mistake(cause, address, {key: value}))
    wrong = str(cause.key or key)
    where = str(cause.full_key or setting).rpartition(".")[0]
    if not where and wrong in kinds("manipulation"):
        return str(_absent(setting, value, wrong))
    if where.startswith("manipulation."):
        hint = f"type {where.removeprefix('manipulation.')}.{wrong}={value}"
        return str(SettingError(setting, value, "a manipulation is set under its own name", hint))
    if isinstance(cause.object_type, type) and issubclass(cause.object_type, Option):
        known = _settings(cause.object_type)
    else:
        known = [str(name) for name in cause.parent_node] if hasattr(cause.parent_node, "__iter__") else []
    return str(unknown_setting(where, wrong, value, known))


def _mistake_in_a_file(error: ConfigCompositionException) -> str:
    """Name the file and the setting: Hydra's first line says only which file it was at."""
    found = IN_A_FILE.match(str(error))
    if not found:
        return _other_mistake(error)
    file, problem, place, owner = found.groups()
    if problem.startswith("Key "):
        options = [option for group in option_groups() for option in kinds(group).values()]
        known = {name for option in options if option.__name__ == owner for name in _settings(option)}
        hint = closest(place.rpartition(".")[2], known) if known else "take it out of that file"
        return f"{place} in {file}.yaml: no such setting; {hint}"
    return f"{place} in {file}.yaml: {_type_rule(problem)}; correct it in that file"


def _for_a_word(word: str) -> str:
    """Return what was probably meant by a word without an equals sign."""
    if COMMANDS.fullmatch(word):
        return f"and a command as vae-experiments {word}"
    block, dot, _ = word.partition(".")
    if dot and block in {*option_groups(), *kinds("manipulation")} and not _is_there(word):
        return f"as in {word}=..."
    homes = [group for group in ("source", "manipulation", "model") if word in kinds(group)]
    if not homes and (_is_there(word) or re.search(r"\.(?!\d*$)\w+$", word)):
        return f"as in source=video {shlex.quote(f'source.path={word}')}"
    return f"as in {[*homes, 'model'][0]}={word}" if word.isidentifier() else "as in noise.scale=0.5"


def _is_there(word: str) -> bool:
    try:
        return Path(word).exists()
    except (OSError, ValueError):  # as where a name is too long
        return False


def _typed(override: str) -> tuple[str, str, str]:
    """Split an override; where Hydra names the setting alone, find its value on the command line."""
    if "=" not in override:
        # The last one counts, as it does for Hydra.
        words = [word for word in sys.argv[1:] if word.lstrip("+~").partition("=")[0] == override]
        override = words[-1].lstrip("+~") if words else override
    return override.partition("=")


def _other_mistake(error: BaseException) -> str:
    line = _first_line(error)
    if line.startswith("Ambiguous value for argument 'manipulation="):
        names = line.partition("=")[2].partition("'")[0]
        hint = f"'manipulation=[{names}]' is a chain, and with -m in front each is a run"
        return f"manipulation={names}: must be one name, or a list; {hint}"
    if line.startswith("Ambiguous value"):
        key, _, value = line.partition("'")[2].rpartition("'")[0].partition("=")
        return f"{line}; add -m in front for a sweep, or put the value in quotes twice: {key}='\"{value}\"'"
    if "Primary config directory not found" in line:
        return f"{line.rstrip('.')}; give --config-path as an absolute path, or from the folder that holds run.py"
    return f"{line}; {REFER}" if isinstance(error, InterpolationResolutionError | GrammarParseError) else line


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
