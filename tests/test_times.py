"""A frame keeps its own time: in written videos, numbers and tables, and for what changes over time."""

from __future__ import annotations

import contextlib
import csv
import subprocess
import time
from fractions import Fraction
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import torch

from tests.clicks import heard, shown, write_film
from tests.manipulations.clips import latents_of, through
from vae_experiments import Experiment, Folder, Noise, Output, Workbench, load_latents
from vae_experiments.analysis.clip_latents import encoded, saved
from vae_experiments.analysis.output import write_study
from vae_experiments.analysis.settings import Analysis, Plots
from vae_experiments.analysis.study import findings
from vae_experiments.cache.latent_files import Which
from vae_experiments.cli.overrides import quoted
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Clip, Retime, Wave
from vae_experiments.manipulations.frame_range import FrameRange
from vae_experiments.manipulations.masks import Mask
from vae_experiments.pipeline.second_video import SecondVideos
from vae_experiments.schedules import parse_schedule
from vae_experiments.sources import MovingCircle, Sound, SourceInfo
from vae_experiments.tensors import Size, to_pixels
from vae_experiments.writers import Comparison, open_mp4

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vae_experiments.runtime.device import DeviceChoice

SIZE = Size(48, 40)
THIRTY_THEN_FIVE = [Fraction(number, 30) for number in range(4)] + [
    Fraction(4, 30) + Fraction(number, 5) for number in range(4)
]
NTSC = Fraction(30000, 1001)


def info_of(times: Sequence[Fraction], **other: Any) -> SourceInfo:
    """Describe frames by when each begins, and last when the last one ends."""
    return SourceInfo(SIZE, tuple(times[:-1]), times[-1], **other)


def written(
    path: Path, fps: Fraction, times: Sequence[Fraction] = (), frames: int | None = None
) -> list[float]:
    """Write a video of noise, which makes an encoder reorder, and say when its frames begin and the last one ends."""
    frames = len(times) - 1 if frames is None else frames
    noise = np.random.default_rng(0).integers(0, 256, (frames, 48, 64, 3), dtype=np.uint8)
    with open_mp4(path, Size(64, 48), fps, times=times) as video:
        video.write(noise[:3])
        video.write(noise[3:])
    return shown(path)


CLOCKS = {
    "30 then 5 fps": [*THIRTY_THEN_FIVE, Fraction(14, 15)],
    "a last frame of 8 s": [*(Fraction(number, 10) for number in range(20)), Fraction(99, 10)],
    "NTSC with a gap": [*(number / NTSC for number in range(12)), Fraction(2), Fraction(3)],
    "1000 fps and an hour": [
        *(Fraction(number, 1000) for number in range(9)),
        Fraction(3600),
        Fraction(3601),
    ],
    "10 days between two": [Fraction(0), Fraction(1, 30), Fraction(864000), Fraction(864001)],
    "one frame": [Fraction(0), Fraction(8)],
    "no common clock of 90 kHz": [*(Fraction(number * 997, 7919) for number in range(5)), Fraction(5)],
}


@pytest.mark.parametrize("times", CLOCKS.values(), ids=CLOCKS)
def test_each_frame_is_written_at_its_own_time_and_the_last_one_lasts_to_the_end(
    tmp_path: Path, times: list[Fraction]
) -> None:
    path = tmp_path / "clip.mp4"
    assert written(path, (len(times) - 1) / times[-1], times) == [float(moment) for moment in times]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == times[-1]
        assert stream.start_time == 0
        assert container.duration == pytest.approx(float(times[-1]) * 1e6, abs=1000)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    gaps = [late - early for early, late in pairwise(times)]
    assert [packet.duration * packet.time_base for packet in packets] == gaps


def test_ffmpeg_itself_sees_the_same_times(tmp_path: Path) -> None:
    import imageio_ffmpeg

    times = CLOCKS["30 then 5 fps"]
    written(tmp_path / "clip.mp4", 8 / times[-1], times)
    words = ["-i", tmp_path / "clip.mp4", "-f", "framecrc", "-fps_mode", "passthrough", "-"]
    said = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *words], capture_output=True, text=True, check=True
    ).stdout
    base = Fraction(next(line for line in said.splitlines() if line.startswith("#tb")).split(": ")[1])
    rows = [line.split(",") for line in said.splitlines() if line[0] != "#"]
    assert [int(row[2]) * base for row in rows] == times[:-1]
    assert int(rows[-1][2]) * base + int(rows[-1][3]) * base == times[-1]


def test_two_frames_of_one_moment_are_both_written(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(0), Fraction(1, 10), Fraction(1, 10), Fraction(1, 10), Fraction(3)]
    assert written(tmp_path / "clip.mp4", 5 / times[-1], times) == pytest.approx(
        [float(moment) for moment in times], abs=0.0001
    )


@pytest.mark.parametrize("fps", [Fraction(1, 864000), Fraction(1, 3600), Fraction(123456789123, 10**9)])
def test_a_steady_rate_that_mp4_cannot_name_is_written_all_the_same(tmp_path: Path, fps: Fraction) -> None:
    expected = [float(number / fps) for number in range(5)]
    assert written(tmp_path / "clip.mp4", fps, frames=4) == pytest.approx(expected, rel=1e-3)


def test_where_fewer_frames_come_than_were_announced_the_last_one_lasts_until_the_next_would_have_begun(
    tmp_path: Path,
) -> None:
    times = CLOCKS["30 then 5 fps"]
    found = written(tmp_path / "clip.mp4", 8 / times[-1], times, frames=6)
    assert found == pytest.approx([float(moment) for moment in times[:7]])


def test_frames_after_the_last_announced_one_follow_at_the_mean_rate(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 10), Fraction(1)]
    found = written(tmp_path / "clip.mp4", Fraction(2), times, frames=5)
    assert found == pytest.approx([0, 0.1, 1, 1.5, 2, 2.5])


@pytest.mark.parametrize(
    ("times", "pace"),
    [
        ([Fraction(number, 25) for number in range(6)], "25 fps"),
        ([number / NTSC for number in range(6)], "29.97 fps"),
        ([Fraction(round(number * 1000 / 30), 1000) for number in range(7)], "30.3 to 29.4 fps (mean 30)"),
        ([*THIRTY_THEN_FIVE, Fraction(14, 15)], "30 to 5 fps (mean 8.57)"),
        ([Fraction(0), Fraction(8)], "0.125 fps"),
    ],
)
def test_a_pace_is_named_as_it_is(times: list[Fraction], pace: str) -> None:
    assert info_of(times).pace == pace


def test_only_frames_that_last_differently_have_times_of_their_own() -> None:
    assert SourceInfo.steady(SIZE, NTSC, 9).uneven == ()
    times = (*THIRTY_THEN_FIVE, Fraction(14, 15))
    assert info_of(times).uneven == times
    lasting = (Fraction(0), Fraction(1, 10), Fraction(3))
    assert info_of(lasting).uneven == lasting, "only the last one lasts longer"


@pytest.fixture
def small_model(network_folders: dict[str, Path]) -> Path:
    return network_folders["AutoencoderDC"]


@pytest.fixture
def uneven(monkeypatch: pytest.MonkeyPatch) -> Callable[..., MovingCircle]:
    """Give a pattern whose frames begin at times of their own."""

    def source(times: Sequence[Fraction], come: int | None = None, **other: Any) -> MovingCircle:
        circle = MovingCircle(size=str(SIZE), frames=come or len(times) - 1, fps="8")
        info = info_of(times, **other)
        monkeypatch.setattr(MovingCircle, "info", property(lambda _: info))
        return circle

    return source


@pytest.fixture
def run(small_model: Path, tmp_path: Path) -> Callable[..., Any]:
    """Run an experiment on a small AutoencoderDC."""
    numbers = count()

    def run_it(source: MovingCircle, *links: Any, **parts: Any) -> Any:
        folder = tmp_path / f"run {next(numbers)}"
        folder.mkdir()
        model = Folder(path=str(small_model))
        return Experiment(source, links or [Noise()], model, batch_size=3, **parts).run(folder)

    return run_it


TIMES = [*THIRTY_THEN_FIVE, Fraction(14, 15)]


def test_every_video_of_a_run_carries_the_times_of_its_source(
    run: Callable[..., Any], uneven: Callable[..., MovingCircle], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    result = run(uneven(TIMES))
    for name in ("original", "reconstructed", "reconstructed_with_noise", "comparison"):
        assert shown(result.folder / f"{name}.mp4") == [float(moment) for moment in TIMES], name
    assert result.metrics["fps"] == float(8 / TIMES[-1])
    assert "8 frames of 48x40 at 30 to 5 fps (mean 8.57)" in caplog.text
    assert "8 frames of 48x40 at 30 to 5 fps (mean 8.57)" in (result.folder / "report.html").read_text()
    with (result.folder / "metrics.csv").open() as table:
        rows = list(csv.DictReader(table))
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == pytest.approx([float(moment) for moment in TIMES[:-1]], abs=1e-6)


def test_a_clip_that_ended_early_has_the_duration_of_what_came(
    run: Callable[..., Any], uneven: Callable[..., MovingCircle]
) -> None:
    result = run(uneven(TIMES, come=6))
    assert shown(result.folder / "original.mp4") == pytest.approx([float(moment) for moment in TIMES[:7]])
    assert result.metrics["frames"] == 6
    assert result.metrics["fps"] == pytest.approx(float(6 / TIMES[6]))


def test_a_video_of_another_length_plays_at_the_mean_rate(
    run: Callable[..., Any], uneven: Callable[..., MovingCircle]
) -> None:
    folder = run(uneven(TIMES), Retime(speed=0.5)).folder
    mean = float(TIMES[-1]) / 8
    expected = [number * mean for number in range(17)]
    assert shown(folder / "reconstructed_with_retime.mp4") == pytest.approx(expected, abs=1e-4)
    assert shown(folder / "original.mp4") == [float(moment) for moment in TIMES]
    compared = shown(folder / "comparison.mp4")
    assert compared[:9] == [float(moment) for moment in TIMES]
    assert compared[9:] == pytest.approx(
        [float(TIMES[-1]) + number * mean for number in range(1, 9)], abs=1e-4
    )


def test_what_is_wrong_with_the_sound_is_said_once_a_run_and_not_once_a_process(
    run: Callable[..., Any],
    uneven: Callable[..., MovingCircle],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_film(tmp_path / "video.mov", [0.5])
    content = (tmp_path / "video.mov").read_bytes()
    (tmp_path / "video.mov").write_bytes(content.replace(b"sowt", b"zzzz"))
    source = uneven(TIMES, sound=Sound(tmp_path / "video.mov"))
    for _ in range(2):
        caplog.clear()
        run(source)
        assert caplog.text.count("sound: left out, nothing here decodes it") == 1


def test_the_sound_of_a_run_is_in_step_in_every_video(
    run: Callable[..., Any], uneven: Callable[..., MovingCircle], tmp_path: Path
) -> None:
    write_film(tmp_path / "video.mkv", [0.1, 0.6], times=TIMES[:-1], seconds=float(TIMES[-1]))
    folder = run(uneven(TIMES, sound=Sound(tmp_path / "video.mkv"))).folder
    for name in ("original", "reconstructed", "reconstructed_with_noise", "comparison"):
        assert heard(folder / f"{name}.mp4") == pytest.approx([0.1, 0.6], abs=0.005), name


def test_a_player_plays_frames_as_long_as_they_last(
    uneven: Callable[..., MovingCircle], small_model: Path, tmp_path: Path
) -> None:
    player = Workbench(uneven(TIMES), Folder(path=str(small_model))).play()
    (tmp_path / "played.mp4").write_bytes(player.mp4)
    assert shown(tmp_path / "played.mp4") == [float(moment) for moment in TIMES]


@pytest.mark.parametrize("chunks", [[2, 2, 2], [3, 3], [6], [1, 1, 1, 1, 1, 1]], ids=str)
def test_a_video_that_is_over_shows_its_last_frame_whatever_the_chunks(chunks: list[int]) -> None:
    lengths, size = [3, 6, 1], Size(16, 8)
    videos = [
        np.arange(1, n + 1, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 16, 3), np.uint8)
        for n in lengths
    ]
    comparison, sheets, at = Comparison(size, ["a", "b", "c"]), [], 0
    for length in chunks:
        parts = [video[at : at + length] for video in videos]
        sheets.append(comparison.lay_out([part if len(part) else None for part in parts]))
        at += length
    sheet = np.concatenate(sheets)
    for place, length in enumerate(lengths):
        column = sheet[:, comparison.header + 2, place * 20 + 5, 0]
        assert column.tolist() == [min(number, length) for number in range(1, 7)]


UNEVEN = Clip(fps=8 / float(TIMES[-1]), begins=info_of(TIMES).begins, frames=8)


def schedule(text: str, clip: Clip = UNEVEN) -> list[float]:
    """Give the value of a schedule at each latent of a clip."""
    return [
        parse_schedule(text).at(clip.seconds(number), clip.timeline) for number in range(clip.latents or 0)
    ]


def test_a_schedule_has_for_each_frame_the_value_of_its_own_moment() -> None:
    seconds = [float(moment) for moment in TIMES[:-1]]
    assert schedule("ramp(0, 1, 0s, 1s)") == pytest.approx(seconds)
    assert schedule("ramp(0, 1)") == pytest.approx([moment / seconds[-1] for moment in seconds])
    assert schedule("ramp(0, 1)")[-1] == 1
    assert schedule("3f:0 3f:1") == [0, 0, 0, 1, 1, 1, 1, 1], "12f is when frame 12 begins"
    halfway = float(TIMES[4] + TIMES[5]) / 2
    assert parse_schedule("ramp(0,1,0f,4.5f)").at(halfway, UNEVEN.timeline) == pytest.approx(1)


def test_a_steady_clip_counts_by_its_rate_to_the_last_bit() -> None:
    clip = Clip(fps=float(NTSC), frames=100)
    assert [clip.seconds(number) for number in range(100)] == [number / float(NTSC) for number in range(100)]
    assert (clip.timeline.fps, clip.timeline.last_seconds) == (float(NTSC), 99 / float(NTSC))
    causal = Clip(fps=8, frames=13, time_stride=4)
    assert [causal.seconds(number) for number in range(4)] == [0, 1 / 8, 5 / 8, 9 / 8]


@pytest.mark.parametrize("clip", [UNEVEN, Clip(fps=8, frames=8), Clip(fps=8, frames=5), Clip(frames=1)])
@pytest.mark.parametrize("share", ["0%", "10%", "33%", "50%", "75%", "100%"])
def test_a_share_of_the_clip_is_the_same_moment_in_ranges_and_in_schedules(clip: Clip, share: str) -> None:
    count = clip.latents or 0
    after = FrameRange.read(f"{share}:").over(0, count, clip).flatten().tolist()
    assert after == schedule(f"0s:0 {share}:0 {share}:1", clip)
    before = FrameRange.read(f":{share}").over(0, count, clip).flatten().tolist()
    assert before == ([1] * count if share == "100%" else [1 - inside for inside in after])


@pytest.mark.parametrize("text", ["0.1s:0.5s", "2:5", "2f:70%", "0.05s:"])
def test_a_range_has_the_frames_at_which_a_schedule_that_jumps_at_its_ends_is_on(text: str) -> None:
    first, last = (end + "f" if end.isdigit() else end for end in text.split(":"))
    jumps = f"0s:0 {first}:0 {first}:1" + (f" {last}:1 {last}:0" if last else "")
    assert FrameRange.read(text).over(0, 8, UNEVEN).flatten().tolist() == schedule(jumps)


def test_the_whole_of_a_clip_is_from_0_to_100_percent() -> None:
    for clip in (UNEVEN, Clip(fps=24, frames=7), Clip(frames=13, time_stride=4)):
        assert FrameRange.read("0%:100%").over(0, clip.latents or 0, clip).all()


def test_masks_waves_and_retiming_read_the_frames_own_times() -> None:
    latents = latents_of((8, 2, 4, 4))
    cover = Mask.read("box(0, 0, ramp(0, 1, 0s, 1s), 1)").over(UNEVEN)(latents, 0)
    even = Clip(fps=1000, frames=1000)
    for number, moment in enumerate(TIMES[:-1]):
        still = Mask.read(f"box(0, 0, {float(moment)}, 1)").over(even)(latents[:1], 0)
        assert torch.allclose(cover[number], still[0], atol=1e-6)
    waving = through(Wave(speed_hz=1), latents, 3, UNEVEN)
    for number, moment in enumerate(TIMES[:-1]):
        still = Wave(speed_hz=1).during(0, 1, even)
        alone = Clip(fps=1, begins=lambda _, moment=moment: moment, frames=1)
        expected = torch.cat(list(still.stream([latents[number : number + 1]], alone)))
        assert torch.equal(waving[number], expected[0])
    speeds = Retime(speed="0s:1 0.33s:1 0.33s:0.5", between="hold")  # type: ignore[arg-type]
    assert len(through(speeds, latents, 3, UNEVEN)) == 5 + 2 * 3
    assert speeds.after(UNEVEN).begins is None


def test_another_video_is_shown_at_the_moments_of_the_clip(
    uneven: Callable[..., MovingCircle], small_model: Path, cpu: DeviceChoice, tmp_path: Path
) -> None:
    film = tmp_path / "video.mp4"
    pixels = np.arange(10, dtype=np.uint8)[:, None, None, None] * 20 + np.zeros((1, 40, 48, 3), np.uint8)
    with open_mp4(film, SIZE, Fraction(20)) as video:
        video.write(pixels)
    source = uneven(TIMES)
    autoencoder = Folder(path=str(small_model)).load(cpu)
    frames = SecondVideos(source.info, autoencoder, 3).frames(str(film))
    levels = np.concatenate([to_pixels(next(frames)).mean((1, 2, 3)) for _ in range(3)])[:8]
    # The video lasts half a second and begins again.
    expected = [int(float(moment) % 0.5 * 20 + 1e-9) * 20 for moment in TIMES[:-1]]
    assert levels.tolist() == pytest.approx(expected, abs=3)


@pytest.mark.slow
def test_an_analysis_has_the_times_of_what_it_encodes_and_of_a_run_that_it_reads(
    uneven: Callable[..., MovingCircle],
    small_model: Path,
    cpu: DeviceChoice,
    run: Callable[..., Any],
    tmp_path: Path,
) -> None:
    source, seconds = uneven(TIMES), [float(moment) for moment in TIMES[:-1]]
    subject = encoded(source, Folder(path=str(small_model)).load(cpu), 3)
    assert [subject.seconds(number) for number in range(8)] == seconds
    numbers = findings(subject) | {"provenance": {"command": ""}}
    write_study(tmp_path, subject, numbers, Plots.all)
    assert shown(tmp_path / "pca.mp4") == [float(moment) for moment in TIMES]
    folder = run(source, output=Output(latents=True)).folder
    found = saved(Analysis(folder=str(folder)))
    assert [found.seconds(number) for number in range(8)] == pytest.approx(seconds, abs=1e-5)
    assert len(load_latents(folder, "encoded")) == 8


def test_latents_of_another_length_than_the_run_are_counted_at_the_mean_rate_as_their_video_is(
    uneven: Callable[..., MovingCircle], run: Callable[..., Any]
) -> None:
    folder = run(uneven(TIMES), Retime(speed=0.5), output=Output(latents=True, report=False)).folder
    found = saved(Analysis(folder=str(folder), latents=Which.changed))
    mean = float(TIMES[-1]) / 8
    assert [found.seconds(number) for number in range(16)] == pytest.approx(
        [number * mean for number in range(16)]
    )


MANY = 100_000
LONG = {
    "digits": "1" * MANY + ":1",
    "a time": "1" * MANY + "s:1",
    "points": "1." * (MANY // 2) + "s:1",
    "commas": "ramp(" + "," * MANY + ")",
    "brackets": "f(" * (MANY // 2),
    "spaces": "ramp(a" + " " * MANY + "b, 1)",
    "words": "ramp(" + "a" * MANY + "-, 1)",
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize(
    "read", [parse_schedule, Mask.read, FrameRange.read, lambda text: quoted(f"a={text}(")]
)
def test_a_long_text_is_read_or_refused_at_once(read: Callable[[str], Any], text: str) -> None:
    began = time.process_time()
    with contextlib.suppress(ValueError, SettingError):
        read(text)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("text", ["1" * MANY + ":1", "ramp(0,1,0s," + "1" * MANY + "s)"], ids=["bare", "s"])
def test_a_time_of_a_hundred_thousand_digits_is_no_time(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="is not a"):
        parse_schedule(text)
    assert time.process_time() - began < 0.1
