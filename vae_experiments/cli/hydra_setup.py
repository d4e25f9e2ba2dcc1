"""What Hydra composes with: schemas, our defaults for Hydra itself, help, plugins, folders of their own.

The class is the schema and the schema is the object: every registered option stands in Hydra's
ConfigStore under ``hydra/schema/<group>/<kind>``, and a yaml file fills it.

Other packages bring options too. One that is installed with

    [project.entry-points."vae_experiments"]
    solarize = "solarize"

is imported at the start, so that its subclasses of ``Manipulation`` (or of any other option) are
registered, and the folder ``conf`` beside the module joins Hydra's search path, so that its
``conf/manipulation/solarize.yaml`` can be chosen like our own.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import hydra.core.utils as hydra_jobs
from hydra.conf import HelpConf, HydraConf, RunDir, SweepDir
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict

from vae_experiments.cli.settings_help import explain, listed
from vae_experiments.cli.trusted_config import Loader, as_written, guard_hydra
from vae_experiments.errors import Printable, SettingError
from vae_experiments.files import write_text
from vae_experiments.options import kinds, other_group
from vae_experiments.pipeline.run_folder import FINISHED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hydra.core.config_search_path import ConfigSearchPath

    from vae_experiments.options import Option

log = logging.getLogger(__name__)
PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(place / "conf" for place in (PACKAGE, PACKAGE.parent) if (place / "conf").is_dir())
"""In the package where it was installed from a wheel, and beside it in a checkout."""
ENGINES = CONF / "engines"
"""Our defaults for Hydra's launchers; a folder of its own, which a rerun from a saved config finds as well."""
HELP_FLAGS = {"--help", "-h"}
CONFIG_GROUPS = (
    *("run", "model", "decoder", "device", "source", "manipulation", "output", "cache", "sweep", "target"),
)


class ReserveRunFolder(Callback):
    """Makes sure that no two runs share a folder: Hydra names it by the second and shares it in silence."""

    config_folder: ClassVar[str] = ".hydra"
    """Where in its folder a run's config is kept."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Claim the run's folder, with a number behind its name where it is taken."""
        self._reserve(config, config.hydra.run, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Claim the sweep's folder in the same way."""
        self._reserve(config, config.hydra.sweep, "hydra.sweep.dir")

    def _reserve(self, config: DictConfig, node: DictConfig, setting: str) -> None:
        requested = Path(node.dir)
        if not is_typed(config, setting):
            with open_dict(node):
                node.dir = str(reserve_folder(requested))
        elif (requested / FINISHED).exists() or any(requested.glob(f"*/{FINISHED}")):
            rule = "holds a finished run already"
            mistake = SettingError(setting, requested, rule, "choose another folder")
            # Hydra turns an exception of a callback into a warning and continues.
            raise SystemExit(f"error: {mistake}")


def is_typed(config: DictConfig, setting: str) -> bool:
    """Whether a setting was given on the command line."""
    return any(
        word.lstrip("+").startswith(f"{setting}=") for word in typed_words(config.hydra, "hydra", "task")
    )


def typed_words(hydra: Any, *kinds_of_words: str) -> list[str]:
    """Return what was typed of ``hydra`` or ``task``, its references as they were typed: they may lead nowhere here."""
    words = as_written(hydra.overrides)
    return [str(word) for kind in kinds_of_words for word in words[kind]]


def numbered(folder: Path) -> Iterator[Path]:
    """Yield a folder's name, and then the same with -2, -3, ... behind it."""
    yield folder
    yield from (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))


def reserve_folder(requested: Path) -> Path:
    """Make a new folder of that name, or of that name with -2, -3, ... behind it."""
    requested.parent.mkdir(parents=True, exist_ok=True)
    for folder in numbered(requested):
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


def save_whole(cfg: DictConfig, filename: str, output_dir: Path) -> None:
    """Write a config of a run as Hydra does, but whole or not at all."""
    output_dir.mkdir(parents=True, exist_ok=True)
    write_text(output_dir / filename, OmegaConf.to_yaml(cfg))


@functools.cache
def plugin_confs() -> tuple[Path, ...]:
    """Import every plugin and list the folders of their yaml files; a broken one is said, and left out."""
    files = []
    for point in entry_points(group="vae_experiments"):
        try:
            files.append(getattr(point.load(), "__file__", None))
        except Exception as error:
            log.warning("the plugin %s cannot be imported (%s); it is left out", point.name, error)
    confs = [Path(file).parent / "conf" for file in files if file]
    return tuple(conf for conf in confs if conf.is_dir())


class PluginConfs(SearchPathPlugin):
    """Lets Hydra find our defaults for launchers, and the yaml files of plugins."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the conf folder of each plugin, after our own."""
        search_path.append(provider="engines", path=f"file://{ENGINES}")
        for conf in plugin_confs():
            search_path.append(provider=f"plugin {conf.parent.name}", path=f"file://{conf}")


def cores_up_to(most: int) -> int:
    """Count the cores that this process may use, at most so many: jobs to run side by side."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(own, most)


def cores_for_each(jobs: int) -> int:
    """Share the cores out among jobs that run side by side."""
    return max(1, cores_up_to(sys.maxsize) // jobs)


for resolver in (cores_up_to, cores_for_each):
    OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)


class Composer(Loader):
    """Composes configs, and has ``--help`` list their settings in words where Hydra would print yaml."""

    def load_configuration(self, *words: Any, **named: Any) -> DictConfig:
        """Compose a config."""
        config = super().load_configuration(*words, **named)
        if HELP_FLAGS & set(sys.argv):
            own = [str(key) for key in config if key != "hydra"]
            settings: Any = OmegaConf.to_container(OmegaConf.masked_copy(config, own))
            text = str(config.hydra.help.template)
            config.hydra.help.template = text.replace("$CONFIG", listed(settings).replace("$", "$$"))
        return config


class Shared(dict[str, Any]):
    """Hydra's store, whose copies are stores of their own that hold the same nodes: one is copied when it is taken out.

    Hydra copies all of it more than a hundred times to answer ``--help``, which took 2 seconds.
    """

    def __deepcopy__(self, memo: object) -> Shared:
        # Each copy has groups of its own: in a worker, a launcher's package adds to the store after it was copied.
        return Shared(_same_nodes(self))


def _same_nodes(groups: dict[str, Any]) -> dict[str, Any]:
    return {name: _same_nodes(one) if isinstance(one, dict) else one for name, one in groups.items()}


class Schema(ConfigNode):
    """A node of Hydra's store that is made of its class when it is taken out.

    To make those of every option, of which a run needs ten, took a quarter of the time of ``--help``.
    """

    def __init__(self, kind: str, group: str, option_class: type[Option]) -> None:
        self.name, self.group = f"{kind}.yaml", f"hydra/schema/{group}"
        self.package = self.provider = None
        self.option_class = option_class

    def __getattr__(self, name: str) -> Any:
        if name != "node":
            raise AttributeError(name)
        self.node = OmegaConf.structured(self.option_class)
        return self.node


PRINTABLE = f"{Printable.__module__}.{Printable.__name__}"
JOB_LOGGING: dict[str, Any] = {
    "version": 1,
    "formatters": {
        "line": {"class": PRINTABLE, "format": "%(message)s"},
        "full": {"class": PRINTABLE, "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"},
        "file": {
            "class": "logging.FileHandler",
            "formatter": "full",
            "filename": "${hydra.runtime.output_dir}/${hydra.job.name}.log",
            "encoding": "utf-8",
            "delay": True,
        },
    },
    "root": {"level": "WARNING", "handlers": ["console", "file"]},
    "loggers": {
        "vae_experiments": {"level": "INFO"},
        "vae_experiments.cli.hydra_errors": {"handlers": ["file"], "propagate": False},
    },
    "disable_existing_loggers": False,
}
HYDRA_LOGGING = JOB_LOGGING | {
    "handlers": {"console": JOB_LOGGING["handlers"]["console"]},
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {},
}
"""What Hydra itself says of a sweep looks like what its jobs say."""
HELP = """Take a video through the latent space of an autoencoder.

Choose one of each (manipulation takes a list too, 'manipulation=[noise,...]', and
NAME=CHOICE --help explains its settings, as in source=video --help):

CHOICES
EXPLANATION
and change any setting, key=value:

$CONFIG

For example:

  python run.py source=video source.path=clip.mp4 source.size=256
  python run.py 'manipulation=[noise,motion_gain]' noise.scale=0.2 motion_gain.gain=2
  python run.py -m noise.scale=0.1,0.5,1 seed=0,1        a sweep: one page over six runs"""


def _files(pattern: str) -> list[Path]:
    """List our own yaml files of that name, and then those of plugins."""
    return [file for conf in (CONF, *plugin_confs()) for file in conf.glob(pattern)]


def _choices(groups: Sequence[str]) -> Iterator[str]:
    """List what can be chosen of each group; Hydra would list the groups of every command."""
    for group in groups:
        if names := sorted(file.stem for file in _files(f"{group}/*.yaml")):
            others = f", or any {other}" if (other := other_group(group)) else ""
            yield f"{group}: {', '.join(names)}{others}"


def _kinds_asked_for(groups: Sequence[str]) -> Iterator[tuple[str, type[Option]]]:
    """Find the classes behind ``source=video 'manipulation=[noise,blur]' --help``, and where their settings are typed."""
    typed = [word.lstrip("+").partition("=") for word in sys.argv] if HELP_FLAGS & set(sys.argv) else []
    for group, _, names in typed:
        for name in map(str.strip, names.strip("[]").split(",")):
            if group not in groups or not name.isidentifier():
                continue
            groups_of_it = filter(None, (group, other_group(group)))
            files = [file for each in groups_of_it for file in _files(f"{each}/{name}.yaml")]
            text = "".join(file.read_text("utf-8") for file in files[:1])
            schema = re.search(r"/hydra/schema/\w+/(\w+)", text)
            if schema and schema[1] in kinds(group):
                yield (name if group == "manipulation" else group), kinds(group)[schema[1]]


def _store_other_choices(store: ConfigStore, group: str) -> None:
    """Let every yaml of another group be chosen in this one too: ``decoder=sd`` is ``model=sd`` in another place."""
    for file in _files(f"{other}/*.yaml") if (other := other_group(group)) else []:
        store.store(group=group, name=file.stem, node={"defaults": [f"/{other}/{file.stem}@_here_"]})


def _make_room_for_our_launchers(store: ConfigStore) -> None:
    """Move the settings of each launcher that is installed to where our yaml of the same name begins with them."""
    theirs = store.repo["hydra"]["launcher"]
    for file in (ENGINES / "hydra" / "launcher").glob("*.yaml"):
        if file.name in theirs:
            store.store(group="hydra/schema/launcher", name=file.stem, node=theirs.pop(file.name).node)


def register(
    folder_callback: type[ReserveRunFolder] = ReserveRunFolder,
    option_groups: Sequence[str] = CONFIG_GROUPS,
    help_text: str = HELP,
    named: Sequence[str] = ("experiment",),
) -> None:
    """Put every schema, and our defaults for Hydra itself, into Hydra's ConfigStore.

    The defaults for Hydra stand here and not in conf/config.yaml, because a rerun from a saved
    config, ``--config-path RUN/.hydra``, does not read that file.
    """
    guard_hydra(Composer)
    hydra_jobs._save_config = save_whole
    store = ConfigStore.instance()
    Plugins.instance().register(PluginConfs)
    plugin_confs()
    for group in option_groups:
        for kind, option_class in kinds(group).items():
            place = store.repo
            for room in ("hydra", "schema", group):
                place = place.setdefault(room, {})
            place[f"{kind}.yaml"] = Schema(kind, group, option_class)
        _store_other_choices(store, group)
    _make_room_for_our_launchers(store)
    store.store(group="hydra/job_logging", name="plain", node=JOB_LOGGING)
    store.store(group="hydra/hydra_logging", name="plain", node=HYDRA_LOGGING)
    text = help_text.replace("CHOICES", "\n".join(_choices((*option_groups, *named))))
    text = text.replace("EXPLANATION", explain(_kinds_asked_for(option_groups)).replace("$", "$$") + "\n")
    store.store(group="hydra/help", name="plain", node=HelpConf(template=text))
    ours = {"job_logging": "plain", "hydra_logging": "plain", "help": "plain"}
    groups = [
        {**default, **{name: ours[name] for name in default if name in ours}}
        for default in HydraConf().defaults
    ]
    # A launcher may say how many jobs the sweeper gives it at once.
    groups.sort(key=lambda default: "launcher" in default)
    callback = f"{folder_callback.__module__}.{folder_callback.__name__}"
    defaults = HydraConf(
        defaults=groups,
        run=RunDir("outputs/${now:%Y-%m-%d}/${now:%H-%M-%S}"),
        sweep=SweepDir("outputs/sweeps/${now:%Y-%m-%d}/${now:%H-%M-%S}", "${hydra.job.num}"),
        output_subdir=folder_callback.config_folder,
        callbacks={"reserve_folder": {"_target_": callback}},
    )
    store.store(group="hydra", name="config", node=defaults, provider="hydra")
    store.repo = Shared(store.repo)
