"""Commands that take settings: a function of a composed config becomes a program."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import hydra

from vae_experiments.cli.entry import command_line
from vae_experiments.cli.hydra_setup import CONF, CONFIG_GROUPS, HELP, ReserveRunFolder, register

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from omegaconf import DictConfig


def command(
    config_name: str,
    groups: Sequence[str] = CONFIG_GROUPS,
    help_text: str = HELP,
    folder_callback: type[ReserveRunFolder] = ReserveRunFolder,
    named: Sequence[str] = (),
    translated: Callable[[Sequence[str]], list[str]] = list,
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], NoReturn]]:
    """Return a decorator that makes a program of a function of a composed config.

    Args:
        config_name: the yaml in conf/ that it begins with.
        groups: whose options can be chosen.
        help_text: what ``--help`` prints, with CHOICES, EXPLANATION and $CONFIG in it.
        claim_folder: reserves the folder that it writes into.
        named: further groups that ``--help`` lists.
        translated: turns short forms of its own into settings.

    Example:
        >>> @command("doctor", ("model", "device", "doctor"), HELP)
        ... def main(config): ...
    """

    def decorate(work: Callable[[DictConfig], Any]) -> Callable[[], NoReturn]:
        application = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(work)

        @functools.wraps(work)
        def program() -> NoReturn:
            register(folder_callback, groups, help_text, named)
            sys.argv[1:] = translated(sys.argv[1:])
            command_line(application)

        return program

    return decorate
