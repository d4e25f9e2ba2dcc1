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
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig

from vae_experiments.cli.app import command
from vae_experiments.cli.config import option_from, refuse_unknown
from vae_experiments.cli.entry import one_line_mistakes
from vae_experiments.commands.timings import Timing, as_line, best, overrides, timed
from vae_experiments.files import write_csv, write_json
from vae_experiments.models import Model
from vae_experiments.options import Option, setting
from vae_experiments.runtime.device import Device, Dtype
from vae_experiments.runtime.interruption import check
from vae_experiments.runtime.memory import forget_peak_memory, peak_memory_bytes
from vae_experiments.runtime.progress import announce, waiting
from vae_experiments.runtime.provenance import provenance
from vae_experiments.sources import BouncingShapes
from vae_experiments.writers import plot_benchmark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from vae_experiments.tensors import Frames

log = logging.getLogger(__name__)
CONFIG_GROUPS = ("model", "device", "benchmark")
DEFAULT_BATCH = 8
HELP = """Time a model on this machine, and say what to type for it.

Choose one of each:

CHOICES

and change any setting, key=value:

$CONFIG"""


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
        """Check every value.

        Raises:
            SettingError: a dtype is none.
        """
        super().__post_init__()
        known = [dtype.name for dtype in Dtype if dtype is not Dtype.auto]
        if set(self.dtypes) - set(known) or not self.dtypes:
            raise self.error_for("dtypes", f"must be some of {', '.join(known)}")


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
            frames = _frames(size, benchmark.frames)
            for batch_size in sorted({min(batch, benchmark.frames) for batch in benchmark.batch_sizes}):
                forget_peak_memory(chosen.device)
                check()
                with waiting(f"timing {size} pixels in {dtype}, batch {batch_size}"):
                    timing = timed(autoencoder, frames, batch_size, benchmark.repeats)
                memory = peak_memory_bytes(chosen.device)
                timings.append(Timing(size, dtype, compiled, batch_size, *timing[:2], memory, *timing[2:]))
                log.info("%s", as_line(timings[-1]))
    return timings


def _frames(size: int, count: int) -> Frames:
    import torch

    return torch.cat(list(BouncingShapes(size=str(size), frames=count).chunks(count)))


def write(folder: Path, timings: Sequence[Timing], recommended: Timing, device: str) -> None:
    """Leave the table, the plot, and where it was measured."""
    rows: list[dict[str, Any]] = [dataclasses.asdict(timing) for timing in timings]
    write_csv(folder / "benchmark.csv", list(rows[0]), [list(row.values()) for row in rows])
    plot_benchmark(folder / "benchmark.png", rows)
    facts = {"device": device, "recommended": dataclasses.asdict(recommended), "timings": rows}
    write_json(folder / "benchmark.json", provenance() | facts)


@command("benchmark", CONFIG_GROUPS, HELP)
def main(config: DictConfig) -> None:
    """Time what the command line composed."""
    with one_line_mistakes():
        refuse_unknown("", config, {"seed", *CONFIG_GROUPS})
        benchmark = option_from(Benchmark, config, "benchmark")
        device = option_from(Device, config, "device")
        model = option_from(Model, config, "model")  # type: ignore[type-abstract]
        announce("torch", "diffusers")
        log.info("device: %s", device.choose())
        timings = measure(benchmark, model, device)
        recommended = best(timings, benchmark.tolerance_db)
        folder = Path(HydraConfig.get().runtime.output_dir)
        write(folder, timings, recommended, str(device.choose()))
        usual = [
            t for t in timings if (t.dtype, t.compiled, t.batch_size) == ("float32", False, DEFAULT_BATCH)
        ]
        gain = (
            f", {recommended.frames_per_second / usual[-1].frames_per_second:.2f} times the default"
            if usual
            else ""
        )
        log.info(
            "fastest within %g dB of float32%s: %s",
            benchmark.tolerance_db,
            gain,
            overrides(recommended, device),
        )
        log.info("%s", folder / "benchmark.csv")
