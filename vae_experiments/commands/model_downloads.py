"""Downloads of one or several models: announced, fetched, verified, and where they are."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from vae_experiments.errors import ModelError
from vae_experiments.models.hub.remote_files import free_bytes, megabytes
from vae_experiments.models.hub.repo import UnreachableError
from vae_experiments.runtime.interruption import check
from vae_experiments.runtime.progress import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vae_experiments.models import Hub
from vae_experiments.models.hub.remote_files import RemoteFiles

log = logging.getLogger(__name__)


class Delivery:
    """Brings models into the local cache, so that they can be used without a network.

    One that cannot be had does not keep the others from coming.
    """

    def __init__(self, wanted: dict[str, Hub]) -> None:
        self.wanted = wanted
        """By the words that choose them, as ``model=sd``."""
        self.failed: dict[str, ModelError] = {}

    def run(self, dry: bool = False) -> None:
        """Print what there is to do, do it unless ``dry``, and print how to use it.

        Raises:
            ModelError: a model could not be had, or several, or the hub is not there.
        """
        remotes = self._announced()
        for words, hub in self.wanted.items():
            check()
            if words in self.failed or dry:
                continue
            with self._going_on(words):
                folder = hub.fetch(remotes[words]) if words in remotes else self._checked(hub)
                self._loaded(words, folder)
        if len(self.wanted) == 1 and self.failed:
            raise next(iter(self.failed.values()))
        if self.failed:
            raise ModelError(
                f"{len(self.failed)} of {len(self.wanted)} models are not here: {', '.join(self.failed)}",
                "the lines above say why",
            )

    def _announced(self) -> dict[str, RemoteFiles]:
        """Print for each model how large it is, and what is missing of all."""
        remotes: dict[str, RemoteFiles] = {}
        for words, hub in self.wanted.items():
            with self._going_on(words, needs_hub=True):
                hub.place.check()
                if (found := hub.place.cached()) is not None:
                    log.info("%s: here already, %s", words, found)
                    continue
                with waiting(f"{words}: asking the hub"):
                    remote = remotes[words] = hub.remote_files()
                here = remote.size_bytes - remote.missing_bytes
                rest = f", {megabytes(here)} of it here already" if here else ""
                log.info("%s: %s from %s%s", words, megabytes(remote.size_bytes), hub.repository, rest)
        if remotes:
            missing = sum(remote.missing_bytes for remote in remotes.values())
            place = next(iter(remotes.values())).place
            log.info(
                "to download: %s to %s, where %s are free",
                megabytes(missing),
                place.cache.parent,
                megabytes(free_bytes(place)),
            )
        return remotes

    @staticmethod
    def _checked(hub: Hub) -> Path:
        """Compare what was here before with the digests that the cache keeps."""
        folder = hub.folder()
        for file in hub.place.damaged(folder):
            raise ModelError(
                f"model: {file} is damaged, its SHA-256 is another than when it was downloaded",
                f"delete {file} and {file.resolve()}, and type the command again",
            )
        return folder

    @staticmethod
    def _loaded(words: str, folder: Path) -> None:
        """Load the weights once, and say how to use them."""
        from vae_experiments.models.loading import load_network

        with waiting(f"{words}: loading it once"):
            network = load_network(folder)
        total = megabytes(sum(file.stat().st_size for file in folder.iterdir()))
        log.info("%s: ready, %s, %s in %s", words, type(network).__name__, total, folder)
        log.info("now type: python run.py %s", words)

    @contextlib.contextmanager
    def _going_on(self, words: str, needs_hub: bool = False) -> Iterator[None]:
        """Remember why a model cannot be had; where there are others, say it at once."""
        try:
            yield
        except ModelError as error:
            if needs_hub and isinstance(error, UnreachableError):
                raise  # the others would wait for it just as long
            self.failed[words] = error
            if len(self.wanted) > 1:
                log.error("%s: %s", words, error)
