"""A run takes every class as a person types it: as many frames out as in, of the same size, in bounded memory."""

from __future__ import annotations

import json
import math
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.conftest import NETWORKS
from tests.manipulations.test_laws import EVERY, OTHER_SETTINGS
from tests.test_config import composed
from tests.test_temporal import bytes_of_all_tensors, count_from_here, look_away
from vae_experiments import Experiment, Folder, Noise, Output
from vae_experiments.cache import RunCache
from vae_experiments.cli.config import experiment_from
from vae_experiments.manipulations import Clip, Manipulation, Reverse
from vae_experiments.pipeline.runner import stream
from vae_experiments.pipeline.second_video import clip_of
from vae_experiments.runtime.stopwatch import Stopwatch
from vae_experiments.sources import MovingCircle

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from vae_experiments.manipulations import ChainStep
    from vae_experiments.models import Autoencoder
    from vae_experiments.tensors import Frames, Latents


COUNTS = (1, 2, 5, 9, 17, 18, 33)
VIDEOS = ("original.mp4", "reconstructed.mp4", "reconstructed_with_noise.mp4")


def odd_size(name: str) -> str:
    """Give a size of no whole cells, of which LTX 2 needs two each way."""
    return "35x33" if "LTX" in name else "21x19"


def shape_of(path: Path) -> tuple[int, int, int]:
    """Count the frames of a video that can be decoded, and give their width and height."""
    import av

    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return len(frames), frames[0].width, frames[0].height


def numbers_in(value: Any) -> Iterator[float]:
    """Give every number of nested metrics."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers_in(inner)
    elif isinstance(value, (int, float)):
        yield value


@pytest.fixture(scope="module")
def as_typed() -> Experiment:
    """Compose what is the same for every network."""
    words = ["model=folder", "model.path=DIR", "output=minimal", "batch_size=3"]
    return experiment_from(composed(*words, "source.fps=12", "noise.scale=0.1"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_frames_out_of_a_run_are_frames_in(
    name: str,
    as_typed: Experiment,
    network_folders: dict[str, Path],
    load: Callable[[str], Autoencoder],
    tmp_path: Path,
) -> None:
    size = odd_size(name)
    model = replace(as_typed.model, path=str(network_folders[name]))
    width, height = map(int, size.split("x"))
    for count in COUNTS:
        folder = tmp_path / str(count)
        folder.mkdir()
        source = replace(as_typed.source, size=size, frames=count)
        replace(as_typed, model=model, source=source).run(folder)
        metrics = json.loads((folder / "metrics.json").read_text())
        assert {video: shape_of(folder / video) for video in VIDEOS} == dict.fromkeys(
            VIDEOS, (count, width, height)
        )
        latents = 1 + max(0, -(-(count - load(name).first_frames) // load(name).time_stride))
        assert metrics["frames"] == count
        assert metrics["latents"]["shape"][0] == latents
        assert all(map(math.isfinite, numbers_in(metrics)))
        assert metrics["reconstructed"]["psnr_db"] != metrics["reconstructed_with_noise"]["psnr_db"]


@pytest.mark.slow
def test_a_temporal_network_runs_in_tiles_as_it_is_typed(
    type_command: Callable[..., subprocess.CompletedProcess[str]],
    network_folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    path, source = network_folders["AutoencoderKLWan"], ["source.size=139x45", "source.frames=6"]
    words = ["model=folder", f"model.path={path}", "model.tiling=on", "model.tile=128", *source]
    done = type_command("run.py", *words, folder=tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "tiling: on, 2x1 tiles of 104x48" in done.stdout
    assert shape_of(tmp_path / "run" / "reconstructed.mp4") == (6, 139, 45)


@pytest.mark.parametrize(
    "name", ["AutoencoderKLCogVideoX", "AutoencoderKLHunyuanVideo", "AutoencoderKLTemporalDecoder"]
)
def test_what_is_held_of_a_clip_in_windows_does_not_grow_with_it(
    name: str, load: Callable[[str], Autoencoder]
) -> None:
    """A clip more than twice as long holds no more at its most than the shorter one."""
    count_from_here()

    def most(frames: int) -> int:
        source = MovingCircle(size="24x16", frames=frames)
        clip = clip_of(source, load(name), 4)
        steps = stream(source, load(name), [Noise()], clip, 4, Stopwatch(), look_away, RunCache())
        return max(bytes_of_all_tensors() for number, _ in enumerate(steps) if number % 4 == 0)

    shorter, a_frame = most(40), 24 * 16 * 3 * 4
    assert most(100) < shorter + 20 * a_frame


class Watched(MovingCircle, group="a source of a test"):
    """Knows which of the frames that it gave are still in memory, whoever keeps them and in whatever slices."""

    def chunks(self, count: int) -> Iterator[Frames]:
        self.given: list[weakref.ref[np.ndarray]] = getattr(self, "given", [])
        for frames in super().chunks(count):
            memory = frames.numpy().copy()
            self.given.append(weakref.ref(memory))
            yield torch.from_numpy(memory)
            del memory

    def alive(self) -> int:
        return sum(len(memory) for known in self.given if (memory := known()) is not None)


class Looking(Manipulation, group="a manipulation of a test"):
    """Looks, when the first changed latents come, at how many frames of a source are in memory."""

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        for number, latents in enumerate(chunks):
            if number == 0:
                self.look()
            yield latents

    def by(self, look: Callable[[], None]) -> Looking:
        self.look = look
        return self


FRAMES, FEW_FRAMES = 48, 16
"""Two frames at a time: two readers have two chunks ahead and one in hand, and the network has one."""


@pytest.mark.parametrize(("name", "kind"), EVERY, ids=[name for name, _ in EVERY])
def test_what_holds_the_clip_keeps_latents_and_no_frames_of_the_source(
    name: str, kind: type[ChainStep], load: Callable[[str], Autoencoder]
) -> None:
    autoencoder, source, seen = load("AutoencoderTiny"), Watched(size="24x16", frames=FRAMES), list[int]()
    clip, looking = clip_of(source, autoencoder, 2), Looking().by(lambda: seen.append(source.alive()))
    for link in (kind(), kind(**OTHER_SETTINGS[name])):
        if link.holds(clip):
            next(stream(source, autoencoder, [link, looking], clip, 2, Stopwatch(), look_away, RunCache()))
            assert seen.pop() <= FEW_FRAMES


def test_a_whole_run_that_holds_the_clip_keeps_no_frames_with_and_without_the_cache(
    network_folders: dict[str, Path], tmp_path: Path
) -> None:
    source, seen = Watched(size="24x16", frames=FRAMES), list[int]()
    looking = Looking().by(lambda: seen.append(source.alive()))
    model = Folder(path=str(network_folders["AutoencoderTiny"]))
    for place in ("encoded anew", "encoded before"):
        (folder := tmp_path / place).mkdir()
        run = Experiment(
            source=source,
            manipulations=[Reverse(), looking],
            model=model,
            output=Output(report=False),
            batch_size=2,
        )
        encoding = run.run(folder).metrics["timing"]["encode_seconds"]
        assert (encoding == "cached") == (place == "encoded before")
    assert len(seen) == 2
    assert max(seen) <= FEW_FRAMES
