"""Motion that moves, and noise that follows it, in whole runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from tests.manipulations.clips import through
from vae_experiments import load_latents
from vae_experiments.cache import Cache, Store
from vae_experiments.manipulations import Clip, MotionGain, MotionMagnify, Noise
from vae_experiments.manipulations.effects.motion import By
from vae_experiments.pipeline import optical_flows
from vae_experiments.pipeline.experiment import Experiment
from vae_experiments.pipeline.optical_flows import MeasuredFlows, with_kept_flows
from vae_experiments.pipeline.run_folder import Output
from vae_experiments.pipeline.workbench import Workbench
from vae_experiments.sources import Content, MovingCircle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vae_experiments.tensors import Frames

pytest.importorskip("cv2", reason="optical flow needs pip install 'vae_experiments[flow]'")
SIDE, RADIUS, LUMA = 256, 0.17, torch.tensor([0.299, 0.587, 0.114])


def centre(seconds: float) -> torch.Tensor:
    """Where the moving circle is, in pixels."""
    reach = 0.5 - 1.3 * RADIUS
    x, y = math.sin(2 * math.pi * (seconds / 5.3 - 0.12)), math.sin(2 * math.pi * (seconds / 3.7 + 0.08))
    return SIDE * (0.5 + reach * torch.tensor([x, y]))


def disc(place: torch.Tensor) -> torch.Tensor:
    pixels = torch.arange(SIDE) + 0.5
    return torch.hypot(pixels[None] - place[0], pixels[:, None] - place[1]) < RADIUS * SIDE


def found(frame: torch.Tensor) -> torch.Tensor:
    """What is brighter than halfway between the sky and the circle."""
    return (LUMA[:, None, None] * (frame + 1) / 2).sum(0) > 0.66


def middle(mask: torch.Tensor) -> torch.Tensor:
    return mask.nonzero().flip(1).float().mean(0) + 0.5


def overlap(mask: torch.Tensor, other: torch.Tensor) -> float:
    return float((mask & other).sum() / (mask | other).sum())


@pytest.mark.slow
def test_a_circle_goes_twice_as_far_and_stays_a_circle_or_is_held_still() -> None:
    bench = Workbench(source=MovingCircle(fps="24", frames=8))
    places = [centre(number / 24) for number in range(8)]
    twice, held, light = (
        bench.decode(bench.change(manipulation))
        for manipulation in (MotionMagnify(by=By.flow), MotionGain(gain=0, by=By.flow), MotionMagnify())
    )
    for number in range(4, 8):  # when it has gone two cells, so that a fraction of a cell is little
        disc_twice, way = found(twice[number]), places[number] - places[0]
        assert float((middle(disc_twice) - places[0]).norm() / way.norm()) == pytest.approx(2, abs=0.1)
        assert overlap(disc_twice, disc(places[0] + 2 * way)) > 0.9
    assert overlap(found(light[7]), disc(2 * places[7] - places[0])) < 0.7, "the linear kind moves no circle"
    mean = torch.stack(places).mean(0)
    for frame in held:
        assert float((middle(found(frame)) - mean).norm()) < 3
        assert overlap(found(frame), disc(mean)) > 0.9


@pytest.mark.slow
def test_runs_of_any_batch_size_measure_the_flow_of_a_source_once_and_then_take_it_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, batch_size: int) -> torch.Tensor:
        (folder := tmp_path / name).mkdir()
        Experiment(
            source=MovingCircle(size="64", frames=4),
            manipulations=[Noise(follow=1)],
            output=Output(report=False, comparison=False, pictures=False, latents=True),
            cache=Cache(dir=str(tmp_path / "cache")),
            batch_size=batch_size,
        ).run(folder)
        return load_latents(folder, "changed")

    first = run("first", 4)
    monkeypatch.setattr(optical_flows, "flows", lambda *_: pytest.fail("it is measured again"))
    assert torch.equal(run("second", 3), first)


def test_what_noise_has_followed_once_is_kept_under_the_content_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noisy(source: MovingCircle, batch_size: int) -> torch.Tensor:
        measured = MeasuredFlows(Clip(frames=3), lambda: source.chunks(batch_size), lambda _: iter(()))
        clip = with_kept_flows(Clip(frames=3, flows=measured), Store(tmp_path, 1e9), Content.of(source))
        return through(Noise(follow=1), torch.zeros(3, 4, 8, 8), batch_size, clip)

    source = MovingCircle(size="64", frames=3)
    first = noisy(source, 2)
    monkeypatch.setattr(optical_flows, "flows", lambda *_: pytest.fail("it is measured again"))
    assert torch.equal(noisy(source, 3), first)
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        noisy(MovingCircle(size="64", frames=3, fps="9"), 2)


def test_flow_of_a_temporal_model_is_measured_between_the_first_frames_of_its_latents() -> None:
    frames = next(iter(MovingCircle(size="64", frames=11).chunks(99)))
    clip = Clip(frames=11, time_stride=4, first_frames=1)

    def again(_path: str = "") -> Iterator[Frames]:
        yield from frames.split(3)

    measured = MeasuredFlows(clip, again, again)
    chosen = MeasuredFlows(Clip(frames=4), lambda: iter([frames[[0, 1, 5, 9]]]), again)
    since_second = MeasuredFlows(Clip(frames=3), lambda: iter([frames[[1, 5, 9]]]), again)
    assert torch.equal(
        torch.cat([*measured.of("", (8, 8), False)]), torch.cat([*chosen.of("", (8, 8), False)])
    )
    from_first = torch.cat([*measured.of("", (8, 8), True)])
    assert torch.equal(from_first[1:], torch.cat([*since_second.of("", (8, 8), True)]))
    assert torch.equal(from_first[0], torch.zeros(4, 8, 8))
