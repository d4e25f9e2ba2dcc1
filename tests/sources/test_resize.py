from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tests.sources.conftest import drawn
from vae_experiments.sources.resize import Fit, Turn, fit
from vae_experiments.tensors import Size


@pytest.mark.parametrize("how", list(Fit))
@pytest.mark.parametrize(
    "size", [Size(64, 48), Size(32, 32), Size(1, 1), Size(97, 31), Size(7, 200), Size(300, 2)]
)
def test_every_fit_gives_the_size_that_was_asked_for(how: Fit, size: Size) -> None:
    fitted = fit(drawn(3), size, how)
    assert fitted.shape == (size.height, size.width, 3)
    assert fitted.dtype == np.uint8


@pytest.mark.parametrize("how", list(Fit))
def test_the_same_size_is_left_alone(how: Fit) -> None:
    assert np.array_equal(fit(drawn(3), Size(64, 48), how), drawn(3))


def test_crop_cuts_out_the_centre() -> None:
    pixels = drawn(0)
    assert np.array_equal(fit(pixels, Size(48, 48), Fit.crop), pixels[:, 8:56])
    assert np.array_equal(fit(pixels, Size(64, 24), Fit.crop), pixels[12:36])


def test_pad_adds_the_same_black_on_both_sides() -> None:
    padded = fit(drawn(9), Size(64, 64), Fit.pad)
    assert np.array_equal(padded[8:56], drawn(9))
    assert not padded[:8].any()
    assert not padded[56:].any()


def test_stretch_keeps_everything() -> None:
    flat = np.full((48, 64, 3), 77, np.uint8)
    assert (fit(flat, Size(30, 90), Fit.stretch) == 77).all()


def test_resizing_equals_pillows_antialiased_bicubic() -> None:
    photograph = data.astronaut()
    ours = fit(photograph, Size(128, 128), Fit.crop).astype(int)
    theirs = np.array(Image.fromarray(photograph).resize((128, 128), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize(
    ("matrix", "first_row"),
    [
        ((1, 0, 0, 0, 1, 0), [[1, 2]]),
        ((-1, 0, 0, 0, -1, 0), [[4, 3]]),
        ((-1, 0, 0, 0, 1, 0), [[2, 1]]),
        ((1, 0, 0, 0, -1, 0), [[3, 4]]),
        ((0, 1, 0, -1, 0, 0), [[3, 1]]),
        ((0, -1, 0, 1, 0, 0), [[2, 4]]),
        ((0, 1, 0, 1, 0, 0), [[1, 3]]),
        ((0, -1, 0, -1, 0, 0), [[4, 2]]),
    ],
)
def test_a_display_matrix_turns_and_mirrors(matrix: tuple[int, ...], first_row: list[list[int]]) -> None:
    stored = np.array([[1, 2], [3, 4]])
    assert Turn.from_matrix(matrix).apply(stored)[:1].tolist() == first_row


def test_an_angle_says_the_same_as_the_matrix_of_a_plain_turn() -> None:
    for degrees, (a, b, c, d) in {
        0: (1, 0, 0, 1),
        90: (0, -1, 1, 0),
        -90: (0, 1, -1, 0),
        180: (-1, 0, 0, -1),
    }.items():
        assert Turn.from_angle(degrees) == Turn.from_matrix([a, b, 0, c, d])
