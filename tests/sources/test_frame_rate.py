from __future__ import annotations

from fractions import Fraction

import pytest

from vae_experiments.sources.frame_rate import Stretch, exact, parse_fps, say_fps, steady


def seconds(*moments: float) -> tuple[Fraction, ...]:
    return tuple(Fraction(str(moment)) for moment in moments)


@pytest.mark.parametrize(
    ("typed", "fps"),
    [
        ("8", Fraction(8)),
        (" 24 ", Fraction(24)),
        ("12.5", Fraction(25, 2)),
        ("30000/1001", Fraction(30000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("29.97002997", Fraction(30000, 1001)),
        ("23.976023976", Fraction(24000, 1001)),
        ("59.94005994", Fraction(60000, 1001)),
        ("59.940059940059940059940059940", Fraction(60000, 1001)),
        ("14.985", Fraction(15000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("24.00", Fraction(24)),
        ("29.98", Fraction(1499, 50)),
        ("29.97003", Fraction(30000, 1001)),
        ("29.9701", Fraction(299701, 10000)),
        ("0.1", Fraction(1, 10)),
        ("1000", Fraction(1000)),
    ],
)
def test_a_rate_is_read_as_a_person_means_it(typed: str, fps: Fraction) -> None:
    assert parse_fps(typed) == fps


@pytest.mark.parametrize(
    "typed", ["12.345678901234567890", "999.999999999", "123456789/1234567", "1/999999999"]
)
def test_a_rate_of_many_digits_is_one_that_ffmpeg_takes(typed: str) -> None:
    rate = parse_fps(typed)
    assert max(rate.numerator, rate.denominator) < 2**31
    assert abs(rate - Fraction(typed)) < Fraction(1, 10**6)


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


def test_a_stretch_begins_with_the_first_picture_at_or_after_its_start() -> None:
    choice = Stretch(Fraction(1)).choose(seconds(0, 0.5, 1, 1.75), Fraction(2))
    assert (list(choice.numbers), choice.times, choice.end) == ([2, 3], (0, Fraction(3, 4)), 1)


@pytest.mark.parametrize("resampled", [None, Fraction(30)])
def test_a_picture_is_found_at_its_time_though_the_clock_of_the_file_rounds(
    resampled: Fraction | None,
) -> None:
    begins = tuple(Fraction(round(1000 * Fraction(number, 30)), 1000) for number in range(30))
    for number in range(30):
        choice = Stretch(Fraction(number, 30), fps=resampled).choose(begins, Fraction(1))
        assert list(choice.numbers) == list(range(number, 30)), number


def test_what_is_left_out_at_the_end_ends_the_frame_before_it() -> None:
    choice = Stretch(frames=2).choose(seconds(0, 0.5, 3), Fraction(4))
    assert (list(choice.numbers), choice.times, choice.end) == ([0, 1], (0, Fraction(1, 2)), 3)


def test_resampling_shows_the_nearest_earlier_picture() -> None:
    def numbers(start: float, fps: int) -> list[int]:
        uneven = seconds(0, 0.25, 0.3, 1)
        return list(Stretch(Fraction(start), fps=Fraction(fps)).choose(uneven, Fraction(5, 4)).numbers)

    assert numbers(0, 4) == [0, 1, 2, 2, 3]
    assert numbers(0, 2) == [0, 2, 3]
    assert numbers(0.25, 2) == [1, 2]
    assert numbers(2, 2) == []


def test_a_last_picture_that_stands_long_is_shown_as_long_at_another_rate() -> None:
    choice = Stretch(fps=Fraction(2)).choose(seconds(0, 1), Fraction(5))
    assert list(choice.numbers) == [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    assert (choice.times[-1], choice.end) == (Fraction(9, 2), 5)


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    fps = Fraction(30000, 1001)
    steady_times = tuple(number / fps for number in range(50))
    choice = Stretch(fps=fps).choose(steady_times, 50 / fps)
    assert (list(choice.numbers), choice.times, choice.end) == (list(range(50)), steady_times, 50 / fps)


def test_days_between_two_pictures_do_not_become_millions_of_frames_unless_so_many_are_asked_for() -> None:
    days = (Fraction(0), Fraction(10 * 86400))
    with pytest.raises(ValueError, match="25920001 frames of 2 pictures in 864000 s"):
        Stretch(fps=Fraction(30)).choose(days, days[1] + Fraction(1, 30))
    assert list(Stretch(frames=3, fps=Fraction(30)).choose(days, days[1]).numbers) == [0, 0, 0]


@pytest.mark.parametrize(
    "stretch", [Stretch(frames=5), Stretch(Fraction(1), 5), Stretch(Fraction(1), 5, Fraction(3))]
)
def test_what_lies_past_a_stretch_does_not_change_it(stretch: Stretch) -> None:
    times = tuple(Fraction(number, 10) for number in range(100))
    known = next(count for count in range(1, 100) if stretch.is_past(times[:count]))
    assert known < 40
    assert stretch.choose(times[:known], times[known]) == stretch.choose(times, Fraction(10))


def test_a_clock_of_milliseconds_tells_the_rate_that_was_meant() -> None:
    rates = [Fraction(25), Fraction(30), Fraction(30000, 1001)]
    for fps in (Fraction(30), Fraction(30000, 1001)):
        ticks = [round(1000 * number / fps) for number in range(300)]
        assert steady(ticks, Fraction(1, 1000), rates) == fps
        assert steady([*ticks, ticks[-1] + 70], Fraction(1, 1000), rates) is None
