"""Events: what a browser sends when something is pressed, looked at before Gradio reads it.

Gradio opens, copies or fetches whatever file or address stands in an event, unless its own ``launch`` began the
server. Here a file counts only where it lies in the folder in which uploads arrive, and is one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_experiments.web.guard import RefusalError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)


class Events:
    """Tells the events that the page itself may send.

    Args:
        arrivals: the folder in which uploads arrive.
        numbers: of all that can be pressed.
    """

    def __init__(self, arrivals: Path, numbers: Collection[int]) -> None:
        self.arrivals, self.numbers = arrivals.resolve(), set(numbers)

    def session_of(self, body: bytes) -> str:
        """Give the open page that an event comes from.

        Raises:
            RefusalError: it is none of this page's, or names a file that was not uploaded.
        """
        try:
            event = json.loads(body)
            session, number = event["session_hash"], event["fn_index"]
            named = list(_named(event))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RefusalError(400, "this is no event of the page") from None
        if not isinstance(session, str) or not SESSION.fullmatch(session) or not self._knows(number):
            raise RefusalError(400, "this is no event of the page")
        if not all(self._arrived(path) for path in named):
            raise RefusalError(403, "only what was uploaded can be used")
        return session

    def _knows(self, number: object) -> bool:
        return isinstance(number, int) and not isinstance(number, bool) and number in self.numbers

    def _arrived(self, path: object) -> bool:
        """Tell a regular file of the folder of uploads; nothing is opened, and no link followed."""
        if not isinstance(path, str) or "\0" in path or not Path(path).is_absolute():
            return False
        try:
            found = Path(path).resolve(strict=True)
        except (OSError, RuntimeError):
            return False
        return found == Path(path) and found.is_relative_to(self.arrivals) and found.is_file()


def _named(value: Any) -> Iterator[Any]:
    """Give all that stands under ``path`` anywhere, which is where Gradio looks for files."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        for part in value.values():
            yield from _named(part)
    elif isinstance(value, list):
        for part in value:
            yield from _named(part)
