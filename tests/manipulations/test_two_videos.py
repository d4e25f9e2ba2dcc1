"""The formulas of the manipulations that mix two videos or three."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from math import acos, sin, sqrt
from typing import Any

import pytest
import torch

from tests.manipulations.clips import clip_of, latents_of, second, through
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Arithmetic, Blend, Clip, Interpolate, PhaseSwap
from vae_experiments.manipulations.effects.mixing import Method, Mode

NEUTRAL: dict[str, dict[str, Any]] = {
    "interpolate": {"weight": 0},
    "blend": {"weight": 0},
    "arithmetic": {"amount": 0},
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "interpolate": {"weight": 0.7, "method": Method.nlerp, "path": "plasma"},
    "blend": {"weight": -1.4, "mode": Mode.max, "path": "plasma"},
    "arithmetic": {"amount": 1.5, "plus_path": "plasma", "minus_path": "rainbow"},
}
SHAPE = (7, 4, 3, 5)
AGAIN = [0, 1, 2, 3, 4, 0, 1]


def with_other(latents: torch.Tensor, other: torch.Tensor) -> Clip:
    """A clip whose other video is always this one latent."""

    def one_latent(_path: str) -> Iterator[torch.Tensor]:
        for _ in count():
            yield other

    return replace(clip_of(latents), latents_of=one_latent)


def cells(latents: torch.Tensor) -> torch.Tensor:
    """List each cell's vector of channels."""
    return latents.movedim(1, -1).reshape(-1, latents.shape[1]).double()


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 1.0])
def test_lerp_and_pythagorean_are_weighted_sums(weight: float) -> None:
    latents, other = latents_of(SHAPE), second(SHAPE)[AGAIN]
    straight = (1 - weight) * latents + weight * other
    lerp = through(Interpolate(weight=weight, method=Method.lerp), latents)
    assert torch.allclose(lerp, straight, atol=1e-5)
    pythagorean = through(Interpolate(weight=weight, method=Method.pythagorean), latents)
    assert torch.allclose(pythagorean, straight / sqrt(weight**2 + (1 - weight) ** 2), atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.5, 1.0])
def test_slerp_turns_each_cell_by_its_share_of_the_angle(weight: float) -> None:
    latents, others = latents_of(SHAPE), second(SHAPE)[AGAIN]
    changed = through(Interpolate(weight=weight), latents)
    for own, other, got in zip(cells(latents), cells(others), cells(changed), strict=True):
        angle = acos(float(own @ other / own.norm() / other.norm()))
        direction = sin((1 - weight) * angle) * own / own.norm() + sin(weight * angle) * other / other.norm()
        length = (1 - weight) * own.norm() + weight * other.norm()
        assert torch.allclose(got, length * direction / sin(angle), atol=1e-5)


@pytest.mark.parametrize("weight", [0.3, 0.5])
def test_nlerp_goes_the_straight_direction_at_the_length_between(weight: float) -> None:
    latents, others = latents_of(SHAPE), second(SHAPE)[AGAIN]
    changed = through(Interpolate(weight=weight, method=Method.nlerp), latents)
    for own, other, got in zip(cells(latents), cells(others), cells(changed), strict=True):
        straight = (1 - weight) * own + weight * other
        length = (1 - weight) * own.norm() + weight * other.norm()
        assert torch.allclose(got, straight / straight.norm() * length, atol=1e-5)


def test_halfway_lerp_shrinks_the_spread_and_the_others_keep_it() -> None:
    latents, other = latents_of((4, 16, 20, 20)), latents_of((1, 16, 20, 20), seed=8)
    clip = with_other(latents, other)
    spread = {
        method.name: float(through(Interpolate(weight=0.5, method=method), latents, clip=clip).std())
        for method in Method
    }
    assert spread == pytest.approx({"lerp": sqrt(0.5), "nlerp": 1, "slerp": 1, "pythagorean": 1}, rel=0.03)


def test_slerp_of_parallel_opposite_and_zero_vectors_goes_straight() -> None:
    latents = latents_of((2, 4, 3, 3))
    for factor in (2.0, 1 + 1e-7, -1.0, -3.0, 0.0):
        clip = with_other(latents[:1], factor * latents[:1])
        changed = through(Interpolate(weight=0.25), latents[:1], clip=clip)
        assert torch.allclose(changed, (0.75 + 0.25 * factor) * latents[:1], atol=1e-5), factor
    silence = torch.zeros(1, 4, 3, 3)
    grown = through(Interpolate(weight=0.25), silence, clip=with_other(silence, latents[:1]))
    assert torch.allclose(grown, 0.25 * latents[:1], atol=1e-6)


def test_a_ramp_of_the_weight_travels_from_one_video_to_the_other() -> None:
    latents, other = latents_of((5, 4, 3, 3)), second((5, 4, 3, 3))
    travelled = through(Interpolate(weight="ramp(0,1)"), latents, 2)  # type: ignore[arg-type]
    assert torch.allclose(travelled[0], latents[0], atol=1e-6)
    assert torch.allclose(travelled[4], other[4], atol=1e-6)
    assert torch.allclose(travelled[2], through(Interpolate(weight=0.5), latents)[2], atol=1e-6)


@pytest.mark.parametrize("weight", [-0.5, 0.8])
def test_blend_adds_takes_the_larger_or_replaces(weight: float) -> None:
    latents, other = latents_of(SHAPE), second(SHAPE)[AGAIN]
    added = through(Blend(weight=weight), latents)
    assert torch.allclose(added, latents + weight * other, atol=1e-6)
    larger = through(Blend(weight=weight, mode=Mode.max), latents)
    for own, lent, got in zip(
        latents.flatten().tolist(), (weight * other).flatten().tolist(), larger.flatten(), strict=True
    ):
        assert float(got) == max(own, lent, key=abs)
    assert torch.equal(through(Blend(weight=weight, mode=Mode.replace), latents), other)


def test_replace_with_a_mask_is_a_collage() -> None:
    latents, other = latents_of((3, 4, 4, 4)), second((3, 4, 4, 4))
    collage = through(Blend(mode=Mode.replace, mask="box(0,0,1,0.5)"), latents)
    assert torch.equal(collage[:, :, :2], other[:3, :, :2])
    assert torch.equal(collage[:, :, 2:], latents[:, :, 2:])


def test_arithmetic_adds_the_difference_of_two_other_videos() -> None:
    latents = latents_of(SHAPE)
    videos = {
        "plus.mp4": latents_of((2, *SHAPE[1:]), seed=1),
        "minus.mp4": latents_of((3, *SHAPE[1:]), seed=2),
    }

    def by_name(path: str) -> Iterator[torch.Tensor]:
        for _ in count():
            yield videos[path]

    clip = replace(clip_of(latents), latents_of=by_name)
    changed = through(Arithmetic(amount=0.7, plus_path="plus.mp4", minus_path="minus.mp4"), latents, 3, clip)
    for number in range(7):
        difference = videos["plus.mp4"][number % 2] - videos["minus.mp4"][number % 3]
        assert torch.allclose(changed[number], latents[number] + 0.7 * difference, atol=1e-5)


def test_every_other_video_is_looked_over_before_anything_is_written() -> None:
    def refuse(path: str, setting: str) -> None:
        if path == "missing.mp4":
            raise SettingError(setting, path, "no such file", "look at it")

    clip = replace(clip_of(latents_of(SHAPE)), check_path=refuse)
    for manipulation, setting in (
        (Interpolate(path="missing.mp4"), "interpolate.path"),
        (Blend(path="missing.mp4"), "blend.path"),
        (PhaseSwap(path="missing.mp4"), "phase_swap.path"),
        (Arithmetic(plus_path="missing.mp4"), "arithmetic.plus_path"),
        (Arithmetic(minus_path="missing.mp4"), "arithmetic.minus_path"),
    ):
        with pytest.raises(SettingError, match=f"{setting}=missing.mp4: no such file"):
            manipulation.check(clip)
    Arithmetic().check(clip)
