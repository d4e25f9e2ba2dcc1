"""Interruption: a signal is answered at once, ends a command in good order, and is never lost."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGNALS = {
    int(getattr(signal, name)): word
    for name, word in (("SIGINT", "interrupted"), ("SIGTERM", "terminated"), ("SIGHUP", "hung up"))
    if hasattr(signal, name)
}
ECHO_SECONDS = 0.2
"""``timeout`` and shells send one signal twice: to the process, and to its group."""
REMINDER_SECONDS = 0.05
unfinished: set[Path] = set()
"""Hidden files that are being written, which are taken away where the process ends at once."""


class Interrupted(KeyboardInterrupt, SystemExit):
    """Ends what a signal interrupted; where nobody catches it the process, in silence, with that signal's status."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number, self.code = number, 128 + number


class _Standing:
    """What is known of signals in this process."""

    is_command = False
    promise: str | None = None
    asked = 0
    asked_at = 0.0
    holds = firm_holds = 0
    once_more = False
    reminded = False


_now = _Standing()


def take_signals() -> None:
    """Answer signals in this process from now on; it is called before anything that takes long to load."""
    if _now.is_command or threading.current_thread() is not threading.main_thread():
        return
    _now.is_command = True
    _replaced_handlers()
    sys.unraisablehook = _hear_what_was_swallowed
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_leave_signals)


def promise(what_happens: str) -> None:
    """Settle what the first signal is answered with: what happens then."""
    _now.promise = what_happens


def asked() -> int:
    """Return the number of the signal that came, or 0."""
    return _now.asked


def check() -> None:
    """Raise the interruption again, if there was one that somebody swallowed.

    Raises:
        Interrupted: a signal came, and nobody holds it.
    """
    if _now.asked and not _now.holds and _in_main_thread():
        raise Interrupted(_now.asked)


@contextlib.contextmanager
def held(firm: bool = False) -> Iterator[None]:
    """Let a signal wait until the end of the block, which may look whether one was :func:`asked`.

    Args:
        firm: a second signal, which ends the process, waits as well.

    Raises:
        Interrupted: at the end of the block, if a signal came and the block did not raise.
    """
    if not _in_main_thread():  # signals come to the main thread only
        yield
        return
    # From Python, nobody but the block expects a handler of ours.
    lent = {} if _now.is_command or _now.holds else _replaced_handlers()
    asked_before = _now.asked
    _now.holds += 1
    _now.firm_holds += firm
    number = 0
    try:
        yield
        number = 0 if asked_before else _now.asked
    finally:
        _now.holds -= 1
        _now.firm_holds -= firm
        if _now.once_more and not _now.firm_holds:
            _end_at_once(_now.asked)
        for signal_number, handler in lent.items():
            signal.signal(signal_number, handler)
        if lent:
            _now.asked = 0
    if number and not _now.holds:
        # Whoever runs us from Python knows Ctrl-C by Python's own name.
        raise KeyboardInterrupt if lent and number == signal.SIGINT else Interrupted(number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _replaced_handlers() -> dict[int, Any]:
    """Put our handler in the place of others, except where a signal is ignored, as below ``nohup``."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = {n: handler for n, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in ours:
        signal.signal(number, _take)
    return ours


def _take(number: int, _frame: object) -> None:
    if _now.reminded:
        _now.reminded = False
        check()
    elif not _now.asked:
        _now.asked, _now.asked_at = number, time.monotonic()
        if _now.promise is not None:
            _say(f"{SIGNALS[number]}: {_now.promise}; a second time ends at once")
        elif _now.is_command:
            _say(SIGNALS[number])
            _end_at_once(number)
        check()
    elif time.monotonic() - _now.asked_at >= ECHO_SECONDS:
        if not _now.is_command:
            raise Interrupted(number)
        if not _now.firm_holds:
            _end_at_once(number)
        _now.once_more = True


def _hear_what_was_swallowed(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise an interruption again that came inside a callback or a finaliser, which can pass on no exception."""
    if unraisable.exc_type is Interrupted and hasattr(signal, "pthread_kill"):
        reminder = threading.Timer(REMINDER_SECONDS, _remind)
        reminder.daemon = True
        reminder.start()
    else:
        sys.__unraisablehook__(unraisable)


def _remind() -> None:
    _now.reminded = True
    # A signal, and not `_thread.interrupt_main`, which wakes nobody who sleeps or waits for a lock.
    signal.pthread_kill(threading.main_thread().ident or 0, _now.asked)


def _leave_signals() -> None:
    """Give a forked child Python's own handlers: it does not speak for the command."""
    for number in SIGNALS:
        if signal.getsignal(number) is _take:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    _now.is_command, _now.asked, _now.promise, _now.holds, _now.firm_holds = False, 0, None, 0, 0


def _say(line: str) -> None:
    # Below a bar, and beside the ^C that the terminal shows, it begins on a line of its own.
    start = "\n" if os.isatty(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{start}{line}\n".encode())


def _end_at_once(number: int) -> NoReturn:
    for path in tuple(unfinished):
        with contextlib.suppress(OSError):
            path.unlink()
    os._exit(128 + number)
