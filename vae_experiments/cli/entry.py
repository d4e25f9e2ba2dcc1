"""The command line: a user's mistake is one line on standard error, and the exit status is not 0."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import traceback
import warnings
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import OverrideParseException
from hydra.types import RunMode

import vae_experiments.cli.config  # noqa: F401  registers all that Hydra composes with
from vae_experiments.cli.hydra_errors import mistake_of, no_name_of_a_choice
from vae_experiments.cli.multirun import SweepFolder, conclude
from vae_experiments.cli.overrides import quoted
from vae_experiments.errors import VaeExperimentsError, WriteError, one_line, system_reason
from vae_experiments.files import write_error
from vae_experiments.pipeline.folder_lock import end_all, one_held
from vae_experiments.runtime.interruption import SIGNALS, asked, check, promise, take_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("vae_experiments.cli.hydra_errors")
WRONG, UNREADABLE = 1, 2
FULL_ERROR = "HYDRA_FULL_ERROR"
UNPICKLES = "--experimental-rerun"
MULTIRUN = ("-m", "--multirun")
PLACES = ("hydra.run.dir=", "hydra.sweep.dir=")
TRACE = "VAE_EXPERIMENTS_TRACE"
"""Carries to the workers of a launcher whether a person asked for tracebacks: we set Hydra's variable in any case."""
wants_trace = os.environ.get(TRACE, os.environ.get(FULL_ERROR)) == "1"
GO_ON = "the same command with sweep.resume=last does the rest"
HOW_TO_TRACE = f"{FULL_ERROR}=1 in front of the command shows its traceback"
sentences: set[str] = set()
"""Mistakes that jobs of a sweep have shown already; Hydra raises the first one again at the end."""


def command_line(main: Callable[[], Any]) -> NoReturn:
    """Call a Hydra application and turn whatever goes wrong into one line and an exit status.

    ``HYDRA_FULL_ERROR=1`` in the environment shows tracebacks instead.
    """
    status = 0
    try:
        _prepare()
        main()
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        pass  # a reader who has left, as in `--help | head`, has seen enough
    except SystemExit as end:
        if not isinstance(end.code, str):
            raise
        complain(end.code.removeprefix("error: "))
        status = WRONG
    except Exception as error:
        if wants_trace:
            raise
        if str(error) not in sentences:
            complain(mistake_of(error) or _early_mistake(error))
        _conclude_what_is_there()
        status = UNREADABLE if isinstance(error, OverrideParseException) else WRONG
    finally:
        if SweepFolder.begun:
            SweepFolder.begun.end()
        end_all("stopped before it began")
    if number := asked():  # also where it was swallowed, or something went wrong after it
        status = 128 + number
        _say(f"{SIGNALS[number]}; {GO_ON if SweepFolder.begun else 'what was not finished is not kept'}")
    _end(status)


class Parser(argparse.ArgumentParser):
    """Reads a command that takes words and no settings; a mistake is one line, as everywhere here."""

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
    except BrokenPipeError:
        raise
    except Exception as error:
        if wants_trace and not isinstance(error, VaeExperimentsError):
            raise
        sentence = f"{error.problem}; {elsewhere}" if isinstance(error, WriteError) else mistake_of(error)
        complain(sentence or fault(error, HOW_TO_TRACE))
        return WRONG
    return 0


@contextlib.contextmanager
def one_line_mistakes() -> Iterator[None]:
    """End a command with one line where a person's mistake, or a fault of ours, comes to light.

    In a sweep it is shown and passed on to Hydra, which runs the other jobs.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception as error:
        sentence = written_down(error)
        check()
        if wants_trace:
            raise
        complain(sentence)
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            sentences.add(str(error))
            raise
        raise SystemExit(WRONG) from None


def written_down(error: Exception) -> str:
    """Write an error with its traceback into the log of the run, and say it in one line."""
    sentence = mistake_of(error)
    if sentence is None:
        logs = [own.baseFilename for own in logging.root.handlers if isinstance(own, logging.FileHandler)]
        sentence = fault(error, f"its traceback is in {logs[0]}" if logs else HOW_TO_TRACE)
    # What cannot be written, as where run.log is a folder, must not hide the error.
    with contextlib.suppress(OSError):
        log.error("%s", sentence, exc_info=error)
    return sentence


def fault(error: BaseException, where: str) -> str:
    """Return in one line what nobody foresaw."""
    return f"internal: {type(error).__name__}: {error}; this is a fault of vae_experiments, {where}"


def complain(sentence: str) -> None:
    """Print what went wrong in one line on standard error; after a signal, it went wrong because of it."""
    if not asked():
        _say(sentence)


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):
        print(f"error: {one_line(sentence)}", file=sys.stderr)


def _conclude_what_is_there() -> None:
    """Write the page of a sweep that broke off, as when the system kills a worker."""
    folder = SweepFolder.begun and SweepFolder.begun.folder
    if folder and any(folder.glob("*/.hydra")) and not conclude(folder):
        complain(f"the sweep broke off; {GO_ON}")


def _early_mistake(error: Exception) -> str:
    """Return what was wrong before a job began: what was typed, or what is in the way of it."""
    if isinstance(error, OSError):
        if error.filename is None and (folder := one_held()):
            return str(write_error(folder / ".hydra", error))
        reason = system_reason(error)
        return f"cannot use {error.filename} ({reason}); choose a folder with hydra.run.dir=FOLDER"
    # The modules that it came through; the last one raised it.
    rooms = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, TypeError | ValueError) and rooms[-1] == "hydra._internal.defaults_list":
        return no_name_of_a_choice()
    if isinstance(error, RecursionError):
        return "a value is nested too deep, or refers to itself; write a plainer one"
    libraries = [room.partition(".")[0] for room in rooms]
    known = [name for name in libraries if name in ("vae_experiments", "hydra", "hydra_plugins", "omegaconf")]
    # A refusal by Hydra or a launcher is about what was typed.
    if known[-1:] == ["vae_experiments"]:
        return fault(error, HOW_TO_TRACE)
    # A launcher may go on with the whole log of a job that was killed.
    return " ".join(" ".join(str(error).strip().splitlines()[:2]).split())


def _prepare() -> None:
    """Settle what happens on signals, on a closed pipe, and to a config path."""
    take_signals()
    promise("ending, what is not finished is not kept")
    # Hydra prints several lines of its own for a mistake, unless it is told to raise it.
    os.environ[TRACE], os.environ[FULL_ERROR] = str(int(wants_trace)), "1"
    # joblib replaces a worker that grew by 300 MB, as by loading torch or by a larger clip. That is as it should be.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    # A reader who has left, as in `| head`, is no reason for tracebacks.
    logging.raiseExceptions = False
    words = sys.argv[1:]
    places = [str(Path.cwd()), *(word for word in words if word.startswith(PLACES) and "\\${" in word)]
    if "${" in places[-1]:
        complain(
            f"{places[-1]}: Hydra would look up what follows ${{ in this folder's name; choose another folder"
        )
        _end(UNREADABLE)
    if any(len(word) > 2 and UNPICKLES.startswith(word.partition("=")[0]) for word in words):
        hint = "use --config-path RUN/.hydra --config-name config"
        complain(f"{UNPICKLES} would run whatever code its file holds; {hint}")
        _end(UNREADABLE)
    words = [word if word.startswith("-") else quoted(word) for word in words]
    # Hydra refuses what follows a flag that stands between settings.
    words.sort(key=lambda word: word not in MULTIRUN)
    # Hydra looks for a relative path beside run.py; people mean the folder that they are in.
    for place, (flag, path) in enumerate(pairwise(words), 1):
        if flag in ("--config-path", "-cp") and Path(path).is_dir():
            words[place] = str(Path(path).resolve())
    sys.argv[1:] = words
    # Hydra's own parser would print all flags that there are.
    parser = get_args_parser()
    vars(parser)["error"] = _refuse_flag
    parser.parse_args()


def _refuse_flag(message: str) -> NoReturn:
    """End with one line that says which flag there is not."""
    flag = message.partition("unrecognized arguments: ")[2].partition(" ")[0]
    name = flag.lstrip("-")
    if not flag:
        complain(f"{message.removeprefix('argument ')}; --hydra-help lists what each flag takes")
    elif "=" in name:
        complain(f"{flag}: a setting has no dashes in front; type {name}")
    else:
        complain(f"{flag}: no such flag; a setting is typed as KEY=VALUE, and --help lists all of them")
    _end(UNREADABLE)


def _end(status: int) -> NoReturn:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # Python would try again, and complain, while it shuts down.
        sys.stdout = None
    sys.exit(status)
