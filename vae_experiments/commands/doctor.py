"""The doctor: what is installed, which devices are there, and whether a model works on this machine.

    vae-experiments doctor
    vae-experiments doctor model=folder model.path=DIR device=mps

A model is sent a small clip through this machine's device and through the CPU, at other batch sizes, in
other dtypes and lengths. Each line ends in a verdict; the exit status is 1 where one of them is "fail".
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.cli.app import command
from vae_experiments.cli.config import option_from, refuse_unknown
from vae_experiments.cli.entry import one_line_mistakes
from vae_experiments.errors import VaeExperimentsError
from vae_experiments.models import Model
from vae_experiments.models.tiling import SMALLEST_TILE, Tiling
from vae_experiments.options import Option, setting
from vae_experiments.pipeline.metrics import Fidelity
from vae_experiments.runtime.device import Device, DeviceName, Dtype
from vae_experiments.runtime.progress import announce
from vae_experiments.sources import BouncingShapes
from vae_experiments.tensors import Size, to_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from omegaconf import DictConfig

    from vae_experiments.models import Autoencoder
    from vae_experiments.tensors import Frames, Latents

log = logging.getLogger(__name__)
CONFIG_GROUPS = ("model", "device", "doctor")
PACKAGES = (
    *("torch", "diffusers", "huggingface_hub", "safetensors", "av", "hydra-core", "omegaconf", "numpy"),
    *("imageio", "imageio-ffmpeg", "tensorboard", "wandb", "gradio"),
)
OK, WARN, FAIL, NOT_HERE = "ok", "warn", "fail", "not for this device"
LENGTHS = (1, 2, 5, 9)
SAME_LATENTS, SAME_DB, NEAR_DB, LEAST_DB = 1e-3, 60.0, 30.0, 12.0
HELP = """Look at this machine, and at a model on it.

Choose one of each:

CHOICES

and change any setting, key=value:

$CONFIG"""


class Doctor(Option, group="doctor", single=True):
    """Chooses the clip that a model is examined with."""

    size: int = setting("side of the square frames", default=96, unit="pixels", minimum=32)
    frames: int = setting("how many frames", default=9, minimum=2)


class Finding(NamedTuple):
    """One line of the table."""

    what: str
    result: str
    verdict: str


class ModelCheck:
    """A model on a device, and a clip to examine it with."""

    def __init__(self, model: Model, device: Device, doctor: Doctor) -> None:
        import torch

        self.model, self.device = model, device
        self.size = Size(doctor.size, doctor.size)
        self.frames: Frames = torch.cat(
            list(BouncingShapes(size=str(doctor.size), frames=doctor.frames).chunks(99))
        )
        self.autoencoder = model.load(device.choose())
        self.latents = self.encoded(self.autoencoder)
        self.decoded = self.round_trip(self.autoencoder)

    def encoded(self, autoencoder: Autoencoder, batch_size: int = 4) -> Latents:
        """Encode the clip."""
        import torch

        return torch.cat(list(autoencoder.encode(torch.split(self.frames, batch_size))))

    def round_trip(self, autoencoder: Autoencoder, count: int | None = None) -> Frames:
        """Encode and decode the first frames of the clip."""
        import torch

        frames = torch.split(self.frames[:count], 4)
        return torch.cat(list(autoencoder.decode(autoencoder.encode(frames), self.size)))

    def against(self, other: Frames, reference: Frames | None = None) -> float:
        """Return the PSNR in dB of frames against others, the decoded ones if not said; 99 where they are the same."""
        reference = self.decoded if reference is None else reference
        fidelity = Fidelity()
        fidelity.update(to_pixels(reference[: len(self.frames)]), to_pixels(other[: len(self.frames)]))
        psnr_db = fidelity.summary()["psnr_db"]
        return 99.0 if psnr_db is None else float(psnr_db)


def run_checks(patient: ModelCheck) -> Iterator[Finding]:
    """Examine a model in every way; one that ends with an error fails, and the others go on."""
    checks: dict[str, Callable[[ModelCheck], Finding]] = {
        "round trip": _round_trip,
        "frame counts": _frame_counts,
        "latents": _latents,
        "batch size": _batch_size,
        "tiling": _tiling,
        "the CPU": _against_cpu,
        "bfloat16": lambda patient: _dtype(patient, Dtype.bfloat16),
        "float16": lambda patient: _dtype(patient, Dtype.float16),
    }
    for what, check in checks.items():
        try:
            yield check(patient)
        except (VaeExperimentsError, RuntimeError) as error:
            problem = error.problem if isinstance(error, VaeExperimentsError) else str(error).splitlines()[0]
            yield Finding(what, problem, NOT_HERE if problem.startswith("device.dtype") else FAIL)


def _round_trip(patient: ModelCheck) -> Finding:
    psnr_db = patient.against(patient.decoded, patient.frames)
    verdict = OK if psnr_db >= LEAST_DB else WARN
    return Finding("round trip", f"finite, {psnr_db:.1f} dB", verdict)


def _frame_counts(patient: ModelCheck) -> Finding:
    stride = patient.autoencoder.time_stride
    wrong = [
        f"{count} gave {len(decoded)}"
        for count in LENGTHS
        if not count <= len(decoded := patient.round_trip(patient.autoencoder, count)) < count + stride
    ]
    counts = ", ".join(map(str, LENGTHS))
    return Finding(
        "frame counts", "; ".join(wrong) or f"{counts} frames in, as many out", FAIL if wrong else OK
    )


def _latents(patient: ModelCheck) -> Finding:
    latents = patient.latents
    shape, std = "x".join(map(str, latents.shape)), float(latents.std())
    verdict = OK if 0.3 < std < 3 else WARN
    return Finding("latents", f"{shape}, standard deviation {std:.2f}", verdict)


def _batch_size(patient: ModelCheck) -> Finding:
    apart = max(
        float((patient.encoded(patient.autoencoder, count) - patient.latents).abs().max())
        for count in (1, 3, 9)
    )
    return Finding(
        "batch size", f"latents differ by at most {apart:.1e}", OK if apart < SAME_LATENTS else WARN
    )


def _tiling(patient: ModelCheck) -> Finding:
    """Compare tiles, as small as they get, with the whole of a frame that is twice as large."""
    import torch

    size = Size(2 * SMALLEST_TILE, 2 * SMALLEST_TILE)
    frames = next(BouncingShapes(size=str(size), frames=1).chunks(1))
    decoded = []
    for tiling in (Tiling.off, Tiling.on):
        model = dataclasses.replace(patient.model, tiling=tiling, tile=SMALLEST_TILE)
        autoencoder = model.load(patient.device.choose())
        decoded.append(torch.cat(list(autoencoder.decode(autoencoder.encode([frames]), size)))[:1])
    psnr_db = patient.against(decoded[1], decoded[0])
    verdict = OK if psnr_db >= NEAR_DB else WARN
    tiles = autoencoder.tiles_of(size)["decode"]
    return Finding("tiling", f"{tiles} are {psnr_db:.1f} dB from the whole frame", verdict)


def _against_cpu(patient: ModelCheck) -> Finding:
    name = patient.device.choose().device.type
    if name == "cpu":
        return Finding("the CPU", "is the device", OK)
    cpu = dataclasses.replace(patient.device, name=DeviceName.cpu, dtype=Dtype.float32)
    psnr_db = patient.against(patient.round_trip(patient.model.load(cpu.choose())))
    verdict = OK if psnr_db >= SAME_DB else WARN if psnr_db >= NEAR_DB else FAIL
    return Finding("the CPU", f"{name} agrees to {psnr_db:.1f} dB", verdict)


def _dtype(patient: ModelCheck, dtype: Dtype) -> Finding:
    device = dataclasses.replace(patient.device, dtype=dtype)
    decoded = patient.round_trip(patient.model.load(device.choose()))
    psnr_db = patient.against(decoded)
    lost = patient.against(patient.decoded, patient.frames) - patient.against(decoded, patient.frames)
    verdict = OK if psnr_db >= NEAR_DB else FAIL
    return Finding(dtype.name, f"{psnr_db:.1f} dB against float32, {lost:.2f} dB lost", verdict)


def machine() -> Iterator[Finding]:
    """Yield what is installed and which devices are there."""
    import torch

    for package in PACKAGES:
        try:
            yield Finding(package, version(package), OK)
        except PackageNotFoundError:
            yield Finding(package, "not installed", "not needed" if package in PACKAGES[-4:] else FAIL)
    yield Finding("ffmpeg on the path", str(shutil.which("ffmpeg") is not None).lower(), "not needed")
    yield Finding("cuda", str(torch.cuda.is_available()).lower(), OK)
    yield Finding("mps", str(torch.backends.mps.is_available()).lower(), OK)
    yield Finding("cpu threads", str(torch.get_num_threads()), OK)


@command("doctor", CONFIG_GROUPS, HELP)
def main(config: DictConfig) -> None:
    """Examine what the command line composed."""
    with one_line_mistakes():
        refuse_unknown("", config, {"seed", *CONFIG_GROUPS})
        doctor = option_from(Doctor, config, "doctor")
        device = option_from(Device, config, "device")
        model = option_from(Model, config, "model")  # type: ignore[type-abstract]
        announce("torch", "diffusers")
        findings = [_said(finding) for finding in machine()]
        log.info("device: %s", device.choose())
        findings += [_said(finding) for finding in run_checks(ModelCheck(model, device, doctor))]
        failed = [finding.what for finding in findings if finding.verdict == FAIL]
        log.info("all is well" if not failed else f"failed: {', '.join(failed)}")
    if failed:
        raise SystemExit(1)


def _said(finding: Finding) -> Finding:
    log.info("%-20s %-70s %s", *finding)
    return finding
