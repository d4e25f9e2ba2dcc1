"""LPIPS, by the package of its authors."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import SettingError

if TYPE_CHECKING:
    from vae_experiments.tensors import Pixels

SETTING = "output.metrics"


def load_lpips() -> Any:
    """Return the network of LPIPS with AlexNet; the weights of AlexNet come from torch's own cache or the net.

    Raises:
        SettingError: the package or the weights are not there.
    """
    try:
        import lpips
    except ImportError as error:
        rule = f"the package lpips is missing ({error})"
        raise SettingError(SETTING, "lpips", rule, "pip install 'vae_experiments[lpips]'") from error
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return lpips.LPIPS(net="alex", verbose=False).eval()
    except (OSError, RuntimeError) as error:
        rule = f"the weights of AlexNet cannot be had ({error})"
        hint = "put torchvision's alexnet-owt-7be5be79.pth into torch's hub/checkpoints, or leave lpips out"
        raise SettingError(SETTING, "lpips", rule, hint) from error


def lpips_of(network: Any, original: Pixels, other: Pixels) -> list[float]:
    """Return the distance of each pair of frames, uint8 ``T H W 3``."""
    import torch

    with torch.inference_mode():
        pair = (torch.from_numpy(pixels).movedim(-1, 1).float() / 127.5 - 1 for pixels in (original, other))
        return [float(value) for value in network(*pair).flatten()]
