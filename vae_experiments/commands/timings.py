"""Timings: how fast a model encodes and decodes with one setting, and which setting is the best of them."""

from __future__ import annotations

import dataclasses
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from vae_experiments.pipeline.metrics import Fidelity
from vae_experiments.tensors import Size, to_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vae_experiments.models import Autoencoder
    from vae_experiments.runtime.device import Device
    from vae_experiments.tensors import Frames


@dataclasses.dataclass(frozen=True)
class Timing:
    """What one combination gave."""

    size: int
    dtype: str
    compiled: bool
    batch_size: int
    encode_frames_per_second: float
    decode_frames_per_second: float
    peak_memory_bytes: int | None
    psnr_db: float
    against_plain: float | None
    """Our time over that of a plain loop; 1 is as fast, less is faster. None for temporal models."""

    @property
    def frames_per_second(self) -> float:
        """Frames that are both encoded and decoded in a second."""
        return 1 / (1 / self.encode_frames_per_second + 1 / self.decode_frames_per_second)


def best(timings: Sequence[Timing], tolerance_db: float) -> Timing:
    """Choose the fastest at the largest size whose PSNR is within the tolerance of float32's."""
    largest = max(timing.size for timing in timings)
    rivals = [timing for timing in timings if timing.size == largest]
    exact = [timing.psnr_db for timing in rivals if timing.dtype == "float32"]
    floor = (max(exact) if exact else max(timing.psnr_db for timing in rivals)) - tolerance_db
    return max(
        (timing for timing in rivals if timing.psnr_db >= floor), key=lambda timing: timing.frames_per_second
    )


def overrides(timing: Timing, device: Device) -> str:
    """Return what to type for a setting."""
    words = [f"batch_size={timing.batch_size}"]
    words += [f"device.dtype={timing.dtype}"] if timing.dtype != "float32" else []
    words += ["device.compile=true"] if timing.compiled else []
    words += [f"device.threads={device.threads}"] if device.threads else []
    return " ".join(words)


def as_line(timing: Timing) -> str:
    """Show one combination as a line of the table on the terminal."""
    memory = f"{timing.peak_memory_bytes / 2**20:6.0f} MB" if timing.peak_memory_bytes else "     ? MB"
    compiled = "compiled" if timing.compiled else "        "
    return (
        f"{timing.size:5} {timing.dtype:9} {compiled} batch {timing.batch_size:3}: "
        f"encode {timing.encode_frames_per_second:7.2f}, decode {timing.decode_frames_per_second:7.2f} frames a second, "
        f"{memory}, {timing.psnr_db:6.2f} dB"
        + ("" if timing.against_plain is None else f", {timing.against_plain:.2f} of a plain loop's time")
    )


def timed(
    autoencoder: Autoencoder, frames: Frames, batch_size: int, repeats: int
) -> tuple[float, float, float, float | None]:
    """Send frames ``T 3 H W`` there and back: frames a second of encoding and of decoding, PSNR in dB, and our
    time over a plain loop's (None for temporal models)."""
    import torch

    size = Size(frames.shape[-1], frames.shape[-2])
    batches = torch.split(frames, batch_size)
    latents = list(autoencoder.encode(batches))
    decoded = torch.cat(list(autoencoder.decode(latents, size)))[: len(frames)]
    rounds = [
        (
            _seconds(lambda: list(autoencoder.encode(batches))),
            _seconds(lambda: list(autoencoder.decode(latents, size))),
            _seconds(lambda: _plain_loop(autoencoder, batches)),
        )
        for _ in range(repeats)
    ]
    encode, decode, plain = (median(times) for times in zip(*rounds, strict=True))
    fidelity = Fidelity()
    fidelity.update(to_pixels(frames), to_pixels(decoded))
    psnr_db = fidelity.summary()["psnr_db"]
    assert isinstance(psnr_db, float), psnr_db
    ratio = (encode + decode) / plain if autoencoder.time_stride == 1 else None
    return len(frames) / encode, len(frames) / decode, psnr_db, ratio


def _plain_loop(autoencoder: Any, batches: Sequence[Frames]) -> None:
    """Do what a script does with a frame-wise network: encode and decode, batch by batch, and nothing else."""
    import torch

    if autoencoder.time_stride > 1:
        return
    network, chosen = autoencoder.network, autoencoder.chosen
    with torch.inference_mode():
        for batch in batches:
            encoded = network.encode(batch.to(chosen.device, chosen.dtype))
            name = next(name for name in ("latent_dist", "latents", "latent") if hasattr(encoded, name))
            answer = getattr(encoded, name)
            network.decode(answer.mode() if name == "latent_dist" else answer).sample.float().cpu()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
