"""The benchmark: how fast a model encodes and decodes here, and the setting to type for it.

    vae-experiments benchmark
    vae-experiments benchmark model=sd 'benchmark.batch_sizes=[1,4,16]' 'benchmark.sizes=[256,512]'

Every combination of dtype, compile, size and batch size is timed on the same frames, after a warm-up.
The frames are made before, so that only the network is timed; a plain loop over the same network, without
anything of ours around it, tells what our streaming costs.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig

from vae_experiments.cli.app import command_of_options
from vae_experiments.files import write_csv, write_json
from vae_experiments.metrics import psnr_db_of
from vae_experiments.options import Option, setting
from vae_experiments.runtime.device import Device, Dtype
from vae_experiments.runtime.interruption import check
from vae_experiments.runtime.memory import forget_peak_memory, peak_memory_bytes
from vae_experiments.runtime.progress import announce, waiting
from vae_experiments.runtime.provenance import provenance
from vae_experiments.sources import BouncingShapes
from vae_experiments.tensors import Size, to_pixels
from vae_experiments.writers import plot_benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vae_experiments.models import Autoencoder, Model
    from vae_experiments.tensors import Frames

log = logging.getLogger(__name__)
DEFAULT_BATCH = 8


class Benchmark(Option, group="benchmark", single=True):
    """Chooses what is timed."""

    batch_sizes: list[int] = setting("how many frames go through at once", default=[1, 4, 8, 16], minimum=1)
    sizes: list[int] = setting("sides of the square frames", default=[256], unit="pixels", minimum=16)
    dtypes: list[str] = setting("dtypes to compute in", default=["float32", "bfloat16"])
    compiled: list[bool] = setting("whether the network is compiled first", default=[False])
    frames: int = setting("frames that are timed", default=16, minimum=1)
    repeats: int = setting("how often; the median counts", default=3, minimum=1)
    tolerance_db: float = setting(
        "how far below float32 a recommended setting may be", default=0.1, unit="dB", minimum=0
    )

    def __post_init__(self) -> None:
        """Check every value, and that each dtype is one."""
        super().__post_init__()
        known = [dtype.name for dtype in Dtype if dtype is not Dtype.auto]
        if set(self.dtypes) - set(known) or not self.dtypes:
            raise self.error_for("dtypes", f"must be some of {', '.join(known)}")


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
    core_seconds_per_frame: float
    """Of all CPU cores together, to encode and decode a frame: busy neighbours hardly change it."""

    @property
    def frames_per_second(self) -> float:
        """Frames that are both encoded and decoded in a second."""
        return 1 / (1 / self.encode_frames_per_second + 1 / self.decode_frames_per_second)

    def __str__(self) -> str:
        memory = f"{self.peak_memory_bytes / 10**6:6.0f} MB" if self.peak_memory_bytes else "     ? MB"
        plain = "" if self.against_plain is None else f", {self.against_plain:.2f} of a plain loop's time"
        return (
            f"{self.size:5} {self.dtype:9} {'compiled' if self.compiled else '':8} batch {self.batch_size:3}: "
            f"encode {self.encode_frames_per_second:7.2f}, decode {self.decode_frames_per_second:7.2f} frames a second, "
            f"{self.core_seconds_per_frame:.4f} core-seconds a frame, {memory}, {self.psnr_db:6.2f} dB{plain}"
        )


def measure(benchmark: Benchmark, model: Model, device: Device) -> list[Timing]:
    """Time every combination.

    Raises:
        VaeExperimentsError: the model or the device cannot do what was asked for.
    """
    timings = []
    for dtype, compiled in product(benchmark.dtypes, benchmark.compiled):
        chosen = dataclasses.replace(device, dtype=Dtype[dtype], compile=compiled).choose()
        with waiting("loading the model"):
            autoencoder = model.load(chosen)
        for size in benchmark.sizes:
            frames = next(BouncingShapes(size=str(size), frames=benchmark.frames).chunks(benchmark.frames))
            for batch_size in sorted({min(batch, benchmark.frames) for batch in benchmark.batch_sizes}):
                forget_peak_memory(chosen.device)
                check()
                with waiting(f"timing {size} pixels in {dtype}, batch {batch_size}"):
                    numbers = _timed(autoencoder, frames, batch_size, benchmark.repeats)
                numbers["peak_memory_bytes"] = peak_memory_bytes(chosen.device)
                timings.append(Timing(size, dtype, compiled, batch_size, **numbers))
                log.info("%s", timings[-1])
    return timings


def _timed(autoencoder: Autoencoder, frames: Frames, batch_size: int, repeats: int) -> dict[str, Any]:
    """Send frames ``T 3 H W`` there and back, and measure it; the rest of a ``Timing``, without its memory."""
    import torch

    size = Size(frames.shape[-1], frames.shape[-2])
    batches = torch.split(frames, batch_size)
    latents = list(autoencoder.encode(batches))
    decoded = torch.cat(list(autoencoder.decode(latents, size)))[: len(frames)]
    rounds = [
        (
            *_costs(lambda: list(autoencoder.encode(batches))),
            *_costs(lambda: list(autoencoder.decode(latents, size))),
            *_costs(lambda: _plain_loop(autoencoder, batches)),
        )
        for _ in range(repeats)
    ]
    encode, encode_cores, decode, decode_cores, plain, _ = (
        median(times) for times in zip(*rounds, strict=True)
    )
    return {
        "encode_frames_per_second": len(frames) / encode,
        "decode_frames_per_second": len(frames) / decode,
        "psnr_db": psnr_db_of(to_pixels(frames), to_pixels(decoded)),
        "against_plain": (encode + decode) / plain if autoencoder.time_stride == 1 else None,
        "core_seconds_per_frame": (encode_cores + decode_cores) / len(frames),
    }


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


def _costs(work: Callable[[], object]) -> tuple[float, float]:
    """Return how many seconds some work took, and how many of all cores together."""
    start, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cores


def best(timings: Sequence[Timing], tolerance_db: float) -> Timing:
    """Choose the fastest at the largest size whose PSNR is within the tolerance of float32's."""
    largest = max(timing.size for timing in timings)
    rivals = [timing for timing in timings if timing.size == largest]
    exact = [timing.psnr_db for timing in rivals if timing.dtype == "float32"]
    floor = max(exact or [timing.psnr_db for timing in rivals]) - tolerance_db
    near = [timing for timing in rivals if timing.psnr_db >= floor]
    return max(near, key=lambda timing: timing.frames_per_second)


def overrides(timing: Timing, device: Device) -> str:
    """Return what to type for a setting."""
    words = [f"batch_size={timing.batch_size}"]
    words += [f"device.dtype={timing.dtype}"] if timing.dtype != "float32" else []
    words += ["device.compile=true"] if timing.compiled else []
    words += [f"device.threads={device.threads}"] if device.threads else []
    return " ".join(words)


@command_of_options(
    "benchmark",
    "Time a model on this machine, and say what to type for it.\n\nChoose one of each",
    *("model", "device", "benchmark"),
)
def main(model: Model, device: Device, benchmark: Benchmark) -> None:
    """Time what the command line composed, and leave the table, the plot, and where it was measured."""
    announce("torch", "diffusers")
    log.info("device: %s", device.choose())
    timings = measure(benchmark, model, device)
    recommended = best(timings, benchmark.tolerance_db)
    folder = Path(HydraConfig.get().runtime.output_dir)
    rows: list[dict[str, Any]] = [dataclasses.asdict(timing) for timing in timings]
    write_csv(folder / "benchmark.csv", list(rows[0]), [list(row.values()) for row in rows])
    plot_benchmark(folder / "benchmark.png", rows)
    facts = {"device": str(device.choose()), "recommended": dataclasses.asdict(recommended), "timings": rows}
    write_json(folder / "benchmark.json", provenance() | facts)
    usual = [t for t in timings if (t.dtype, t.compiled, t.batch_size) == ("float32", False, DEFAULT_BATCH)]
    ratio = recommended.frames_per_second / usual[-1].frames_per_second if usual else None
    gain = f", {ratio:.2f} times the default" if ratio else ""
    what_to_type = overrides(recommended, device)
    log.info("fastest within %g dB of float32%s: %s", benchmark.tolerance_db, gain, what_to_type)
    log.info("%s", folder / "benchmark.csv")
