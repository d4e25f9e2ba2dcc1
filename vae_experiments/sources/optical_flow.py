"""Optical flow: where what one frame shows lies in another, measured by OpenCV's DIS.

Kroeger et al. 2016, Fast Optical Flow using Dense Inverse Search: of what was tried the best for its time, 20 ms for
256x256 on one core, where scikit-image's ILK takes 600 and its TV-L1 1300.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vae_experiments.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from torch import Tensor

LEAST_SIDE = 64
"""In pixels: what is smaller is continued by its border, as DIS breaks off on frames of a dozen."""
FINE_ENOUGH = 256
"""The shorter side, in pixels, that is measured at: cells of latents are coarser than what a larger one adds."""


def check_flow(setting: str, value: object) -> None:
    """Look whether flow can be measured.

    Raises:
        SettingError: OpenCV is not installed.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        rule = f"the package opencv-python-headless is missing ({error})"
        raise SettingError(setting, value, rule, "pip install 'vae_experiments[flow]'") from error


def flow_version() -> str:
    """Name the version of what measures flow."""
    import cv2

    return f"{cv2.__version__}"


def flows(
    frames: Iterable[Tensor], stride: int, cells: tuple[int, int], from_first: bool
) -> Iterator[Tensor]:
    """Measure the flow between each frame ``3 H W`` and the one before it, or the first one.

    Yields ``4 h w`` for each frame, float32 in cells: from here back to the other frame (x, y), and from the other
    one to here. Of the first frame both are 0.

    Args:
        stride: how many pixels, each way, a cell stands for.
        cells: h and w.
        from_first: whether the other frame is the first one. What is measured then begins with what was found last,
            so that it follows what has gone far.
    """
    import torch

    other: np.ndarray | None = None
    found: list[Any] = [None, None]
    for frame in frames:
        grey, factor = _grey(frame)
        if other is None:
            yield torch.zeros(4, *cells)
        else:
            back, onward = found if from_first else (None, None)
            found = [_measured(grey, other, back), _measured(other, grey, onward)]
            height, width = (side // factor for side in frame.shape[1:])
            yield torch.cat([_in_cells(flow[:height, :width], stride / factor, cells) for flow in found])
        if other is None or not from_first:
            other = grey


def _grey(frame: Tensor) -> tuple[np.ndarray, int]:
    """Turn a frame into 8-bit grey, a whole factor smaller where it is large, and name the factor."""
    import numpy as np
    from torch.nn.functional import avg_pool2d

    weights = frame.new_tensor([0.299, 0.587, 0.114])
    factor = max(1, min(frame.shape[1:]) // FINE_ENOUGH)
    grey = avg_pool2d((weights[:, None, None] * frame).sum(0, keepdim=True), factor)[0]
    levels = ((grey + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    missing = [(0, max(0, LEAST_SIDE - side)) for side in levels.shape]
    return np.ascontiguousarray(np.pad(levels, missing, mode="edge")), factor


def _measured(here: np.ndarray, there: np.ndarray, start: np.ndarray | None) -> Any:
    """Return the way ``H W 2`` in pixels from each place of one frame to what it shows in the other."""
    import cv2

    untyped: Any = cv2  # its stubs, where it is installed, know less than it does
    dis = untyped.DISOpticalFlow.create(untyped.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return dis.calc(here, there, None if start is None else start.copy())


def _in_cells(flow: np.ndarray, stride: float, cells: tuple[int, int]) -> Tensor:
    """Average a flow ``H W 2`` over cells, of which the last may be there in part: ``2 h w`` in cells."""
    import torch
    from torch.nn.functional import interpolate, pad

    height, width = (round(side * stride) for side in cells)
    ways = torch.from_numpy(flow).permute(2, 0, 1)[:, :height, :width]
    ways = pad(ways[None], (0, width - ways.shape[2], 0, height - ways.shape[1]), mode="replicate")
    return interpolate(ways, size=cells, mode="area")[0] / stride
