"""Config to objects: the node that a yaml file filled becomes the instance of its class.

Nothing is ever instantiated by a name from a file, so a config cannot run code.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae_experiments.cache import Cache
from vae_experiments.cli.hydra_errors import REFER, type_mistake, unknown_setting
from vae_experiments.cli.hydra_setup import CONFIG_GROUPS, register
from vae_experiments.cli.multirun import Sweep, SweepFolder
from vae_experiments.cli.overrides import literal
from vae_experiments.cli.renamed import under_new_names
from vae_experiments.cli.trusted_config import as_written
from vae_experiments.errors import SettingError, VaeExperimentsError
from vae_experiments.manipulations import ChainStep
from vae_experiments.models import Model
from vae_experiments.options import Option, dotted, kind_named
from vae_experiments.pipeline.calibration import Target
from vae_experiments.pipeline.experiment import Experiment, Run
from vae_experiments.pipeline.run_folder import Output
from vae_experiments.runtime.device import Device
from vae_experiments.sources import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT_KEYS = {"seed", "batch_size", "timed", *CONFIG_GROUPS}
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
    if "manipulation" in names:
        lost = next(name for name in names if name != "manipulation")
        rule = "its yaml does not begin with the line # @package _global_"
        raise SettingError("manipulation", lost, rule, "make that its first line, before any other comment")
    sweep_from(config)
    refuse_unknown("", config, ROOT_KEYS | set(names))
    run = option_from(Run, config, "run")
    return Experiment(
        source=option_from(Source, config, "source"),  # type: ignore[type-abstract]
        manipulations=[option_from(ChainStep, config, f"manipulation.{name}").named(name) for name in names],
        model=option_from(Model, config, "model"),  # type: ignore[type-abstract]
        device=option_from(Device, config, "device"),
        output=option_from(Output, config, "output"),
        cache=_newer(Cache, config, "cache"),
        target=_newer(Target, config, "target"),
        decoder=_decoder_from(config),
        batch_size=run.batch_size,
        timed=run.timed,
        seed=run.seed,
    )


def sweep_from(config: DictConfig) -> Sweep:
    """Build the settings of a sweep as a whole."""
    return _newer(Sweep, config, "sweep")


def _decoder_from(config: DictConfig) -> Model | None:
    """Build the model that decodes; None where the one that encodes does, as in a config of before there was a choice."""
    decoder = option_from(Option, config, "decoder") if "decoder" in config else None
    return decoder if isinstance(decoder, Model) else None


def _newer(base: type[Kind], config: DictConfig, place: str) -> Kind:
    """Build an option that is at its defaults in a config which was saved before there was such a thing."""
    return option_from(base, config, place) if place in config else base()


def option_from(base: type[Kind], config: DictConfig, place: str) -> Kind:
    """Build the option that stands at one place of a config."""
    group, _, name = place.partition(".")
    values = under_new_names(group, _values(config, place))
    option_class = kind_named(group, values.get("kind") or name or group)
    assert issubclass(option_class, base), (option_class, base)
    address = name or ("" if option_class is Run else group)
    refuse_unknown(address, values, {field.name for field in dataclasses.fields(option_class)})
    for key, value in values.items():
        if value == "???":
            where = dotted(address, key)
            raise SettingError(where, "", "has no value", f"give one: {where}=...")
    try:
        # What was looked up is final, also a file's name with ${ in it.
        found = {key: literal(value) if isinstance(value, str) else value for key, value in values.items()}
        option = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(option_class), found))
    except OmegaConfBaseException as error:
        raise type_mistake(error, address, values | _secrets(config, place)) from error
    except SettingError as error:
        name = error.setting.rpartition(".")[2]
        raise error.at(address, _secrets(config, place).get(name, error.value)) from error
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
        raise VaeExperimentsError(str(error).splitlines()[0], REFER) from error
    assert isinstance(values, dict), values
    return {str(key): value for key, value in values.items()}


def _secrets(config: DictConfig, place: str) -> dict[str, str]:
    """Return what was typed for the settings that stand in the environment; a number of them may look otherwise."""
    node = as_written(OmegaConf.select(config, place))
    return {str(key): value for key, value in node.items() if isinstance(value, str) and "${oc.env:" in value}


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
            hint = "give the second one a name and a yaml of its own, with kind set to the first's"
            raise SettingError(group, chosen, "names one twice", hint)


# Not in multirun, which a worker may import by itself: here every option is known.
register(SweepFolder)
