"""What the bundled model promises: pictures close to the original, and latents that are good to play in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from vae_experiments.models import Bundled
from vae_experiments.runtime.device import Device
from vae_experiments.sources import MovingCircle
from vae_experiments.sources.procedural.frames import frame
from vae_experiments.tensors import Size, to_frames
from vae_experiments.training.networks.losses import psnr_db

if TYPE_CHECKING:
    from vae_experiments.models import Autoencoder
    from vae_experiments.tensors import Frames

HELD_OUT = 1_000_000_000  # the first number that training never reaches
FOLDER = Bundled().location()


@pytest.fixture(scope="module")
def tiny() -> Autoencoder:
    return Bundled().load(Device().choose())


@pytest.fixture(scope="module")
def painted() -> Frames:
    return to_frames(np.stack([frame(0, HELD_OUT + number) for number in range(12)]))


def there_and_back(model: Autoencoder, frames: Frames) -> Frames:
    return torch.cat(
        list(model.decode(model.encode([frames]), Size(frames.shape[-1], frames.shape[-2])))
    ).clamp(-1, 1)


@pytest.mark.parametrize("colour", ["red", "green", "blue", "yellow", "cyan", "magenta", "black", "white"])
def test_a_flat_colour_comes_back_within_40_db(tiny: Autoencoder, colour: str) -> None:
    from PIL import ImageColor

    levels = torch.tensor(ImageColor.getrgb("lime" if colour == "green" else colour)) / 127.5 - 1
    flat = levels[None, :, None, None].expand(1, 3, 64, 64)
    assert psnr_db(there_and_back(tiny, flat), flat) > 40


def test_the_moving_circle_comes_back_within_40_db(tiny: Autoencoder) -> None:
    (frames,) = MovingCircle(frames=2).chunks(2)
    assert psnr_db(there_and_back(tiny, frames), frames) > 40


@pytest.mark.slow
def test_painted_frames_that_training_never_saw_come_back(tiny: Autoencoder, painted: Frames) -> None:
    recipe = json.loads((FOLDER / "recipe.json").read_text())
    quality = [psnr_db(there_and_back(tiny, clip[None]), clip[None]) for clip in painted]
    assert np.mean(quality) == pytest.approx(recipe["held_out_psnr_db"], abs=3)


def test_no_channel_of_the_latents_is_dead_or_a_copy_of_another(tiny: Autoencoder, painted: Frames) -> None:
    (latents,) = tiny.encode([painted])
    channels = latents.movedim(1, 0).flatten(1)
    assert channels.std(1).min() > 0.8
    assert channels.std(1).max() < 1.2
    beside = torch.corrcoef(channels) - torch.eye(16)
    assert beside.abs().sum() / (16 * 15) < 0.2
    assert beside.abs().max() < 0.6


def test_a_crop_of_the_latents_decodes_like_the_whole(tiny: Autoencoder) -> None:
    frames = to_frames(frame(0, HELD_OUT)[None].copy())
    (latents,) = tiny.encode([frames])
    (whole,) = tiny.decode([latents], Size(192, 192))
    (part,) = tiny.decode([latents[:, :, :20, 2:]], Size(176, 160))
    # Only what lies near the cut sees that something is missing: 9 cells, 72 pixels.
    torch.testing.assert_close(part[:, :, :88, 72:], whole[:, :, :88, 88:], atol=1e-5, rtol=0)


def test_half_way_between_two_latents_lies_a_picture_and_not_noise(
    tiny: Autoencoder, painted: Frames
) -> None:
    (latents,) = tiny.encode([painted[:2]])
    (between,) = tiny.decode([latents.mean(0, keepdim=True)], Size(192, 192))
    crossfade = painted[:2].mean(0, keepdim=True)
    assert psnr_db(between, crossfade) > 22


def test_the_weights_are_small_enough_to_bundle() -> None:
    assert (FOLDER / "diffusion_pytorch_model.safetensors").stat().st_size < 6e6
