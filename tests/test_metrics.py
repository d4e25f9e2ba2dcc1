from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vae_experiments.pipeline import metrics
from vae_experiments.pipeline.metrics import Fidelity, LatentStatistics

if TYPE_CHECKING:
    from collections.abc import Callable


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
    for number, frame in enumerate(compared(original, other).frames):
        expected = peak_signal_noise_ratio(original[number], other[number], data_range=255)
        assert frame.psnr_db == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("spread", [1, 9, 80])
def test_ssim_is_scikit_images_with_the_gaussian_window(spread: int) -> None:
    original, other = clip(0), near(clip(0), spread)
    for number, frame in enumerate(compared(original, other).frames):
        expected = structural_similarity(
            original[number].astype(np.float64),
            other[number].astype(np.float64),
            channel_axis=-1,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert frame.ssim == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("rows", [11, 12, 25, 40])
def test_ssim_of_a_frame_of_several_strips_is_scikit_images(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strips meet without a gap and without a row twice, the last of them is shorter."""
    original, other = clip(0, 1, 101, 40), near(clip(0, 1, 101, 40), 40)
    other[:, 60:] = original[:, 60:]  # so that not all rows are alike
    whole = compared(original, other).frames[0].ssim
    monkeypatch.setattr(metrics, "PIXELS_AT_ONCE", rows * 4 * 40)
    monkeypatch.setattr(metrics, "_similarities", counted := Counted(metrics._similarities))
    expected = structural_similarity(
        original[0].astype(np.float64),
        other[0].astype(np.float64),
        channel_axis=-1,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    found = compared(original, other).frames[0].ssim
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
    assert [frame.flicker for frame in compared(original, other).frames] == [None, 6, 6, 6]


def test_a_constant_error_and_the_clips_own_motion_do_not_flicker() -> None:
    original = clip(3) // 2
    assert compared(original, original + 7).summary()["flicker"] == 0


def test_the_chunk_size_does_not_change_any_number() -> None:
    original, other = clip(0, frames=7), near(clip(0, frames=7), 20)
    by_one, at_once = compared(original, other, 1), compared(original, other, 7)
    assert by_one.frames == at_once.frames
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
