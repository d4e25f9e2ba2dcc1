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

from vae_experiments.cache import Cache
from vae_experiments.cli.app import command_of_options
from vae_experiments.errors import VaeExperimentsError
from vae_experiments.metrics import psnr_db_of
from vae_experiments.models.tiling import SMALLEST_TILE, Tiling
from vae_experiments.options import Option, setting
from vae_experiments.pipeline.steering.equivariance import TRANSFORMS, measured
from vae_experiments.pipeline.steering.model_steering import has_steering, steering_of
from vae_experiments.runtime.device import Device, DeviceName, Dtype
from vae_experiments.runtime.progress import announce
from vae_experiments.sources import BouncingShapes
from vae_experiments.tensors import Size, to_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vae_experiments.models import Autoencoder, Model
    from vae_experiments.tensors import Frames, Latents

log = logging.getLogger(__name__)
PACKAGES = (
    *("torch", "diffusers", "huggingface_hub", "safetensors", "av", "hydra-core", "omegaconf", "numpy"),
    *("imageio", "imageio-ffmpeg", "tensorboard", "wandb", "gradio"),
)
OK, WARN, FAIL, NOT_HERE = "ok", "warn", "fail", "not for this device"
LENGTHS = (1, 2, 5, 9)
SAME_LATENTS, SAME_DB, NEAR_DB, LEAST_DB = 1e-3, 60.0, 30.0, 12.0


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
        self.model, self.device = model, device
        self.size = Size(doctor.size, doctor.size)
        self.frames = next(BouncingShapes(size=str(doctor.size), frames=doctor.frames).chunks(doctor.frames))
        self.autoencoder = model.load(device.choose())
        self.latents = self.encoded()
        self.decoded = self.round_trip(self.autoencoder)

    def encoded(self, batch_size: int = 4) -> Latents:
        """Encode the clip."""
        import torch

        return torch.cat(list(self.autoencoder.encode(torch.split(self.frames, batch_size))))

    def round_trip(self, autoencoder: Autoencoder, count: int | None = None) -> Frames:
        """Encode and decode the first frames of the clip."""
        import torch

        frames = torch.split(self.frames[:count], 4)
        return torch.cat(list(autoencoder.decode(autoencoder.encode(frames), self.size)))

    def against(self, other: Frames, reference: Frames | None = None) -> float:
        """Return the PSNR in dB of frames against others, by default the decoded ones; 99 where they are the same."""
        reference = self.decoded if reference is None else reference
        count = len(self.frames)
        psnr_db = psnr_db_of(to_pixels(reference[:count]), to_pixels(other[:count]))
        return 99.0 if psnr_db is None else psnr_db


def run_checks(patient: ModelCheck) -> Iterator[Finding]:
    """Examine a model in every way; one that ends with an error fails, and the others go on."""
    checks: dict[str, Callable[[ModelCheck], tuple[str, str]]] = {
        "round trip": _round_trip,
        "frame counts": _frame_counts,
        "latents": _latents,
        "batch size": _batch_size,
        "tiling": _tiling,
        "flipped latents": _flipped,
        "the CPU": _against_cpu,
        "bfloat16": lambda patient: _dtype(patient, Dtype.bfloat16),
        "float16": lambda patient: _dtype(patient, Dtype.float16),
    }
    for what, check in checks.items():
        try:
            yield Finding(what, *check(patient))
        except (VaeExperimentsError, RuntimeError) as error:
            problem = error.problem if isinstance(error, VaeExperimentsError) else str(error).splitlines()[0]
            yield Finding(what, problem, NOT_HERE if problem.startswith("device.dtype") else FAIL)


def _round_trip(patient: ModelCheck) -> tuple[str, str]:
    psnr_db = patient.against(patient.decoded, patient.frames)
    return f"finite, {psnr_db:.1f} dB", OK if psnr_db >= LEAST_DB else WARN


def _frame_counts(patient: ModelCheck) -> tuple[str, str]:
    stride = patient.autoencoder.time_stride
    gave = {count: len(patient.round_trip(patient.autoencoder, count)) for count in LENGTHS}
    wrong = [f"{count} gave {got}" for count, got in gave.items() if not count <= got < count + stride]
    if wrong:
        return "; ".join(wrong), FAIL
    return f"{', '.join(map(str, LENGTHS))} frames in, as many out", OK


def _latents(patient: ModelCheck) -> tuple[str, str]:
    shape, std = "x".join(map(str, patient.latents.shape)), float(patient.latents.std())
    return f"{shape}, standard deviation {std:.2f}", OK if 0.3 < std < 3 else WARN


def _batch_size(patient: ModelCheck) -> tuple[str, str]:
    apart = max(float((patient.encoded(count) - patient.latents).abs().max()) for count in (1, 3, 9))
    return f"latents differ by at most {apart:.1e}", OK if apart < SAME_LATENTS else WARN


def _tiling(patient: ModelCheck) -> tuple[str, str]:
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
    tiles = autoencoder.tiles_of(size)["decode"]
    return f"{tiles} are {psnr_db:.1f} dB from the whole frame", OK if psnr_db >= NEAR_DB else WARN


def _flipped(patient: ModelCheck) -> tuple[str, str]:
    """Say how latents flip with the picture; what was not fitted yet is not fitted for this."""
    autoencoder, store = patient.autoencoder, Cache().store()
    steering = steering_of(autoencoder, store)(has_steering(autoencoder, store))
    score = measured(autoencoder, patient.latents[:1], TRANSFORMS[0], steering)
    steered = "not fitted yet" if score.steered_db is None else f"{score.steered_db:.1f} dB steered"
    return f"{score.plain_db:.1f} dB plain, {steered}, {score.limit_db:.1f} dB encoded anew", OK


def _against_cpu(patient: ModelCheck) -> tuple[str, str]:
    name = patient.device.choose().device.type
    if name == "cpu":
        return "is the device", OK
    cpu = dataclasses.replace(patient.device, name=DeviceName.cpu, dtype=Dtype.float32)
    psnr_db = patient.against(patient.round_trip(patient.model.load(cpu.choose())))
    verdict = OK if psnr_db >= SAME_DB else WARN if psnr_db >= NEAR_DB else FAIL
    return f"{name} agrees to {psnr_db:.1f} dB", verdict


def _dtype(patient: ModelCheck, dtype: Dtype) -> tuple[str, str]:
    device = dataclasses.replace(patient.device, dtype=dtype)
    decoded = patient.round_trip(patient.model.load(device.choose()))
    psnr_db = patient.against(decoded)
    lost = patient.against(patient.decoded, patient.frames) - patient.against(decoded, patient.frames)
    return f"{psnr_db:.1f} dB against float32, {lost:.2f} dB lost", OK if psnr_db >= NEAR_DB else FAIL


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


@command_of_options(
    "doctor",
    "Look at this machine, and at a model on it.\n\nChoose one of each",
    *("model", "device", "doctor"),
)
def main(model: Model, device: Device, doctor: Doctor) -> None:
    """Examine what the command line composed."""
    announce("torch", "diffusers")
    findings = [_logged(finding) for finding in machine()]
    log.info("device: %s", device.choose())
    findings += [_logged(finding) for finding in run_checks(ModelCheck(model, device, doctor))]
    failed = [finding.what for finding in findings if finding.verdict == FAIL]
    log.info("all is well" if not failed else f"failed: {', '.join(failed)}")
    if failed:
        raise SystemExit(1)


def _logged(finding: Finding) -> Finding:
    log.info("%-20s %-70s %s", *finding)
    return finding
