"""No config runs code, wherever it came from, and what it reads of the environment stays out of what is shown."""

from __future__ import annotations

import json
import pickle
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

import vae_experiments.cli.config  # noqa: F401  registers all that Hydra composes with
from tests.conftest import REPOSITORY
from vae_experiments.cli.trusted_config import refuse_code
from vae_experiments.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]

SPAWN = {"_target_": "setuptools._distutils.spawn.spawn", "_args_": [["touch", "PWNED"]]}
TARGETS = [
    "setuptools._distutils.spawn.spawn",
    "os.system",
    "posix.system",
    "logging.os.system",
    "subprocess.run",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.exec",
    "builtins.open",
    "builtins.__import__",
    "io.FileIO",
    "io.open",
    "pathlib.Path.touch",
    "pathlib.Path.write_text",
    "shutil.copy",
    "shutil.rmtree",
    "torch.load",
    "torch.serialization.load",
    "torch.hub.load",
    "numpy.load",
    "numpy.savetxt",
    "numpy.save",
    "pandas.read_pickle",
    "pickle.load",
    "pickle.loads",
    "sympy.sympify",
    "runpy.run_path",
    "runpy.run_module",
    "timeit.timeit",
    "cProfile.run",
    "pydoc.locate",
    "yaml.unsafe_load",
    "importlib.import_module",
    "diffusers.AutoModel.from_pretrained",
    "hydra.utils.call",
    "hydra.utils.instantiate",
    "hydra.utils.get_method",
    "functools.partial",
    "operator.methodcaller",
    "webbrowser.open",
    "ctypes.CDLL",
    "antigravity.fly",
]
PLACES = {
    "a callback": "callbacks: {evil: {_target_: TARGET}}",
    "our own callback": "callbacks: {reserve_folder: {_target_: TARGET}}",
    "deep in a callback": "callbacks: {evil: {a: [{b: {_target_: TARGET, _partial_: true}}]}}",
    "a launcher": "launcher: {_target_: TARGET}",
    "deep in a launcher": "launcher: {evil: [[{_target_: TARGET}]]}",
    "a sweeper": "sweeper: {evil: {_target_: TARGET}}",
    "a handler's class": "job_logging: {handlers: {evil: {class: TARGET}}}",
    "a handler's factory": "job_logging: {handlers: {evil: {(): TARGET}}}",
    "a formatter": "job_logging: {formatters: {evil: {(): TARGET}}}",
    "a formatter's class": "hydra_logging: {formatters: {evil: {class: TARGET}}}",
    "a filter": "hydra_logging: {filters: {evil: {(): TARGET}}}",
    "an imported object": "job_logging: {handlers: {console: {stream: 'ext://TARGET'}}}",
    "an imported level": "job_logging: {root: {level: 'ext://TARGET'}}",
    "a property": "job_logging: {handlers: {file: {.: {stream: TARGET}}}}",
    "a queue": "job_logging: {handlers: {evil: {queue: TARGET, listener: TARGET}}}",
}
OTHERS = {
    "a file of a person": "job_logging: {handlers: {file: {filename: /home/person/.bashrc}}}",
    "lines for a shell": "launcher: {setup: [touch PWNED]}",
    "another Python": "launcher: {python: ./evil}",
    "a function of Optuna's": "sweeper: {custom_search_space: evil.function}",
    "a variable": "job: {env_set: {PATH: ./evil}}",
    "a program by a variable": "job: {env_set: {IMAGEIO_FFMPEG_EXE: ./evil}}",
    "a secret": "job: {env_copy: [HOME]}",
    "a log somewhere else": "job: {name: ../../evil}",
    "a sweep over code": "sweeper: {params: {'+hydra.callbacks.evil._target_': 'a,b'}}",
    "a reference": "launcher: {evil: '${elsewhere}'}",
    "callbacks by reference": "callbacks: '${elsewhere}'",
}


@pytest.fixture(scope="module")
def clean() -> DictConfig:
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        return compose("config", return_hydra_config=True)


def with_block(config: DictConfig, text: str) -> DictConfig:
    """Merge what a yaml says below ``hydra:`` into a config, without a schema in its way."""
    hydra = OmegaConf.to_container(config.hydra, resolve=False)
    evil: Any = yaml.safe_load(text)
    merged = OmegaConf.create({"hydra": merge(hydra, evil), "elsewhere": SPAWN})
    assert isinstance(merged, DictConfig)
    return merged


def merge(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{key: merge(one.get(key), value) for key, value in other.items()}}
    return other


def test_our_own_config_names_only_what_is_ours(clean: DictConfig) -> None:
    refuse_code(clean)
    refuse_code(with_block(clean, "launcher: {}"))


@pytest.mark.parametrize("target", TARGETS)
def test_no_name_of_code_passes_in_any_place(target: str, clean: DictConfig) -> None:
    for place, text in PLACES.items():
        with pytest.raises(SettingError, match=r"^hydra\..* names code"):
            refuse_code(with_block(clean, text.replace("TARGET", target)))
            pytest.fail(place)


@pytest.mark.parametrize("place", OTHERS)
def test_nothing_else_that_leads_to_code_or_to_a_secret_passes(place: str, clean: DictConfig) -> None:
    with pytest.raises(SettingError, match=r"^hydra\."):
        refuse_code(with_block(clean, OTHERS[place]))


@pytest.mark.parametrize(
    "text",
    [
        "job_logging: {loggers: {vae_experiments: {level: DEBUG}}}",
        "hydra_logging: {root: null}",
        "launcher: {n_jobs: 2, partition: gpu}",
        "sweeper: {params: {noise.scale: '0.1,0.5'}}",
        "verbose: true",
    ],
)
def test_what_names_no_code_passes(text: str, clean: DictConfig) -> None:
    refuse_code(with_block(clean, text))


def test_every_launcher_that_is_installed_passes_with_our_yaml() -> None:
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        config = compose("config", ["hydra/launcher=joblib"], return_hydra_config=True)
    assert config.hydra.launcher.batch_size == "1"


def test_what_a_person_typed_for_a_launcher_passes(clean: DictConfig) -> None:
    config = with_block(clean, "launcher: {setup: [module load cuda]}")
    config.hydra.overrides.hydra = ["+hydra.launcher.setup=[module load cuda]"]
    refuse_code(config)


def doors(folder: Path, config: str, block: dict[str, Any]) -> dict[str, list[str]]:
    """Write a block for Hydra into every kind of file that a person may be given, and say how each is used."""
    saved, conf = folder / "saved", folder / "conf" / "experiment"
    saved.mkdir()
    conf.mkdir(parents=True)
    text = yaml.safe_dump({"hydra": block})
    (saved / "config.yaml").write_text(f"{config}\n{text}")
    (conf / "evil.yaml").write_text(f"# @package _global_\n{text}")
    swept = {"hydra": {"sweeper": {"params": {f"+hydra.{key}": value for key, value in flat(block)}}}}
    (conf / "sweep.yaml").write_text(f"# @package _global_\n{yaml.safe_dump(swept)}")
    again = ["--config-path", str(saved), "--config-name", "config"]
    given = ["--config-dir", str(folder / "conf")]
    return {
        "typed": [f"++hydra.{key}={value}" for key, value in flat(block)],
        "a saved config": again,
        "an experiment": [*given, "experiment=evil"],
        "a sweep of a saved config": ["-m", *again, "seed=1,2"],
        "a sweep of an experiment": ["-m", *given, "experiment=evil", "seed=1,2"],
        "what an experiment sweeps": ["-m", *given, "experiment=sweep"],
    }


def flat(block: dict[str, Any], place: str = "") -> list[tuple[str, str]]:
    found = []
    for key, value in block.items():
        if isinstance(value, dict):
            found += flat(value, f"{place}{key}.")
        else:
            found.append((f"{place}{key}", json.dumps(value).replace('"', "'")))
    return found


@pytest.mark.slow
def test_code_is_refused_at_every_door_in_one_line(type_command: Command, tmp_path: Path) -> None:
    config = type_command("run.py", "--cfg", "job").stdout
    (tmp_path / "here").mkdir()
    used = doors(tmp_path, config, {"callbacks": {"evil": SPAWN}})
    for door, words in used.items():
        result = type_command(str(REPOSITORY / "run.py"), *words, where=tmp_path / "here")
        assert result.returncode == 1, (door, result.stdout)
        assert result.stderr.startswith("error: hydra."), (door, result.stderr)
        assert result.stderr.count("\n") == 1, (door, result.stderr)
    assert list((tmp_path / "here").rglob("PWNED")) == []
    assert list((tmp_path / "here").rglob("*.mp4")) == []


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--experimental-rerun", "--exp"])
def test_no_pickle_is_opened(flag: str, type_command: Command, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "PWNED",)

    (tmp_path / "config.pickle").write_bytes(pickle.dumps(Evil()))
    for words in ([flag, str(tmp_path / "config.pickle")], [f"{flag}={tmp_path / 'config.pickle'}"]):
        result = type_command("run.py", *words)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1)
        assert result.stderr.startswith(
            "error: --experimental-rerun would run whatever code its file holds; use"
        )
    assert not (tmp_path / "PWNED").exists()
