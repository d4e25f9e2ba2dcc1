from __future__ import annotations

import numpy as np
import pytest
import torch

from vae_experiments.errors import NumbersError
from vae_experiments.tensors import Size, check_finite, parse_size, to_frames, to_pixels


def test_every_level_survives_the_way_to_frames_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    frames = to_frames(pixels)
    assert frames.shape == (1, 3, 16, 16)
    assert frames.dtype == torch.float32
    assert (frames.min(), frames.max()) == (-1, 1)
    assert np.array_equal(to_pixels(frames), pixels)


def test_values_beyond_the_range_are_clipped_and_never_wrap() -> None:
    frames = torch.tensor([-5.0, -1.001, 1.001, 5.0]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert to_pixels(frames)[0, :, :, 0].tolist() == [[0, 0], [255, 255]]


def test_values_between_levels_are_rounded_and_not_cut() -> None:
    level = torch.full((1, 3, 1, 1), 100.6 / 127.5 - 1)
    assert to_pixels(level)[0, 0, 0, 0] == 101


def test_the_channel_axis_keeps_red_red() -> None:
    pixels = np.zeros((2, 4, 6, 3), np.uint8)
    pixels[..., 0] = 255
    frames = to_frames(pixels)
    assert frames[:, 0].eq(1).all()
    assert frames[:, 1:].eq(-1).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_never_written_as_black(bad: float) -> None:
    frames = torch.zeros(4, 3, 2, 2)
    frames[2, 1, 0, 0] = bad
    with pytest.raises(NumbersError, match="1 values of the frames are not finite, first at frame 2;"):
        to_pixels(frames)


def test_the_first_bad_frame_is_counted_from_the_start_of_the_clip() -> None:
    latents = torch.zeros(4, 16, 2, 2)
    latents[1:3] = float("inf")
    with pytest.raises(NumbersError, match="128 values of the latents are not finite, first at frame 17;"):
        check_finite(latents, "latents", first=16)


def test_opposite_infinities_do_not_hide_each_other() -> None:
    with pytest.raises(NumbersError):
        check_finite(torch.tensor([[float("inf")], [float("-inf")]]), "latents")


def test_large_but_finite_values_pass() -> None:
    check_finite(torch.full((8, 64), 3e38), "latents")


@pytest.mark.parametrize(
    ("text", "size"), [("256", Size(256, 256)), ("480x272", Size(480, 272)), ("7X5", Size(7, 5))]
)
def test_a_size_is_one_number_or_width_by_height(text: str, size: Size) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "12x", "1x2x3", "-4", "4.5", "wide"])
def test_other_texts_are_no_size(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_size(text)
