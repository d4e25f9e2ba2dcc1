"""The folder of an analysis: its numbers, and the files that were asked for."""

from __future__ import annotations

import csv
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from tests.analysis.clips import noise, subject
from vae_experiments import Experiment, Folder, Output
from vae_experiments.analysis.output import write_study
from vae_experiments.analysis.settings import Analysis, Plots
from vae_experiments.analysis.study import Study, findings
from vae_experiments.errors import WriteError
from vae_experiments.sources import MovingCircle
from vae_experiments.tensors import Size
from vae_experiments.writers import open_mp4

ALWAYS = {"analysis.json", "analysis.csv", "analysis.html", "pca.png", "correlation.png"}
FEW = ALWAYS | {"spectrum.png", "distances.png"}
ALL = FEW | {"channels.png", "pca.mp4"}
ORIGIN = {"provenance": {"command": "typed <here>", "git_commit": None}}


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def written(folder: Path, latents: Any, plots: Plots = Plots.all, **other: Any) -> dict[str, Any]:
    clip = subject(latents, **other)
    numbers = findings(clip)
    write_study(folder, clip, numbers | ORIGIN, plots)
    return numbers


@pytest.mark.parametrize(("plots", "files"), [(Plots.none, ALWAYS), (Plots.few, FEW), (Plots.all, ALL)])
def test_the_files_are_those_that_were_asked_for(tmp_path: Path, plots: Plots, files: set[str]) -> None:
    written(tmp_path, noise(5, 3, 4, 5), plots)
    assert files_of(tmp_path) == files
    page = (tmp_path / "analysis.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == files - {"analysis.html"}


def test_the_page_opens_offline_and_escapes_what_it_names(tmp_path: Path) -> None:
    written(tmp_path, noise(4, 2, 3, 3), title="<clip> & co")
    page = (tmp_path / "analysis.html").read_text()
    assert "&lt;clip&gt; &amp; co" in page
    assert "typed &lt;here&gt;" in page
    assert "<clip>" not in page
    assert not re.search(r"https?://|@import|<link", page)


def test_the_numbers_of_a_run_and_of_its_source_encoded_again_are_the_same(
    small_model: Path, tmp_path: Path
) -> None:
    parts = {"source": MovingCircle(size="44x36", frames=6), "model": Folder(path=str(small_model))}
    wants = Output(
        comparison=False, table=False, pictures=False, report=False, provenance=False, latents=True
    )
    (tmp_path / "run").mkdir()
    Experiment(**parts, manipulations=[], output=wants, batch_size=4).run(tmp_path / "run")
    found = {}
    for name, study in (
        ("again", Study(**parts, batch_size=4)),
        ("saved", Study(analysis=Analysis(folder=str(tmp_path / "run")))),
    ):
        (tmp_path / name).mkdir()
        study.run(tmp_path / name)
        found[name] = json.loads((tmp_path / name / "analysis.json").read_text())
        for only_one in ("title", "remarks", "provenance"):
            del found[name][only_one]
        assert files_of(tmp_path / name) == FEW
    assert found["again"] == found["saved"]
    assert found["again"]["shape"] == [6, 8, 5, 6]
    assert found["again"]["latent_rate_hz"] == 8


def test_the_table_has_a_row_a_channel(tmp_path: Path) -> None:
    numbers = written(tmp_path, noise(2, 3, 4, 4), Plots.none)
    rows = list(csv.DictReader((tmp_path / "analysis.csv").read_text().splitlines()))
    assert [row["channel"] for row in rows] == ["0", "1", "2"]
    assert [float(row["std"]) for row in rows] == [channel["std"] for channel in numbers["channels"]]


def test_the_latents_as_colours_are_as_large_as_the_source_and_as_fast_as_the_latents(tmp_path: Path) -> None:
    written(tmp_path, noise(5, 4, 3, 4), time_stride=4, size=Size(30, 20))
    with av.open(str(tmp_path / "pca.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 2
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert np.stack(pictures).shape == (5, 20, 30, 3)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (6, 1, 4, 4), (1, 1, 1, 1), (2, 2, 1, 1), (3, 17, 3, 3)])
def test_any_shape_of_latents_can_be_analysed(tmp_path: Path, shape: tuple[int, ...]) -> None:
    numbers = written(tmp_path, noise(*shape))
    assert files_of(tmp_path) == ALL - ({"spectrum.png"} if shape[0] < 3 else set()) - (
        {"distances.png"} if shape[0] < 2 else set()
    )
    assert (numbers["spectrum"] is None) == (shape[0] < 3)
    assert ("frames" in numbers["pca"]) == (shape[0] > 2)
    assert len(numbers["distances"]["from_first"]) == shape[0] - 1


def test_constant_latents_have_numbers_and_pictures_without_a_warning(tmp_path: Path) -> None:
    numbers = written(tmp_path, torch.full((4, 3, 2, 2), 0.7))
    assert files_of(tmp_path) == ALL
    assert numbers["pca"]["cells"]["explained_variance"] is None
    assert numbers["mean_absolute_correlation"] is None
    assert numbers["distances"]["from_first"] == [0, 0, 0]


def test_distances_over_time_are_from_the_latent_before_and_from_the_first() -> None:
    latents = torch.tensor([0.0, 1.0, 3.0, 2.0])[:, None, None, None].expand(4, 2, 3, 3)
    assert findings(subject(latents))["distances"] == {
        "latent": [1, 2, 3],
        "seconds": [1 / 8, 2 / 8, 3 / 8],
        "from_previous": [1, 2, 1],
        "from_first": [1, 3, 2],
    }


def test_the_first_latent_of_a_temporal_model_is_left_out_of_what_happens_over_time() -> None:
    latents = noise(8, 2, 3, 3)
    latents[0] = 1000  # would drown everything
    numbers = findings(subject(latents, time_stride=4))
    assert numbers["distances"]["latent"] == [2, 3, 4, 5, 6, 7]
    assert numbers["distances"]["seconds"][0] == 5 / 8
    assert max(numbers["distances"]["from_first"] + numbers["spectrum"]["power"]) < 10
    assert numbers["spectrum"]["hz"][-1] == pytest.approx(3 / 7 * 8 / 4)
    assert "The first latent stands for 1 frame and every later one for 4" in numbers["remarks"][0]
    assert findings(subject(noise(8, 2, 3, 3)))["remarks"] == []


def test_a_clip_beside_itself_is_no_distance_away(small_model: Path, tmp_path: Path) -> None:
    source, wish = MovingCircle(size="32", frames=4), Analysis(path="moving_circle", plots=Plots.none)
    second = Study(source, Folder(path=str(small_model)), analysis=wish).run(tmp_path)["second"]
    assert second["distances"] == [0] * 4
    assert second["mean_shifts"] == [0] * 8
    assert second["frechet_distance"] < 1e-6


def film(path: Path, frames: int) -> str:
    """Write a video of noise at 8 frames a second."""
    pixels = np.random.default_rng(0).integers(0, 256, (frames, 32, 32, 3), dtype=np.uint8)
    with open_mp4(path, Size(32, 32), Fraction(8)) as video:
        video.write(pixels)
    return str(path)


def test_a_second_video_that_is_shorter_is_compared_as_far_as_it_goes(
    small_model: Path, tmp_path: Path
) -> None:
    wish = Analysis(path=film(tmp_path / "short.mp4", 3))
    study = Study(MovingCircle(size="32", frames=6), Folder(path=str(small_model)), analysis=wish)
    numbers = study.run(tmp_path)
    second = numbers["second"]
    assert second["shape"] == [3, 8, 4, 4]
    assert len(second["distances"]) == len(second["seconds"]) == 3
    assert min(second["distances"]) > 0.1
    assert second["frechet_distance"] > 0.1
    assert any("short.mp4 is over after 3 of 6 latents" in remark for remark in numbers["remarks"])
    assert "mean_shift" in (tmp_path / "analysis.csv").read_text().splitlines()[0]


def test_a_second_video_that_is_longer_is_cut(small_model: Path, tmp_path: Path) -> None:
    wish = Analysis(path=film(tmp_path / "long.mp4", 6), plots=Plots.none)
    study = Study(MovingCircle(size="32", frames=4), Folder(path=str(small_model)), analysis=wish)
    study.batch_size = 3
    numbers = study.run(tmp_path)
    assert numbers["second"]["shape"] == [4, 8, 4, 4]
    assert not any("is over" in remark for remark in numbers["remarks"])


def test_a_folder_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    clip = subject(noise(3, 2, 2, 2))
    with pytest.raises(WriteError, match="cannot write .*; choose another folder"):
        write_study(tmp_path / "gone", clip, findings(clip) | ORIGIN, Plots.all)
    assert files_of(tmp_path) == set()
