"""The command line: a user's mistake is one line on standard error, and the exit status is not 0."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import OverrideParseException
from hydra.types import RunMode
from omegaconf import OmegaConf

from vae_experiments.cli.config import experiment_from, sweep_from
from vae_experiments.cli.hydra_errors import mistake_of, no_name_of_a_choice
from vae_experiments.cli.multirun import SweepFolder, conclude
from vae_experiments.cli.overrides import quoted
from vae_experiments.cli.run_folders import RUN, SWEEP, fail_job, finished_job, reserve_run
from vae_experiments.errors import SettingError, system_reason
from vae_experiments.files import write_error
from vae_experiments.messages import one_line
from vae_experiments.pipeline.folder_lock import RefusedError, end_all, one_held
from vae_experiments.runtime.interruption import SIGNALS, asked, check, promise, take_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from omegaconf import DictConfig

log = logging.getLogger("vae_experiments.cli.hydra_errors")
WRONG, UNREADABLE = 1, 2
FULL_ERROR = "HYDRA_FULL_ERROR"
UNPICKLES = "--experimental-rerun"
MULTIRUN = ("-m", "--multirun")
TRACE = "VAE_EXPERIMENTS_TRACE"
"""Carries to the workers of a launcher whether a person asked for tracebacks: we set Hydra's variable in any case."""
wants_trace = os.environ.get(TRACE, os.environ.get(FULL_ERROR)) == "1"
GO_ON = "the same command with sweep.resume=last does the rest"
HOW_TO_TRACE = f"{FULL_ERROR}=1 in front of the command shows its traceback"
sentences: set[str] = set()
"""Mistakes that jobs of a sweep have shown already; Hydra raises the first one again at the end."""


def run_configured(config: DictConfig) -> float:
    """Run the composed experiment into the folder that Hydra made for it, and give its objective.

    A mistake ends a single run here with its one line. In a sweep it is written down beside the other
    jobs, which go on; a job that finished before is not run again.
    """
    hydra = HydraConfig.get()
    # Unresolved: a `${...}` that leads nowhere must not fail here.
    job = [str(word) for word in OmegaConf.to_container(hydra.overrides.task, resolve=False)]  # type: ignore[union-attr]
    if hydra.mode is not RunMode.MULTIRUN:
        folder = Path(hydra.runtime.output_dir)
        with one_line_mistakes(), reserve_run(folder, config, RUN):
            experiment, sweep = experiment_from(config, job), sweep_from(config)
            experiment.source_digest_before = _source_digest_before(job)
            metrics = experiment.run(folder).metrics
        with one_line_mistakes():
            return sweep.value(metrics)
    return _run_job(config, Path(hydra.runtime.output_dir), job, hydra.job.num)


def _run_job(config: DictConfig, folder: Path, job: Sequence[str], number: int) -> float:
    """Run one job of a sweep; whatever stops it must not stop the others."""
    check()  # what interrupted the job before may have been swallowed
    words = shlex.join(job)
    try:
        metrics = finished_job(folder, config)
        if metrics is None:
            with reserve_run(folder, config, SWEEP):
                experiment = experiment_from(config, job)
                experiment.command = f"python run.py {words}"
                experiment.source_digest_before = _source_digest_before(job)
                metrics = experiment.run(folder).metrics
        else:
            print(one_line(f"job {number} ({words}) is finished already, in {folder}"))
    except RefusedError as refused:
        # Nothing may be written into a folder that is another's, so Hydra has to hear of it.
        complain(f"{refused} (job {number}: {words})")
        sentences.add(str(refused))
        raise
    except Exception as error:
        sentence = _written_down(error)
        check()  # an interruption may come out of a library as an error
        if wants_trace:
            raise
        complain(f"{sentence} (job {number}: {words})")
        fail_job(folder, one_line(sentence))
        return float("nan")
    try:
        return sweep_from(config).value(metrics)
    except SettingError:
        return float("nan")  # said once, when the sweep ends


def _source_digest_before(job: Sequence[str]) -> str:
    """Find the digest of the source in the provenance.json of the run whose saved config runs again.

    Empty where there is none, or where another source, or other settings of it, were typed.
    """
    if any(word.lstrip("+~").startswith("source") for word in job):
        return ""
    main = next(place for place in HydraConfig.get().runtime.config_sources if place.provider == "main")
    try:
        before = json.loads((Path(main.path).parent / "provenance.json").read_text(encoding="utf-8"))
        return str(before.get("source_digest") or "")
    except (OSError, ValueError, AttributeError):
        return ""


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
        sentence = _written_down(error)
        check()
        if wants_trace:
            raise
        complain(sentence)
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            sentences.add(str(error))
            raise
        raise SystemExit(WRONG) from None


def _written_down(error: Exception) -> str:
    """Write an error with its traceback into the log of the run, and say it in one line."""
    sentence = mistake_of(error)
    if sentence is None:
        where = [
            handler.baseFilename for handler in logging.root.handlers if hasattr(handler, "baseFilename")
        ]
        sentence = fault(error, f"its traceback is in {where[0]}" if where else HOW_TO_TRACE)
    # What cannot be written, as where run.log is a folder, must not hide the error.
    with contextlib.suppress(OSError):
        log.error("%s", sentence, exc_info=error)
    return sentence


def fault(error: BaseException, where: str) -> str:
    """Return in one line what nobody foresaw."""
    return f"internal: {type(error).__name__}: {error}; this is a fault of vae_experiments, {where}"


def command_line(main: Callable[[], Any]) -> NoReturn:
    """Call a Hydra application and turn whatever goes wrong into one line and an exit status.

    ``HYDRA_FULL_ERROR=1`` in the environment shows tracebacks instead.
    """
    try:
        _prepare()
        main()
        status = 0
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        status = 0  # a reader who has left, as in `--help | head`, has seen enough
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


def _conclude_what_is_there() -> None:
    """Write the page of a sweep that broke off, as when the system kills a worker."""
    folder = SweepFolder.begun and SweepFolder.begun.folder
    if folder and any(folder.glob("*/.hydra")) and not conclude(folder):
        complain(f"the sweep broke off; {GO_ON}")


def _early_mistake(error: Exception) -> str:
    """Return what was wrong before a job began: what was typed, or what is in the way of it."""
    if isinstance(error, OSError) and error.filename is None and (folder := one_held()):
        return str(write_error(folder / ".hydra", error))
    if isinstance(error, OSError):
        return (
            f"cannot use {error.filename} ({system_reason(error)}); choose a folder with hydra.run.dir=FOLDER"
        )
    if isinstance(error, TypeError | ValueError) and _rooms(error)[-1] == "hydra._internal.defaults_list":
        return no_name_of_a_choice()
    if isinstance(error, RecursionError):
        return "a value is nested too deep, or refers to itself; write a plainer one"
    if _is_ours(error):
        return fault(error, HOW_TO_TRACE)
    # A launcher may go on with the whole log of a job that was killed.
    return " ".join(" ".join(str(error).strip().splitlines()[:2]).split())


def _is_ours(error: BaseException) -> bool:
    """Whether our own code came upon an error: a refusal by Hydra or a launcher is about what was typed."""
    rooms = [room.partition(".")[0] for room in _rooms(error)]
    ours = __name__.partition(".")[0]
    deepest = [room for room in rooms if room in (ours, "hydra", "hydra_plugins", "omegaconf")]
    return deepest[-1:] == [ours]


def _rooms(error: BaseException) -> list[str]:
    """Name the modules that an error came through; the last one raised it."""
    return [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]


def complain(sentence: str) -> None:
    """Print what went wrong in one line on standard error; after a signal, it went wrong because of it."""
    if not asked():
        _say(sentence)


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):
        print(f"error: {one_line(sentence)}", file=sys.stderr)


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
    if any(len(word) > 2 and UNPICKLES.startswith(word.partition("=")[0]) for word in sys.argv[1:]):
        complain(
            f"{UNPICKLES} would run whatever code its file holds; use --config-path RUN/.hydra --config-name config"
        )
        _end(UNREADABLE)
    sys.argv[1:] = [word if word.startswith("-") else quoted(word) for word in sys.argv[1:]]
    # Hydra refuses what follows a flag that stands between settings.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda word: word not in MULTIRUN)
    _refuse_strange_flags()
    # Hydra looks for a relative path beside run.py; people mean the folder that they are in.
    for place, flag in enumerate(sys.argv[:-1]):
        if flag in ("--config-path", "-cp") and Path(sys.argv[place + 1]).is_dir():
            sys.argv[place + 1] = str(Path(sys.argv[place + 1]).resolve())


def _refuse_strange_flags() -> None:
    """Print in one line which flag there is not: Hydra's own parser would print all that there are."""
    parser = get_args_parser()
    vars(parser)["error"] = _refuse_flag
    parser.parse_args()


def _refuse_flag(message: str) -> NoReturn:
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
