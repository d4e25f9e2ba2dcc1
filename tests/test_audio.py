"""The sound of written videos: its clicks stay where they were beside the pictures, whatever carried them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from tests.clicks import heard, shown, write_film
from vae_experiments.tensors import Size
from vae_experiments.tracks import playable_track, unplayable_remark
from vae_experiments.writers import open_mp4
from vae_experiments.writers.video.audio_samples import JITTER, Samples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CLICKS = [0.1, 0.5, 2.0, 2.5]
TENTHS = [Fraction(number, 10) for number in range(31)]
EXACT, LOSSY = 0.005, 0.01


def carried(source: Path, times: Sequence[Fraction] = TENTHS) -> tuple[Path, list[str]]:
    """Write a black video beside the sound of a file; give it, and what was said of the sound."""
    path, said = source.with_name("carried.mp4"), list[str]()
    fps = (len(times) - 1) / times[-1]
    with open_mp4(path, Size(64, 48), fps, source, times, said.append) as video:
        video.write(np.zeros((len(times) - 1, 48, 64, 3), np.uint8))
    return path, said


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return str(container.streams.audio[0].codec_context.name)


@pytest.mark.parametrize(
    ("name", "settings", "codec"),
    [
        ("a.mkv", {}, "aac"),
        ("a.mov", {}, "aac"),
        ("a.avi", {}, "aac"),
        ("a.mkv", {"layout": "stereo"}, "aac"),
        ("a.mkv", {"layout": "5.1"}, "aac"),
        ("a.mkv", {"rate": 96000}, "aac"),
        ("a.mkv", {"rate": 8000}, "aac"),
        ("a.mkv", {"rate": 7350}, "aac"),
        ("a.ts", {"codec": "mp2"}, "aac"),
        ("a.mkv", {"codec": "mp3", "rate": 8000}, "aac"),
        ("a.mkv", {"codec": "libopus"}, "opus"),
        ("a.mkv", {"codec": "flac"}, "flac"),
        ("a.mkv", {"codec": "aac"}, "aac"),
        ("a.mov", {"codec": "aac"}, "aac"),
        ("a.ts", {"codec": "aac"}, "aac"),
        ("a.mov", {"codec": "alac"}, "alac"),
    ],
    ids=str,
)
def test_a_click_is_heard_when_it_was_whether_sound_is_copied_or_encoded(
    tmp_path: Path, name: str, settings: dict[str, Any], codec: str
) -> None:
    write_film(tmp_path / name, CLICKS, **settings)
    path, said = carried(tmp_path / name)
    assert (codec_of(path), said) == (codec, [])
    assert heard(path) == pytest.approx(CLICKS, abs=EXACT)


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
def test_a_hole_in_the_sound_stays_a_hole(tmp_path: Path, codec: str) -> None:
    clicks = [0.1, 0.5, 2.1, 2.5]
    write_film(tmp_path / "hole.mkv", clicks, codec=codec, pieces=[(0, 1), (2, 3)])
    path, _ = carried(tmp_path / "hole.mkv")
    onsets = heard(path)
    assert all(min(abs(onset - click) for onset in onsets) < LOSSY for click in clicks), onsets


def test_a_hole_of_an_hour_is_carried_without_encoding_an_hour(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "hole.mkv"), "w") as container:
        pictures = container.add_stream("mpeg4", rate=1)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for begins in (0, 3600):
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            picture.pts, picture.time_base = begins, Fraction(1)
            wave = np.zeros((1, 8000), np.int16)
            wave[:, 4000:4100] = np.tile([[25000, -25000]], 50)
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 8000, Fraction(1, 8000), begins * 8000
            container.mux([*pictures.encode(picture), *sound.encode(frame)])
        container.mux(pictures.encode(None))
    path, said = carried(tmp_path / "hole.mkv", [Fraction(0), Fraction(3600), Fraction(3601)])
    assert heard(path) == pytest.approx([0.5, 3600.5], abs=LOSSY)
    assert said == []
    assert path.stat().st_size < 50_000


@pytest.mark.parametrize("codec", ["pcm_s16le", "libopus", "aac"])
@pytest.mark.parametrize(("picture_begins", "sound_begins"), [(0, 0.3), (0.25, 0), (1, 1.5), (1, 0.55)])
def test_sound_that_begins_earlier_or_later_than_the_pictures_stays_in_step(
    tmp_path: Path, codec: str, picture_begins: float, sound_begins: float
) -> None:
    write_film(
        tmp_path / "late.mkv",
        CLICKS,
        codec=codec,
        picture_begins=Fraction(picture_begins),
        sound_begins=sound_begins,
    )
    late = sound_begins - picture_begins
    expected = [click + late for click in CLICKS if click + late > 0]
    assert heard(carried(tmp_path / "late.mkv")[0]) == pytest.approx(expected, abs=EXACT)


def test_the_run_up_of_a_decoder_is_copied_too(tmp_path: Path) -> None:
    """A mkv does not say how long a packet before the first picture lasts."""
    write_film(tmp_path / "first.mkv", [0.0, 1.0], codec="aac")
    assert heard(carried(tmp_path / "first.mkv")[0]) == pytest.approx([0, 1], abs=EXACT)


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
def test_clicks_stay_beside_the_pictures_of_a_film_whose_frames_last_differently(
    tmp_path: Path, codec: str
) -> None:
    times = [Fraction(number, 30) for number in range(30)] + [1 + Fraction(number, 5) for number in range(10)]
    write_film(tmp_path / "vfr.mkv", CLICKS, codec=codec, times=times)
    path, _ = carried(tmp_path / "vfr.mkv", [*times, Fraction(3)])
    assert shown(path) == pytest.approx([*map(float, times), 3.0])
    assert heard(path) == pytest.approx(CLICKS, abs=EXACT)


def test_a_film_cut_in_the_middle_of_a_group_counts_from_its_first_whole_picture(tmp_path: Path) -> None:
    """The pictures before it cannot be shown, and its stream is said to begin with them."""
    write_film(tmp_path / "whole.ts", [0.3, 1.7, 2.2], codec="mp2")
    with av.open(str(tmp_path / "whole.ts")) as source, av.open(str(tmp_path / "cut.ts"), "w") as target:
        film, sound = source.streams.video[0], source.streams.audio[0]
        streams = {stream.index: target.add_stream_from_template(stream) for stream in (film, sound)}
        packets = [packet for packet in source.demux(film, sound) if packet.dts is not None]
        zero = next(packet.pts * packet.time_base for packet in packets if packet.stream is film)
        keys = [
            packet.pts * packet.time_base
            for packet in packets
            if packet.stream is film and packet.is_keyframe
        ]
        for packet in packets:
            if packet.pts * packet.time_base >= zero + Fraction(1, 2):
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    first = float(next(key for key in keys if key >= zero + Fraction(1, 2)) - zero)
    path, _ = carried(tmp_path / "cut.ts")
    assert heard(path) == pytest.approx([1.7 - first, 2.2 - first], abs=LOSSY)


def test_an_avi_whose_pictures_are_reordered_begins_at_its_beginning(tmp_path: Path) -> None:
    """It says when pictures are decoded: by that the first one would come a picture late."""
    write_film(tmp_path / "video.avi", CLICKS, film_codec="libx264")
    assert heard(carried(tmp_path / "video.avi")[0]) == pytest.approx(CLICKS, abs=EXACT)


def frames_of(*parts: tuple[float, int, int]) -> list[av.AudioFrame]:
    """Give sound of ones: for each part its moment, its rate and its count of samples."""
    frames = []
    for begins, rate, count in parts:
        frame = av.AudioFrame.from_ndarray(np.ones((1, count), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, 1000), round(begins * 1000)
        frames.append(frame)
    return frames


def laid(rate: int, first_picture: Fraction, *parts: tuple[float, int, int]) -> tuple[int, np.ndarray]:
    """Say with which sample the sound begins, and give it."""
    samples = Samples(rate, "mono", first_picture)
    out = [piece for frame in frames_of(*parts) for piece in samples.lay(frame)] + list(samples.end())
    places = [piece.pts for piece in out]
    counts = [piece.samples for piece in out]
    assert places == [places[0] + sum(counts[:number]) for number in range(len(out))], "not in one piece"
    return places[0], np.concatenate([piece.to_ndarray()[0] for piece in out])


def test_samples_whose_times_are_rounded_to_milliseconds_follow_each_other_untouched() -> None:
    parts = [(round(number * 1024 / 44100, 3), 44100, 1024) for number in range(200)]
    begins, wave = laid(44100, Fraction(0), *parts)
    assert (begins, len(wave)) == (0, 200 * 1024)
    assert wave.min() == 1


def test_a_hole_is_silence_of_its_length_and_what_comes_twice_is_taken_once() -> None:
    hole = 3 * JITTER
    _, wave = laid(8000, Fraction(0), (0, 8000, 800), (float(Fraction(1, 10) + hole), 8000, 800))
    assert len(wave) == 1600 + hole * 8000
    assert (wave == 0).sum() == hole * 8000
    _, tee = laid(8000, Fraction(0), (0, 8000, 800), (0.05, 8000, 800))
    assert len(tee) == 1200


def test_sound_before_the_first_picture_is_cut_to_the_sample() -> None:
    assert laid(8000, Fraction(1, 2), (0.25, 8000, 8000)) == (0, pytest.approx(np.ones(6000)))
    assert laid(8000, Fraction(1, 2), (0.75, 8000, 80))[0] == 2000


def test_a_rate_that_changes_on_the_way_keeps_its_moments() -> None:
    _, wave = laid(8000, Fraction(0), (0, 8000, 800), (0.1, 48000, 4800), (0.2, 8000, 800))
    assert len(wave) == pytest.approx(2400, abs=2)


def with_tracks(path: Path, unknown: Sequence[int], count: int = 2) -> Path:
    """Write a mov with several sound tracks, some of a codec that nobody knows."""
    write_film(path.with_name("one.mov"), CLICKS)
    with av.open(str(path.with_name("one.mov"))) as source, av.open(str(path), "w") as target:
        film, sound = source.streams.video[0], source.streams.audio[0]
        pictures = target.add_stream_from_template(film)
        tracks = [target.add_stream_from_template(sound) for _ in range(count)]
        for packet in source.demux(film, sound):
            if packet.dts is None:
                continue
            times = packet.pts, packet.dts, packet.duration, packet.time_base
            for track in [pictures] if packet.stream is film else tracks:
                packet.pts, packet.dts, packet.duration, packet.time_base = times
                packet.stream = track
                target.mux(packet)
    content = path.read_bytes()
    parts = content.split(b"sowt")
    assert len(parts) == count + 1
    names = [b"zzzz" if number in unknown else b"sowt" for number in range(count)]
    path.write_bytes(parts[0] + b"".join(name + part for name, part in zip(names, parts[1:], strict=True)))
    return path


def test_a_track_that_nothing_here_reads_is_passed_over_for_one_that_is_known(tmp_path: Path) -> None:
    film = with_tracks(tmp_path / "video.mov", unknown=[0])
    path, said = carried(film)
    assert heard(path) == pytest.approx(CLICKS, abs=EXACT)
    assert said == []
    with av.open(str(film)) as container:
        assert playable_track(container) is container.streams.audio[1]
        assert unplayable_remark(container) == (
            "nothing here decodes the first sound track; track 2 is carried"
        )


def test_pictures_are_written_without_a_sound_that_nothing_here_reads(tmp_path: Path) -> None:
    film = with_tracks(tmp_path / "video.mov", unknown=[0], count=1)
    path, said = carried(film)
    assert said == ["sound: left out, nothing here decodes it"]
    assert shown(path) == pytest.approx([float(time) for time in TENTHS])
    with av.open(str(path)) as container:
        assert not container.streams.audio
    with av.open(str(film)) as container:
        assert playable_track(container) is None
        assert unplayable_remark(container) == "the sound is left out: nothing here decodes its kind"
    write_film(tmp_path / "known.mov", CLICKS)
    with av.open(str(tmp_path / "known.mov")) as container:
        assert unplayable_remark(container) is None


def damaged(path: Path, codec: str, begin: float, end: float) -> Path:
    """Write a video and overwrite the packets of its sound between two moments."""
    write_film(path, CLICKS, codec=codec)
    content, at = bytearray(path.read_bytes()), 0
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            at = content.index(bytes(packet), at)
            if packet.pts is not None and begin <= packet.pts * packet.time_base < end:
                content[at : at + packet.size] = b"\x55" * packet.size
            at += packet.size
    path.write_bytes(content)
    return path


def test_damaged_sound_is_silent_where_it_is_damaged_and_in_step_after_it(tmp_path: Path) -> None:
    path, said = carried(damaged(tmp_path / "video.mkv", "mp2", 1.0, 1.5))
    assert heard(path) == pytest.approx(CLICKS, abs=LOSSY)
    assert set(said) == {"sound: damaged, silent where it is (Invalid data found when processing input)"}


def test_a_damaged_packet_that_would_be_copied_is_left_out_and_no_fault_of_the_pictures(
    tmp_path: Path,
) -> None:
    """Beside pictures, a container complains of it when the next picture is written."""
    path, said = carried(damaged(tmp_path / "video.mkv", "ac3", 1.0, 1.5))
    assert codec_of(path) == "ac3"
    assert heard(path) == pytest.approx(CLICKS, abs=LOSSY)
    assert set(said) == {"sound: damaged, a part of it is left out"}
    assert len(shown(path)) == len(TENTHS)


def test_a_file_that_can_no_longer_be_read_costs_only_the_sound(tmp_path: Path) -> None:
    (tmp_path / "video.mov").write_bytes(b"\0" * 999)
    path, said = carried(tmp_path / "video.mov")
    assert len(said) == 1
    assert said[0].startswith("sound: left out, its file cannot be read (")
    assert len(shown(path)) == len(TENTHS)
