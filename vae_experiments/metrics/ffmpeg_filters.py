"""VMAF and XPSNR, by the filters of the ffmpeg that imageio-ffmpeg brings, fed with the frames themselves."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.errors import NumbersError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from vae_experiments.tensors import Pixels, Size

_AS_YUV = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p"
)
_COMPLAINTS = "errors.log"
_LOGS = {"vmaf": "vmaf.json", "xpsnr": "xpsnr.log"}
FILTERS = {
    "vmaf": "[d{0}][r{0}]libvmaf=model=version=vmaf_v0.6.1:log_fmt=json:log_path=vmaf.json[out{0}]",
    "xpsnr": "[r{0}][d{0}]xpsnr=stats_file=xpsnr.log[out{0}]",
}
"""The one takes the changed frames first (``d``), the other the original ones (``r``)."""
_OF_FRAME = re.compile(r"^n: *\d+ +XPSNR y: *(\S+)", re.MULTILINE)
_OF_VIDEO = re.compile(r"^XPSNR average, \d+ frames +y: *(\S+)", re.MULTILINE)


class FfmpegFilters:
    """Compares two videos in a process of ffmpeg, frame after frame as they come.

    Args:
        names: of ``vmaf`` and ``xpsnr``, those that are wanted.
        size: of every frame.
        fps: XPSNR weighs motion by it.
    """

    def __init__(self, names: Sequence[str], size: Size, fps: Fraction) -> None:
        from imageio_ffmpeg import get_ffmpeg_exe

        self.names = names
        self._folder = Path(tempfile.mkdtemp(prefix="vae_experiments_"))
        # One pipe for both videos works everywhere, and nobody waits for the other: the original's frame stands
        # above the changed one.
        parts = {
            "r": f"crop={size.width}:{size.height}:0:0:exact=1",
            "d": f"crop=y={size.height}:h={size.height}",
        }
        graph = ["[0:v]split[above][below]"]
        for which, (label, part) in zip(("above", "below"), parts.items(), strict=True):
            ends = "".join(f"[{label}{number}]" for number in range(len(names)))
            graph.append(f"[{which}]{part},{_AS_YUV},split={len(names)}{ends}")
        graph += [FILTERS[name].format(number) for number, name in enumerate(names)]
        outputs = [
            word for number in range(len(names)) for word in ("-map", f"[out{number}]", "-f", "null", "-")
        ]
        reading = [
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-s",
            f"{size.width}x{2 * size.height}",
            "-r",
            str(fps),
        ]
        with (self._folder / _COMPLAINTS).open("wb") as complaints:
            self._process = subprocess.Popen(
                [
                    get_ffmpeg_exe(),
                    "-v",
                    "error",
                    *reading,
                    "-i",
                    "pipe:0",
                    "-lavfi",
                    ";".join(graph),
                    *outputs,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                cwd=self._folder,
            )

    def update(self, original: Pixels, other: Pixels) -> None:
        """Take in the next frames of both, uint8 ``T H W 3``."""
        assert self._process.stdin is not None
        try:
            for pair in zip(original, other, strict=True):
                for picture in pair:
                    self._process.stdin.write(picture.tobytes())
        except OSError as error:
            raise self._failure() from error

    def finish(self) -> dict[str, tuple[float | None, list[float | None]]]:
        """Return each number of the whole video and of every frame; None where there is no difference at all.

        Raises:
            NumbersError: ffmpeg could not take them.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError as error:
            raise self._failure() from error
        if self._process.wait():
            raise self._failure()
        readers = {"vmaf": _vmaf, "xpsnr": _xpsnr}
        return {name: readers[name]((self._folder / _LOGS[name]).read_text()) for name in self.names}

    def close(self) -> None:
        """End the process, if it still runs, and take its files away."""
        self._process.kill()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # of what it was not given any more
            self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _failure(self) -> NumbersError:
        status = self._process.wait()
        complaints = (self._folder / _COMPLAINTS).read_text(errors="replace").strip().splitlines()
        reason = complaints[-1] if complaints else f"it ended with status {status}"
        names = " and ".join(self.names)
        return NumbersError(f"output.metrics: ffmpeg cannot take {names} ({reason})", f"leave {names} out")


def _vmaf(log: str) -> tuple[float | None, list[float | None]]:
    found = json.loads(log)
    return found["pooled_metrics"]["vmaf"]["mean"], [frame["metrics"]["vmaf"] for frame in found["frames"]]


def _xpsnr(log: str) -> tuple[float | None, list[float | None]]:
    video = _OF_VIDEO.search(log)
    assert video, log[-200:]
    return _finite(video[1]), [_finite(number) for number in _OF_FRAME.findall(log)]


def _finite(number: str) -> float | None:
    return float(number) if math.isfinite(float(number)) else None
