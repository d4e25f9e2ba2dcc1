"""Steered look-ups: their laws, with maps drawn at random, and what a transform does at each cell."""

from __future__ import annotations

from dataclasses import replace
from math import cos, log, pi, radians, sin
from typing import Any

import pytest
import torch

from tests.manipulations.clips import clip_of, latents_of, through
from tests.manipulations.test_warps import NEUTRAL, OTHER_SETTINGS
from vae_experiments.manipulations import Clip, Flip, Manipulation, Rotate, Shift, Wave, Zoom
from vae_experiments.manipulations.effects.space import Mirror
from vae_experiments.manipulations.lookup import looked_up, places
from vae_experiments.manipulations.steering import (
    FINE,
    MARGIN,
    POSES,
    Local,
    Steering,
    around_each,
    drawn,
    features,
    matrix,
    pieces,
    turned,
    weight,
)

SHAPE = (5, 4, 6, 7)
TERMS = 13
KINDS: dict[str, type[Manipulation]] = {"rotate": Rotate, "shift": Shift, "zoom": Zoom, "wave": Wave}


def steering_of_nothing_real(channels: int = 4) -> Steering:
    """Maps drawn at random: the laws hold for every fit."""
    rows = 3 * (FINE + 2 * MARGIN) ** 2 + (9 * channels + 1) * TERMS
    drawing = latents_of((9 * channels + 1, 3 * FINE**2), seed=5) / 9
    return Steering(drawing, latents_of((len(POSES), rows, channels), seed=6) / 20, (True,) * len(POSES))


def steered_clip(latents: torch.Tensor) -> Clip:
    steering = steering_of_nothing_real()
    return replace(clip_of(latents), steering=lambda _: steering)


def each() -> list[Manipulation]:
    links: list[Manipulation] = [KINDS[name](**settings) for name, settings in OTHER_SETTINGS.items()]
    links += [Flip(direction=direction) for direction in Mirror]
    return [*links, Rotate(degrees="ramp(0,360)"), Zoom(factor="ramp(0.5,2)"), Shift(x="ramp(0,1)")]


@pytest.mark.parametrize("link", each(), ids=str)
def test_neither_chunks_nor_the_latents_before_change_what_is_steered(link: Manipulation) -> None:
    latents = latents_of(SHAPE)
    clip, before = steered_clip(latents), latents.clone()
    whole = through(link, latents, 99, clip)
    assert whole.isfinite().all()
    assert torch.equal(latents, before)
    for chunk in (1, 2, 3):
        assert torch.equal(through(link, latents, chunk, clip), whole)


@pytest.mark.parametrize("link", each(), ids=str)
def test_without_steer_or_a_fit_or_where_it_does_not_help_all_is_as_it_was(link: Manipulation) -> None:
    latents = latents_of(SHAPE)
    plain, clip = through(link, latents), steered_clip(latents)
    useless = replace(steering_of_nothing_real(), helps=(False,) * len(POSES))
    assert not torch.allclose(through(link, latents, 99, clip), plain, atol=0.1)
    assert torch.equal(through(replace(link, steer=False), latents, 99, clip), plain)  # type: ignore[call-arg]
    assert torch.equal(through(link, latents, 99, replace(clip, steering=lambda _: None)), plain)
    assert torch.equal(through(link, latents, 99, replace(clip, steering=lambda _: useless)), plain)
    assert torch.equal(through(replace(link, strength=0), latents, 99, clip), latents)


@pytest.mark.parametrize("name", KINDS)
def test_what_changes_nothing_is_not_steered(name: str) -> None:
    latents = latents_of(SHAPE)
    assert torch.equal(through(KINDS[name](**NEUTRAL[name]), latents, 2, steered_clip(latents)), latents)


@pytest.mark.parametrize("settings", [{"x": 2 / 7}, {"x": -1, "y": 1 / 3}, {"x": 1 / 7, "edge": "border"}])
def test_a_shift_by_whole_cells_stays_bit_for_bit_what_it_was(settings: dict[str, Any]) -> None:
    latents = latents_of(SHAPE)
    link = Shift(**settings)
    assert torch.equal(through(link, latents, 2, steered_clip(latents)), through(link, latents))


@pytest.mark.parametrize(
    ("degrees", "zoom", "mirrored"), [(0, 1, False), (100, 1.5, False), (-30, 0.8, True), (180, 0.6, True)]
)
def test_a_transform_is_measured_at_each_cell(degrees: float, zoom: float, *, mirrored: bool) -> None:
    turn, side = radians(degrees), -1 if mirrored else 1

    def source(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = x * side
        return (x * cos(turn) - y * sin(turn)) / zoom, (x * sin(turn) + y * cos(turn)) / zoom

    local = Local.of(source, *places(latents_of((4, 3, 5))))
    assert torch.allclose(local.angle.cos(), torch.tensor(cos(turn)).double())
    assert torch.allclose(local.angle.sin(), torch.tensor(sin(turn)).double())
    assert torch.allclose(local.stretch, torch.tensor(-log(zoom)).double())
    assert bool((local.is_mirrored == mirrored).all())
    assert torch.allclose(sum(weight(local, pose)[0] for pose in POSES), torch.ones(3, 5).double())  # type: ignore[arg-type]


def test_the_poses_of_a_cell_add_up_at_every_angle() -> None:
    angle = torch.linspace(-pi, pi, 1000).double()[None]
    local = Local(angle, angle, angle, angle * 0, angle > 9)
    total = torch.stack([weight(local, pose)[0] for pose in POSES]).sum(0)
    assert torch.allclose(total, torch.ones_like(total))


@pytest.mark.parametrize("number", range(len(POSES)))
def test_the_cells_around_are_turned_as_the_picture(number: int) -> None:
    """In a turned or mirrored frame every cell has the neighbours it had, in the order of the upright one."""
    frame, pose = latents_of((2, 5, 5)), POSES[number]
    (xx, xy), (yx, yy) = matrix(pose)

    def source(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = x - 2, y - 2
        return xx * x + xy * y + 2, yx * x + yy * y + 2

    def upright(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, y

    posed = looked_up(frame, *source(*places(frame)))
    x, y = places(frame)
    there, off = Local.of(source, x, y), torch.zeros(5, 5).double()
    here = Local.of(upright, x, y)
    expected, _ = around_each(posed, here, POSES[0], off, None)
    assert torch.equal(around_each(frame, there, pose, off, None)[0], expected)


def test_a_look_up_is_the_product_that_was_fitted() -> None:
    steering, frame = steering_of_nothing_real(), latents_of((4, 6, 7))
    turn = radians(20)

    def source(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * cos(turn) - y * sin(turn) + 1, x * sin(turn) + y * cos(turn)

    local = Local.of(source, *places(frame))
    near = around_each(frame, local, POSES[0], weight(local, POSES[0])[1], None)
    rows = features(pieces(turned(drawn(frame, steering.drawing), source)), *near)
    expected = (rows @ steering.reading[0]).T.reshape_as(frame)
    assert torch.allclose(steering.look_up(frame, source), expected, atol=1e-4)


def test_a_steering_is_kept_as_one_row_and_other_numbers_are_refused() -> None:
    steering = steering_of_nothing_real()
    kept = Steering.unpacked(steering.packed(), 4)
    assert torch.allclose(kept.reading, steering.reading, atol=1e-3)
    assert torch.allclose(kept.drawing, steering.drawing, atol=1e-3)
    assert torch.equal(kept.packed(), steering.packed())
    with pytest.raises(ValueError, match="is not one of 4 channels"):
        Steering.unpacked(steering.packed()[:, :-1], 4)
