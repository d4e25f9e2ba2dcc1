"""Events: what a browser sends when something is pressed, looked at before Gradio reads it.

Gradio opens, copies or fetches whatever file or address stands in an event, unless its own ``launch`` began the
server. Here a file counts only where it lies in the folder in which uploads arrive, and is one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_experiments.web.server.request_guard import RefusalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE_META = {"_type": "gradio.FileData"}
NOT_OURS = ("event_id", "oauth_token", "simple_format", "batched")
"""What Gradio reads of an event, and this page never sends."""
SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)


class Events:
    """Knows the events that the page itself may send.

    Args:
        arrivals: the folder in which uploads arrive.
        takes_files: of each value that comes with all that can be pressed, by its number, whether it is a file.
    """

    def __init__(self, arrivals: Path, takes_files: Mapping[int, list[bool]]) -> None:
        self.arrivals, self.takes_files = arrivals.resolve(), takes_files

    def session_of(self, body: bytes) -> str:
        """Return the open page that an event comes from.

        Raises:
            RefusalError: it is none of this page's, or names a file that was not uploaded.
        """
        no_event = RefusalError(400, "this is no event of the page")
        try:
            event = json.loads(body)
            session, number = event["session_hash"], event["fn_index"]
            named = list(_named(event))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise no_event from None
        if not isinstance(session, str) or not SESSION.fullmatch(session):
            raise no_event
        if type(number) is not int or number not in self.takes_files or any(map(event.get, NOT_OURS)):
            raise no_event
        if not all(map(self._arrived, named)):
            raise RefusalError(403, "only what was uploaded can be used")
        data = event.get("data")
        # As many values as there should be, with files where files belong and nowhere else.
        if not isinstance(data, list) or list(map(_is_file, data)) != self.takes_files[number]:
            raise no_event
        return session

    def _arrived(self, path: object) -> bool:
        """Whether it is a regular file of the folder of uploads; nothing is opened, and no link followed."""
        if not isinstance(path, str) or "\0" in path or not Path(path).is_absolute():
            return False
        try:
            found = Path(path).resolve(strict=True)
        except (OSError, RuntimeError):
            return False
        return found == Path(path) and found.is_relative_to(self.arrivals) and found.is_file()


def _is_file(value: object) -> bool:
    return isinstance(value, dict) and value.get("meta") == FILE_META and "path" in value


def _named(value: Any) -> Iterator[Any]:
    """Yield all that stands under ``path`` anywhere, which is where Gradio looks for files."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _named(part)
