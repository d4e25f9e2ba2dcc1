"""Commands that take settings: a function of a composed config, or of its options, becomes a program."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import hydra

from vae_experiments.cli.config import option_from, refuse_unknown
from vae_experiments.cli.entry import command_line, one_line_mistakes
from vae_experiments.cli.hydra_setup import CONF, CONFIG_GROUPS, HELP, ReserveRunFolder, register
from vae_experiments.options import Option

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
        folder_callback: reserves the folder that it writes into.
        named: further groups that ``--help`` lists.
        translated: turns short forms of its own into settings.
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


def command_of_options(
    config_name: str,
    introduction: str,
    *groups: str,
    translated: Callable[[Sequence[str]], list[str]] = list,
) -> Callable[[Callable[..., object]], Callable[[], NoReturn]]:
    """Return a decorator that makes a program of a function of options, one of each group, in their order.

    Example:
        >>> @command_of_options("doctor", "Look at a model. Choose one of each", "model", "doctor")
        ... def main(model: Model, doctor: Doctor) -> None: ...
    """
    help_text = f"{introduction}:\n\nCHOICES\n\nand change any setting, key=value:\n\n$CONFIG"

    def decorate(work: Callable[..., object]) -> Callable[[], NoReturn]:
        @command(config_name, groups, help_text, translated=translated)
        @functools.wraps(work)
        def program(config: DictConfig) -> None:
            with one_line_mistakes():
                refuse_unknown("", config, {"seed", *groups})
                work(*(option_from(Option, config, group) for group in groups))

        return program

    return decorate
