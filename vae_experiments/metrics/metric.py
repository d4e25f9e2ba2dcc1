"""Every number that says how far a video is from the original: one table, and the protocol of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """What a number is called, how it is written, and how it is taken."""

    key: str
    """Its name in metrics.json, metrics.csv and sweep.csv."""
    label: str
    """Its name for a person, with its unit."""
    digits: str
    """How it is written for a person, as a format."""
    protocol: str
    """How it is taken: of what, in which range, over what the mean is."""
    higher_is_better: bool = True
    smallest_side: int = 1
    """The least width and height of frames that it can be taken of, where somebody asks for it by name."""


_LIMITED = "8-bit BT.709 yuv420p in limited range, converted from the frames by swscale (bicubic)"
METRICS: dict[str, Metric] = {
    "psnr": Metric(
        "psnr_db",
        "PSNR (dB)",
        ".2f",
        "10 log10(255^2 / MSE) of 8-bit RGB; of a video from the MSE over all its frames (as TokenBench does), not "
        "the mean of its frames' decibels",
    ),
    "ssim": Metric(
        "ssim",
        "SSIM",
        ".4f",
        "Wang et al. 2004: Gaussian window 11x11, sigma 1.5, on 8-bit RGB, windows wholly inside the frame; mean over "
        "channels and frames",
    ),
    "flicker": Metric(
        "flicker",
        "flicker (levels)",
        ".3f",
        "mean absolute change of the error from a frame to the next, in 8-bit levels: what was not there in the "
        "original's own motion",
        higher_is_better=False,
    ),
    "ms_ssim": Metric(
        "ms_ssim",
        "MS-SSIM",
        ".4f",
        "Wang et al. 2003: five scales with their weights, each half the one before by means over 2x2; SSIM's window "
        "and range; mean over channels and frames",
        smallest_side=176,
    ),
    "xpsnr": Metric(
        "xpsnr_db",
        "XPSNR (dB)",
        ".2f",
        f"Helmrich et al. 2020, FFmpeg's xpsnr: of the luma of {_LIMITED}; of a video as FFmpeg's average",
        smallest_side=17,
    ),
    "vmaf": Metric(
        "vmaf",
        "VMAF",
        ".2f",
        f"libvmaf, model vmaf_v0.6.1 (1080p at three heights' distance): of {_LIMITED}; mean over frames",
        smallest_side=17,
    ),
    "lpips": Metric(
        "lpips",
        "LPIPS",
        ".4f",
        "Zhang et al. 2018, version 0.1 with AlexNet: of 8-bit RGB brought to [-1, 1]; mean over frames",
        higher_is_better=False,
        smallest_side=32,
    ),
}
"""By the name that ``output.metrics`` takes."""
DEFAULT_METRICS = ("psnr", "ssim", "flicker")
