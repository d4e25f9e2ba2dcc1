"""Expressions over time: each listener and function by its formula, and what is true of all of them."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.clicks import click_samples, write_film
from vae_experiments.errors import VaeExperimentsError
from vae_experiments.manipulations import Clip, Noise, Retime, checked
from vae_experiments.pipeline.listening import OtherFiles
from vae_experiments.schedules import (
    Listener,
    Timeline,
    Waveform,
    listener_names,
    parse_schedule,
)
from vae_experiments.sources import Video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FPS, FRAMES, RATE = 10.0, 30, 8000
CLICKS = [0.2, 0.55, 1.0, 1.7, 2.5]
EVERY_LISTENER = {
    "audio": ["audio()", "audio(low)", "audio(40:200)", "audio(all, path=song.wav)"],
    "onset": ["onset()", "onset(mid, decay=0.5s)", "onset(mid,0s)"],
    "beat": ["beat(bpm=120)", "beat(every=0.3)", "beat(every=7f, decay=10%)"],
    "motion": ["motion()"],
    "brightness": ["brightness()"],
    "table": ["map(table(curve.csv), 0, 0.01)", "0*table(curve.csv, column=3)"],
    "wander": ["wander()", "wander(period=0.3s, seed=4)", "wander(50%)"],
}
FUNCTIONS = [
    "min(audio(), wander())",
    "max(0.2, onset())",
    "clamp(audio()+wander(), 0, 1)",
    "smooth(motion(), 0.4s)",
    "delay(brightness(), 3f)",
    "steps(wander(), 3)",
    "map(audio(), 0.2, 0.8)",
    "0.5 * (1 - audio(mid)) * wander() + 0.25",
    "1 - smooth(smooth(onset(), 0.5s), 10%)",
]
EVERY = [text for texts in EVERY_LISTENER.values() for text in texts] + FUNCTIONS


def frames_of_clip() -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand((FRAMES, 3, 8, 8), generator=generator) * 2 - 1


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """Three seconds that click, flicker and have a table beside them."""
    (tmp_path / "curve.csv").write_text("time,a,b\n0,1,10\n1.05,3,30\n2,2,20\n")
    samples = click_samples(3.0, CLICKS, RATE)[0]

    def source_frames() -> Iterator[torch.Tensor]:
        yield from frames_of_clip().split(7)

    return Clip(
        fps=FPS,
        frames=FRAMES,
        source_frames=source_frames,
        sound_of=lambda _name: Waveform(samples, RATE, 0.0),
        file_of=lambda name: tmp_path / name,
    )


def values(text: str, clip: Clip) -> list[float]:
    schedule = parse_schedule(text)
    return [schedule.at(clip.seconds(latent), clip.timeline) for latent in range(clip.latents or 0)]


def loudness(samples: np.ndarray, rate: int, edges: list[float], low: float, high: float) -> np.ndarray:
    """The docs' formula, written anew: RMS in a band under a Hann window over what a frame lasts, 50 ms at least."""
    found = []
    for start, end in pairwise(edges):
        middle, half = (start + end) / 2, max(end - start, 0.05) / 2
        first, last = (int(np.ceil((edge) * rate - 1e-6)) for edge in (middle - half, middle + half))
        piece = np.array([samples[place] if 0 <= place < len(samples) else 0 for place in range(first, last)])
        window = np.sin(np.pi * np.arange(1, len(piece) + 1) / (len(piece) + 1)) ** 2
        power = np.abs(np.fft.rfft((piece - piece.mean()) * window)) ** 2
        hertz = np.arange(len(power)) * rate / len(piece)
        inside = power[(hertz >= low) & (hertz < high)].sum()
        found.append(np.sqrt(2 * inside / len(piece) / (window**2).sum()))
    return np.array(found)


def brought_to_one(raw: np.ndarray) -> np.ndarray:
    low, high = np.percentile(raw, [5, 99])
    return np.clip((raw - low) / (high - low), 0, 1)


def test_every_listener_is_tried() -> None:
    assert set(EVERY_LISTENER) <= set(listener_names())
    assert {"audio", "onset", "beat", "motion", "brightness", "table", "wander"} == set(EVERY_LISTENER)


@pytest.mark.parametrize("text", EVERY)
def test_values_keep_their_bounds_and_depend_on_the_clip_alone(text: str, clip: Clip) -> None:
    found = values(text, clip)
    low, high = parse_schedule(text).bounds()
    assert all(low <= value <= high for value in found)
    assert 0 <= min(found) <= max(found) <= 1
    backwards = replace(clip, fps=clip.fps)
    schedule = parse_schedule(text)
    again = [schedule.at(backwards.seconds(latent), backwards.timeline) for latent in reversed(range(FRAMES))]
    assert again[::-1] == found


@pytest.mark.parametrize("text", EVERY)
def test_a_setting_is_the_same_at_any_chunk_size(text: str, clip: Clip) -> None:
    noise = Noise(strength=text)  # type: ignore[arg-type]
    whole = noise.during(0, FRAMES, clip).strength
    for count in (1, 7):
        parts = [noise.during(at, min(count, FRAMES - at), clip).strength for at in range(0, FRAMES, count)]
        assert torch.equal(torch.cat(parts), whole)  # type: ignore[arg-type]
    assert torch.tensor(values(text, clip)).tolist() == pytest.approx(
        torch.as_tensor(whole).flatten().tolist()
    )


@pytest.mark.parametrize("text", EVERY)
def test_a_latent_of_four_frames_has_a_value_too(text: str, clip: Clip) -> None:
    found = values(text, replace(clip, time_stride=4))
    assert len(found) == 9
    assert all(0 <= value <= 1 for value in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1+2*3-4", 3),
        ("-(1-3)*2", 4),
        ("--2", 2),
        ("2 - -3", 5),
        ("(((0.5)))", 0.5),
        ("min(3, 1+1)", 2),
        ("max(-1, -2)", -1),
        ("clamp(5, 0, 1)", 1),
        ("map(0.25, 2, 4)", 2.5),
        ("map(0.25, 4, 2)", 3.5),
        ("steps(0.3, 3)", 0.5),
        ("steps(0.2, 3)", 0),
        ("0.5*(0s:0 1s:2)", 0.5),
        ("0s:1 1s:3 + 1", 3),
        ("delay(0s:0 1s:2, 0.25s)", 0.5),
        ("delay(0s:7 1s:8, 9s)", 7),
        ("smooth(0s:0 3s:3, 0.4s)", 0.5),
        ("smooth(square(period=1s), 1s)", 0.5),
        ("1e-1 + .5", 0.6),
    ],
)
def test_an_expression_has_the_value_that_arithmetic_has(text: str, expected: float, clip: Clip) -> None:
    """Half a second into the clip; a square is sampled at what is shown, with straight lines between."""
    assert parse_schedule(text).at(0.5, clip.timeline) == pytest.approx(expected)


def test_loudness_is_what_a_numpy_script_computes(clip: Clip) -> None:
    edges = [frame / FPS for frame in range(FRAMES + 1)]
    for band, low, high in (("all", 20, 1e9), ("mid", 250, 4000), ("900:1100", 900, 1100)):
        raw = loudness(click_samples(3.0, CLICKS, RATE)[0], RATE, edges, low, high)
        assert values(f"audio({band})", clip) == pytest.approx(brought_to_one(raw).tolist(), abs=1e-6)


def test_a_hit_is_1_where_it_is_heard_and_falls_off(clip: Clip) -> None:
    found = values("onset(decay=0.2s)", clip)
    expected = [0.0] * FRAMES
    for click in CLICKS:
        first = int(click * FPS + 1e-6)
        expected[first : first + 2] = [1.0, 0.5]
    assert found == pytest.approx(expected)


def test_a_beat_is_1_on_its_frame(clip: Clip) -> None:
    assert values("beat(bpm=60, decay=0s)", clip) == [float(frame % 10 == 0) for frame in range(FRAMES)]
    assert values("beat(every=0.25, decay=0s)", clip)[:6] == [1, 0, 1, 0, 0, 1]
    assert values("beat(every=1s)", clip)[:3] == pytest.approx([1, 0.5, 0])


def test_brightness_and_motion_are_the_frames_own(clip: Clip) -> None:
    luma = ((frames_of_clip() + 1) / 2 * torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(1).numpy()
    assert values("brightness()", clip) == pytest.approx(brought_to_one(luma.mean((1, 2))).tolist(), abs=1e-4)
    moved = np.abs(np.diff(luma, axis=0)).mean((1, 2))
    moved = np.concatenate([moved[:1], moved])
    assert values("motion()", clip) == pytest.approx(brought_to_one(moved).tolist(), abs=1e-4)


def test_what_never_moves_has_no_motion_and_one_brightness(clip: Clip) -> None:
    still = replace(clip, source_frames=lambda: iter([torch.full((FRAMES, 3, 8, 8), 0.3)]))
    assert set(values("motion()", still)) == {0.0}
    assert set(values("brightness()", still)) == {1.0}


def test_a_table_is_itself_at_every_frame(clip: Clip) -> None:
    moments = [frame / FPS for frame in range(FRAMES)]
    for column, curve in ((2, [1, 3, 2]), (3, [10, 30, 20])):
        expected = np.interp(moments, [0, 1.05, 2], curve).tolist()
        assert values(f"table(curve.csv, column={column})", clip) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["0;1\n1;2\n", "# made by hand\n0\t1\n\n1\t2", "0 1\n1   2\n", '"0","1"\n"1","2"']
)
def test_tables_of_other_tools_are_read(text: str, clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text(text)
    assert parse_schedule("table(other.csv)").at(0.5, clip.timeline) == 1.5


def test_a_walk_differs_by_seed_and_has_no_jumps(clip: Clip) -> None:
    first, second = values("wander(seed=1)", clip), values("wander(seed=2)", clip)
    assert first != second
    assert max(abs(late - early) for early, late in pairwise(first)) < 0.16, "1.5 a period is the steepest"
    longer = [parse_schedule("wander(seed=1)").at(moment / 7, clip.timeline) for moment in range(5000)]
    assert (min(longer) < 0.02, max(longer) > 0.98) == (True, True)


def test_a_plugin_adds_a_listener_in_a_few_lines(clip: Clip) -> None:
    class HourOfDay(Listener):
        hours: float = 24.0

        def at(self, seconds: float, timeline: Timeline) -> float:
            return seconds / 3600 / self.hours % 1

    assert parse_schedule("hour_of_day(hours=1)").at(1800, clip.timeline) == 0.5
    assert Noise(strength="hour_of_day()").during(0, 2, clip)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("audio(lwo)", "'lwo' is not a band: low, mid, high, all, or 40:200"),
        ("audio(200:40)", "the band 200:40 ends before it begins"),
        ("audio(loudness=3)", r"audio\(\) takes band=, path="),
        ("motion(3)", r"motion\(\) takes nothing"),
        ("table()", r"table\(\) takes path=, column="),
        ("table(a.csv, column=1)", "the first one has the seconds"),
        ("beat()", r"beat\(\) takes bpm=120 or every=2"),
        ("beat(bpm=120, every=2)", r"beat\(\) takes bpm=120 or every=2"),
        ("wander(period=0s)", "a period is more than 0"),
        ("clamp(1,2)", r"clamp\(\) takes a, low, high"),
        ("smooth(1, 2)", r"smooth\(\) takes a, 0.5s"),
        ("steps(audio(), 1)", "a whole number of steps from 2 on"),
        ("1 +", "it ends too soon"),
        ("1 2", "cannot read '2'"),
        ("audio", "'audio' is not a number"),
        ("audio(low", "a bracket is left open"),
        ("(" * 40 + "1" + ")" * 40, "more than 32 brackets lie within each other"),
        ("min(" * 40 + "1,1" + ",1)" * 40, "more than 32 brackets lie within each other"),
        ("hound(low)", r"there is no hound\(\)"),
    ],
)
def test_a_mistake_in_an_expression_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_schedule(text)


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        (
            "scale",
            "audio(low) - 1",
            r"must be at least 0 standard deviations of the latents, and is -1 at 0 s; keep it between them with clamp",
        ),
        ("strength", "0.9 + wander()", r"must be at least 0 and at most 1, and is 1\.\d+ at \d"),
        (
            "scale",
            "audio(5000:6000)",
            "begins at 5000 Hz, and sound at 8000 Hz ends at 4000 Hz; listen to a lower",
        ),
        (
            "scale",
            "table(curve.csv, column=4)",
            "curve.csv has no column 4: line 2 has 3; take another column",
        ),
        ("scale", "table(gone.csv)", "gone.csv: no such file or directory; give a table"),
        (
            "scale",
            "table(text.csv)",
            "text.csv is no table of numbers; give rows of numbers as seconds,value",
        ),
        (
            "scale",
            "1e308*10*table(curve.csv)",
            "must be at least 0 standard deviations of the latents, and is inf at 0 s",
        ),
    ],
)
def test_what_only_the_clip_can_tell_is_one_line_before_anything_is_written(
    setting: str, value: str, sentence: str, clip: Clip, tmp_path: Path
) -> None:
    (tmp_path / "text.csv").write_text("dear diary\n")
    with pytest.raises(VaeExperimentsError, match=rf"noise.{setting}=.*{sentence}"):
        checked([Noise(**{setting: value})], clip)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["2 + audio(low)", "-1*wander() - 0.1", "2*ramp(0,1)", "min(ramp(-1,1), 0.5)"]
)
def test_what_no_clip_can_mend_is_refused_at_once(text: str) -> None:
    with pytest.raises(VaeExperimentsError, match="noise.strength=.*: must be at least 0 and at most 1"):
        Noise(strength=text)  # type: ignore[arg-type]


def test_nothing_is_heard_without_sound_and_after_the_length_has_changed(clip: Clip) -> None:
    deaf = replace(clip, sound_of=None, source_frames=None)
    for text in ("audio()", "motion()"):
        with pytest.raises(VaeExperimentsError, match="noise.scale=.*: there (is no sound|are no frames) to"):
            checked([Noise(scale=text)], deaf)  # type: ignore[arg-type]
        with pytest.raises(VaeExperimentsError, match="before the length changes"):
            checked([Retime(speed=2), Noise(scale=text)], clip)  # type: ignore[arg-type]


def malformed(count: int) -> Iterator[str]:
    """Expressions with a mistake or two, or none, and a few that are long or deep."""
    draw = random.Random(7)
    words = [
        *[
            "0.5",
            "1e3",
            "2s",
            "12f",
            "50%",
            "+",
            "-",
            "*",
            "(",
            ")",
            ",",
            ":",
            "=",
            " ",
            "ramp(0,1)",
            "0s:0 1s:1",
        ],
        *[
            "audio(low)",
            "audio(",
            "onset()",
            "table(a.csv)",
            "wander(seed=1)",
            "min(",
            "clamp(",
            "smooth(",
            "a",
            "'",
        ],
        *[
            "__import__",
            ".",
            "#",
            "é",
            "\n",
            "e",
            "1.",
            "map(",
            "low",
            "steps(1,4)",
            "path=",
            '"',
            "[",
            "{",
            "\\",
        ],
    ]
    for number in range(count):
        length = draw.choice([1, 2, 3, 5, 9, 20, 60]) if number % 100 else draw.choice([400, 1500])
        yield draw.choice(["", "", "(" * 50, "-" * 200]) + "".join(draw.choice(words) for _ in range(length))


def refusal(text: str) -> str:
    """What is said of an expression; empty where it is one."""
    try:
        parse_schedule.__wrapped__(text)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("count", [1000, pytest.param(40_000, marks=pytest.mark.slow)])
def test_malformed_expressions_get_one_line_each_within_a_millisecond(count: int) -> None:
    began = time.process_time()
    sentences = [refusal(text) for text in malformed(count)]
    assert (time.process_time() - began) / count < 0.001
    assert sum(map(bool, sentences)) > 0.75 * count
    assert max(map(len, sentences)) < 200


@pytest.mark.parametrize(
    "piece",
    ["(", "-", "1+", "min(", "audio(", "0s:1 ", "1", "1.", "a", "'", "1*(", "ramp(0,1)+", "smooth(1,", " "],
)
def test_nothing_takes_the_square_of_its_length(piece: str) -> None:
    def seconds(times: int) -> float:
        began = time.process_time()
        for end in ("", "1", "x", ")"):
            with contextlib.suppress(ValueError):
                schedule = parse_schedule.__wrapped__(piece * times + end)
                _ = (
                    schedule.bounds(),
                    schedule.is_exact,
                    schedule.needs_length,
                    schedule.nodes,
                    schedule.files,
                )
        return time.process_time() - began

    # Twenty times the length takes twenty times as long, and its square four hundred times.
    short, long = (min(seconds(times) for _ in range(2)) for times in (100, 2000))
    assert long < 120 * max(short, 0.0005)


def hit_frames(path: Path, **settings: object) -> list[int]:
    """Number the frames at which something is heard to begin, in a file as a run reads it."""
    info = Video(path=str(path), **settings).info  # type: ignore[arg-type]
    begins = info.begins if info.uneven else None
    clip = Clip(float(info.fps), info.frames, begins=begins, sound_of=OtherFiles(info, {}).sound)
    return [frame for frame, value in enumerate(values("onset(mid, decay=0s)", clip)) if value == 1]


UNEVEN = [Fraction(number * number, 300) for number in range(31)]
"""Three seconds whose frames last longer and longer."""


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {"codec": "aac", "rate": 44100}),
        ("a.mp4", {"codec": "aac", "rate": 48000, "layout": "5.1"}),
        ("a.mkv", {"rate": 44100, "layout": "stereo"}),
        ("a.mkv", {"times": UNEVEN[:-1]}),
        ("a.mkv", {"picture_begins": Fraction(1, 2), "sound_begins": 0.5}),
        ("a.mov", {"pieces": [(0.9, 3.0)]}),
        ("a.ts", {"codec": "mp2", "rate": 48000}),
    ],
    ids=str,
)
def test_a_hit_lands_on_the_frame_that_is_shown_then(
    name: str, settings: dict[str, object], tmp_path: Path
) -> None:
    clicks = [0.25, 0.55, 1.01, 1.7, 2.58]
    write_film(tmp_path / name, clicks, **settings)  # type: ignore[arg-type]
    times = settings.get("times", [Fraction(frame, 10) for frame in range(30)])
    heard = [click for click in clicks if click >= settings.get("pieces", [(0, 3)])[0][0]]  # type: ignore[index]
    expected = [max(frame for frame, begins in enumerate(times) if begins <= click + 1e-6) for click in heard]  # type: ignore[arg-type,var-annotated]
    assert hit_frames(tmp_path / name) == expected


def test_sound_that_starts_late_and_a_trimmed_clip_are_heard_when_they_are(tmp_path: Path) -> None:
    write_film(tmp_path / "late.mkv", [0.25, 1.05], sound_begins=0.4)
    assert hit_frames(tmp_path / "late.mkv") == [6, 14]
    assert hit_frames(tmp_path / "late.mkv", start=0.5) == [1, 9]
    assert hit_frames(tmp_path / "late.mkv", start=0.5, frames=8) == [1]
    assert hit_frames(tmp_path / "late.mkv", fps="20") == [13, 29]


@pytest.mark.parametrize("band", ["high", "all"])
def test_quiet_hats_over_a_loud_bass_and_drums_in_noise_are_heard(band: str) -> None:
    rate, beats = 16000, [0.31 + 0.5 * number for number in range(8)]
    moments, noise = np.arange(5 * rate) / rate, np.random.default_rng(1)
    since = [np.maximum(moments - beat, 0) for beat in beats]
    hats = sum(0.15 * noise.standard_normal(len(ago)) * np.exp(-60 * ago) * (ago > 0) for ago in since)
    drums = sum(0.6 * np.sin(2 * np.pi * 60 * ago) * np.exp(-20 * ago) for ago in since)
    hiss, bass = 0.03 * noise.standard_normal(len(moments)), 0.5 * np.sin(2 * np.pi * 80 * moments)
    heard = hats + bass if band == "high" else drums + hiss
    clip = Clip(fps=25, frames=125, sound_of=lambda _name: Waveform(heard.astype(np.float32), rate, 0.0))
    hit = [frame for frame, value in enumerate(values(f"onset({band}, decay=0s)", clip)) if value == 1]
    expected = [int(beat * 25) for beat in beats]
    assert [frame for frame in hit if frame] == expected, "but for the beginning of what sounds all the while"
