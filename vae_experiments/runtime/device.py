"""Device, dtype and memory policy: each choice with its reason."""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import dataclass
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


class Dtype(Choice):
    """The numbers that the network computes in; frames and latents are float32 wherever they are seen."""

    auto = "float32, the one that is safe everywhere"
    float32 = "float32"
    bfloat16 = "bfloat16: half the memory, three digits"
    float16 = "float16: half the memory, four digits, nothing above 65504; CUDA only"


class Fallback(Choice):
    """What happens when the device's memory is not enough for a single frame."""

    none = "the run ends with a sentence"
    cpu = "the rest of the run is done on the CPU"


_torchs_own_threads: list[int] = []
"""How many threads torch had, as long as it has those of a ``device.threads``."""


@dataclass(frozen=True)
class DeviceChoice:
    """The device that a run uses, and why."""

    device: torch.device
    dtype: torch.dtype
    reason: str
    exact: bool
    compiled: bool = False
    fallback: bool = False
    """Whether the CPU may take over when memory is not enough."""
    tf32: bool = False

    @property
    def numbers(self) -> str:
        """What the network computes in: all of this choice that changes latents."""
        ways = {"exact": self.exact, "compiled": self.compiled, "TF32": self.tf32}
        names = [
            self.device.type,
            str(self.dtype).removeprefix("torch."),
            *(way for way in ways if ways[way]),
        ]
        return " ".join(names)

    @property
    def memory_format(self) -> torch.memory_format:
        """Choose how pictures lie in memory: channels last is faster on CPU and CUDA; on MPS it was not tried."""
        import torch

        return torch.contiguous_format if self.device.type == "mps" else torch.channels_last

    def __str__(self) -> str:
        return f"{self.device.type} in {str(self.dtype).removeprefix('torch.')}: {self.reason}"


class Device(Option, group="device", single=True):
    """Chooses where the network runs and how; ``auto`` takes CUDA, then MPS, then the CPU."""

    name: DeviceName = setting(
        "device to run on; one that is asked for is never replaced", default=DeviceName.auto
    )
    exact: bool = setting(
        "one frame at a time through the network: the same bits at any batch size", default=False
    )
    threads: int = setting(
        "CPU threads of the network; 0 leaves it to torch", default=0, minimum=0, maximum=256
    )

    dtype: Dtype = setting("numbers that the network computes in", default=Dtype.auto)
    tf32: bool = setting(
        "on CUDA, multiply float32 with 10-bit fractions: faster, a little coarser", default=True
    )
    compile: bool = setting(
        "compile a frame-wise network first: a minute once, for long clips and sweeps", default=False
    )
    fallback: Fallback = setting(
        "what to do where one frame does not fit into the memory of MPS", default=Fallback.none
    )
    mps_memory: float | None = setting(
        "fraction of its memory that MPS may use, 0 for no limit; torch's own if left out",
        default=None,
        minimum=0,
        maximum=2,
    )

    def choose(self) -> DeviceChoice:
        """Settle on a device and what it computes in.

        Raises:
            DeviceError: the device that was asked for is not there, or cannot compute in that dtype.
        """
        if self.mps_memory is not None:
            # Read when MPS takes its first memory.
            os.environ["PYTORCH_MPS_HIGH_WATERMARK_RATIO"] = f"{self.mps_memory:g}"
        import torch

        found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        give_threads_back()
        if self.threads:
            _torchs_own_threads.append(torch.get_num_threads())
            torch.set_num_threads(self.threads)
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
        tf32 = name == "cuda" and self.tf32 and not self.exact
        if name == "cuda":
            _allow_tf32(tf32)
            reason += ", TF32" if tf32 else ""
        dtype = getattr(torch, self._dtype_on(name))
        if name == "cpu" and dtype == torch.bfloat16 and not torch.cpu._is_amx_tile_supported():
            reason += "; this CPU has no AMX, and is slower in bfloat16 than in float32"
        fallback = self.fallback is Fallback.cpu and name == "mps"
        return DeviceChoice(torch.device(name), dtype, reason, self.exact, self.compile, fallback, tf32)

    def _dtype_on(self, name: str) -> str:
        """Name the dtype: float32 unless another was asked for, which must be one that the device can do.

        float16 overflows in well-known autoencoders and gives black frames on MPS (diffusers#2785); CPUs
        compute in it more slowly than in float32.
        """
        if self.dtype is Dtype.float16 and name != "cuda":
            reason = "gives black or wrong frames" if name == "mps" else "is slower than float32"
            raise DeviceError(
                f"device.dtype=float16: on {name} it {reason}", "use device.dtype=auto, or bfloat16"
            )
        return "float32" if self.dtype is Dtype.auto else self.dtype.name


def _allow_tf32(allowed: bool) -> None:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def give_threads_back() -> None:
    """Give torch the CPU threads back that it had before a ``device.threads``, so that no later run inherits them."""
    while _torchs_own_threads:
        import torch

        torch.set_num_threads(_torchs_own_threads.pop())


@functools.cache
def _keep_freed_memory() -> None:
    """Let glibc keep what the network frees, for the next chunk, which needs as much again.

    Given back to the system and fetched anew, zeroed page by page, the same memory cost an eighth
    of the time of a run on the CPU. All threads take it from one heap: each that had its own kept pieces there
    that the next job of a sweep did not find. Other C libraries have no such call, and are left alone.
    """
    import ctypes

    trim_threshold, top_pad, mmap_threshold, most_heaps = -1, -2, -3, -8
    wanted = ((most_heaps, 1), (mmap_threshold, 2**25), (trim_threshold, 2**31 - 1), (top_pad, 2**26))
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in wanted:
            mallopt(option, value)
