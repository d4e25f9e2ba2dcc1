"""Config to objects: with mistakes.py and the command line, all that knows Hydra.

The class is the schema and the schema is the object: every registered option stands in Hydra's
ConfigStore under ``hydra/schema/<family>/<kind>``, a yaml file fills it, and the node becomes the
instance. Nothing is ever instantiated by a name from a file, so a config cannot run code.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hydra.conf import HelpConf, HydraConf, RunDir, SweepDir
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vae_experiments.device import Device
from vae_experiments.errors import SettingError, VaeExperimentsError
from vae_experiments.experiment import Experiment, Run
from vae_experiments.explanation import asked_for, explain
from vae_experiments.manipulations import Link
from vae_experiments.mistakes import type_mistake, unknown_setting
from vae_experiments.models import Model
from vae_experiments.options import Option, dotted, kind_named, kinds
from vae_experiments.plugins import plugin_confs
from vae_experiments.run_folder import FINISHED, Output
from vae_experiments.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hydra.core.config_search_path import ConfigSearchPath

CONF = Path(__file__).resolve().parents[1] / "conf"
FAMILIES = ("run", "model", "device", "source", "manipulation", "output")
ROOT_KEYS = {"seed", "batch_size", *FAMILIES}
NO_CHOICES = (
    "must be a block of settings",
    "set one of them, as in noise.scale=0.5; a saved config takes other settings, but no other choices",
)

Kind = TypeVar("Kind", bound=Option)


def experiment_from(config: DictConfig, overrides: Sequence[str] = ()) -> Experiment:
    """Build the experiment that a composed config describes.

    Works as well on a saved config, which has lost its types: every node says its ``kind``. The
    overrides are what was typed, for mistakes that the composed config no longer shows.

    Raises:
        SettingError: a key is unknown, missing, of the wrong type or out of its range.
    """
    _refuse_twice(overrides)
    chain = config.get("manipulation")
    if not isinstance(chain, DictConfig):
        raise SettingError("manipulation", chain, *NO_CHOICES)
    names = [str(name) for name in chain]
    refuse_unknown("", config, ROOT_KEYS | set(names))
    run = option_from(Run, config, "run")
    return Experiment(
        source=option_from(Source, config, "source"),  # type: ignore[type-abstract]
        manipulations=[option_from(Link, config, f"manipulation.{name}").named(name) for name in names],
        model=option_from(Model, config, "model"),  # type: ignore[type-abstract]
        device=option_from(Device, config, "device"),
        output=option_from(Output, config, "output"),
        batch_size=run.batch_size,
        seed=run.seed,
    )


def option_from(base: type[Kind], config: DictConfig, place: str) -> Kind:
    """Build the option that stands at one place of a config."""
    family, _, name = place.partition(".")
    values = _values(config, place)
    option_class = kind_named(family, values.get("kind") or name or family)
    assert issubclass(option_class, base), (option_class, base)
    address = name or ("" if option_class is Run else family)
    refuse_unknown(address, values, {field.name for field in dataclasses.fields(option_class)})
    for key, value in values.items():
        if value == "???":
            where = dotted(address, key)
            raise SettingError(where, "", "has no value", f"give one: {where}=...")
    try:
        option = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(option_class), values))
    except OmegaConfBaseException as error:
        raise type_mistake(error, address, values) from error
    except SettingError as error:
        raise error.at(address) from error
    assert isinstance(option, base), option
    return option


def _values(config: DictConfig, place: str) -> dict[str, Any]:
    """Read a node as plain values, with what it refers to (``${seed}``) put in."""
    try:
        node = OmegaConf.select(config, place)
        if not isinstance(node, DictConfig):
            raise SettingError(place.rpartition(".")[2], node, *NO_CHOICES)
        # Values only: the schema that Hydra composed with would resolve references with its own errors.
        plain = OmegaConf.create(OmegaConf.to_container(node), parent=config)
        values = OmegaConf.to_container(plain, resolve=True)
    except OmegaConfBaseException as error:
        raise VaeExperimentsError(str(error).splitlines()[0], "refer to a key that exists") from error
    assert isinstance(values, dict), values
    return {str(key): value for key, value in values.items()}


def refuse_unknown(address: str, values: Any, known: set[str]) -> None:
    """Stop at a key that nobody reads: ``+noise.scael=1`` passes Hydra's own checks in silence."""
    for key in map(str, values):
        if key not in known:
            raise unknown_setting(address, key, values[key], known)


def _refuse_twice(overrides: Sequence[str]) -> None:
    """Stop at ``[noise,noise]``: both would be one and the same block of settings."""
    for override in overrides:
        group, _, chosen = override.lstrip("+").partition("=")
        names = [name.strip() for name in chosen.strip("[]").split(",")]
        if group == "manipulation" and len(set(names)) < len(names):
            cure = "give the second one a name and a yaml of its own, with kind set to the first's"
            raise SettingError(group, chosen, "names one twice", cure)


class ClaimFolder(Callback):
    """Makes sure that no two runs share a folder: Hydra names it by the second and shares it in silence."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Claim the run's folder, with a number behind its name where it is taken."""
        self._claim(config, config.hydra.run, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Claim the sweep's folder in the same way."""
        self._claim(config, config.hydra.sweep, "hydra.sweep.dir")

    def _claim(self, config: DictConfig, node: DictConfig, setting: str) -> None:
        wish = Path(node.dir)
        if any(override.startswith(f"{setting}=") for override in config.hydra.overrides.hydra):
            if (wish / FINISHED).exists() or any(wish.glob(f"*/{FINISHED}")):
                mistake = SettingError(setting, wish, "holds a finished run already", "choose another folder")
                # Hydra turns an exception of a callback into a warning and goes on.
                raise SystemExit(f"error: {mistake}")
            return
        with open_dict(node):
            node.dir = str(claim(wish))


def claim(wish: Path) -> Path:
    """Make a new folder of that name, or of that name with -2, -3, ... behind it."""
    wish.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = wish if number == 1 else wish.with_name(f"{wish.name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


class PluginConfs(SearchPathPlugin):
    """Lets Hydra find the yaml files of plugins."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the conf folder of each plugin, after our own."""
        for conf in plugin_confs():
            search_path.append(provider=f"plugin {conf.parent.name}", path=f"file://{conf}")


JOB_LOGGING = {
    "version": 1,
    "formatters": {
        "line": {"format": "%(message)s"},
        "full": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"},
        "file": {
            "class": "logging.FileHandler",
            "formatter": "full",
            "filename": "${hydra.runtime.output_dir}/${hydra.job.name}.log",
            "encoding": "utf-8",
        },
    },
    "root": {"level": "WARNING", "handlers": ["console", "file"]},
    "loggers": {
        "vae_experiments": {"level": "INFO"},
        "vae_experiments.mistakes": {"handlers": ["file"], "propagate": False},
    },
    "disable_existing_loggers": False,
}
HELP = """Take a video through the latent space of an autoencoder.

Choose one of each (manipulation takes a list too, 'manipulation=[noise,...]', and
manipulation=NAME --help explains its settings):

CHOICES
EXPLANATION
and change any setting, key=value; sweep several with -m key=1,2,3:

$CONFIG"""


def _choices(groups: Sequence[str]) -> Iterator[str]:
    """List what can be chosen of each group; Hydra would list the groups of every command."""
    for group in groups:
        names = sorted(
            file.stem for conf in (CONF, *plugin_confs()) for file in (conf / group).glob("*.yaml")
        )
        if names:
            yield f"{group}: {', '.join(names)}"


def register(
    claim_folder: type[ClaimFolder] = ClaimFolder,
    families: Sequence[str] = FAMILIES,
    help_text: str = HELP,
    named: Sequence[str] = ("experiment",),
) -> None:
    """Put every schema, and our defaults for Hydra itself, into Hydra's ConfigStore.

    The defaults for Hydra stand here and not in conf/config.yaml, because a rerun from a saved
    config, ``--config-path RUN/.hydra``, does not read that file.
    """
    store = ConfigStore.instance()
    Plugins.instance().register(PluginConfs)
    plugin_confs()
    for family in families:
        for kind, option_class in kinds(family).items():
            store.store(group=f"hydra/schema/{family}", name=kind, node=option_class)
    store.store(group="hydra/job_logging", name="plain", node=JOB_LOGGING)
    text = help_text.replace("CHOICES", "\n".join(_choices((*families, *named))))
    text = text.replace("EXPLANATION", explain(asked_for(sys.argv)).replace("$", "$$") + "\n")
    store.store(group="hydra/help", name="plain", node=HelpConf(template=text))
    ours = {"job_logging": "plain", "help": "plain"}
    groups = [
        {group: ours.get(group, choice) for group, choice in default.items()}
        for default in HydraConf().defaults
    ]
    defaults = HydraConf(
        defaults=groups,
        run=RunDir("outputs/${now:%Y-%m-%d}/${now:%H-%M-%S}"),
        sweep=SweepDir("outputs/sweeps/${now:%Y-%m-%d}/${now:%H-%M-%S}", "${hydra.job.num}"),
        callbacks={"claim_folder": {"_target_": f"{claim_folder.__module__}.{claim_folder.__name__}"}},
    )
    store.store(group="hydra", name="config", node=defaults, provider="hydra")


register()
