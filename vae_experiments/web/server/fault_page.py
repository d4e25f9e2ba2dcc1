"""Faults: what nobody foresaw is one line in the terminal, a sentence in the browser, and a traceback in a file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)
traces = logging.getLogger(f"{__name__}.traces")
FAULT = "something went wrong inside; the terminal that serves this page says more"
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def keep_traces_in(file: Path) -> None:
    """Write tracebacks to a file, which is made with the first of them, and not to the terminal."""
    handler = logging.FileHandler(file, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter(FORMAT))
    traces.addHandler(handler)
    traces.propagate = False


def tell_fault(error: BaseException, where: str) -> str:
    """Return the browser's sentence, after the terminal was told in one line."""
    file = next(
        (f", see {one.baseFilename}" for one in traces.handlers if isinstance(one, logging.FileHandler)), ""
    )
    sentence = " ".join(f"{type(error).__name__}: {error}".split())
    log.error("error: internal: %s (%s); this is a fault of vae_experiments%s", sentence[:300], where, file)
    traces.error("%s", where, exc_info=error)
    return FAULT
