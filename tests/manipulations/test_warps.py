"""The formulas of the warps."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi, radians, sin
from typing import Any

import pytest
import torch
from torch.nn.functional import grid_sample

from tests.manipulations.clips import clip_of, latents_of, through
from vae_experiments.manipulations import Clip, Rotate, Shift, Wave, Zoom
from vae_experiments.manipulations.effects.warps import Direction, Edge
from vae_experiments.manipulations.lookup import Extent, looked_up, places
from vae_experiments.tensors import Size

NEUTRAL: dict[str, dict[str, Any]] = {
    "rotate": {"degrees": 0},
    "shift": {"x": 0, "y": 0},
    "zoom": {"factor": 1},
    "wave": {"amplitude": 0},
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "rotate": {"degrees": -70.5},
    "shift": {"x": -0.37, "y": 1.61, "edge": Edge.border},
    "zoom": {"factor": 0.6, "x": 0.2, "y": 0.9},
    "wave": {"amplitude": -2.3, "wavelength": 3.7, "speed_hz": 1.7, "direction": Direction.horizontal},
}
WIDE = (3, 4, 6, 11)


def sampled(latents: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Look latents up at places in cells, ``T h w`` or ``h w``, by torch's own sampler."""
    height, width = latents.shape[-2:]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    grid = grid.expand(len(latents), height, width, 2).float()
    return grid_sample(latents, grid, mode="bilinear", padding_mode="border", align_corners=False)


def cells(latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give x and y of each cell, both ``h w``."""
    height, width = latents.shape[-2:]
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return x, y


def test_a_look_up_is_that_of_grid_sample() -> None:
    latents = latents_of((1, 3, 5, 7))
    x, y = latents_of((5, 7), seed=1) * 6, latents_of((5, 7), seed=2) * 6
    assert torch.allclose(looked_up(latents[0], x.double(), y.double()), sampled(latents, x, y)[0], atol=1e-4)


def test_a_look_up_at_the_cells_themselves_is_exact() -> None:
    frame = latents_of((3, 5, 7)) * 100
    assert torch.equal(looked_up(frame, *places(frame)), frame)
    assert torch.equal(looked_up(frame, *places(frame), Extent(7, 5)), frame)


@pytest.mark.parametrize("turns", [1, 2, 3, -1, 4])
def test_quarter_turns_of_a_square_are_exact_and_counter_clockwise(turns: int) -> None:
    latents = latents_of((2, 3, 7, 7))
    assert torch.equal(through(Rotate(degrees=90 * turns), latents), torch.rot90(latents, turns, (2, 3)))


@pytest.mark.parametrize("degrees", [15.0, -100.0])
def test_rotate_turns_about_the_middle_of_a_wide_frame_without_shear(degrees: float) -> None:
    latents = latents_of(WIDE)
    x, y = cells(latents)
    angle = radians(degrees)
    # Up is against y: what is shown at (across, up) was at that place turned back by the angle.
    across, up = x - 5, 2.5 - y
    source_across, source_up = (
        across * cos(angle) + up * sin(angle),
        up * cos(angle) - across * sin(angle),
    )
    expected = sampled(latents, source_across + 5, 2.5 - source_up)
    assert torch.allclose(through(Rotate(degrees=degrees), latents), expected, atol=1e-4)


def test_a_turned_disc_of_a_wide_frame_stays_a_disc() -> None:
    y, x = torch.meshgrid(torch.arange(30.0) - 14.5, torch.arange(60.0) - 29.5, indexing="ij")
    disc = torch.exp(-(x**2 + y**2) / 32)[None, None]
    assert torch.allclose(through(Rotate(degrees=37), disc), disc, atol=0.02)


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, -2), (4, 3), (-13, 8)])
def test_a_shift_by_whole_cells_is_a_roll_bit_for_bit(right: int, down: int) -> None:
    latents = latents_of(WIDE)
    shifted = through(Shift(x=right / 11, y=down / 6), latents)
    assert torch.equal(shifted, latents.roll((down, right), (2, 3)))


def test_a_shift_with_a_border_repeats_it() -> None:
    latents = latents_of(WIDE)
    shifted = through(Shift(x=3 / 11, y=-1 / 6, edge=Edge.border), latents)
    assert torch.equal(shifted[..., :5, 3:], latents[..., 1:, :-3])
    assert torch.equal(shifted[..., :5, :3], latents[..., 1:, :1].expand(-1, -1, -1, 3))
    assert torch.equal(shifted[..., 5, 3:], latents[..., 5, :-3])


@pytest.mark.parametrize("edge", Edge, ids=str)
def test_a_shift_by_part_of_a_cell_mixes_two(edge: Edge) -> None:
    latents = latents_of(WIDE)
    shifted = through(Shift(x=0.25 / 11, edge=edge), latents)
    before = latents.roll(1, 3)
    if edge is Edge.border:
        before[..., 0] = latents[..., 0]
    assert torch.allclose(shifted, 0.75 * latents + 0.25 * before, atol=1e-5)


def test_a_ramp_of_x_is_a_pan_once_across_the_frame() -> None:
    latents = latents_of((5, 2, 3, 8))
    panned = through(Shift(x="ramp(0,1)"), latents, 2)  # type: ignore[arg-type]
    for frame in range(5):
        assert torch.equal(panned[frame], latents[frame].roll(2 * frame, 2)), frame


@pytest.mark.parametrize(("factor", "x", "y"), [(2.0, 0.5, 0.5), (1.3, 0.0, 1.0), (0.5, 0.25, 0.6)])
def test_zoom_enlarges_about_a_point_of_the_frame(factor: float, x: float, y: float) -> None:
    latents = latents_of(WIDE)
    across, down = cells(latents)
    # In fractions of the frame the middle of cell 0 lies half a cell from the edge.
    source_x = 11 * (x + ((across + 0.5) / 11 - x) / factor) - 0.5
    source_y = 6 * (y + ((down + 0.5) / 6 - y) / factor) - 0.5
    changed = through(Zoom(factor=factor, x=x, y=y), latents)
    assert torch.allclose(changed, sampled(latents, source_x, source_y), atol=1e-4)


def test_a_zoom_of_3_shows_the_middle_third_and_keeps_the_middle_cell() -> None:
    latents = latents_of((2, 3, 9, 9))
    zoomed = through(Zoom(factor=3), latents)
    assert torch.equal(zoomed[..., 1::3, 1::3], latents[..., 3:6, 3:6])


def on_a_frame(latents: torch.Tensor, width: int, height: int) -> Clip:
    """A clip whose frames, in pixels, end inside the last of these cells."""
    return replace(clip_of(latents), size=Size(width, height))


@pytest.mark.parametrize("x", [1, -1, 2])
def test_a_shift_by_the_whole_frame_brings_everything_back_where_the_frame_ends_inside_a_cell(x: int) -> None:
    latents = latents_of((2, 3, 2, 2))
    shifted = through(Shift(x=x, y=x), latents, clip=on_a_frame(latents, 10, 14))
    assert torch.allclose(shifted, latents, atol=1e-5)


def test_a_shift_by_half_the_frame_is_half_of_its_pixels() -> None:
    latents = latents_of((1, 1, 1, 3))
    shifted = through(Shift(x=0.5, edge=Edge.border), latents, clip=on_a_frame(latents, 20, 8))
    x, y = cells(latents)
    assert torch.allclose(shifted, sampled(latents, x - 10 / 8, y), atol=1e-5)


def test_a_half_turn_is_about_the_middle_of_the_frame_and_not_of_the_cells() -> None:
    latents = latents_of((1, 2, 2, 3))
    turned = through(Rotate(degrees=180), latents, clip=on_a_frame(latents, 20, 12))
    x, y = cells(latents)
    # A frame of 20 x 12 pixels is 2.5 x 1.5 cells: the place x becomes 2.5 - x, from the edge.
    assert torch.allclose(turned, sampled(latents, 1.5 - x, 0.5 - y), atol=1e-5)


def test_a_zoom_keeps_the_middle_of_the_frame_where_it_is() -> None:
    latents = latents_of((1, 2, 2, 3))
    zoomed = through(Zoom(factor=2), latents, clip=on_a_frame(latents, 20, 12))
    x, y = cells(latents)
    assert torch.allclose(zoomed, sampled(latents, 0.75 + (x - 0.75) / 2, 0.25 + (y - 0.25) / 2), atol=1e-5)


@pytest.mark.parametrize("time_stride", [1, 4])
@pytest.mark.parametrize("direction", Direction, ids=str)
def test_a_wave_moves_by_the_clips_own_seconds(direction: Direction, time_stride: int) -> None:
    latents = latents_of(WIDE)
    clip = clip_of(latents, fps=12.5, time_stride=time_stride)
    wave = Wave(amplitude=1.5, wavelength=4.5, speed_hz=0.8, direction=direction)
    x, y = cells(latents)
    for number, frame in enumerate([0, 1, 2] if time_stride == 1 else [0, 1, 5]):
        passed = 0.8 * frame / 12.5
        if direction is Direction.vertical:
            source = x, y + 1.5 * torch.sin(2 * pi * (x / 4.5 + passed))
        else:
            source = x + 1.5 * torch.sin(2 * pi * (y / 4.5 + passed)), y
        expected = sampled(latents, *source)[number]
        assert torch.allclose(through(wave, latents, 2, clip)[number], expected, atol=1e-4)


def test_a_wave_of_speed_0_stands_still() -> None:
    still = latents_of((1, 2, 6, 6)).expand(4, -1, -1, -1)
    with_bent_decoder = through(Wave(amplitude=1, speed_hz=0), still)
    assert all(torch.equal(frame, with_bent_decoder[0]) for frame in with_bent_decoder)
    moving = through(Wave(amplitude=1, speed_hz=1), still)
    assert not torch.equal(moving[0], moving[3])
