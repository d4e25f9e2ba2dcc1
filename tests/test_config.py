"""The yaml files and the classes tell one story."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from tests.conftest import REPOSITORY
from vae_experiments.cli.config import experiment_from
from vae_experiments.cli.hydra_setup import ReserveRunFolder, reserve_folder
from vae_experiments.cli.overrides import quoted
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Noise
from vae_experiments.models import Bundled, Folder
from vae_experiments.options import kinds
from vae_experiments.pipeline.experiment import Run
from vae_experiments.pipeline.run_folder import FINISHED
from vae_experiments.sources import MovingCircle

CONF = REPOSITORY / "conf"
GROUPS = ("model", "device", "source", "manipulation", "output")


def composed(*overrides: str) -> object:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def names_in(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def test_a_yaml_that_lost_its_package_line_is_told_what_to_begin_with() -> None:
    config = OmegaConf.create({"manipulation": {"solarize": {}, "manipulation": {"solarize": 1}}})
    with pytest.raises(SettingError, match=r"manipulation=solarize: its yaml does not begin with .*@package"):
        experiment_from(config)


def test_the_default_is_the_moving_circle_through_the_bundled_model_with_noise() -> None:
    experiment = experiment_from(composed())
    assert isinstance(experiment.source, MovingCircle)
    assert isinstance(experiment.model, Bundled)
    assert experiment.manipulations == [Noise(scale=0.5)]
    assert (experiment.batch_size, experiment.seed) == (8, 0)


def test_every_short_setting_reaches_the_experiment() -> None:
    for name, usual, _ in Run.settings():
        other = not usual if isinstance(usual, bool) else usual + 3
        assert getattr(experiment_from(composed(f"{name}={other}")), name) == other, name


def test_the_seed_reaches_everything_that_draws() -> None:
    experiment = experiment_from(composed("seed=7"))
    assert (experiment.seed, experiment.manipulations[0].seed, experiment.model.seed) == (7, 7, 7)


def test_a_manipulation_of_its_own_seed_keeps_it() -> None:
    assert experiment_from(composed("seed=7", "noise.seed=3")).manipulations[0].seed == 3


def test_every_manipulation_has_its_yaml_and_every_yaml_its_class() -> None:
    assert names_in("manipulation") == sorted([*kinds("manipulation"), "none"])


def test_every_pattern_and_reader_has_its_yaml_and_every_yaml_its_class() -> None:
    assert names_in("source") == sorted(kinds("source"))


def test_every_model_can_be_chosen_as_decoder_with_the_settings_that_it_has_and_nothing_else() -> None:
    assert names_in("decoder") == ["same"]
    stored = ConfigStore.instance().repo["decoder"]
    assert sorted(name.removesuffix(".yaml") for name in stored) == names_in("model")
    for name in ("tiny", "folder", "file", "hub", "taesd", "wan"):
        config = composed(f"model={name}", f"decoder={name}", "seed=7")
        assert config.decoder == config.model
        assert config.decoder.seed == 7


def test_the_decoder_is_the_model_unless_one_is_chosen() -> None:
    assert experiment_from(composed()).decoder is None
    # A folder's name is text, whatever it looks like.
    words = ["model=sd", "decoder=folder", *map(quoted, ["decoder.path=2024_05_17"]), "seed=3"]
    assert experiment_from(composed(*words)).decoder == Folder(path="2024_05_17", seed=3)


def test_a_setting_of_a_decoder_that_was_not_chosen_says_what_to_add() -> None:
    with pytest.raises(
        SettingError, match=r"decoder.path=x: this decoder has no such .*; add decoder=folder"
    ):
        experiment_from(composed("+decoder.path=x"))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.slow
def test_every_choice_of_every_group_composes(group: str) -> None:
    for name in names_in(group):
        overrides = [f"{group}={name}"]
        if "???" in (CONF / group / f"{name}.yaml").read_text():
            overrides.append("model.repository=a/b" if name == "hub" else f"{group}.path=somewhere")
        experiment_from(composed(*overrides))


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_every_yaml_says_in_its_first_line_what_it_is_and_names_no_code(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# "), path
    assert "_target_" not in path.read_text()
    assert isinstance(yaml.safe_load(path.read_text()) or {}, dict)


def test_a_second_manipulation_is_named_in_its_mistakes() -> None:
    plain = OmegaConf.create(OmegaConf.to_container(composed()))
    plain.grain = {"kind": "noise", "scale": -1}
    plain.manipulation.grain = "${grain}"
    with pytest.raises(SettingError, match=r"^grain.scale=-1: must be at least 0"):
        experiment_from(plain)


def test_a_second_manipulation_of_a_kind_has_a_second_name() -> None:
    config = composed("manipulation=[noise]")
    plain = OmegaConf.create(OmegaConf.to_container(config))
    plain.grain = {"kind": "noise", "scale": 0.1, "seed": 4}
    plain.manipulation.grain = "${grain}"
    assert experiment_from(plain).manipulations == [Noise(scale=0.5), Noise(scale=0.1, seed=4)]


@pytest.mark.parametrize(("node", "finished"), [("run", "."), ("sweep", "."), ("sweep", "3")])
def test_no_command_is_given_a_folder_that_holds_a_finished_run(
    node: str, finished: str, tmp_path: Path
) -> None:
    (tmp_path / finished).mkdir(exist_ok=True)
    (tmp_path / finished / FINISHED).write_text("{}")
    typed = {"hydra": [f"hydra.{node}.dir={tmp_path}"], "task": []}
    config = OmegaConf.create({"hydra": {node: {"dir": str(tmp_path)}, "overrides": typed}})
    begin = ReserveRunFolder().on_run_start if node == "run" else ReserveRunFolder().on_multirun_start
    with pytest.raises(SystemExit, match=rf"^error: hydra.{node}.dir=.*: holds a finished run already"):
        begin(config)


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    wish = tmp_path / "2026-11-22" / "10-00-00"
    assert [reserve_folder(wish).name for _ in range(3)] == ["10-00-00", "10-00-00-2", "10-00-00-3"]


def test_a_config_that_was_saved_before_there_was_a_cache_still_runs() -> None:
    config = composed("noise.scale=0.25")
    saved = OmegaConf.to_container(config)
    for newer in ("cache", "sweep", "target", "timed", "decoder"):
        del saved[newer]
    del saved["run"]["timed"], saved["model"]["tiling"]
    assert experiment_from(OmegaConf.create(saved)) == experiment_from(config)
