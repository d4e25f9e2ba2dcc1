from __future__ import annotations

import contextlib
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from tests.conftest import REPOSITORY
from vae_experiments.errors import WriteError
from vae_experiments.metrics import DEFAULT_METRICS, METRICS
from vae_experiments.tensors import Size
from vae_experiments.writers import (
    Comparison,
    LatentPicture,
    OutputClock,
    chain_label,
    open_mp4,
    plot_latents,
    plot_metrics,
    write_page,
)
from vae_experiments.writers.video import video_file
from vae_experiments.writers.video.encodings import FFV1_MKV, H264_MP4, PRORES_MOV, VP9_WEBM, Encoding
from vae_experiments.writers.video.video_file import open_video

if TYPE_CHECKING:
    from collections.abc import Iterator

SOUND = REPOSITORY.parent / "shared" / "bad_media" / "with_audio.mp4"


def soft_clip(frames: int = 7, size: Size = Size(64, 48)) -> np.ndarray:  # noqa: B008
    y, x = np.mgrid[0 : size.height, 0 : size.width]
    pictures = [np.stack([x * 3 + 9 * t, y * 4, 128 + 0 * x], -1) for t in range(frames)]
    return np.stack(pictures).clip(0, 255).astype(np.uint8)


def read(path: Path) -> tuple[np.ndarray, av.VideoStream]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]), stream


def write(path: Path, pixels: np.ndarray, fps: Fraction = Fraction(8), sound: Path | None = None) -> None:
    with open_mp4(path, Size(pixels.shape[2], pixels.shape[1]), fps, sound) as video:
        video.write(pixels[:3])
        video.write(pixels[3:])


@pytest.mark.parametrize(
    "fps", [Fraction(8), Fraction(30000, 1001), Fraction(25, 2), Fraction(1, 3), Fraction(1000)]
)
def test_every_frame_and_the_exact_rate_are_written(tmp_path: Path, fps: Fraction) -> None:
    write(tmp_path / "clip.mp4", soft_clip(), fps)
    pixels, stream = read(tmp_path / "clip.mp4")
    assert len(pixels) == 7
    assert stream.average_rate == fps


def test_the_picture_is_what_browsers_play(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", soft_clip())
    _, stream = read(tmp_path / "clip.mp4")
    context = stream.codec_context
    assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1), "BT.709"
    assert context.color_range == 1, "limited"
    head = (tmp_path / "clip.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat"), "a page must not wait for the end of the file"


def test_x264_goes_without_what_makes_other_files_of_the_same_frames(tmp_path: Path) -> None:
    """Its macroblock tree did about once in a thousand times, where it had AVX-512; x264 writes its options down."""
    write(tmp_path / "clip.mp4", soft_clip())
    assert b" mbtree=0 " in (tmp_path / "clip.mp4").read_bytes()


@pytest.mark.parametrize("size", [Size(63, 47), Size(64, 47), Size(1, 1), Size(127, 93)], ids=str)
def test_an_odd_size_is_never_changed(tmp_path: Path, size: Size) -> None:
    write(tmp_path / "clip.mp4", soft_clip(4, size))
    pixels, stream = read(tmp_path / "clip.mp4")
    assert pixels.shape == (4, size.height, size.width, 3)
    assert stream.codec_context.pix_fmt == "yuv444p"


@pytest.mark.parametrize("level", [0, 16, 128, 235, 255])
def test_colours_come_back(tmp_path: Path, level: int) -> None:
    pixels = np.full((3, 32, 32, 3), level, np.uint8)
    pixels[..., 1] = 255 - level
    write(tmp_path / "clip.mp4", pixels)
    back, _ = read(tmp_path / "clip.mp4")
    assert np.abs(back.astype(int) - pixels).max() <= 4


def test_a_failure_half_way_leaves_no_video(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="the model failed"),
        open_mp4(tmp_path / "clip.mp4", Size(64, 48), Fraction(8)) as video,
    ):
        video.write(soft_clip())
        raise RuntimeError("the model failed")
    assert list(tmp_path.iterdir()) == []


def test_a_clip_without_frames_is_no_video(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match="no frame came for clip.mp4"),
        open_mp4(tmp_path / "clip.mp4", Size(64, 48), Fraction(8)),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, pathlib, sys
import numpy as np
from fractions import Fraction
from vae_experiments.tensors import Size
from vae_experiments.writers import open_mp4
noise = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
{prepare}
with open_mp4(pathlib.Path(sys.argv[1]), Size(64, 64), Fraction(8)) as video:
    video.write(noise)
    {disturb}
"""


def test_a_killed_writer_leaves_no_video_under_its_name(tmp_path: Path) -> None:
    script = KILLED.format(prepare="", disturb="os.kill(os.getpid(), 9)")
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "clip.mp4")]).returncode == -9
    assert not (tmp_path / "clip.mp4").exists()


@pytest.mark.parametrize("limit", [0, 4096, 100_000])
def test_a_file_beyond_the_limit_is_one_sentence_and_leaves_no_video(tmp_path: Path, limit: int) -> None:
    prepare = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
"""
    script = KILLED.format(prepare=prepare, disturb="")
    failed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "clip.mp4")], capture_output=True, text=True
    )
    assert failed.returncode == 1
    assert "grew beyond the size that a file may have here" in failed.stderr
    assert list(tmp_path.iterdir()) == []


def write_wav(path: Path, codec: str, seconds: float = 2.0) -> None:
    with av.open(str(path), "w") as container:
        sound = container.add_stream(codec, rate=44100, layout="mono")
        tone = (np.sin(np.arange(int(44100 * seconds)) * 0.05) * 9000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate = 44100
        for ready in [*sound.encode(frame), *sound.encode(None)]:
            container.mux(ready)


def test_a_sound_track_of_another_kind_is_encoded_as_aac(tmp_path: Path) -> None:
    write_wav(tmp_path / "tone.wav", "pcm_s16le")
    write(tmp_path / "clip.mp4", soft_clip(16), sound=tmp_path / "tone.wav")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        sound = container.streams.audio[0]
        assert sound.codec_context.name == "aac"
        assert float(sound.duration * sound.time_base) == pytest.approx(2, abs=0.1)
        assert container.streams.video[0].frames == 16


@pytest.mark.skipif(not SOUND.exists(), reason="the shared clips are not beside this checkout")
def test_an_aac_sound_track_is_copied_packet_for_packet(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", soft_clip(24), Fraction(12), SOUND)

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    assert packets(tmp_path / "clip.mp4") == packets(SOUND)


@pytest.mark.parametrize("size", [Size(64, 48), Size(63, 47), Size(16, 8)], ids=str)
def test_a_comparison_holds_every_frame_unchanged_and_has_an_even_size(size: Size) -> None:
    comparison = Comparison(size, ["original", "reconstructed", "reconstructed with noise"])
    clips = [soft_clip(2, size), soft_clip(2, size)[::-1], 255 - soft_clip(2, size)]
    sheet = comparison.lay_out(clips)
    assert sheet.shape == (2, comparison.size.height, comparison.size.width, 3)
    assert comparison.size.width % 2 == comparison.size.height % 2 == 0
    for column, pixels in enumerate(clips):
        left = column * (size.width + 4)
        top = comparison.header
        assert np.array_equal(sheet[:, top : top + size.height, left : left + size.width], pixels)


def test_each_column_has_its_label() -> None:
    sheet = Comparison(Size(128, 96), ["original", "reconstructed"])
    empty = np.zeros((1, 96, 128, 3), np.uint8)
    header = sheet.lay_out([empty, empty])[0, : sheet.header]
    assert (header[:, :128] > 100).any()
    assert (header[:, 132:] > 100).any()
    assert not np.array_equal(header[:, :128], header[:, 132:260])


@pytest.mark.parametrize("channels", [1, 4, 5, 16, 48])
def test_pictures_are_drawn_for_any_number_of_channels(tmp_path: Path, channels: int) -> None:
    import torch

    picture = LatentPicture(torch.randn(channels, 5, 7), [0.1] * 80, 4.0)
    plot_latents(tmp_path / "latents.png", {"encoded": picture, "changed": picture})
    plot_metrics(
        tmp_path / "metrics.png",
        {"reconstructed": {"psnr_db": [None, 30.0], "ssim": [1, 0.9], "flicker": [None, 2]}},
    )
    for name in ("latents.png", "metrics.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_report_escapes_what_it_is_told_and_needs_no_network(tmp_path: Path) -> None:
    write_page(
        tmp_path / "report.html",
        "run_report.html",
        title="a <b> & c",
        subtitle="",
        videos={"original": "original.mp4"},
        scores={"reconstructed": {"psnr_db": None, "ssim": 1.0, "flicker": 0.0, "identical": True}},
        metrics=[METRICS[name] for name in DEFAULT_METRICS],
        reference="original",
        pictures={},
        facts={"seed": 0},
        files=["metrics.json"],
        command="python run.py 'x<y'",
    )
    page = (tmp_path / "report.html").read_text()
    assert "a &lt;b&gt; &amp; c" in page
    assert "x&lt;y" in page
    assert "identical" in page
    assert "//" not in page.replace("<!doctype", "")


def test_a_chain_is_said_in_words() -> None:
    assert chain_label(["noise", "motion_gain"]) == "noise, then motion gain"
    assert chain_label([]) == "no manipulation"


def write_ts(path: Path, picture_begins: float, sound_begins: float, codec: str = "aac") -> None:
    """Write pictures of 2 s and a sound track that begin at times of their own, as recorders do."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=12)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=48000, layout="mono")
        for number, pixels in enumerate(soft_clip(24)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(picture_begins * 12) + number, Fraction(1, 12)
            container.mux(pictures.encode(frame))
        tone = (np.sin(np.arange(96000) * 0.05) * 9000).astype(np.int16)[None]
        heard = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        heard.sample_rate, heard.pts, heard.time_base = 48000, round(sound_begins * 48000), Fraction(1, 48000)
        container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
        container.mux(pictures.encode(None))


def begins(path: Path, kind: str) -> float:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return min(
            float(packet.pts * packet.time_base)
            for packet in container.demux(stream)
            if packet.pts is not None
        )


@pytest.mark.parametrize("name", ["clip.ts", "clip.mkv"])
@pytest.mark.parametrize(("picture_begins", "sound_begins"), [(0.5, 0.5), (1.0, 1.5), (1.0, 0.5)])
def test_the_sound_stays_in_step_with_the_pictures_wherever_they_began(
    tmp_path: Path, name: str, picture_begins: float, sound_begins: float
) -> None:
    write_ts(tmp_path / name, picture_begins, sound_begins)
    late = begins(tmp_path / name, "audio") - begins(tmp_path / name, "video")
    write(tmp_path / "out.mp4", soft_clip(24), Fraction(12), tmp_path / name)
    carried = begins(tmp_path / "out.mp4", "audio") - begins(tmp_path / "out.mp4", "video")
    assert carried == pytest.approx(max(late, 0), abs=0.03)


@pytest.mark.parametrize(
    ("name", "codec"), [("clip.avi", "mp3"), ("clip.mkv", "pcm_s16le"), ("clip.mkv", "libopus")]
)
def test_the_sound_of_other_containers_is_carried(tmp_path: Path, name: str, codec: str) -> None:
    write_ts(tmp_path / name, 0, 0, codec)
    write(tmp_path / "out.mp4", soft_clip(24), Fraction(12), tmp_path / name)
    with av.open(str(tmp_path / "out.mp4")) as container:
        sound = container.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(2, abs=0.15)


def test_sound_at_an_unusual_rate_is_brought_to_one_that_players_know(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "high.wav"), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=192000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 192000), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 192000
        for ready in [*sound.encode(frame), *sound.encode(None)]:
            container.mux(ready)
    write(tmp_path / "out.mp4", soft_clip(8), sound=tmp_path / "high.wav")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].rate == 48000


def test_a_frame_that_h264_cannot_hold_is_one_sentence(tmp_path: Path) -> None:
    wide = np.zeros((1, 16, 17000, 3), np.uint8)
    with (
        pytest.raises(
            WriteError, match=r"H.264 cannot hold frames of 17000x16 at 8 fps .*; choose another source.size"
        ),
        open_mp4(tmp_path / "clip.mp4", Size(17000, 16), Fraction(8)) as video,
    ):
        video.write(wide)
    assert list(tmp_path.iterdir()) == []


def test_very_wide_videos_are_compared_below_each_other() -> None:
    comparison = Comparison(Size(6000, 16), ["original", "reconstructed", "changed"])
    clips = [np.full((1, 16, 6000, 3), level, np.uint8) for level in (50, 100, 150)]
    sheet = comparison.lay_out(clips)
    assert sheet.shape == (1, comparison.size.height, 6000, 3)
    header = comparison.header
    tops = [header + row * (16 + header) for row in range(3)]
    assert [int(sheet[0, top + 3, 3000, 0]) for top in tops] == [50, 100, 150]


def test_another_reader_sees_the_same_frames(tmp_path: Path) -> None:
    import imageio_ffmpeg

    write(tmp_path / "clip.mp4", soft_clip(9), Fraction(30000, 1001))
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "clip.mp4"))
    assert frames == 9
    assert seconds == pytest.approx(9 * 1001 / 30000, abs=0.01)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("encoding", [H264_MP4, FFV1_MKV, PRORES_MOV, VP9_WEBM], ids=lambda kind: kind.name)
def test_a_video_that_the_disk_did_not_keep_as_it_was_written_does_not_appear(
    encoding: Encoding, place: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a seek fails below FFmpeg's writers, which they pass over."""
    close = video_file._container

    @contextlib.contextmanager
    def spoiled(hidden: Path, *of: Any) -> Iterator[Any]:
        with close(hidden, *of) as container:
            yield container
        content = bytearray(hidden.read_bytes())
        begin = int(len(content) * place)
        content[begin : begin + 200] = bytes(200)
        hidden.write_bytes(content)

    monkeypatch.setattr(video_file, "_container", spoiled)
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), np.uint8)
    with (
        pytest.raises(
            WriteError, match="what was written to .*a.mp4 is not what the disk holds; check the disk"
        ),
        open_video(tmp_path / "a.mp4", encoding, Size(64, 48), OutputClock(Fraction(12))) as video,
    ):
        video.write(noise)
    assert list(tmp_path.iterdir()) == []
