from __future__ import annotations

from fractions import Fraction

import pytest

from vae_experiments.sources.timing import exact, parse_fps, resample, retime, say_fps, trim


def clip(*moments: float) -> list[tuple[Fraction, int]]:
    return [(Fraction(str(moment)), number) for number, moment in enumerate(moments)]


@pytest.mark.parametrize(
    ("typed", "fps"),
    [
        ("8", Fraction(8)),
        (" 24 ", Fraction(24)),
        ("12.5", Fraction(25, 2)),
        ("30000/1001", Fraction(30000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("0.1", Fraction(1, 10)),
        ("1000", Fraction(1000)),
    ],
)
def test_a_rate_is_read_as_a_person_means_it(typed: str, fps: Fraction) -> None:
    assert parse_fps(typed) == fps


@pytest.mark.parametrize(
    "typed", ["0", "1/0", "1000.1", "1e999999999", "-1", "1/-1", "nan", "", "1/2/3", "٣"]
)
def test_no_rate_is_refused_at_once(typed: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_fps(typed)


def test_a_rate_is_said_shortly_and_exactly() -> None:
    rates = [Fraction(8), Fraction(25, 2), Fraction(30000, 1001), Fraction(90000)]
    assert [say_fps(fps) for fps in rates] == ["8", "12.5", "30000/1001", "90000"]


def test_a_rounded_ntsc_rate_is_made_exact_and_others_are_left_alone() -> None:
    assert exact(Fraction(19001, 317)) == Fraction(60000, 1001)
    for fps in (Fraction(30000, 1001), Fraction(30), Fraction(96, 17), Fraction(1, 10)):
        assert exact(fps) == fps


def test_trimming_keeps_what_begins_at_or_after_the_start() -> None:
    assert list(trim(clip(0, 0.5, 1, 1.5), Fraction(1))) == [2, 3]


def test_resampling_shows_the_nearest_earlier_picture() -> None:
    uneven = clip(0, 0.25, 0.3, 1)
    assert list(resample(uneven, Fraction(0), Fraction(4), Fraction(1, 4))) == [0, 1, 2, 2, 3]
    assert list(resample(uneven, Fraction(0), Fraction(2), Fraction(1, 4))) == [0, 2, 3]
    assert list(resample(uneven, Fraction(1, 4), Fraction(2), Fraction(1, 4))) == [1, 2]
    assert list(resample(uneven, Fraction(2), Fraction(2), Fraction(1, 4))) == []


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    steady = [(number * Fraction(1001, 30000), number) for number in range(50)]
    assert list(resample(steady, Fraction(0), Fraction(30000, 1001), Fraction(1001, 30000))) == list(
        range(50)
    )


def test_a_new_rate_gives_each_picture_its_own_moment() -> None:
    assert list(retime(clip(0, 0, 7), Fraction(2))) == [(0, 0), (Fraction(1, 2), 1), (1, 2)]
