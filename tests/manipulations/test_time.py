"""The formulas of the manipulations of time."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from typing import Any

import pytest
import torch

from tests.manipulations.clips import clip_of, latents_of, through
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import (
    Clip,
    Echo,
    Freeze,
    Loop,
    Retime,
    Reverse,
    ShuffleFrames,
    SlitScan,
    TemporalSharpen,
    TemporalSmooth,
)
from vae_experiments.manipulations.effects.slit_scan import Direction
from vae_experiments.manipulations.effects.temporal import Joint
from vae_experiments.manipulations.effects.time_remap import Between
from vae_experiments.tensors import Size

NEUTRAL: dict[str, dict[str, Any]] = {
    "temporal_smooth": {"sigma": 0},
    "temporal_sharpen": {"amount": 0},
    "echo": {"feedback": 0},
    "reverse": {"strength": 0},
    "freeze": {"strength": 0},
    "loop": {"strength": 0},
    "shuffle_frames": {"window": 1},
    "slit_scan": {"delay": 0},
    "retime": {"speed": 1},
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "temporal_smooth": {"sigma": 0.8},
    "temporal_sharpen": {"amount": -0.5, "sigma": 3.0},
    "echo": {"feedback": 0.9, "delay": 2, "echoes": 2},
    "reverse": {},
    "freeze": {"frame": 3},
    "loop": {"joint": Joint.crossfade, "overlap": 3},
    "shuffle_frames": {"window": 3, "seed": 4},
    "slit_scan": {"delay": 2.5, "direction": Direction.radial},
    "retime": {"speed": 1.7, "between": Between.lerp},
}
SHAPE = (9, 2, 3, 4)


def counting(count: int, *cells: int) -> torch.Tensor:
    """Latents whose value is their number."""
    return torch.arange(float(count)).reshape(-1, 1, 1, 1).repeat(1, *(cells or (1, 1, 1)))


def numbers(latents: torch.Tensor) -> list[float]:
    return latents[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("sigma", [0.5, 1.5, 6.0])
def test_temporal_smooth_is_a_gaussian_over_time_with_its_ends_repeated(sigma: float) -> None:
    latents = latents_of(SHAPE)
    for number, smooth in enumerate(through(TemporalSmooth(sigma=sigma), latents)):
        weights = {offset: exp(-((offset / sigma) ** 2) / 2) for offset in range(-24, 25)}
        total = sum(weight * latents[min(max(number + offset, 0), 8)] for offset, weight in weights.items())
        assert torch.allclose(smooth, total / sum(weights.values()), atol=1e-4)


def test_temporal_sharpen_adds_what_smoothing_takes_away() -> None:
    latents = latents_of(SHAPE)
    smooth = through(TemporalSmooth(sigma=2), latents)
    sharp = through(TemporalSharpen(sigma=2, amount=0.7), latents)
    assert torch.allclose(sharp, latents + 0.7 * (latents - smooth), atol=1e-5)


def test_smoothing_counts_frames_where_a_latent_stands_for_several() -> None:
    latents = latents_of(SHAPE)
    changed = through(TemporalSmooth(sigma=4), latents, clip=clip_of(latents, time_stride=4))
    assert torch.allclose(changed[1:], through(TemporalSmooth(sigma=1), latents[1:]), atol=1e-6)


def test_an_echo_is_the_weighted_mean_of_what_was() -> None:
    latents = latents_of(SHAPE)
    changed = through(Echo(feedback=0.5, delay=2, echoes=3), latents, 4)
    assert torch.equal(changed[:2], latents[:2])
    assert torch.allclose(changed[3], (latents[3] + 0.5 * latents[1]) / 1.5, atol=1e-6)
    total = latents[8] + 0.5 * latents[6] + 0.25 * latents[4] + 0.125 * latents[2]
    assert torch.allclose(changed[8], total / 1.875, atol=1e-6)


def test_reverse_is_its_own_inverse_and_plays_backwards() -> None:
    latents = counting(5)
    assert numbers(through(Reverse(), latents, 2)) == [4, 3, 2, 1, 0]
    assert torch.equal(through(Reverse(), through(Reverse(), latents)), latents)


@pytest.mark.parametrize("chunk", [1, 2, 4, 9])
def test_freeze_holds_a_frame_from_its_moment_on(chunk: int) -> None:
    assert numbers(through(Freeze(frame=3), counting(7), chunk)) == [0, 1, 2, 3, 3, 3, 3]


def test_a_frame_that_the_clip_has_not_cannot_be_frozen() -> None:
    with pytest.raises(SettingError, match=r"freeze.frame=9: the clip has 9 frames; name one of 0 to 8"):
        Freeze(frame=9).check(clip_of(latents_of(SHAPE)))


def test_freezing_a_frame_of_a_temporal_model_holds_the_latent_that_stands_for_it() -> None:
    latents = counting(5)
    frozen = through(Freeze(frame=7), latents, 2, clip_of(latents, time_stride=4))  # frames 5 to 8
    assert numbers(frozen) == [0, 1, 2, 2, 2]
    frozen = through(Freeze(frame=0), latents, 2, clip_of(latents, time_stride=4))
    assert numbers(frozen) == [0, 1, 1, 1, 1], "the first latent stands for one frame only"


@pytest.mark.parametrize(
    ("count", "order"),
    [(1, [0]), (2, [0, 1]), (3, [0, 1, 1]), (6, [0, 1, 2, 3, 2, 1]), (7, [0, 1, 2, 3, 3, 2, 1])],
)
def test_a_pingpong_goes_half_way_and_back(count: int, order: list[int]) -> None:
    assert numbers(through(Loop(), counting(count))) == order


@pytest.mark.parametrize("count", [2, 3, 8, 9])
def test_a_loop_has_no_jump_larger_than_the_clips_own(count: int) -> None:
    latents = latents_of((count, 4, 3, 3))
    looped = through(Loop(), latents)
    own = (latents[1:] - latents[:-1]).flatten(1).norm(dim=1).max()
    assert (looped - looped.roll(-1, 0)).flatten(1).norm(dim=1).max() <= own


def test_a_crossfade_keeps_the_clip_and_ends_near_what_comes_after_its_beginning() -> None:
    latents = latents_of((12, 4, 3, 3))
    looped = through(Loop(joint=Joint.crossfade, overlap=4), latents)
    assert torch.equal(looped[:8], latents[:8])
    for step, number in enumerate(range(8, 12), start=1):
        expected = (1 - step / 5) * latents[number] + step / 5 * latents[12 - number]
        assert torch.allclose(looped[number], expected, atol=1e-5)


def test_shuffled_frames_stay_in_their_window() -> None:
    order = numbers(through(ShuffleFrames(window=4, seed=1), counting(10), 3))
    for start in (0, 4, 8):
        assert sorted(order[start : start + 4]) == list(range(start, min(start + 4, 10)))
    assert order != list(range(10))
    assert order != numbers(through(ShuffleFrames(window=4, seed=2), counting(10)))


def test_each_window_is_shuffled_in_an_order_of_its_own() -> None:
    order = through(ShuffleFrames(window=8), counting(64)).flatten().reshape(8, 8)
    orders = {tuple((window - window.min()).tolist()) for window in order}
    assert len(orders) == 8, "of 40320 orders, eight draws are hardly ever the same"


@pytest.mark.parametrize(
    ("direction", "place", "late"),
    [
        (Direction.horizontal, (0, 0), 0),
        (Direction.horizontal, (2, 4), 3),
        (Direction.horizontal, (1, 2), 1.5),
        (Direction.vertical, (2, 0), 3),
        (Direction.vertical, (0, 4), 0),
        (Direction.radial, (1, 2), 0),
        (Direction.radial, (0, 0), 3),
    ],
)
def test_slit_scan_shows_an_earlier_moment_further_on(
    direction: Direction, place: tuple[int, int], late: float
) -> None:
    scanned = through(SlitScan(delay=3, direction=direction), counting(9, 2, 3, 5), 4)
    row, column = place
    expected = [max(0, number - late) for number in range(9)]
    assert scanned[:, 1, row, column].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("direction", [Direction.horizontal, Direction.vertical])
def test_a_slit_travels_over_the_frame_and_not_over_the_cells_that_it_was_padded_to(
    direction: Direction,
) -> None:
    """A frame of 20 pixels is 2.5 cells: the middles of what is seen of them lie at 0.5, 1.5 and 2.25."""
    latents = counting(9, 2, 3, 3)
    clip = replace(clip_of(latents), size=Size(20, 20))
    scanned = through(SlitScan(delay=3.5, direction=direction), latents, 4, clip)[:, 1]
    along = scanned[:, 0] if direction is Direction.horizontal else scanned[:, :, 0]
    for place, late in enumerate([0, 3.5 * 1 / 1.75, 3.5]):
        assert along[:, place].tolist() == pytest.approx([max(0, number - late) for number in range(9)])


@pytest.mark.parametrize(
    ("speed", "count"), [(0.5, 20), (0.25, 40), (1, 10), (2, 5), (3, 3), (1.5, 7), (20, 1)]
)
def test_retiming_divides_the_number_of_frames_by_the_speed(speed: float, count: int) -> None:
    retimed = through(Retime(speed=speed, between=Between.lerp), counting(10), 3)
    assert numbers(retimed) == pytest.approx([min(speed * number, 9) for number in range(count)])


def test_a_clip_at_its_own_speed_is_the_same_bit_for_bit() -> None:
    latents = latents_of(SHAPE)
    for between in Between:
        assert torch.equal(through(Retime(speed=1, between=between), latents), latents)
        assert torch.equal(through(Retime(speed=0.3, strength=0, between=between), latents), latents)


def test_half_the_strength_is_the_root_of_the_speed() -> None:
    assert len(through(Retime(speed=0.25, strength=0.5), counting(10))) == 20


def test_slerp_keeps_the_length_of_a_latent_between_two_of_the_same_length() -> None:
    latents = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(2, 2, 1, 1)
    lengths = [
        through(Retime(speed=0.5, between=way), latents)[1].norm() for way in (Between.slerp, Between.lerp)
    ]
    assert [float(length) for length in lengths] == pytest.approx([1, 0.5**0.5])


def test_a_speed_that_changes_is_that_of_the_moment_that_is_shown() -> None:
    latents = counting(8)
    retimed = through(Retime(speed="0f:1 3.9f:1 4f:0.5", between=Between.lerp), latents)  # type: ignore[arg-type]
    assert numbers(retimed) == [0, 1, 2, 3, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7]


def test_a_speed_that_changes_counts_the_frames_that_latents_stand_for() -> None:
    """Behind the first latent, the third one of the rest stands for the frames 9 to 12."""
    latents = counting(6)
    slowing = Retime(speed="0f:1 8.9f:1 9f:0.5", between=Between.lerp)  # type: ignore[arg-type]
    retimed = through(slowing, latents, clip=clip_of(latents, time_stride=4))
    assert numbers(retimed) == [0, 1, 2, 3, 3.5, 4, 4.5, 5, 5]


@pytest.mark.parametrize("speed", [0.5, 0.7, 1, 2.3])
@pytest.mark.parametrize("time_stride", [1, 4])
def test_retiming_says_beforehand_how_many_latents_will_come(speed: float, time_stride: int) -> None:
    latents = latents_of(SHAPE)
    clip = clip_of(latents, time_stride=time_stride)
    assert Retime(speed=speed).after(clip).latents == len(through(Retime(speed=speed), latents, 2, clip))
    assert Retime(speed=speed).after(replace(clip, frames=None)).latents is None


def test_the_first_latent_of_a_temporal_model_keeps_its_place_in_time() -> None:
    latents = counting(6)
    clip = clip_of(latents, time_stride=4)
    assert numbers(through(Reverse(), latents, 2, clip)) == [0, 5, 4, 3, 2, 1]
    assert numbers(through(Retime(speed=2, between=Between.lerp), latents, 2, clip)) == [0, 1, 3, 5]
    assert numbers(through(Loop(), latents, 2, clip))[0] == 0
    assert numbers(through(ShuffleFrames(window=8), latents, 2, clip))[0] == 0


@pytest.mark.parametrize(
    ("frames", "speed", "expected"), [(6, 1.0, 6), (6, 0.5, 11), (9, 0.5, 17), (6, 2.0, 3), (1, 0.5, 1)]
)
def test_what_only_fills_the_last_group_of_a_temporal_model_is_not_stretched(
    frames: int, speed: float, expected: int
) -> None:
    clip = Clip(frames=frames, time_stride=4)
    latents = latents_of((clip.latents or 0, 2, 3, 3))
    assert Retime(speed=speed).after(clip).frames == expected
    assert len(through(Retime(speed=speed), latents, 2, clip)) == Clip(frames=expected, time_stride=4).latents


def test_holding_shows_each_latent_equally_often() -> None:
    held = through(Retime(speed=0.5, between=Between.hold), counting(4))
    assert numbers(held) == [0, 0, 1, 1, 2, 2, 3, 3]
