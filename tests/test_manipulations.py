"""The laws of DESIGN, over every manipulation at once, and each one's own formula."""

from __future__ import annotations

from math import sqrt

import pytest
import torch

from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Manipulation, Noise, chain
from vae_experiments.options import kinds
from vae_experiments.randomness import normal, normal_frames

EVERY = sorted(kinds("manipulation").items())
OTHER_SETTINGS = {"noise": {"scale": 0.3, "correlation": 0.4, "channels": [0], "seed": 9}}
NEUTRAL = {"noise": {"scale": 0.0}}
every_manipulation = pytest.mark.parametrize(("name", "kind"), EVERY, ids=[name for name, _ in EVERY])
every_shape = pytest.mark.parametrize(
    "shape", [(7, 4, 6, 5), (1, 16, 3, 3), (2, 1, 4, 4), (4, 4, 2, 3)], ids=str
)


def latents_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def through(manipulation: Manipulation, latents: torch.Tensor, count: int = 99) -> torch.Tensor:
    return torch.cat(list(manipulation.stream(latents.split(count))))


@every_manipulation
@every_shape
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_chunk_size_never_changes_the_result(
    name: str, kind: type[Manipulation], shape: tuple[int, ...], count: int
) -> None:
    latents = latents_of(shape)
    for manipulation in (kind(), kind(**OTHER_SETTINGS[name])):
        assert torch.equal(through(manipulation, latents, count), through(manipulation, latents))


@every_manipulation
@every_shape
def test_shape_and_dtype_are_kept(name: str, kind: type[Manipulation], shape: tuple[int, ...]) -> None:
    changed = through(kind(), latents_of(shape))
    assert changed.shape == shape
    assert changed.dtype == torch.float32


@every_manipulation
@every_shape
def test_the_input_is_not_modified(name: str, kind: type[Manipulation], shape: tuple[int, ...]) -> None:
    latents = latents_of(shape)
    before = latents.clone()
    through(kind(), latents, 2)
    assert torch.equal(latents, before)


@every_manipulation
@every_shape
def test_the_neutral_setting_is_the_identity(
    name: str, kind: type[Manipulation], shape: tuple[int, ...]
) -> None:
    latents = latents_of(shape)
    assert torch.equal(through(kind(**NEUTRAL[name]), latents), latents)


@every_manipulation
@every_shape
def test_finite_latents_stay_finite(name: str, kind: type[Manipulation], shape: tuple[int, ...]) -> None:
    assert through(kind(), latents_of(shape) * 100).isfinite().all()


@every_manipulation
def test_the_same_seed_gives_the_same_result(name: str, kind: type[Manipulation]) -> None:
    latents = latents_of((5, 4, 3, 3))
    torch.manual_seed(1)
    first = through(kind(), latents)
    torch.manual_seed(2)
    assert torch.equal(through(kind(), latents), first)


@every_manipulation
def test_torchs_own_generator_is_not_touched(name: str, kind: type[Manipulation]) -> None:
    before = torch.get_rng_state()
    through(kind(), latents_of((2, 4, 3, 3)))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_manipulation_has_a_neutral_setting_in_these_tests() -> None:
    assert set(NEUTRAL) == {name for name, _ in EVERY}


def test_noise_is_scale_times_standard_normal() -> None:
    latents = latents_of((3, 4, 6, 5))
    expected = latents + 0.7 * normal_frames(0, latents.shape, 5, "noise")
    assert torch.allclose(through(Noise(scale=0.7, seed=5), latents), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 1.0, 2.0])
def test_the_scale_of_noise_is_its_standard_deviation(scale: float) -> None:
    silence = torch.zeros(8, 16, 32, 32)
    noise = through(Noise(scale=scale), silence)
    assert float(noise.std()) == pytest.approx(scale, rel=0.01)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01 * scale)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9, 1.0])
def test_correlation_is_that_between_any_two_frames_and_keeps_the_variance(correlation: float) -> None:
    noise = through(Noise(scale=1, correlation=correlation), torch.zeros(6, 16, 40, 40))
    for first, second in [(0, 1), (1, 5), (2, 3)]:
        both = torch.stack([noise[first].flatten(), noise[second].flatten()])
        assert float(torch.corrcoef(both)[0, 1]) == pytest.approx(correlation, abs=0.02)
    assert float(noise[4].std()) == pytest.approx(1, rel=0.02)


def test_correlated_noise_is_the_root_weighted_sum_of_shared_and_own() -> None:
    noise = through(Noise(scale=1, correlation=0.25, seed=2), torch.zeros(3, 4, 5, 5))
    own, shared = normal_frames(0, (3, 4, 5, 5), 2, "noise"), normal((4, 5, 5), 2, "shared noise")
    assert torch.allclose(noise, sqrt(0.75) * own + 0.5 * shared, atol=1e-6)


def test_noise_leaves_the_channels_alone_that_are_not_named() -> None:
    latents = latents_of((3, 4, 6, 5))
    changed = through(Noise(scale=1, channels=[1, 3]), latents)
    assert torch.equal(changed[:, [0, 2]], latents[:, [0, 2]])
    assert torch.equal(changed[:, [1, 3]], through(Noise(scale=1), latents)[:, [1, 3]])


def test_a_channel_that_the_model_has_not_is_refused() -> None:
    sentence = r"noise.channels=\[0, 4\]: the model has 4 channels; name some of 0 to 3"
    with pytest.raises(SettingError, match=sentence):
        through(Noise(channels=[0, 4]), latents_of((2, 4, 3, 3)))


def test_other_seeds_give_other_noise() -> None:
    latents = latents_of((2, 4, 3, 3))
    assert not torch.equal(through(Noise(seed=0), latents), through(Noise(seed=1), latents))


def test_a_second_noise_is_called_by_its_own_name() -> None:
    grain = Noise(channels=[9]).named("grain")
    assert (grain.name, grain.address(), Noise().name) == ("grain", "grain", "noise")
    with pytest.raises(SettingError, match="grain.channels="):
        through(grain, latents_of((2, 4, 3, 3)))


def test_a_chain_applies_its_manipulations_in_order() -> None:
    latents = latents_of((5, 4, 3, 3))
    first, second = Noise(seed=1), Noise(scale=2, channels=[0], seed=2)
    chained = torch.cat(list(chain([first, second], latents.split(2))))
    assert torch.equal(chained, through(second, through(first, latents)))


def test_a_draw_depends_on_seed_purpose_and_place_only() -> None:
    draw = normal((4, 4), 1, "noise", 7)
    assert torch.equal(draw, normal((4, 4), 1, "noise", 7))
    others = [normal((4, 4), 2, "noise", 7), normal((4, 4), 1, "posterior", 7), normal((4, 4), 1, "noise", 8)]
    assert not any(torch.equal(draw, other) for other in others)
