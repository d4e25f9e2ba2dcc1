"""The command line: a user's mistake is one line on standard error, and the exit status is not 0."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from vae_experiments.config import experiment_from, type_mistake, unknown_setting
from vae_experiments.errors import SettingError, VaeExperimentsError, closest
from vae_experiments.options import Option

if TYPE_CHECKING:
    from collections.abc import Callable

    from omegaconf import DictConfig

log = logging.getLogger("vae_experiments.mistakes")
WRONG, UNREADABLE = 1, 2
FULL_ERROR = "HYDRA_FULL_ERROR"
said: set[str] = set()
"""Mistakes that jobs of a sweep have shown already; Hydra raises the first one again at the end."""


def run_configured(config: DictConfig) -> None:
    """Run the composed experiment into the folder that Hydra made for it.

    A mistake ends a single run here with its one line. In a sweep it goes on to Hydra, which runs
    the other jobs before it stops.
    """
    hydra = HydraConfig.get()
    try:
        _refuse_twice(list(hydra.overrides.task))
        experiment_from(config).run(Path(hydra.runtime.output_dir))
    except (VaeExperimentsError, OmegaConfBaseException) as error:
        sentence = mistake_of(error) or str(error)
        log.error("%s", sentence)
        if hydra.mode is RunMode.MULTIRUN:
            _complain(f"{sentence} (job {hydra.job.num}: {' '.join(hydra.overrides.task)})")
            said.add(sentence)
            raise
        _complain(sentence)
        raise SystemExit(WRONG) from None


def command_line(main: Callable[[], Any]) -> NoReturn:
    """Call a Hydra application and turn whatever goes wrong into one line and an exit status.

    ``HYDRA_FULL_ERROR=1`` in the environment shows tracebacks instead.
    """
    wants_trace = os.environ.get(FULL_ERROR) == "1"
    # Hydra prints several lines of its own for a mistake, unless it is told to raise it.
    os.environ[FULL_ERROR] = "1"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        main()
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        sentence = mistake_of(error)
        if sentence is None or wants_trace:
            raise
        if sentence not in said:
            _complain(sentence)
        sys.exit(UNREADABLE if isinstance(error, OverrideParseException) else WRONG)
    sys.exit(0)


def mistake_of(error: BaseException) -> str | None:
    """Say in one line what a person did wrong, or None where the fault is the program's."""
    if isinstance(error, VaeExperimentsError):
        return str(error)
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r}: {_first_line(error)}; put quotes around a value with special characters"
    if isinstance(error, MissingConfigException):
        return _missing_choice(error)
    if isinstance(error, ConfigCompositionException):
        return _composition_mistake(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _first_line(error)
    return None


def _refuse_twice(overrides: list[str]) -> None:
    """Stop at ``[noise,noise]``: both would be one and the same block of settings."""
    for override in overrides:
        if override.startswith("manipulation=["):
            names = [name.strip() for name in override.partition("=")[2].strip("[]").split(",")]
            if len(set(names)) < len(names):
                cure = "give the second one a name and a yaml of its own, with kind set to the first's"
                raise SettingError("manipulation", override.partition("=")[2], "names one twice", cure)


def _missing_choice(error: MissingConfigException) -> str:
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    if not group:
        return _first_line(error)
    options = [option for option in error.options or [] if option != "schema"]
    return str(SettingError(group, choice, "no such choice", closest(choice, options)))


def _composition_mistake(error: ConfigCompositionException) -> str:
    cause = error.__cause__
    override = re.search(r"override (?:value )?'?([^\s']+)'?", str(error))
    typed = override.group(1).rstrip(".") if override else ""
    setting, _, value = _typed_override(typed)
    if not isinstance(cause, OmegaConfBaseException):
        return _first_line(error)
    address, _, key = setting.rpartition(".")
    if not isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return str(type_mistake(cause, address, {key: value}))
    node = cause.parent_node
    known = [str(name) for name in node] if node is not None and hasattr(node, "__iter__") else []
    if isinstance(cause.object_type, type) and issubclass(cause.object_type, Option):
        known = [name for name, _, _ in cause.object_type.settings()]
    wrong = str(cause.key or key)
    where = str(cause.full_key or setting).rpartition(".")[0]
    return str(unknown_setting(where, wrong, value, known))


def _typed_override(typed: str) -> tuple[str, str, str]:
    """Find the override as it was typed: Hydra's message names the setting, not always its value."""
    given = next(
        (argument for argument in sys.argv[1:] if argument.lstrip("+~").startswith(typed.partition("=")[0])),
        typed,
    )
    return given.lstrip("+~").partition("=")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _complain(sentence: str) -> None:
    print(f"error: {sentence}", file=sys.stderr)
