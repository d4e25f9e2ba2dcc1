"""FFmpeg's own complaints: it conceals damage in the picture and says so only in its log."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    Complaints: TypeAlias = list[tuple[int, str, str]]

# The log's settings belong to the whole process: the first listener opens it, the last one shuts it.
_lock = threading.Lock()
_settings_before: list[tuple[int | None, bool]] = []


@contextlib.contextmanager
def listening() -> Iterator[Complaints]:
    """Collect the error lines of this thread's calls; nothing of them is printed.

    Never held across a ``yield`` of a reader: a writer that works in between has a log of its own.
    """
    from av import logging

    with _lock:
        now = (logging.get_level(), logging.get_skip_repeated())
        _settings_before.append(_settings_before[0] if _settings_before else now)
        logging.set_level(logging.ERROR)
        # Else a line would be swallowed that equals the last one of another video, or of another reading.
        logging.set_skip_repeated(False)
    try:
        with logging.Capture(local=True) as complaints:
            yield complaints
    finally:
        with _lock:
            level, skips = _settings_before.pop()
            if not _settings_before:
                logging.set_skip_repeated(skips)
                logging.set_level(level)
