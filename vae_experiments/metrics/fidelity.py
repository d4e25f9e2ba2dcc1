"""How far a video is from the original: running sums, so memory does not grow with the clip.

All numbers are taken on the frames as the model was given them and on the decoded frames rounded to 8 bits
as they are written, never on a compressed file. ``metric.py`` has the protocol of each.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import SettingError, closest
from vae_experiments.files import csv_text
from vae_experiments.metrics.ffmpeg_filters import FILTERS, FfmpegFilters
from vae_experiments.metrics.metric import DEFAULT_METRICS, METRICS
from vae_experiments.metrics.perceptual import load_lpips, lpips_of
from vae_experiments.metrics.structure import ms_ssim, ssim
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from vae_experiments.tensors import Pixels

SETTING = "output.metrics"


class Fidelity:
    """Compares one video with the original, chunk by chunk.

    As a context, it takes the numbers that need all frames when the block ends without an error.

    Args:
        names: of ``METRICS``.
        fps: the rate of the frames, by which XPSNR weighs their motion.
    """

    def __init__(self, names: Sequence[str] = DEFAULT_METRICS, fps: Fraction = Fraction(25)) -> None:
        self.names = list(dict.fromkeys(names))
        self.columns: dict[str, list[float | None]] = {METRICS[name].key: [] for name in self.names}
        """The numbers of every frame, by their keys: no PSNR for identical frames, no flicker for the first one."""
        self._fps = fps
        self._squared_errors: list[float] = []
        self._last_error: torch.Tensor | None = None
        self._whole: dict[str, float | None] = {}
        self._filters: FfmpegFilters | None = None
        self._lpips: Any = None

    def __enter__(self) -> Fidelity:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._filters and kind is None:
                for name, (whole, frames) in self._filters.finish().items():
                    key = METRICS[name].key
                    self._whole[key], self.columns[key] = whole, frames
        finally:
            if self._filters:
                self._filters.close()

    def update(self, original: Pixels, other: Pixels) -> None:
        """Take in the next frames of both, uint8 ``T H W 3``.

        Frame by frame, since a sum over several at once differs in its last bits with their number.
        """
        import torch

        assert original.shape == other.shape, (original.shape, other.shape)
        if (outside := [name for name in self.names if name in FILTERS]) and len(original):
            height, width = original.shape[1:3]
            self._filters = self._filters or FfmpegFilters(outside, Size(width, height), self._fps)
            self._filters.update(original, other)
        for frames in zip(original, other, strict=True):
            first, second = (torch.from_numpy(pixels).movedim(-1, 0)[None].float() for pixels in frames)
            self._compare(first, second)
        if "lpips" in self.names:
            self._lpips = self._lpips or load_lpips()
            self.columns["lpips"] += lpips_of(self._lpips, original, other)

    def _compare(self, first: torch.Tensor, second: torch.Tensor) -> None:
        """Take the numbers of one pair of frames, ``1 3 H W`` in 8-bit levels."""
        error, last = second - first, self._last_error
        self._last_error = error
        self._squared_errors.append(float(error.square().mean()))
        if "psnr" in self.names:
            self.columns["psnr_db"].append(psnr_db(self._squared_errors[-1]))
        if "flicker" in self.names:
            self.columns["flicker"].append(None if last is None else float((error - last).abs().mean()))
        for name, similarity in (("ssim", ssim), ("ms_ssim", ms_ssim)):
            if name in self.names:
                value = similarity(first, second)
                self.columns[name].append(None if value is None else float(value))

    def kept(self) -> dict[str, Any]:
        """Return all that the numbers are made of, for ``take_kept`` of another."""
        return {"columns": self.columns, "squared_errors": self._squared_errors, "whole": self._whole}

    def take_kept(self, kept: Mapping[str, Any]) -> None:
        """Take the numbers of the same video over, which another has measured."""
        self.columns, self._squared_errors = kept["columns"], kept["squared_errors"]
        self._whole = kept["whole"]

    def summary(self) -> dict[str, float | bool | None]:
        """Return the numbers of the whole video, and whether it is identical to the original."""
        mse = math.fsum(self._squared_errors) / max(len(self._squared_errors), 1)
        whole = {key: _mean(column) for key, column in self.columns.items()} | self._whole
        if "psnr_db" in whole:
            whole["psnr_db"] = psnr_db(mse)
        return {**whole, "identical": mse == 0}


def check_metrics(names: Sequence[str], size: Size | None = None) -> None:
    """Look, before any work, whether numbers are known, and can be taken of frames of a size.

    Raises:
        SettingError: there is no such number, or it cannot be had here, or the frames are too small for it.
    """
    for name in names:
        if name not in METRICS:
            raise SettingError(SETTING, name, "there is no such metric", closest(str(name), METRICS))
        if size and min(size) < METRICS[name].smallest_side and name not in DEFAULT_METRICS:
            rule = (
                f"frames of {size} are too small for it, it takes {METRICS[name].smallest_side} pixels a side"
            )
            raise SettingError(SETTING, name, rule, "leave it out, or set source.size")
    if size and "lpips" in names:
        load_lpips()


def psnr_db_of(original: Pixels, other: Pixels) -> float | None:
    """Return the PSNR in dB of one whole video against another, uint8 ``T H W 3``; None where they are the same."""
    fidelity = Fidelity(["psnr"])
    fidelity.update(original, other)
    return fidelity.summary()["psnr_db"]


def as_table(
    fidelities: Mapping[str, Fidelity],
    frames: int,
    begins: Callable[[int], Fraction],
    settings: Mapping[str, Sequence[float]],
) -> str:
    """Write when each frame begins, the numbers of every video and the settings that move as CSV, a row a frame.

    A number is empty where a video has no such frame.
    """
    columns: dict[str, Sequence[float | None]] = {
        f"{name}.{key}": column for name, video in fidelities.items() for key, column in video.columns.items()
    }
    columns |= settings
    rows = [
        [
            frame,
            round(float(begins(frame)), 6),
            *(column[frame] if frame < len(column) else None for column in columns.values()),
        ]
        for frame in range(frames)
    ]
    return csv_text(["frame", "seconds", *columns], rows)


def psnr_db(mse: float) -> float | None:
    """Turn a mean squared error in 8-bit levels into decibels; None where there is no error."""
    return 10 * math.log10(255**2 / mse) if mse > 0 else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
