"""Memory: how much was used at most, and whether an error says that there was not enough."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""What torch says on CUDA, MPS and the CPU when memory does not suffice; only CUDA has an error class for it."""

_CLEAR_PEAK = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def forget_peak_memory(device: torch.device) -> None:
    """Start counting peak memory anew, where the system allows it (Linux, CUDA)."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            _CLEAR_PEAK.write_text("5")


def peak_memory_bytes(device: torch.device) -> int | None:
    """Say the most memory used since ``forget_peak_memory``: the GPU's on CUDA, else the process's.

    None where the system does not tell (Windows).
    """
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        peak = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if peak is not None:
            return int(peak.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch, numpy or Python itself says that memory did not suffice."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
