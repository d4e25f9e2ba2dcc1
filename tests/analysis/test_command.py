"""The command as a person types it, and the sentences for what they got wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from tests.sources.conftest import write_film
from vae_experiments.analysis.command import CONFIG_GROUPS, NAME, ReserveAnalysisFolder, study_from
from vae_experiments.analysis.settings import Plots
from vae_experiments.analysis.study import Study
from vae_experiments.cli.hydra_errors import mistake_of
from vae_experiments.cli.hydra_setup import CONF, register
from vae_experiments.errors import SettingError, VaeExperimentsError
from vae_experiments.models import Bundled
from vae_experiments.sources import MovingCircle, Video

Command: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = ("-m", "vae_experiments", "analysis")


def study_of(*typed: str) -> Study:
    register(option_groups=CONFIG_GROUPS)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return study_from(compose("analyze", list(typed)), typed)


def test_the_default_is_the_moving_circle_through_the_bundled_model_with_few_plots() -> None:
    study = study_of()
    assert isinstance(study.source, MovingCircle)
    assert isinstance(study.model, Bundled)
    assert (study.batch_size, study.analysis.path, study.analysis.plots) == (8, "", Plots.few)


def test_every_setting_reaches_its_part() -> None:
    study = study_of(
        "source=video",
        "source.path=clip.mp4",
        "batch_size=3",
        "analysis.plots=all",
        "analysis.path=rainbow",
        "seed=5",
    )
    assert isinstance(study.source, Video)
    assert (study.batch_size, study.model.seed) == (3, 5)
    assert (study.analysis.plots, study.analysis.path) == (Plots.all, "rainbow")


MISTAKES = {
    "analysis.plot=all": "analysis.plot=all: analysis has no such setting; did you mean plots?",
    "+analysis.plot=all": "analysis.plot=all: analysis has no such setting; did you mean plots?",
    "analysis.plots=some": "analysis.plots=some: must be one of all, few, none",
    "analysis.latents=decoded": "analysis.latents=decoded: must be one of encoded, changed",
    "analysis.latents=changed": "analysis.latents=changed: needs the run that saved them; give analysis.folder=RUN",
    "analysis.folder=RUN analysis.path=b.mp4": "analysis.path=b.mp4: only encoded videos can be compared, not analysis.folder",
    "analysis.folder=RUN source=bars": "source=bars: there is nothing to encode in analysis.folder=RUN; leave one of them out",
    "analysis.folder=RUN source.frames=4": "source.frames=4: there is nothing to encode in analysis.folder=RUN",
    "analysis.folder=RUN batch_size=4": "batch_size=4: there is nothing to encode in analysis.folder=RUN",
    "+noise=1": "noise=1: noise is not part of this run",
    "batch_size=0": "batch_size=0: must be at least 1",
    "source=video": "source.path=: has no value; give one: source.path=...",
}


@pytest.mark.parametrize("typed", MISTAKES)
def test_a_mistake_has_its_sentence(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [*NAME, *typed.split()])
    with pytest.raises((VaeExperimentsError, ConfigCompositionException)) as caught:
        study_of(*typed.split())
    assert str(mistake_of(caught.value)).startswith(MISTAKES[typed])


@pytest.mark.parametrize(("path", "sentence"), [("rainbw", "did you mean rainbow?"), ("no.mp4", "no.mp4")])
def test_a_second_video_that_is_not_there_is_found_out_before_anything_is_encoded(
    path: str, sentence: str, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MovingCircle, "chunks", None)  # encoding would call it
    study = study_of("model=folder", f"model.path={small_model}", f"analysis.path={path}")
    with pytest.raises(VaeExperimentsError, match=f"^analysis.path={path}") as caught:
        study.run(tmp_path)
    assert sentence in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_person_analyses_a_clip_beside_another(
    type_command: Command, tmp_path: Path, small_model: Path
) -> None:
    settings = ("model=folder", f"model.path={small_model}", "source.size=32", "source.frames=5")
    result = type_command(*COMMAND, *settings, "analysis.path=rainbow", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Frechet distance from rainbow: " in result.stdout
    numbers: dict[str, Any] = json.loads((tmp_path / "analysis.json").read_text())
    assert numbers["shape"] == [5, 8, 4, 4]
    assert numbers["provenance"]["command"].startswith("vae-experiments analysis model=folder ")
    assert (tmp_path / "distances.png").exists()


ODD = [
    "a b.avi",
    "it's, {1}=2.avi",
    'q"uote.avi',
    "[br].avi",
    "日本 語.avi",
    "d${now:%Y} $x.avi",
    "-dash.avi ",
]


@pytest.mark.slow
def test_each_video_of_a_set_is_analysed_and_a_broken_one_costs_its_own_analysis(
    type_command: Command, tmp_path: Path, small_model: Path
) -> None:
    (tmp_path / "clips").mkdir()
    whole = write_film(tmp_path / "clip.avi", 4, size=(32, 32)).read_bytes()
    for name in ODD:
        (tmp_path / "clips" / name).write_bytes(whole)
    (tmp_path / "clips" / "broken.avi").write_bytes(whole[:-500])
    settings = ("model=folder", f"model.path={small_model}", "source=videos", f"source.path={tmp_path}/clips")
    alone = type_command(*COMMAND, *settings, folder=tmp_path / "alone")
    assert alone.returncode == 1
    assert "is a set of videos, and a run takes one; type -m, and a sweep makes a job of each" in alone.stderr
    done = type_command(*COMMAND, "-m", *settings, f"hydra.sweep.dir={tmp_path / 'all'}")
    assert done.returncode == 1
    [complaint] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert f"source.path={tmp_path}/clips/broken.avi: " in complaint
    found = [json.loads(file.read_text())["title"] for file in (tmp_path / "all").glob("*/analysis.json")]
    assert sorted(found) == sorted(ODD)


@pytest.mark.parametrize(("kind", "finished"), [("run", "analysis.json"), ("sweep", "0/analysis.json")])
def test_a_finished_analysis_is_never_written_over(kind: str, finished: str, tmp_path: Path) -> None:
    typed = f"hydra.{kind}.dir={tmp_path}"
    hydra = {kind: {"dir": str(tmp_path)}, "overrides": {"hydra": [typed], "task": []}, "job": {"name": "x"}}
    config = OmegaConf.create({"hydra": hydra, "source": {}})
    start = getattr(ReserveAnalysisFolder(), "on_run_start" if kind == "run" else "on_multirun_start")
    start(config)
    (tmp_path / finished).parent.mkdir(exist_ok=True)
    (tmp_path / finished).touch()
    with pytest.raises(
        SystemExit, match=f"error: {typed}: holds a finished analysis already; choose another"
    ):
        start(config)


def test_two_analyses_of_one_second_never_share_a_folder(tmp_path: Path) -> None:
    folders = set()
    for _ in range(2):
        hydra = {
            "run": {"dir": str(tmp_path / "now")},
            "overrides": {"hydra": [], "task": []},
            "job": {"name": "analysis"},
        }
        config = OmegaConf.create({"hydra": hydra})
        ReserveAnalysisFolder().on_run_start(config)
        folders.add(config.hydra.run.dir)
    assert folders == {str(tmp_path / "now"), str(tmp_path / "now-2")}


def test_a_mistake_is_one_line_and_leaves_no_half_written_file(type_command: Command, tmp_path: Path) -> None:
    result = type_command(*COMMAND, f"analysis.folder={tmp_path}", folder=tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr == (
        f"error: analysis.folder={tmp_path}: no latents in {tmp_path}; run with output.latents=true\n"
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".hydra", "analysis.log"}
    assert "no latents in" in (tmp_path / "out" / "analysis.log").read_text()


def test_a_file_of_a_person_is_never_overwritten(type_command: Command, tmp_path: Path) -> None:
    (tmp_path / "pca.png").write_text("mine")
    refused = type_command(*COMMAND, "source.size=32", "source.frames=4", folder=tmp_path)
    assert refused.stderr == (
        f"error: hydra.run.dir={tmp_path}: holds pca.png, which is not this run's; choose another folder, or delete it\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["pca.png"]


def test_settings_that_exclude_each_other_are_refused_from_python_too() -> None:
    from vae_experiments.analysis.settings import Analysis
    from vae_experiments.cache.latent_files import Which

    with pytest.raises(SettingError, match="needs the run that saved them"):
        Analysis(latents=Which.changed)
