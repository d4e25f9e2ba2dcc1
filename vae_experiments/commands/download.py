"""The download command: from what was typed to the models that are wanted."""

from __future__ import annotations

import logging
import shlex
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from vae_experiments.cli.app import command
from vae_experiments.cli.config import option_from, refuse_unknown
from vae_experiments.cli.entry import one_line_mistakes
from vae_experiments.commands.model_catalog import hubs, small
from vae_experiments.commands.model_downloads import Delivery
from vae_experiments.errors import SettingError, closest
from vae_experiments.models import Hub, Model
from vae_experiments.models.hub.hub_model import has_token
from vae_experiments.options import Option, setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

log = logging.getLogger(__name__)
CONFIG_GROUPS = ("model", "download")
HELP = """Download autoencoders from the Hugging Face hub, to use them offline.

    vae-experiments download model=sd
    vae-experiments download model=sd,taesd
    vae-experiments download --all-small
    vae-experiments download model=sd download.dry_run=true

Choose one or several:

CHOICES

and change any setting, key=value:

$CONFIG"""


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
        if self.all_small:
            return _named(_without_gated(small(known)))
        if self.names:
            return _named({name: known[name] for name in self.names})
        if not isinstance(model, Hub):
            chosen = next((word.partition("=")[2] for word in typed if word.startswith("model=")), model.kind)
            raise SettingError(
                "model", chosen, "is on this disk, there is nothing to download", closest("", known)
            )
        return {shlex.join(word for word in typed if not word.startswith("download.")): model}


def _named(hubs: dict[str, Hub]) -> dict[str, Hub]:
    return {f"model={name}": hub for name, hub in hubs.items()}


def _without_gated(hubs: dict[str, Hub]) -> dict[str, Hub]:
    """Leave out, with a line, what no one gets without a token."""
    gated = [] if has_token() else [name for name, hub in hubs.items() if hub.gated]
    if gated:
        log.info("left out, since they are gated and there is no token (HF_TOKEN): %s", ", ".join(gated))
    return {name: hub for name, hub in hubs.items() if name not in gated}


def translated(words: Sequence[str]) -> list[str]:
    """Turn the short forms into settings: ``--all-small``, and several models without ``-m``."""
    if "-m" in words or "--multirun" in words:
        return [_long(word) for word in words]
    return [_several(_long(word)) for word in words]


def _long(word: str) -> str:
    return "download.all_small=true" if word == "--all-small" else word


def _several(word: str) -> str:
    key, _, value = word.partition("=")
    return f"download.names=[{value.strip('[]')}]" if key == "model" and set(value) & set(",[") else word


@command("download", CONFIG_GROUPS, HELP, translated=translated)
def main(config: DictConfig) -> None:
    """Download what the command line composed."""
    with one_line_mistakes():
        refuse_unknown("", config, {"seed", *CONFIG_GROUPS})
        download = option_from(Download, config, "download")
        model = option_from(Model, config, "model")  # type: ignore[type-abstract]
        # Unresolved: a `${...}` that leads nowhere must not fail here.
        words = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
        typed = [str(word) for word in words]  # type: ignore[union-attr]
        Delivery(download.wanted(model, typed)).run(download.dry_run)
