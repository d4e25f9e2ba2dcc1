"""``python -m tests.dying LIST LAST COMMAND``: a command that ``kill -9`` ends at its LAST step on the disk.

Each file that it opens for writing, and each name that it makes, moves or takes away, is a step: they are
written into LIST, an event and a path a line. A LAST of 0 lets it live.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.prompt import run

STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def watch(steps: Path, last: int, place: Path) -> None:
    """Write down each step below a folder, and die at the last."""
    out = os.open(steps, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    number = 0

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal number
        if event not in STEPS or (event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        path = arguments[event == "os.rename"]
        if isinstance(path, str | Path) and place in Path(path).parents:
            number += 1
            os.write(out, f"{event} {path}\n".encode())
            if number == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(see)


if __name__ == "__main__":
    listed = Path(sys.argv[1])
    watch(listed, int(sys.argv[2]), listed.parent)
    run(sys.argv[3:])
