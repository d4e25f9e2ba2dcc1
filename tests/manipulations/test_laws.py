"""The laws of DESIGN over every manipulation at once; each one's own formula has a file beside this one."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from omegaconf import OmegaConf, ValidationError

from tests.manipulations.clips import clip_of, latents_of, through
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import ChainStep, Manipulation, Noise, chain, checked
from vae_experiments.options import Rule, kinds
from vae_experiments.schedules import parse_schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY = sorted(kinds("manipulation").items())
MIXED = [(name, kind) for name, kind in EVERY if issubclass(kind, Manipulation)]
OTHER_SETTINGS: dict[str, dict[str, Any]] = {}
"""For each manipulation some settings that are far from its defaults."""
NEUTRAL: dict[str, dict[str, Any]] = {}
"""For each manipulation the settings that leave latents as they are; strength=0 where nothing else does."""
for path in sorted(Path(__file__).parent.glob("test_*.py")):
    if path.stem != "test_laws":
        formulas = importlib.import_module(f"tests.manipulations.{path.stem}")
        OTHER_SETTINGS |= getattr(formulas, "OTHER_SETTINGS", {})
        NEUTRAL |= getattr(formulas, "NEUTRAL", {})
# 1, 2 and 4 frames, 1 and 16 channels, as many frames as channels, sides that are odd or one cell.
SHAPES = [(7, 4, 6, 5), (1, 16, 3, 3), (2, 1, 4, 4), (4, 4, 2, 3), (3, 4, 1, 1), (8, 16, 4, 4)]
ROUNDED = {"clamp_outliers", "motion_gain", "motion_magnify", "quantize"}
"""What takes latents apart and puts them together again also at its neutral setting: equal but for rounding."""
WITHIN = {"frequency_filter.low": (0.05, 0.3), "frequency_filter.high": (0.6, 0.9)}
"""Where a schedule of a setting can go that another setting bounds."""
every_manipulation = pytest.mark.parametrize(("name", "kind"), EVERY, ids=[name for name, _ in EVERY])
every_mixed = pytest.mark.parametrize(("name", "kind"), MIXED, ids=[name for name, _ in MIXED])
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def each(name: str, kind: type[ChainStep]) -> list[ChainStep]:
    return [kind(), kind(**OTHER_SETTINGS[name])]


def two_values(setting: str, rule: Rule) -> tuple[float, float]:
    low = rule.minimum if rule.minimum is not None else 0.5
    high = rule.maximum if rule.maximum is not None else low + 2
    return WITHIN.get(setting, (max(low, 0.01), min(high, low + 3)))


@every_manipulation
def test_the_chunk_size_never_changes_the_result(name: str, kind: type[ChainStep]) -> None:
    for shape in SHAPES:
        latents = latents_of(shape)
        for manipulation in each(name, kind):
            whole = through(manipulation, latents)
            for count in (1, 2, 3):
                assert torch.equal(through(manipulation, latents, count), whole), (shape, count)


@every_manipulation
@every_shape
def test_shape_and_dtype_are_kept(name: str, kind: type[ChainStep], shape: tuple[int, ...]) -> None:
    for manipulation in each(name, kind):
        changed = through(manipulation, latents_of(shape))
        assert changed.shape[1:] == shape[1:]
        assert manipulation.changes_length or len(changed) == shape[0]
        assert changed.dtype == torch.float32


@every_manipulation
def test_the_input_is_not_modified(name: str, kind: type[ChainStep]) -> None:
    for shape in SHAPES:
        latents = latents_of(shape)
        before = latents.clone()
        for manipulation in each(name, kind):
            through(manipulation, latents, 2)
        assert torch.equal(latents, before)


@every_manipulation
@every_shape
def test_the_neutral_setting_is_the_identity(
    name: str, kind: type[ChainStep], shape: tuple[int, ...]
) -> None:
    latents = latents_of(shape)
    unchanged = through(kind(**NEUTRAL[name]), latents)
    if name in ROUNDED:
        assert torch.allclose(unchanged, latents, atol=1e-5)
    else:
        assert torch.equal(unchanged, latents)


@every_manipulation
def test_a_strength_of_0_is_the_identity_bit_for_bit(name: str, kind: type[ChainStep]) -> None:
    for shape in SHAPES:
        latents = latents_of(shape)
        assert torch.equal(through(kind(**OTHER_SETTINGS[name] | {"strength": 0}), latents, 2), latents)


@every_mixed
def test_strength_mixes_what_went_in_with_what_came_out(name: str, kind: type[ChainStep]) -> None:
    latents = latents_of((6, 4, 5, 5))
    wet = through(kind(**OTHER_SETTINGS[name] | {"strength": 1}), latents)
    mixed = through(kind(**OTHER_SETTINGS[name] | {"strength": 0.25}), latents)
    assert torch.allclose(mixed, latents + 0.25 * (wet - latents), atol=1e-5)


@every_mixed
@pytest.mark.parametrize(("time_stride", "frames"), [(1, "2:4"), (4, "5:13")])
def test_only_the_chosen_frames_channels_and_cells_are_changed(
    name: str, kind: type[ChainStep], time_stride: int, frames: str
) -> None:
    latents = latents_of((6, 4, 4, 4))
    clip = clip_of(latents, time_stride=time_stride)
    where = {"frames": frames, "channels": [1, 3], "mask": "box(0,0,0.5,1)"}
    wet = through(kind(**OTHER_SETTINGS[name] | {"channels": [], "strength": 1}), latents, clip=clip)
    expected = latents.clone()
    expected[2:4, [1, 3], :, :2] = wet[2:4, [1, 3], :, :2]
    chosen = kind(**OTHER_SETTINGS[name] | where | {"strength": 1})
    assert torch.equal(through(chosen, latents, 4, clip), expected)


@every_manipulation
def test_one_that_does_not_hold_the_clip_never_reads_ahead(name: str, kind: type[ChainStep]) -> None:
    """Memory stays the same for any length: what has been read and not yet given is a chunk or two."""
    latents = latents_of((24, 4, 3, 3))
    clip = clip_of(latents)
    for manipulation in each(name, kind):
        read = 0

        def chunks() -> Iterator[torch.Tensor]:
            nonlocal read
            for chunk in latents.split(2):
                read += len(chunk)
                yield chunk

        given = 0
        for changed in chain([manipulation], chunks(), clip):
            given += len(changed)
            assert manipulation.holds(clip) or read - given <= 4


@every_manipulation
@every_shape
def test_finite_latents_stay_finite(name: str, kind: type[ChainStep], shape: tuple[int, ...]) -> None:
    for manipulation in each(name, kind):
        for latents in (latents_of(shape) * 100, torch.zeros(shape), torch.ones(shape)):
            assert through(manipulation, latents).isfinite().all()


@every_manipulation
def test_the_same_seed_gives_the_same_result_and_torchs_own_generator_is_not_touched(
    name: str, kind: type[ChainStep]
) -> None:
    latents = latents_of((5, 4, 3, 3))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = through(kind(), latents)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(through(kind(), latents), first)


@every_manipulation
def test_a_schedule_that_stays_at_a_value_is_that_value(name: str, kind: type[ChainStep]) -> None:
    latents = latents_of((6, 4, 5, 5))
    settings = OTHER_SETTINGS[name]
    for setting in set(kind.scheduled()) - {"strength"}:
        constant = getattr(kind(**settings), setting)
        moving = kind(**settings | {setting: f"ramp({constant},{constant})"})
        assert torch.allclose(through(moving, latents, 4), through(kind(**settings), latents), atol=1e-4), (
            setting
        )


@every_manipulation
def test_a_schedule_changes_what_its_moment_is(name: str, kind: type[ChainStep]) -> None:
    """Chunks see the value of their own frames, however the clip is cut."""
    latents = latents_of((6, 4, 5, 5))
    for setting, _, rule in kind.settings():
        if setting in kind.scheduled():
            low, high = two_values(f"{name}.{setting}", rule)
            moving, at_first, at_last = (
                kind(**OTHER_SETTINGS[name] | {setting: value})
                for value in (f"ramp({low},{high})", low, high)
            )
            whole = through(moving, latents)
            assert torch.equal(through(moving, latents, 1), whole), setting
            if not kind.changes_length:
                for number, constant in ((0, at_first), (-1, at_last)):
                    expected = through(constant, latents)[number]
                    assert torch.allclose(whole[number], expected, atol=1e-4), (setting, number)


@every_manipulation
def test_an_expression_in_any_setting_is_the_same_at_any_chunk_size_and_of_any_known_length(
    name: str, kind: type[ChainStep]
) -> None:
    latents = latents_of((6, 4, 5, 5))
    clip = clip_of(latents)
    for setting, _, rule in kind.settings():
        if setting in kind.scheduled():
            low, high = two_values(f"{name}.{setting}", rule)
            text = f"map(smooth(wander(period=2f), 3f) * (1 - beat(every=2f)), {low}, {high})"
            link = kind(**OTHER_SETTINGS[name] | {setting: text})
            assert checked([link], clip) == link.after(clip)
            whole = through(link, latents, clip=clip)
            assert whole.isfinite().all()
            assert torch.equal(through(link, latents, 1, clip), whole), setting
            assert torch.equal(through(link, latents, 4, replace(clip, frames=None)), whole), setting


@every_manipulation
@pytest.mark.parametrize(("time_stride", "jump"), [(1, 3), (4, 9)])
def test_a_setting_that_jumps_does_so_at_the_latent_that_stands_for_the_frame(
    name: str, kind: type[ChainStep], time_stride: int, jump: int
) -> None:
    latents = latents_of((6, 4, 5, 5))
    clip = clip_of(latents, time_stride=time_stride)
    for setting, _, rule in kind.settings():
        if setting in kind.scheduled() and not kind.changes_length:
            low, high = two_values(f"{name}.{setting}", rule)
            moving, before, after = (
                through(kind(**OTHER_SETTINGS[name] | {setting: value}), latents, 2, clip)
                for value in (f"0f:{low} {jump}f:{low} {jump}f:{high}", low, high)
            )
            assert torch.allclose(moving[:3], before[:3], atol=1e-4), setting
            assert torch.allclose(moving[3:], after[3:], atol=1e-4), setting


@every_manipulation
def test_latents_that_stand_for_four_frames_are_welcome(name: str, kind: type[ChainStep]) -> None:
    for count in (1, 2, 4):
        latents = latents_of((count, 4, 4, 4))
        clip = clip_of(latents, time_stride=4)
        for manipulation in each(name, kind):
            changed = through(manipulation, latents, 2, clip)
            assert changed.isfinite().all()
            assert torch.equal(through(manipulation, latents, 1, clip), changed)
            assert manipulation.changes_length or changed.shape == latents.shape


@every_manipulation
def test_a_clip_of_unknown_length_is_changed_as_one_of_the_same_known_length(
    name: str, kind: type[ChainStep]
) -> None:
    """Nobody knows how long a damaged video is before its end: fractions of the clip and ramps wait for that."""
    latents = latents_of((6, 4, 4, 4))
    clip = clip_of(latents)
    links = each(name, kind)
    for setting, _, rule in kind.settings():
        if setting in kind.scheduled():
            low, high = two_values(f"{name}.{setting}", rule)
            links.append(kind(**OTHER_SETTINGS[name] | {setting: f"ramp({low},{high})"}))
    if issubclass(kind, Manipulation):
        links += [kind(**OTHER_SETTINGS[name] | {"frames": "50%:"}), kind(mask="box(0,0,ramp(0,1),1)")]
    for link in links:
        known = through(link, latents, 2, clip)
        assert torch.equal(through(link, latents, 4, replace(clip, frames=None)), known), link


@every_manipulation
def test_a_ladder_names_a_setting_and_values_that_it_takes(name: str, kind: type[ChainStep]) -> None:
    setting, values = kind.gallery_values
    assert len(values) == 3
    assert len({str(kind(**{setting: value})) for value in values}) == 3


def test_every_manipulation_has_its_settings_in_these_tests() -> None:
    assert set(NEUTRAL) == set(OTHER_SETTINGS) == {name for name, _ in EVERY}


def test_a_channel_that_the_model_has_not_is_refused_before_and_during_a_run() -> None:
    sentence = r"noise.channels=\[0, 4\]: the model has 4 channels; name some of 0 to 3"
    latents = latents_of((2, 4, 3, 3))
    with pytest.raises(SettingError, match=sentence):
        Noise(channels=[0, 4]).check(clip_of(latents))
    with pytest.raises(SettingError, match=sentence):
        through(Noise(channels=[0, 4]), latents)


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


@every_manipulation
def test_a_number_takes_a_schedule_or_refuses_it_and_never_keeps_a_text(
    name: str, kind: type[ChainStep]
) -> None:
    """A number that moves is in ``scheduled``; in another one the config refuses the text of a schedule."""
    schema = OmegaConf.structured(kind)
    for setting, default, _ in kind.settings():
        if isinstance(default, bool) or not isinstance(default, int | float):
            continue
        moving = f"ramp({default},{default})"
        if setting in kind.scheduled():
            taken = kind(**OTHER_SETTINGS[name] | {setting: moving})
            assert parse_schedule(getattr(taken, setting)).bounds() == (default, default)
            with pytest.raises(SettingError, match=f"{name}.{setting}=nonsense: must be a number or a sched"):
                kind(**OTHER_SETTINGS[name] | {setting: "nonsense"})
        else:
            with pytest.raises(ValidationError):
                OmegaConf.merge(schema, {setting: moving})
