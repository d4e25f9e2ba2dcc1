"""``analysis.equivariance``: how near transformed latents come to transformed frames, as a table and a plot."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from vae_experiments.analysis.settings import Analysis, Plots
from vae_experiments.analysis.study import Study
from vae_experiments.errors import SettingError
from vae_experiments.pipeline.steering.equivariance import TRANSFORMS
from vae_experiments.sources import MovingCircle

if TYPE_CHECKING:
    from pathlib import Path


def test_latents_without_their_model_cannot_be_measured() -> None:
    with pytest.raises(SettingError, match="analysis.equivariance=True: needs the model"):
        Analysis(folder="run", equivariance=True)


@pytest.mark.slow
def test_every_transform_is_measured_plain_steered_and_at_the_limit(tmp_path: Path) -> None:
    analysis = Analysis(equivariance=True, plots=Plots.none)
    numbers = Study(MovingCircle(size="64", frames=1), analysis=analysis).run(tmp_path)
    with (tmp_path / "equivariance.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["transform"] for row in rows] == [each.name for each in TRANSFORMS]
    assert (tmp_path / "equivariance.png").stat().st_size > 5000
    flip = numbers["equivariance"][0]
    assert flip["plain_db"] + 5 < flip["steered_db"] < flip["limit_db"] + 1
