"""Device, dtype and memory policy: each choice with its reason."""

from __future__ import annotations

import contextlib
import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.errors import DeviceError
from vae_experiments.options import Choice, Option, setting

if TYPE_CHECKING:
    import torch


class DeviceName(Choice):
    """The kinds of device that torch calls by these names."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


@dataclass(frozen=True)
class Chosen:
    """The device that a run uses, and why."""

    device: torch.device
    dtype: torch.dtype
    reason: str
    exact: bool

    @property
    def memory_format(self) -> torch.memory_format:
        """Choose how pictures lie in memory: channels last is faster on CPU and CUDA; on MPS it was not tried."""
        import torch

        return torch.contiguous_format if self.device.type == "mps" else torch.channels_last

    def __str__(self) -> str:
        return f"{self.device.type} in {str(self.dtype).removeprefix('torch.')}: {self.reason}"


class Device(Option, family="device", single=True):
    """Chooses where the network runs and how; ``auto`` takes CUDA, then MPS, then the CPU."""

    name: DeviceName = setting(
        "device to run on; an explicit wish is never replaced", default=DeviceName.auto
    )
    exact: bool = setting(
        "one frame at a time through the network: the same bits at any batch size", default=False
    )
    threads: int = setting(
        "CPU threads of the network; 0 leaves it to torch", default=0, minimum=0, maximum=256
    )

    def choose(self) -> Chosen:
        """Settle on a device.

        Everything runs in float32: the CPU and MPS have nothing better that is safe, and on CUDA
        float16 overflows in well-known autoencoders.

        Raises:
            DeviceError: the device that was asked for is not there.
        """
        import torch

        found = {
            "cuda": torch.cuda.is_available(),
            "mps": torch.backends.mps.is_available(),
            "cpu": True,
        }
        torch.set_num_threads(self.threads or _torchs_own_threads())
        _keep_freed_memory()
        if self.name is DeviceName.auto:
            name = next(name for name in found if found[name])
            missing = [other for other in found if not found[other]]
            reason = (
                f"chosen by device=auto, no {' and no '.join(missing)} here"
                if missing
                else "chosen by device=auto"
            )
        else:
            name, reason = self.name.value, f"asked for by device={self.name}"
        if not found[name]:
            there = ", ".join(other for other in found if found[other])
            raise DeviceError(
                f"device={name}: torch finds no such device here", f"use device=auto, or one of: {there}"
            )
        return Chosen(torch.device(name), torch.float32, reason, self.exact)


@functools.cache
def _torchs_own_threads() -> int:
    """Remember what torch chose, so that a job of a sweep does not inherit the threads of the one before."""
    import torch

    return torch.get_num_threads()


@functools.cache
def _keep_freed_memory() -> None:
    """Let glibc keep what the network frees, for the next chunk, which needs as much again.

    Given back to the system and fetched anew, zeroed page by page, the same memory cost an eighth
    of the time of a run on the CPU. Other C libraries have no such call, and are left alone.
    """
    import ctypes

    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, size_bytes in ((mmap_threshold, 2**25), (trim_threshold, 2**31 - 1), (top_pad, 2**26)):
            mallopt(option, size_bytes)


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
