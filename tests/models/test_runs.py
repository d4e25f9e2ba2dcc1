"""A run takes every temporal class: as many frames out as in, noise by the latent's number, bounded memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import TEMPORAL
from tests.test_temporal import Nobody, bytes_of_all_tensors
from vae_experiments import Experiment, Folder, Noise, Output
from vae_experiments.companions import clip_of
from vae_experiments.runner import stream
from vae_experiments.sources import MovingCircle
from vae_experiments.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vae_experiments.models import Autoencoder


@pytest.mark.parametrize("name", TEMPORAL)
def test_frames_out_of_a_run_are_frames_in(
    name: str, network_folders: dict[str, Path], load: Callable[[str], Autoencoder], tmp_path: Path
) -> None:
    output = Output(comparison=False, table=False, pictures=False, report=False)
    for frames in (2, 18):
        folder = tmp_path / str(frames)
        folder.mkdir()
        Experiment(
            source=MovingCircle(size="67x65" if "LTX" in name else "37x21", frames=frames, fps="12"),
            model=Folder(path=str(network_folders[name])),
            manipulations=[Noise(scale=0.1)],
            batch_size=3,
            output=output,
        ).run(folder)
        metrics = json.loads((folder / "metrics.json").read_text())
        latents = 1 + max(0, -(-(frames - load(name).first_frames) // load(name).time_stride))
        assert metrics["frames"] == frames
        assert metrics["latents"]["shape"][0] == latents


@pytest.mark.parametrize(
    "name", ["AutoencoderKLCogVideoX", "AutoencoderKLHunyuanVideo", "AutoencoderKLTemporalDecoder"]
)
def test_what_is_held_of_a_clip_in_windows_does_not_grow_with_it(
    name: str, load: Callable[[str], Autoencoder]
) -> None:
    """A clip more than twice as long holds no more at its most than the shorter one."""

    def most(frames: int) -> int:
        source = MovingCircle(size="24x16", frames=frames)
        clip = clip_of(source, load(name), 4)
        steps = stream(source, load(name), [Noise()], clip, 4, Stopwatch(), Nobody())
        return max(bytes_of_all_tensors() for number, _ in enumerate(steps) if number % 4 == 0)

    shorter, a_frame = most(40), 24 * 16 * 3 * 4
    assert most(100) < shorter + 20 * a_frame
