"""The steering of a model: what the bundled one brings, how another one gets its own, and where it is kept."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from vae_experiments.cache import Cache
from vae_experiments.models import Bundled
from vae_experiments.pipeline.steering import fit as steering_fit
from vae_experiments.pipeline.steering.equivariance import TRANSFORMS, Transform, gained, measured, psnr_db
from vae_experiments.pipeline.steering.fit import between
from vae_experiments.pipeline.steering.model_steering import entry_of, steering_of
from vae_experiments.runtime.device import Device
from vae_experiments.sources.procedural.frames import frame
from vae_experiments.tensors import to_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from vae_experiments.models import Autoencoder
    from vae_experiments.tensors import Latents

HELD_OUT = 2_000_000
LEAST_DB = {
    "flip left and right": 10,
    "quarter turn": 10,
    "turn by 30 degrees": 1,
    "zoom 1.4": 0.5,
    "zoom 0.7": 2,
}
"""What steering must gain on a painted frame that it was not fitted on."""


@pytest.fixture(scope="module")
def tiny() -> Autoencoder:
    return Bundled().load(Device().choose())


@pytest.fixture(scope="module")
def latents(tiny: Autoencoder) -> Latents:
    frames = to_frames(np.stack([frame(0, HELD_OUT + number, plain=0) for number in range(3)]))[
        ..., 48:144, 48:144
    ]
    return next(iter(tiny.encode([frames]))).contiguous()


@pytest.fixture
def one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit on one small picture: enough for what is kept, and far from enough for quality."""
    monkeypatch.setattr(steering_fit, "PICTURES", 1)
    monkeypatch.setattr(steering_fit, "HELD_OUT", (1000,))
    monkeypatch.setattr(steering_fit, "LEAST_GAIN_DB", -99.0)
    monkeypatch.setattr(steering_fit, "MOST_PIXELS", 64)


def test_a_model_that_brings_no_steering_is_fitted_only_where_that_is_asked_for(
    load: Callable[[str], Autoencoder], tiny: Autoencoder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert steering_of(load("AutoencoderKL"))(False) is None
    assert steering_of(tiny)(False) is not None
    assert "fitted" not in caplog.text


@pytest.mark.parametrize("name", LEAST_DB)
def test_the_bundled_model_brings_a_steering_that_helps_on_frames_it_was_not_fitted_on(
    name: str, tiny: Autoencoder, latents: Latents, caplog: pytest.LogCaptureFixture
) -> None:
    steering = steering_of(tiny)(True)
    assert steering is not None
    assert all(steering.helps)
    assert "fitted" not in caplog.text
    transform = next(each for each in TRANSFORMS if each.name == name)
    plain, steered = gained(tiny, latents, transform, steering)
    assert steered is not None
    assert steered - plain > LEAST_DB[name]


def test_a_score_has_the_limit_of_encoding_anew(tiny: Autoencoder, latents: Latents) -> None:
    score = measured(tiny, latents, TRANSFORMS[0], None)
    assert score.steered_db is None
    assert score.plain_db < score.limit_db - 15


def test_the_error_of_a_twentieth_is_32_db() -> None:
    black = torch.full((2, 3, 4, 4), -1.0)
    assert psnr_db(black, black) == 99
    assert psnr_db(black, black + 0.05) == pytest.approx(32.04, abs=0.01)


def test_between_two_poses_lies_what_leads_from_one_to_the_other() -> None:
    frames = to_frames(np.stack([frame(0, 3, plain=0)]))[..., :64, :64]
    change = Transform.of("any", 20, 1.2, shift=(0.3, -0.7))
    for first in ((1, False), (2, True)):
        for second in ((3, False), (0, True)):
            whole = between((0, False), change, second).of_frames(frames, 8)
            posed = Transform.of("", pose=first).of_frames(frames, 8)
            assert torch.allclose(between(first, change, second).of_frames(posed, 8), whole, atol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("one_picture")
def test_a_model_is_fitted_once_the_same_each_time_and_again_where_the_entry_is_damaged(
    load: Callable[[str], Autoencoder], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    autoencoder, store = load("AutoencoderKL"), Cache().store()
    assert store is not None
    frame = torch.randn(autoencoder.latent_channels, 6, 6)
    source = TRANSFORMS[0].source(6, 6)

    def looked_up() -> tuple[torch.Tensor, int]:
        caplog.clear()
        steering = steering_of(autoencoder, store)(True)
        assert steering is not None
        return steering.look_up(frame, source), caplog.text.count("steering fitted: flip ")

    first, fits = looked_up()
    assert fits > 0
    assert "steering fitted: turn by 20 degrees" in caplog.text
    again, fits = looked_up()
    assert fits == 0
    assert torch.equal(again, first)
    file = next((store.folder / entry_of(autoencoder)).glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-7])
    repaired, fits = looked_up()
    assert fits > 0
    assert torch.equal(repaired, first)
    assert "cache: an entry is damaged" in caplog.text
    assert looked_up()[1] == 0
    assert steering_of(autoencoder, store)(False) is None, "what is kept changes no run that did not ask"
    unkept = steering_of(autoencoder)(True)
    assert unkept is not None
    assert torch.equal(unkept.look_up(frame, source), first)


@pytest.mark.usefixtures("one_picture")
def test_where_it_does_not_help_it_is_off_and_the_log_says_so(
    load: Callable[[str], Autoencoder], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(steering_fit, "LEAST_GAIN_DB", 99.0)
    assert steering_of(load("AutoencoderKL"))(True) is None
    assert "steering: off for upright, turn by 90 degrees" in caplog.text
    assert "steering: off, for it does not help this model" in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("one_picture")
def test_a_temporal_model_is_steered_at_each_of_its_latents(load: Callable[[str], Autoencoder]) -> None:
    autoencoder = load("AutoencoderKLWan")
    steering = steering_of(autoencoder)(True)
    assert steering is not None
    assert steering.drawing.shape == (9 * autoencoder.latent_channels + 1, 48)
    frame = torch.randn(autoencoder.latent_channels, 4, 5)
    assert steering.look_up(frame, TRANSFORMS[4].source(5, 4)).shape == frame.shape
