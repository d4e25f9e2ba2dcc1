from __future__ import annotations

import math

import pytest
from omegaconf import OmegaConf

import vae_experiments.cli.config  # noqa: F401  there every option is known
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import ChainStep, Noise
from vae_experiments.options import Choice, Option, kind_named, kinds, setting, snake_case

CONFIG_GROUPS = ("run", "model", "decoder", "device", "source", "manipulation", "output")
EVERY_OPTION = [option for group in CONFIG_GROUPS for option in kinds(group).values()]


class Fit(Choice):
    tight = "tight"
    loose = "loose"


class Shape(Option, group="shape of a test"):
    pass


class BigRound(Shape):
    radius: float = setting("how big", default=1.0, unit="cells", above=0, maximum=9)
    fit: Fit = setting("how it sits", default=Fit.tight)
    holes: list[int] = setting("where", default=[], minimum=0)


def test_a_class_is_registered_under_the_snake_case_of_its_name() -> None:
    assert kinds("shape of a test") == {"big_round": BigRound}
    assert snake_case("MotionGain") == "motion_gain"
    assert snake_case("PCATruncate") == "pcatruncate"


def test_the_class_is_the_schema_and_the_schema_is_the_object() -> None:
    config = OmegaConf.merge(OmegaConf.structured(BigRound), {"radius": "3", "fit": "loose", "holes": [1]})
    assert OmegaConf.to_object(config) == BigRound(radius=3.0, fit=Fit.loose, holes=[1])


def test_the_kind_stands_in_the_config_of_every_option() -> None:
    for option in EVERY_OPTION:
        assert OmegaConf.structured(option).kind == snake_case(option.__name__)


def test_settings_can_be_given_in_order_and_kind_cannot() -> None:
    assert BigRound(2.0).radius == 2.0
    with pytest.raises(TypeError):
        BigRound(2.0, Fit.loose, [], "big_round")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("radius", "sentence"),
    [
        (0, "shape of a test.radius=0: must be more than 0 and at most 9 cells; the default is 1"),
        (10, "shape of a test.radius=10: must be more than 0 and at most 9 cells; the default is 1"),
        (math.nan, "shape of a test.radius=nan: must be a finite number; the default is 1"),
        (-math.inf, "shape of a test.radius=-inf: must be a finite number; the default is 1"),
    ],
)
def test_a_number_outside_its_range_is_refused_with_the_rule_and_the_cure(
    radius: float, sentence: str
) -> None:
    with pytest.raises(SettingError) as caught:
        BigRound(radius=radius)
    assert str(caught.value) == sentence


def test_every_number_of_a_list_is_checked() -> None:
    with pytest.raises(SettingError, match="must be at least 0"):
        BigRound(holes=[3, -1])


@pytest.mark.parametrize("element", [[1], {"a": 1}])
def test_a_list_holds_plain_values_only(element: object) -> None:
    typed = OmegaConf.merge(OmegaConf.structured(Noise), {"channels": [0, element]})
    with pytest.raises(
        SettingError, match=r"noise\.channels=.*: must be a list of plain values in brackets, as \[0,1\]"
    ):
        OmegaConf.to_object(typed)


def test_lists_are_not_shared_between_objects() -> None:
    first = BigRound()
    first.holes.append(7)
    assert BigRound().holes == []


def test_every_setting_of_every_option_says_what_it_means() -> None:
    for option in EVERY_OPTION:
        for name, _, rule in option.settings():
            assert rule.help, (option, name)


def test_an_unknown_kind_names_the_one_that_was_meant() -> None:
    with pytest.raises(
        SettingError, match=r"manipulation=noize: no such choice; did you mean noise\? choose from: .*noise"
    ):
        kind_named("manipulation", "noize")


def test_a_manipulation_is_addressed_by_its_own_name() -> None:
    assert Noise().address() == "noise"
    assert all(issubclass(kind, ChainStep) for kind in kinds("manipulation").values())
