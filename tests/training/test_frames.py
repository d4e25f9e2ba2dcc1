from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from vae_experiments.sources.procedural.frames import SIDE, Surfaces, frame, outline, palette, stamp
from vae_experiments.sources.procedural.textures import CANVAS, spectral_noise, texture


def test_a_frame_depends_only_on_its_seed_and_its_number() -> None:
    first = frame(3, 7)
    frame(3, 8)
    texture.cache_clear()
    assert np.array_equal(frame(3, 7), first)
    assert not np.array_equal(frame(3, 8), first)
    assert not np.array_equal(frame(4, 7), first)


@pytest.mark.slow
def test_frames_are_bytes_from_black_to_white_and_from_flat_to_busy() -> None:
    frames = np.stack([frame(0, number) for number in range(60)])
    assert frames.shape == (60, SIDE, SIDE, 3)
    assert frames.dtype == np.uint8
    assert frames.min() == 0
    assert frames.max() == 255
    detail = np.abs(np.diff(frames.astype(int), axis=2)).mean((1, 2, 3))
    assert detail.min() == 0
    assert detail.max() > 8


def test_plain_frames_reach_every_corner_of_the_colour_cube() -> None:
    frames = np.stack([frame(0, number, plain=1) for number in range(80)])
    colours = {tuple(colour) for colour in frames[:, ::16, ::16].reshape(-1, 3).tolist()}
    assert set(product((0, 255), repeat=3)) <= colours


@pytest.mark.parametrize("number", range(40))
def test_every_texture_is_finite_and_about_one_in_size(number: int) -> None:
    surface = texture(1, number)
    assert surface.shape == (CANVAS, CANVAS)
    assert surface.dtype == np.float32
    assert np.isfinite(surface).all()
    assert 0.05 < np.abs(surface).max() < 10


def test_spectral_noise_falls_off_by_the_power_that_was_asked_for() -> None:
    noise = spectral_noise(np.random.default_rng(0), 256, 1.5)
    assert abs(noise.mean()) < 1e-4
    assert noise.std() == pytest.approx(1, abs=1e-3)
    power = np.abs(np.fft.fft2(noise)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    inside = (frequency > 0.02) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0]
    assert slope == pytest.approx(-3, abs=0.1)


def test_a_palette_stays_in_the_colour_cube() -> None:
    random = np.random.default_rng(0)
    colours = np.concatenate([palette(random, 8) for _ in range(200)])
    assert colours.min() >= 0
    assert colours.max() <= 1


@pytest.mark.parametrize("size", [(12, 12), (40, 9), (120, 200)])
def test_an_outline_covers_some_of_its_box_and_only_that(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        cover = outline(random, *size)
        assert cover.shape == size
        assert cover.min() >= 0
        assert 0 < cover.mean() <= 1


def test_a_shape_of_any_size_can_be_stamped_anywhere() -> None:
    random = np.random.default_rng(0)
    surfaces = Surfaces(random, palette(random, 4), seed=0, number=0)
    canvas = np.zeros((CANVAS, CANVAS, 3), np.float32)
    for radius in (1.0, 3.0, 30.0, 500.0) * 15:
        stamp(random, canvas, surfaces, radius)
    assert np.isfinite(canvas).all()
    assert (canvas != 0).any()
