from __future__ import annotations

import importlib.util
import re
import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from imageio_ffmpeg import get_ffmpeg_exe
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tests.conftest import REPOSITORY
from vae_experiments.errors import NumbersError, SettingError
from vae_experiments.metrics import METRICS, Fidelity, LatentStatistics, check_metrics, structure
from vae_experiments.metrics.ffmpeg_filters import FfmpegFilters
from vae_experiments.pipeline.run_folder import Output
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Counted:
    """Does what a function does, and counts the calls."""

    def __init__(self, own: Callable[..., Any]) -> None:
        self.own, self.calls = own, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.own(*arguments)


def clip(seed: int, frames: int = 5, height: int = 33, width: int = 47) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def near(pixels: np.ndarray, spread: int) -> np.ndarray:
    noise = np.random.default_rng(9).integers(-spread, spread + 1, pixels.shape)
    return (pixels.astype(int) + noise).clip(0, 255).astype(np.uint8)


def compared(original: np.ndarray, other: np.ndarray, count: int = 2) -> Fidelity:
    fidelity = Fidelity()
    for start in range(0, len(original), count):
        fidelity.update(original[start : start + count], other[start : start + count])
    return fidelity


def test_psnr_of_the_whole_video_is_scikit_images() -> None:
    original, other = clip(0), near(clip(0), 9)
    expected = peak_signal_noise_ratio(original, other, data_range=255)
    assert compared(original, other).summary()["psnr_db"] == pytest.approx(expected, abs=1e-6)


def test_psnr_of_each_frame_is_scikit_images() -> None:
    original, other = clip(0), near(clip(0), 9)
    for number, found in enumerate(compared(original, other).columns["psnr_db"]):
        expected = peak_signal_noise_ratio(original[number], other[number], data_range=255)
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("spread", [1, 9, 80])
def test_ssim_is_scikit_images_with_the_gaussian_window(spread: int) -> None:
    original, other = clip(0), near(clip(0), spread)
    for number, found in enumerate(compared(original, other).columns["ssim"]):
        expected = structural_similarity(
            original[number].astype(np.float64),
            other[number].astype(np.float64),
            channel_axis=-1,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert found == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("rows", [11, 12, 25, 40])
def test_ssim_of_a_frame_of_several_strips_is_scikit_images(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strips meet without a gap and without a row twice, the last of them is shorter."""
    original, other = clip(0, 1, 101, 40), near(clip(0, 1, 101, 40), 40)
    other[:, 60:] = original[:, 60:]  # so that not all rows are alike
    whole = compared(original, other).columns["ssim"][0]
    monkeypatch.setattr(structure, "PIXELS_AT_ONCE", rows * 4 * 40)
    monkeypatch.setattr(structure, "_similarities", counted := Counted(structure._similarities))
    expected = structural_similarity(
        original[0].astype(np.float64),
        other[0].astype(np.float64),
        channel_axis=-1,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    found = compared(original, other).columns["ssim"][0]
    assert counted.calls == -(-91 // rows)
    assert found == pytest.approx(expected, abs=2e-5)
    assert found == pytest.approx(whole, abs=1e-6)


def test_identical_videos_are_said_to_be_identical_and_not_infinitely_good() -> None:
    summary = compared(clip(0), clip(0)).summary()
    assert summary == {"psnr_db": None, "ssim": pytest.approx(1), "flicker": 0, "identical": True}


def test_flicker_is_the_change_of_the_error_between_frames() -> None:
    original = np.full((4, 16, 16, 3), 100, np.uint8)
    other = original.copy()
    other[1::2] += 6
    summary = compared(original, other).summary()
    assert summary["flicker"] == pytest.approx(6)
    assert compared(original, other).columns["flicker"] == [None, 6, 6, 6]


def test_a_constant_error_and_the_clips_own_motion_do_not_flicker() -> None:
    original = clip(3) // 2
    assert compared(original, original + 7).summary()["flicker"] == 0


def test_the_chunk_size_does_not_change_any_number() -> None:
    original, other = clip(0, frames=7), near(clip(0, frames=7), 20)
    by_one, at_once = compared(original, other, 1), compared(original, other, 7)
    assert by_one.columns == at_once.columns
    assert by_one.summary() == at_once.summary()


@pytest.mark.parametrize("chunk", [2, 3, 8])
def test_the_chunk_size_and_the_order_in_memory_change_no_bit_of_the_statistics(chunk: int) -> None:
    latents = torch.randn(8, 16, 30, 34, generator=torch.Generator().manual_seed(0)) * 3 + 2
    by_one, by_chunk = LatentStatistics(), LatentStatistics()
    for latent in latents.split(1):
        by_one.update(latent)
    for latents_ in latents.contiguous(memory_format=torch.channels_last).split(chunk):
        by_chunk.update(latents_)
    assert by_one.summary() == by_chunk.summary()
    assert by_one.density() == by_chunk.density()


def test_a_frame_smaller_than_the_window_has_no_ssim() -> None:
    tiny = clip(0, height=10, width=40)
    assert compared(tiny, near(tiny, 3)).summary()["ssim"] is None


def test_a_single_frame_has_no_flicker() -> None:
    assert compared(clip(0, 1), near(clip(0, 1), 3)).summary()["flicker"] is None


def test_statistics_of_latents_are_those_of_all_of_them() -> None:
    latents = torch.randn(9, 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 3 + 2
    seen = LatentStatistics()
    for chunk in latents.split(4):
        seen.update(chunk)
    summary = seen.summary()
    assert summary["shape"] == [9, 4, 5, 6]
    assert summary["mean"] == pytest.approx(float(latents.mean()), abs=1e-5)
    assert summary["std"] == pytest.approx(float(latents.std(correction=0)), abs=1e-5)
    assert summary["channel_means"] == pytest.approx(latents.mean((0, 2, 3)).tolist(), abs=1e-5)
    assert summary["channel_stds"] == pytest.approx(latents.std((0, 2, 3), correction=0).tolist(), abs=1e-5)
    assert sum(seen.density()) * 8 / 80 == pytest.approx(1)


def moving(frames: int = 6, height: int = 177, width: int = 181) -> np.ndarray:
    """Draw a clip with motion and detail, of odd size."""
    y, x = np.mgrid[:height, :width]
    channels = [
        np.stack(
            [
                128 + 100 * np.sin((x + 2 * t) / 9),
                128 + 90 * np.cos((y + t) / 7),
                (x * y // 50 + 3 * t) % 256,
            ],
            -1,
        )
        for t in range(frames)
    ]
    return np.stack(channels).clip(0, 255).astype(np.uint8)


def measured(names: list[str], original: np.ndarray, other: np.ndarray, count: int = 2) -> Fidelity:
    with Fidelity(names, Fraction(24)) as fidelity:
        for start in range(0, len(original), count):
            fidelity.update(original[start : start + count], other[start : start + count])
    return fidelity


def by_hand(filters: str, original: np.ndarray, other: np.ndarray, folder: Path) -> str:
    """Let ffmpeg compare two files of the same raw frames: the changed one first, as libvmaf takes them."""
    _, height, width, _ = original.shape
    reading = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "24", "-i"]
    for name, pixels in (("original", original), ("other", other)):
        pixels.tofile(folder / name)
    yuv = (
        "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p"
    )
    graph = f"[0]{yuv}[other];[1]{yuv}[original];{filters}"
    command = [get_ffmpeg_exe(), *reading, str(folder / "other"), *reading, str(folder / "original")]
    done = subprocess.run(
        [*command, "-lavfi", graph, "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    return done.stderr


def test_vmaf_is_libvmafs_of_the_same_raw_frames(tmp_path: Path) -> None:
    original, other = moving(), near(moving(), 20)
    said = by_hand("[other][original]libvmaf", original, other, tmp_path)
    fidelity = measured(["vmaf"], original, other)
    assert fidelity.summary()["vmaf"] == float(re.search(r"VMAF score: (\S+)", said)[1])
    assert fidelity.summary()["vmaf"] == pytest.approx(np.mean(fidelity.columns["vmaf"]), abs=1e-5)
    assert len(fidelity.columns["vmaf"]) == len(original)


def test_xpsnr_is_ffmpegs_of_the_same_raw_frames(tmp_path: Path) -> None:
    original, other = moving(), near(moving(), 20)
    said = by_hand("[original][other]xpsnr", original, other, tmp_path)
    fidelity = measured(["xpsnr"], original, other)
    assert fidelity.summary()["xpsnr_db"] == float(re.search(r"XPSNR +y: (\S+)", said)[1])
    assert len(fidelity.columns["xpsnr_db"]) == len(original)


def test_ms_ssim_is_that_of_its_paper() -> None:
    """Wang, Simoncelli and Bovik 2003, written down with scikit-image's window and means over 2x2."""
    original, other = moving(2, 176, 208), near(moving(2, 176, 208), 30)
    for number, found in enumerate(measured(["ms_ssim"], original, other).columns["ms_ssim"]):
        of_channels = []
        for channel in range(3):
            first, second = (pixels[number, ..., channel].astype(np.float64) for pixels in (original, other))
            product = 1.0
            for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
                means = [gaussian(values) for values in (first, second, first * second, first**2, second**2)]
                one, two, cross, one_squared, two_squared = means
                covariance, variances = cross - one * two, one_squared - one**2 + two_squared - two**2
                c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                contrast = (2 * covariance + c2) / (variances + c2)
                luminance = (2 * one * two + c1) / (one**2 + two**2 + c1)
                product *= max(0, (contrast * luminance if scale == 4 else contrast).mean()) ** weight
                first, second = (
                    values.reshape(values.shape[0] // 2, 2, values.shape[1] // 2, 2).mean((1, 3))
                    if scale < 4
                    else values
                    for values in (first, second)
                )
            of_channels.append(product)
        assert found == pytest.approx(np.mean(of_channels), abs=1e-5)


def gaussian(values: np.ndarray) -> np.ndarray:
    """Blur with SSIM's window, keeping what lies wholly inside."""
    return gaussian_filter(values, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]


@pytest.mark.slow
def test_every_metric_is_taken_of_every_frame_and_no_chunk_size_changes_one() -> None:
    names = [name for name in METRICS if name != "lpips"]
    by_one, by_four = (measured(names, moving(), near(moving(), 20), count) for count in (1, 4))
    assert by_one.columns == by_four.columns
    assert by_one.summary() == by_four.summary()
    assert set(by_one.summary()) == {METRICS[name].key for name in names} | {"identical"}
    assert all(len(column) == 6 for column in by_one.columns.values())


def test_identical_videos_have_no_decibels_and_the_best_of_all_else() -> None:
    summary = measured([name for name in METRICS if name != "lpips"], moving(), moving()).summary()
    assert summary["xpsnr_db"] is summary["psnr_db"] is None
    assert summary["ms_ssim"] == pytest.approx(1, abs=1e-6)
    assert summary["vmaf"] > 95


@pytest.mark.parametrize(
    ("name", "size", "sentence"),
    [
        ("vmfa", None, "output.metrics=vmfa: there is no such metric; did you mean vmaf? choose from:"),
        (
            "vmaf",
            Size(16, 64),
            "frames of 16x64 are too small for it, it takes 17 pixels a side; leave it out",
        ),
        ("ms_ssim", Size(175, 400), "frames of 175x400 are too small for it, it takes 176 pixels a side"),
        ("lpips", Size(64, 64), "the package lpips is missing"),
    ],
)
def test_what_cannot_be_measured_is_said_before_the_run(name: str, size: Size | None, sentence: str) -> None:
    if name == "lpips" and importlib.util.find_spec("lpips"):
        pytest.skip("lpips is installed here")
    with pytest.raises(SettingError) as caught:
        check_metrics([name], size)
    assert sentence in str(caught.value)
    if size is None:
        with pytest.raises(SettingError, match="there is no such metric"):
            Output(metrics=[name])


def test_an_ffmpeg_that_dies_is_one_line_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    filters = FfmpegFilters(["vmaf"], Size(64, 64), Fraction(24))
    folder = filters._folder
    filters._process.kill()
    frames = clip(0, 640, 64, 64)  # more than a pipe holds
    with pytest.raises(
        NumbersError, match=r"^output.metrics: ffmpeg cannot take vmaf \(it ended with status -9\); leave"
    ):
        filters.update(frames, frames)
    filters.close()
    assert not folder.exists()


def test_the_page_of_metrics_has_each_with_its_protocol() -> None:
    page = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == len(METRICS)
    for (name, metric), row in zip(METRICS.items(), rows, strict=True):
        assert row.startswith(f"| `{name}` | `{metric.key}` | {metric.label} | ")
        assert row.endswith(f" | {metric.protocol} |")
