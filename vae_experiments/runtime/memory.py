"""Memory: how much was used at most, and whether an error says that there was not enough."""

from __future__ import annotations

import contextlib
import re
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
"""What torch says on CUDA, MPS and the CPU when memory is not enough; only CUDA has an error class for it."""

_CLEAR_PEAK = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_MACHINE = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")


def forget_peak_memory(device: torch.device) -> None:
    """Start counting peak memory anew, where the system allows it (Linux, CUDA).

    What an earlier run of this process left in pieces goes back to the system first: a sweep would take a
    fifth more memory from job to job, and each would be told what its forerunners needed.
    """
    _give_freed_memory_back()
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            _CLEAR_PEAK.write_text("5")


def peak_memory_bytes(device: torch.device) -> int | None:
    """Return the peak memory used since ``forget_peak_memory``: the GPU's on CUDA, else the process's.

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


def free_memory_bytes(wanted: int) -> int | None:
    """Return how much memory this process can still take, of the machine and of its container (Linux).

    Where that seems to be less than is wanted, what the C library keeps of freed memory is given back
    first, and it is looked at anew. None where the system does not tell.
    """
    free = _free_now()
    if free is not None and free < wanted:
        _give_freed_memory_back()
        free = _free_now()
    return free


def _give_freed_memory_back() -> None:
    """Give back to the system what the C library keeps of freed memory (glibc)."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _free_now() -> int | None:
    found = []
    if _MACHINE.exists():
        line = next(line for line in _MACHINE.read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        limit, used = (int((_CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = re.search(r"^inactive_file (\d+)$", (_CONTAINER / "memory.stat").read_text(), re.MULTILINE)
        found.append(limit - used + (int(cached[1]) if cached else 0))
    return min(found, default=None)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, numpy or Python itself says that there was too little memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
