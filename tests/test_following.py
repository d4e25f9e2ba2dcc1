"""Runs that follow a sound, a song or a table: what is written, what is drawn, what is repeated."""

from __future__ import annotations

import csv
import json
import logging
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import torch

from tests.clicks import click_samples, heard, write_film
from tests.test_expressions import brought_to_one, loudness
from vae_experiments import load_latents
from vae_experiments.errors import SettingError, SourceError
from vae_experiments.manipulations import Noise, Retime, chain
from vae_experiments.pipeline.experiment import Experiment
from vae_experiments.pipeline.run_folder import Output
from vae_experiments.sources import Video

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLICKS = [0.25, 0.55, 1.01, 1.75, 2.58]
BARE: dict[str, Any] = {"comparison": False, "report": False, "pictures": False, "provenance": False}


def write_song(path: Path, seconds: float, clicks: list[float]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=44100, layout="mono")
        wave = click_samples(seconds, clicks, 44100)
        frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


@pytest.fixture
def film(tmp_path: Path) -> Video:
    write_film(tmp_path / "film.mkv", CLICKS, rate=8000)
    return Video(path=str(tmp_path / "film.mkv"))


@pytest.fixture
def run(tmp_path: Path, film: Video) -> Callable[..., Path]:
    def run_it(*links: Any, name: str = "run", **output: Any) -> Path:
        (tmp_path / name).mkdir()
        Experiment(source=film, manipulations=links, output=Output(**BARE | output)).run(tmp_path / name)
        return tmp_path / name

    return run_it


def test_the_noise_of_each_frame_is_as_strong_as_a_numpy_script_computes(run: Callable[..., Path]) -> None:
    folder = run(
        Noise(scale="0.2 + 0.6*audio(mid)"),  # type: ignore[arg-type]
        **dict.fromkeys(("pictures", "report", "provenance", "latents"), True),
    )
    samples = click_samples(3.0, CLICKS, 8000)[0]
    raw = loudness(samples, 8000, [frame / 10 for frame in range(31)], 250, 4000)
    expected = 0.2 + 0.6 * brought_to_one(raw)
    encoded, changed = (load_latents(folder / "latents", name) for name in ("encoded", "changed"))
    noise = torch.cat(list(chain([Noise(scale=1)], [encoded]))) - encoded
    measured = ((changed - encoded) * noise).sum((1, 2, 3)) / noise.square().sum((1, 2, 3))
    assert measured.tolist() == pytest.approx(expected.tolist(), abs=2e-3)
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert [float(row["noise.scale"]) for row in rows] == pytest.approx(expected.tolist(), abs=2e-3)
    assert (folder / "settings.png").stat().st_size > 5000
    assert 'src="settings.png"' in (folder / "report.html").read_text()
    assert "settings.png" in (folder / "SHA256SUMS").read_text()


def test_a_run_in_which_nothing_moves_draws_no_settings(run: Callable[..., Path]) -> None:
    folder = run(Noise(scale=1), pictures=True)
    assert not (folder / "settings.png").exists()
    assert "noise." not in (folder / "metrics.csv").read_text().splitlines()[0].replace("with_noise.", "")


def test_a_song_is_listened_to_and_laid_under_the_videos(
    run: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    song, curve = tmp_path / "song.wav", tmp_path / "curve.csv"
    write_song(song, 5.0, [0.5, 1.25, 4.0])
    curve.write_text("0,0\n3,1\n")
    with caplog.at_level(logging.INFO):
        folder = run(
            Noise(scale=f"onset(path={song}, decay=0s)", strength=f"table({curve})"),  # type: ignore[arg-type]
            sound=str(song),
            provenance=True,
        )
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert [number for number, row in enumerate(rows) if float(row["noise.scale"]) == 1] == [5, 12]
    assert [float(row["noise.strength"]) for row in rows] == pytest.approx(
        [frame / 30 for frame in range(30)]
    )
    assert f"{song} lies under the videos, cut to their 3.00 s" in caplog.text
    for name in ("original", "reconstructed_with_noise"):
        assert heard(folder / f"{name}.mp4") == pytest.approx([0.5, 1.25], abs=0.01)
    digests = json.loads((folder / "provenance.json").read_text())["other_videos_digests"]
    assert set(digests) == {f"noise.scale: {song}", f"noise.strength: {curve}", f"output.sound: {song}"}


def test_a_shorter_song_is_followed_by_silence(
    run: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    song = tmp_path / "song.wav"
    write_song(song, 1.0, [0.5])
    with caplog.at_level(logging.INFO):
        folder = run(Retime(speed=0.5), sound=str(song))
    assert f"{song} lies under the videos, 1.00 s and then silence to 3.00 s" in caplog.text
    for name, seconds in (("original", 3.0), ("reconstructed_with_retime", 6.0)):
        assert heard(folder / f"{name}.mp4") == pytest.approx([0.5], abs=0.01)
        with av.open(str(folder / f"{name}.mp4")) as container:
            track = container.streams.audio[0]
            assert float(track.duration * track.time_base) == pytest.approx(seconds, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"scale": "audio(low, path=gone.wav)"}, "noise.scale=gone.wav: no such file"),
        ({"scale": "table(gone.csv)"}, "noise.scale=gone.csv: no such file"),
        ({"mask": "circle(table(gone.csv),0.5,0.1)"}, "noise.mask=gone.csv: no such file"),
        ({"scale": "audio(low, path=text.csv)"}, "noise.scale=audio.*: text.csv: cannot be read"),
        ({"scale": "audio(low) - 0.5"}, "noise.scale=audio.*must be at least 0 .*, and is -"),
        ({"scale": "audio(4000:5000)"}, "the band begins at 4000 Hz, and sound at 8000 Hz ends at 4000 Hz"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_written(
    settings: dict[str, Any],
    sentence: str,
    run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.csv").write_text("0,1\n")
    with pytest.raises((SettingError, SourceError), match=sentence):
        run(Noise(**settings), name="wrong")
    assert list((tmp_path / "wrong").glob("*.mp4")) == []


def test_a_source_without_sound_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    quiet = Experiment(manipulations=[Noise(scale="audio(low)")], output=Output(**BARE))  # type: ignore[arg-type]
    with pytest.raises(
        SettingError, match="noise.scale=audio.*: the source has no sound to listen to; name a file"
    ):
        quiet.run(tmp_path / "run")
    with pytest.raises(
        SettingError, match="output.sound=.*: .*has no sound that can be read; give a file with sound"
    ):
        with av.open(str(tmp_path / "mute.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for packet in [*stream.encode(av.VideoFrame(64, 48, "yuv420p")), *stream.encode(None)]:
                container.mux(packet)
        Experiment(output=Output(**BARE, sound=str(tmp_path / "mute.mp4"))).run(tmp_path / "run")


def test_curves_draws_without_a_run(type_command: Callable[..., Any], tmp_path: Path) -> None:
    words = ["-m", "vae_experiments", "curves", "source.frames=6", "source.size=64"]
    done = type_command(*words, "noise.scale=map(ramp(0,1), 0.2, 0.7)", folder=tmp_path / "drawn")
    assert (done.returncode, "noise.scale over 6 frames" in done.stdout) == (0, True), done.stderr
    table = list(csv.DictReader((tmp_path / "drawn" / "settings.csv").read_text().splitlines()))
    assert [float(row["noise.scale"]) for row in table] == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert (tmp_path / "drawn" / "settings.png").exists()
    assert not list((tmp_path / "drawn").glob("*.mp4"))
    done = type_command(*words, folder=tmp_path / "still")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: manipulation=noise: no setting moves; give one an expression")
