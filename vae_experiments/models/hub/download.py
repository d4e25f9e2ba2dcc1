"""One large file from the hub into the local cache: continues where it broke off, and is checked.

huggingface_hub drops what it has when a download ends early. Here it stays, and the next try, in this
process or in a later one, asks for the rest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import ModelError
from vae_experiments.files import digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRIES = 4
"""How often in a row a connection may break without a single byte."""
PAUSE_SECONDS = 1.0
PARTIAL, RANGE_REFUSED = 206, 416


@dataclass(frozen=True)
class Wanted:
    """A file on the hub, and what it must turn out to be."""

    url: str
    size_bytes: int
    sha256: str


def part_of(blob: Path) -> Path:
    """Return where the bytes of a file stand until it is whole; huggingface_hub knows this name too."""
    return blob.with_name(f"{blob.name}.incomplete")


def size_bytes(file: Path) -> int:
    """Return a file's size, 0 if it is not there."""
    return file.stat().st_size if file.exists() else 0


def transfer(wanted: Wanted, blob: Path, add: Callable[[int], None]) -> None:
    """Fetch a file, or what is missing of it, and publish it under its name once its digest is right.

    ``add`` is told how many bytes came, and a negative number when they have to come again.

    Raises:
        ModelError: what came is not what the hub promises; it is deleted.
        Exception: the hub's or the system's own, when the connection stays broken or the disk is full.
    """
    part = part_of(blob)
    part.parent.mkdir(parents=True, exist_ok=True)
    if size_bytes(part) > wanted.size_bytes:
        part.unlink()
    tries = TRIES
    while (before := size_bytes(part)) < wanted.size_bytes:
        broken = _append(wanted.url, part, before, add)
        if size_bytes(part) > before:
            tries = TRIES
            continue
        tries -= 1
        if not tries:
            raise broken or ConnectionError("the connection ends before the file does")
        time.sleep(PAUSE_SECONDS)
    _publish(part, blob, wanted)


def _append(url: str, part: Path, have: int, add: Callable[[int], None]) -> Exception | None:
    """Ask for the bytes from ``have`` on; give back the error of a connection that broke."""
    from huggingface_hub import constants, get_session, hf_raise_for_status
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    # The hub's library speaks through httpx or its successor: its base of errors has the one name in both.
    broken: Any = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    try:
        with get_session().stream(
            "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True
        ) as response:
            if response.status_code == RANGE_REFUSED:
                part.unlink()
                add(-have)
                return None
            hf_raise_for_status(response)
            if response.status_code != PARTIAL and have:
                add(-have)
            with part.open("ab" if response.status_code == PARTIAL else "wb") as file:
                # As they come: blocks of a size of our own would be lost half full where the connection ends.
                for block in response.iter_bytes():
                    file.write(block)
                    add(len(block))
    except HfHubHTTPError:
        raise
    except broken as error:
        return ConnectionError(str(error) or type(error).__name__)
    return None


def _publish(part: Path, blob: Path, wanted: Wanted) -> None:
    came = size_bytes(part)
    if came == wanted.size_bytes and digest(part) == wanted.sha256:
        part.replace(blob)
        return
    part.unlink()
    problem = (
        f"is {came} bytes long, not {wanted.size_bytes}"
        if came != wanted.size_bytes
        else f"has another SHA-256 than the hub gives, {wanted.sha256[:12]}..."
    )
    raise ModelError(
        f"model: what came from {wanted.url} {problem}; it was deleted",
        "try again; if it stays so, a proxy or HF_ENDPOINT changes files",
    )
