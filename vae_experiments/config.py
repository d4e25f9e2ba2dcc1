"""Config to objects: the only module, beside the command line, that knows Hydra.

The class is the schema and the schema is the object: every registered option stands in Hydra's
ConfigStore under ``hydra/schema/<family>/<kind>``, a yaml file fills it, and the node becomes the
instance. Nothing is ever instantiated by a name from a file, so a config cannot run code.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from hydra.conf import HydraConf, RunDir, SweepDir
from hydra.core.config_store import ConfigStore
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vae_experiments.device import Device
from vae_experiments.errors import SettingError, closest
from vae_experiments.experiment import Experiment, Run
from vae_experiments.manipulations import Manipulation
from vae_experiments.models import Model
from vae_experiments.options import Option, kind_named, kinds
from vae_experiments.run_folder import FINISHED, Output
from vae_experiments.sources import Source

FAMILIES = ("run", "model", "device", "source", "manipulation", "output")
ROOT_KEYS = {"seed", "batch_size", *FAMILIES}
TYPE_RULES = {
    "Float": "must be a number",
    "Integer": "must be a whole number",
    "Boolean": "must be true or false",
}

Kind = TypeVar("Kind", bound=Option)


def experiment_from(config: DictConfig) -> Experiment:
    """Build the experiment that a composed config describes.

    Works as well on a saved config, which has lost its types: every node says its ``kind``.

    Raises:
        SettingError: a key is unknown, missing, of the wrong type or out of its range.
    """
    names = list(config.get("manipulation") or {})
    refuse_unknown("", config, ROOT_KEYS | set(names))
    run = _option(Run, config, "run")
    return Experiment(
        source=_option(Source, config, "source"),
        manipulations=[_option(Manipulation, config, f"manipulation.{name}") for name in names],
        model=_option(Model, config, "model"),
        device=_option(Device, config, "device"),
        output=_option(Output, config, "output"),
        batch_size=run.batch_size,
        seed=run.seed,
    )


def _option(base: type[Kind], config: DictConfig, place: str) -> Kind:
    node = OmegaConf.select(config, place)
    values: dict[str, Any] = OmegaConf.to_container(node, resolve=True) if node is not None else {}  # type: ignore[assignment]
    family, _, name = place.partition(".")
    option_class = kind_named(family, values.get("kind") or name or family)
    assert issubclass(option_class, base), (option_class, base)
    address = name or option_class.address()
    refuse_unknown(address, values, {field.name for field in dataclasses.fields(option_class)})  # type: ignore[arg-type]
    for key, value in values.items():
        if value == "???":
            raise SettingError(
                dotted(address, key), "", "has no value", f"give one: {dotted(address, key)}=..."
            )
    try:
        option = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(option_class), values))
    except OmegaConfBaseException as error:
        raise type_mistake(error, address, values) from error
    assert isinstance(option, base), option
    return option


def refuse_unknown(address: str, values: Any, known: set[str]) -> None:
    """Stop at a key that nobody reads: ``+noise.scael=1`` passes Hydra's own checks in silence."""
    for key in values:
        if key not in known:
            where = f"{address} has no such setting" if address else "no such setting"
            raise SettingError(
                dotted(address, str(key)),
                OmegaConf.to_container(values[key]) if isinstance(values[key], DictConfig) else values[key],
                where,
                closest(str(key), known - {"kind"}),
            )


def type_mistake(error: OmegaConfBaseException, address: str, values: dict[str, Any]) -> SettingError:
    """Turn OmegaConf's refusal of a value into a sentence about the setting."""
    key = str(error.full_key or error.key).removeprefix(f"{address}.")
    message = str(error.msg or error).splitlines()[0]
    rule = next((rule for type_, rule in TYPE_RULES.items() if f"converted to {type_}" in message), message)
    if "expected one of" in message:
        rule = f"must be one of {message.partition('[')[2].rstrip(']')}"
    return SettingError(dotted(address, key), values.get(key, ""), rule, "leave it out for the default")


def dotted(address: str, key: str) -> str:
    """Join a setting's place and name as they are typed."""
    return f"{address}.{key}" if address else key


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
            if setting == "hydra.run.dir" and (wish / FINISHED).exists():
                raise SettingError(setting, wish, "holds a finished run already", "choose another folder")
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


def register() -> None:
    """Put every schema, and our defaults for Hydra itself, into Hydra's ConfigStore.

    The defaults for Hydra stand here and not in conf/config.yaml, because a rerun from a saved
    config, ``--config-path RUN/.hydra``, does not read that file.
    """
    store = ConfigStore.instance()
    for family in FAMILIES:
        for kind, option_class in kinds(family).items():
            store.store(group=f"hydra/schema/{family}", name=kind, node=option_class)
    defaults = HydraConf(
        run=RunDir("outputs/${now:%Y-%m-%d}/${now:%H-%M-%S}"),
        sweep=SweepDir("outputs/sweeps/${now:%Y-%m-%d}/${now:%H-%M-%S}", "${hydra.job.num}"),
        callbacks={"claim_folder": {"_target_": f"{__name__}.{ClaimFolder.__name__}"}},
    )
    store.store(group="hydra", name="config", node=defaults, provider="hydra")


register()
