"""A command that takes words and no settings: a mistake in them, and any other, is one line and an exit status."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

from vae_experiments.cli.entry import HOW_TO_TRACE, UNREADABLE, WRONG, complain, fault, wants_trace
from vae_experiments.cli.hydra_errors import mistake_of
from vae_experiments.errors import VaeExperimentsError, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable


class Parser(argparse.ArgumentParser):
    """Prints a mistake in one line, as all commands here do."""

    def error(self, message: str) -> NoReturn:
        """End with the sentence that argparse has found."""
        complain(f"{message}; try {self.prog} --help")
        raise SystemExit(UNREADABLE)


def status_of(work: Callable[[], object], elsewhere: str) -> int:
    """Return the exit status of a piece of work: 0, or 1 where it ended in an error, printed in one line.

    ``elsewhere`` is the hint where the result cannot be written.
    """
    try:
        work()
    except VaeExperimentsError as error:
        complain(f"{error.problem}; {elsewhere}" if isinstance(error, WriteError) else str(error))
        return WRONG
    except BrokenPipeError:
        raise
    except Exception as error:
        if wants_trace:
            raise
        complain(mistake_of(error) or fault(error, HOW_TO_TRACE))
        return WRONG
    return 0
