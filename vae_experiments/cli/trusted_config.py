"""What a config may tell Hydra: never code. Every config passes here before Hydra acts on it.

Hydra calls what ``hydra.callbacks``, a launcher, a sweeper and the two logging blocks name, and a config may
come from anybody: a saved one, an experiment, the yaml of a plugin. So a name of code there must be one that
our own defaults, Hydra's or an installed launcher's have.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra._internal.hydra as hydra_application
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import Container, DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from vae_experiments.cli.overrides import quoted
from vae_experiments.errors import SettingError, VaeExperimentsError, remember
from vae_experiments.options import is_text
from vae_experiments.yaml_files import HINT, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hydra.core.config_search_path import ConfigSearchPath

LOGGING = ("job_logging", "hydra_logging")
ENGINES = ("launcher", "sweeper")
WORDS_OF_LOGGING = {"format", "datefmt", "level", "formatter", "handlers", "propagate"}
WORDS_OF_ENGINES = {
    "partition",
    "qos",
    "account",
    "constraint",
    "comment",
    "name",
    "submitit_folder",
    "params",
}
"""Texts that a yaml may give a launcher or a sweeper; others, such as lines for a shell, have to be typed."""
VARIABLES = {"OMP_NUM_THREADS"}
LONGEST_NAME = 200
OUTSIDE = ("main", "command-line", "plugin ", "hydra.searchpath")
"""Who provides what a person gives; all other providers are installed code."""
NO_CODE = "names code or a command, and a config holds settings only"
TAKE_OUT = "take it out of the yaml or of the command that gives it"


class FileSource(FileConfigSource):
    """Reads a yaml for Hydra within our bounds."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Read one config."""
        file = Path(self.path, self._normalize_file_name(config_path)).resolve()
        if not file.exists():
            raise ConfigLoadError(f"Config not found : {file}")
        values = read_yaml(file, lambda name: is_text("", name))
        if not isinstance(values, dict | None):
            raise VaeExperimentsError(f"{file} holds no settings", HINT)
        with file.open(encoding="utf-8") as opened:
            header = ConfigSource._get_header_dict(opened.read(512))
        try:
            config = OmegaConf.create(values or {})
        except OmegaConfBaseException as error:
            raise VaeExperimentsError(f"{file}: {str(error).splitlines()[0]}", HINT) from None
        place = f"{self.scheme()}://{self.path}"
        return ConfigResult(config=config, path=place, provider=self.provider, header=header)


class Repository(ConfigRepository):
    """Looks for configs where Hydra does, and reads those that are files within our bounds."""

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Set up the places to look at."""
        super().initialize_sources(config_search_path)
        self.sources = [
            FileSource(source.provider, source.path) if source.scheme() == FileSource.scheme() else source
            for source in self.sources
        ]


class Loader(ConfigLoaderImpl):
    """Composes configs as Hydra does, and lets none of them name code."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        # Of the loader itself, which travels to the workers of a sweep: what is patched in this process does not.
        self.repository = Repository(config_search_path)

    def load_configuration(self, *words: Any, **named: Any) -> DictConfig:
        """Compose a config, of a run, of a sweep as a whole or of one of its jobs.

        Raises:
            SettingError: it names code, a command or a place that a config may not name.
        """
        try:
            config = super().load_configuration(*words, **named)
        except KeyError as error:  # of os.environ, where Hydra copies what env_copy names
            if error.args and error.args[0] in os.environ:
                raise
            raise _refused("hydra.job.env_copy", error.args[0], "is not in the environment") from None
        refuse_code(config, self.repository.get_sources())
        _read_as_typed(config)
        if config.hydra.mode is RunMode.MULTIRUN:
            self._refuse_nothing(config)
        return config

    def _refuse_nothing(self, config: DictConfig) -> None:
        """Stop at a sweep over no value: Hydra would launch no job, and say nothing."""
        params = [f"{key}={value}" for key, value in _params(config).items()]
        words = [*map(str, config.hydra.overrides.task), *params]
        for word in OverridesParser.create(config_loader=self).parse_overrides(words):
            if word.is_discrete_sweep() and next(iter(word.sweep_string_iterator()), None) is None:
                value = str(word.input_line).partition("=")[2]
                rule, hint = "stands for no value at all", "give some, as in noise.scale=0.1,0.5"
                if value.startswith("glob("):
                    rule = "glob() chooses among the yaml files of a group, as in manipulation=glob(n*), and finds none"
                    hint = f"name files one by one: {word.key_or_group}=a.mp4,b.mp4"
                raise SettingError(str(word.key_or_group), value, rule, hint)

    def _process_config_searchpath(self, config_name: Any, parsed_overrides: Any, repo: Any) -> None:
        loaded = repo.load_config(config_path=config_name) if config_name else None
        places = [] if loaded is None else [OmegaConf.select(loaded.config, "hydra.searchpath")]
        places += [word.value() for word in parsed_overrides if word.get_key_element() == "hydra.searchpath"]
        for place in (one for several in places if isinstance(several, list | ListConfig) for one in several):
            # A package is imported before anything of it is read.
            if "://" in str(place).removeprefix("file://"):
                raise _refused("hydra.searchpath", place, "may name folders only")
        super()._process_config_searchpath(config_name, parsed_overrides, repo)


def as_written(node: Any) -> Any:
    """Return the plain values of a node; a reference stays as it is written, since it may lead nowhere here."""
    return OmegaConf.to_container(node, resolve=False)


def guard_hydra(loader: type[Loader]) -> None:
    """Have every config of this process read and composed under the rules above."""
    vars(hydra_application)["ConfigLoaderImpl"] = loader
    OmegaConf.register_new_resolver("oc.env", _from_environment, replace=True)
    # Makes whole blocks, and of any size, out of a text.
    OmegaConf.clear_resolver("oc.create")


def _from_environment(key: str, default: Any = oc.env.__defaults__[0]) -> str | None:  # type: ignore[index]
    value = oc.env(key, default)
    if key in os.environ:
        remember(os.environ[key], f"${{oc.env:{key}}}")
    return value


def refuse_code(config: DictConfig, sources: Iterable[ConfigSource] = ()) -> None:
    """Stop at whatever in a composed config would run code.

    Args:
        config: with its node for Hydra.
        sources: where Hydra looked; those that are installed code say what else is known.

    Raises:
        SettingError: it names code, a command or a place that a config may not name.
    """
    typed = [str(word).lstrip("+~").partition("=")[0] for word in config.hydra.overrides.hydra]
    callbacks = as_written(config.hydra)["callbacks"]
    ours = OmegaConf.to_container(ConfigStore.instance().repo["hydra"]["config.yaml"].node.callbacks)
    if callbacks != ours:
        raise _refused("hydra.callbacks", callbacks, NO_CODE)
    stored = _stored()
    strange = [
        (path, value)
        for path, value in _leaves(config.hydra, ())
        if _needs_to_be_known(path, value, typed) and (path[-1], str(value)) not in stored
    ]
    known = _installed(sources) if strange else set()
    for path, value in strange:
        if (path[-1], str(value)) not in known:
            raise _refused(".".join(("hydra", *path)), value, NO_CODE)
    for engine in ENGINES:
        if OmegaConf.select(config.hydra, engine) is None:
            raise SettingError(f"hydra.{engine}", "null", "must have a value", "leave it out for the default")
    for word in _params(config):
        if str(word).lstrip("+~").startswith("hydra") and f"hydra.sweeper.params.{word}" not in typed:
            raise _refused("hydra.sweeper.params", word, "a yaml may sweep settings of a run only")
    _refuse_places(config, typed)


def _params(config: DictConfig) -> dict[str, Any]:
    """Return what a yaml sweeps, settings and their values, unresolved."""
    params = OmegaConf.select(config, "hydra.sweeper.params")
    return (
        {str(key): value for key, value in as_written(params).items()}
        if isinstance(params, DictConfig)
        else {}
    )


def _read_as_typed(config: DictConfig) -> None:
    """Have what a yaml sweeps read as what is typed: Hydra knows no schedules, and takes 1.10 for 1.1."""
    for key, value in _params(config).items():
        if isinstance(value, str):
            with open_dict(config):
                config.hydra.sweeper.params[key] = quoted(f"{key}={value}").partition("=")[2]


def _refuse_places(config: DictConfig, typed: list[str]) -> None:
    job = config.hydra.job
    if job.env_copy:
        rule = "would be written down in .hydra/hydra.yaml"
        raise SettingError("hydra.job.env_copy", job.env_copy, rule, "set them in the shell")
    for variable in map(str, job.env_set):
        if variable not in VARIABLES and not _is_typed(("job", "env_set", variable), typed):
            raise _refused(f"hydra.job.env_set.{variable}", "...", "has to be typed")
    name = str(job.name)
    if not name.strip(".") or len(os.fsencode(name)) > LONGEST_NAME or any(sign in name for sign in "/\\\0"):
        raise SettingError("hydra.job.name", name, "names the log file", "give a short name without a folder")


def _needs_to_be_known(path: tuple[str, ...], value: Any, typed: list[str]) -> bool:
    key = path[-1]
    if path[0] in ENGINES and not key.startswith("_"):
        return isinstance(value, str) and not WORDS_OF_ENGINES & set(path) and not _is_typed(path, typed)
    if path[0] in LOGGING:
        is_word = key in WORDS_OF_LOGGING or "handlers" in path[-2:-1] or not isinstance(value, str)
        return not is_word or "://" in str(value)
    return True


def _is_typed(path: tuple[str, ...], typed: list[str]) -> bool:
    return any(".".join(("hydra", *path[:length])) in typed for length in range(1, len(path) + 1))


def _leaves(node: Container, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every value of the blocks that Hydra acts on, unresolved; a reference to a block is followed."""
    for key in range(len(node)) if isinstance(node, ListConfig) else list(node):
        if not path and key not in (*ENGINES, *LOGGING):
            continue
        child: Any = node._get_node(key)
        try:
            meant = child._maybe_dereference_node()
        except OmegaConfBaseException:
            meant = child
        if isinstance(meant, Container) and isinstance(meant._value(), dict | list):
            yield from _leaves(meant, (*path, str(key)))
        else:
            yield (*path, str(key)), child._value()


def _stored() -> set[tuple[str, str]]:
    """Return what Hydra's store says: our defaults, and those of installed launchers and sweepers."""
    repo = ConfigStore.instance().repo["hydra"]
    blocks = [
        repo.get("schema", {}).get("launcher", {}),
        *(repo.get(name, {}) for name in (*ENGINES, *LOGGING)),
    ]
    return {pair for block in blocks for pair in _pairs("", block)}


def _installed(sources: Iterable[ConfigSource]) -> set[tuple[str, str]]:
    """Return what the yaml files of Hydra and of its installed plugins say."""
    return {
        pair
        for source in sources
        if not source.provider.startswith(OUTSIDE)
        for group in (f"hydra/{name}" for name in (*ENGINES, *LOGGING))
        if source.is_group(group)
        for name in source.list(group, ObjectType.CONFIG)
        for pair in _pairs("", source.load_config(f"{group}/{name}").config)
    }


def _pairs(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield each value of a block, however deep, with its key."""
    value = value.node if isinstance(value, ConfigNode) else value
    value = as_written(value) if isinstance(value, Container) else value
    if isinstance(value, dict | list):
        for name, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _pairs(str(name), below)
    else:
        yield key, str(value)


def _refused(setting: str, value: object, rule: str) -> SettingError:
    return SettingError(setting, value, rule, TAKE_OUT)
