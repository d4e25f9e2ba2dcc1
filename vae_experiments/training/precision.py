"""In which numbers a network computes while it learns, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vae_experiments.errors import SettingError
from vae_experiments.training.settings import Precision

if TYPE_CHECKING:
    from vae_experiments.training.settings import Training


def settle_precision(settings: Training, device: torch.device) -> tuple[torch.dtype, str]:
    """Choose the numbers for a device, with the reason.

    float16 is not among them: its range is too small for gradients without a scaler, and on MPS it
    gives wrong answers.

    Raises:
        SettingError: bfloat16 was asked for on a device where it is not known to be safe.
    """
    requested, kind = settings.precision, device.type
    if requested is Precision.float32:
        return torch.float32, "asked for"
    if requested is Precision.bfloat16:
        if kind not in ("cpu", "cuda"):
            raise SettingError(
                "training.precision",
                requested,
                f"not known to be safe on {kind}",
                "use training.precision=float32",
            )
        return torch.bfloat16, "asked for"
    if kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16, "this GPU multiplies it fast"
    if kind == "cpu" and torch.cpu._is_amx_tile_supported():
        return torch.bfloat16, "this CPU has AMX, which multiplies it fast"
    return torch.float32, f"this {kind} does not multiply anything smaller faster"
