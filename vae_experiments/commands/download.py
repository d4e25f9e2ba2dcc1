"""The download command: models, announced, fetched, verified, and where they are."""

from __future__ import annotations

import contextlib
import logging
import shlex
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig

from vae_experiments.cli.app import command_of_options
from vae_experiments.cli.hydra_setup import typed_words
from vae_experiments.commands.model_catalog import hubs, small
from vae_experiments.errors import ModelError, SettingError, closest
from vae_experiments.models import Hub, Model
from vae_experiments.models.hub.hub_model import has_token
from vae_experiments.models.hub.remote_files import free_bytes, megabytes
from vae_experiments.models.hub.repo import UnreachableError
from vae_experiments.options import Option, setting
from vae_experiments.runtime.interruption import check
from vae_experiments.runtime.progress import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vae_experiments.models.hub.remote_files import RemoteFiles

log = logging.getLogger(__name__)
INTRODUCTION = """Download autoencoders from the Hugging Face hub, to use them offline.

    vae-experiments download model=sd
    vae-experiments download model=sd,taesd
    vae-experiments download --all-small
    vae-experiments download model=sd download.dry_run=true

Choose one or several"""


class Download(Option, group="download", single=True):
    """Says what is downloaded, where it is more than the one ``model``."""

    names: list[str] = setting("models to download; model=sd,taesd is short for it", default=[])
    all_small: bool = setting(
        "every model that is known to be smaller than 400 MB; --all-small is short for it", default=False
    )
    dry_run: bool = setting("say what would be downloaded, and stop", default=False)

    def wanted(self, model: Model, typed: Sequence[str]) -> dict[str, Hub]:
        """List the models that are meant, by the words that choose them, as ``model=sd``.

        Raises:
            SettingError: a name is not that of a model on the hub.
        """
        known = hubs()
        for name in self.names:
            if name not in known:
                raise self.error_for("names", f"there is no {name} to download", closest(name, known))
        if self.all_small or self.names:
            names = _without_gated(small(known)) if self.all_small else self.names
            return {f"model={name}": known[name] for name in names}
        if not isinstance(model, Hub):
            chosen = next((word.partition("=")[2] for word in typed if word.startswith("model=")), model.kind)
            rule = "is on this disk, there is nothing to download"
            raise SettingError("model", chosen, rule, closest("", known))
        return {shlex.join(word for word in typed if not word.startswith("download.")): model}


def _without_gated(hubs: dict[str, Hub]) -> list[str]:
    """Leave out, with a line, what no one gets without a token."""
    gated = [] if has_token() else [name for name, hub in hubs.items() if hub.gated]
    if gated:
        log.info("left out, since they are gated and there is no token (HF_TOKEN): %s", ", ".join(gated))
    return [name for name in hubs if name not in gated]


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
                _load(words, hub.fetch(remotes[words]) if words in remotes else _checked(hub))
        if len(self.wanted) == 1 and self.failed:
            raise self.failed.popitem()[1]
        if self.failed:
            problem = (
                f"{len(self.failed)} of {len(self.wanted)} models are not here: {', '.join(self.failed)}"
            )
            raise ModelError(problem, "the lines above say why")

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
            missing = megabytes(sum(remote.missing_bytes for remote in remotes.values()))
            place = next(iter(remotes.values())).place
            free = megabytes(free_bytes(place))
            log.info("to download: %s to %s, where %s are free", missing, place.cache.parent, free)
        return remotes

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


def _checked(hub: Hub) -> Path:
    """Compare what was here before with the digests that the cache keeps."""
    folder = hub.location()
    for file in hub.place.damaged(folder):
        problem = f"model: {file} is damaged, its SHA-256 is another than when it was downloaded"
        raise ModelError(problem, f"delete {file} and {file.resolve()}, and type the command again")
    return folder


def _load(words: str, folder: Path) -> None:
    """Load the weights once, and say how to use them."""
    from vae_experiments.models.loading import load_network

    with waiting(f"{words}: loading it once"):
        network = load_network(folder)
    total = megabytes(sum(file.stat().st_size for file in folder.iterdir()))
    log.info("%s: ready, %s, %s in %s", words, type(network).__name__, total, folder)
    log.info("now type: python run.py %s", words)


def translated(words: Sequence[str]) -> list[str]:
    """Turn the short forms into settings: ``--all-small``, and several models without ``-m``."""
    long = ["download.all_small=true" if word == "--all-small" else word for word in words]
    return long if {"-m", "--multirun"} & set(words) else [_several(word) for word in long]


def _several(word: str) -> str:
    key, _, value = word.partition("=")
    return f"download.names=[{value.strip('[]')}]" if key == "model" and set(value) & set(",[") else word


@command_of_options("download", INTRODUCTION, "model", "download", translated=translated)
def main(model: Model, download: Download) -> None:
    """Download what the command line composed."""
    Delivery(download.wanted(model, typed_words(HydraConfig.get(), "task"))).run(download.dry_run)
