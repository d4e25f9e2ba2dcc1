"""The doctor passes on what is well and names what is not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from vae_experiments import Device, Folder
from vae_experiments.commands.doctor import (
    FAIL,
    NOT_HERE,
    OK,
    WARN,
    Doctor,
    Finding,
    ModelCheck,
    machine,
    run_checks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = Doctor(size=48, frames=9)


def findings(model: Folder) -> dict[str, Finding]:
    return {finding.what: finding for finding in run_checks(ModelCheck(model, Device(), SMALL))}


@pytest.mark.parametrize("network", ["AutoencoderKL", "AutoencoderKLWan"])
@pytest.mark.slow
def test_every_kind_of_network_is_examined_in_every_way(
    network: str, network_folders: dict[str, Path]
) -> None:
    found = findings(Folder(path=str(network_folders[network])))
    assert list(found) == [
        "round trip",
        "frame counts",
        "latents",
        "batch size",
        "tiling",
        "flipped latents",
        "the CPU",
        "bfloat16",
        "float16",
    ]
    assert found["frame counts"] == ("frame counts", "1, 2, 5, 9 frames in, as many out", OK)
    assert found["batch size"].verdict == OK
    assert re.fullmatch(r"3x3 tiles of 128x128 are \d\d\.\d dB from the whole frame", found["tiling"].result)
    # A norm over the whole frame, as in AutoencoderKL, sees another frame in each tile.
    assert found["tiling"].verdict == (WARN if network == "AutoencoderKL" else OK)
    assert found["bfloat16"].verdict == OK
    assert found["float16"] == ("float16", "device.dtype=float16: on cpu it is slower than float32", NOT_HERE)
    assert not [finding for finding in found.values() if finding.verdict == FAIL]
    # Random weights bring back no picture, and the doctor says so.
    assert found["round trip"].verdict in (OK, WARN)


def test_a_network_that_sees_the_batch_is_odd(network_folders: dict[str, Path]) -> None:
    patient = ModelCheck(Folder(path=str(network_folders["AutoencoderKL"])), Device(), SMALL)
    norm = torch.nn.BatchNorm2d(3, affine=False, track_running_stats=False).train()
    own = patient.autoencoder.network.encoder.forward
    patient.autoencoder.network.encoder.forward = lambda frames: own(norm(frames))
    found = {finding.what: finding for finding in run_checks(patient)}
    assert found["batch size"].verdict == WARN


def test_weights_that_overflow_are_ill_and_the_other_checks_go_on(network_folders: dict[str, Path]) -> None:
    patient = ModelCheck(Folder(path=str(network_folders["AutoencoderKL"])), Device(), SMALL)
    patient.autoencoder.network.decoder.conv_out.weight.data.fill_(float("inf"))
    found = {finding.what: finding for finding in run_checks(patient)}
    assert found["frame counts"].verdict == FAIL
    assert "not finite" in found["frame counts"].result
    # The encoder is whole: random weights give small latents, and the same at every batch size.
    assert (found["latents"].verdict, found["batch size"].verdict) == (WARN, OK)


def test_the_machine_is_described() -> None:
    found = {finding.what: finding.result for finding in machine()}
    assert found["torch"] == torch.__version__
    assert found["cuda"] == str(torch.cuda.is_available()).lower()


def test_the_command_passes_on_the_bundled_model(
    type_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = type_command("-m", "vae_experiments", "doctor", "doctor.size=64", folder=tmp_path / "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip().endswith("all is well")
    assert "round trip" in done.stdout
