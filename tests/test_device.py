"""Where a network runs and what it computes in: each choice has its reason, and no wish is replaced in silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import TEMPORAL
from vae_experiments import Device, Experiment, Folder, MovingCircle, Output
from vae_experiments.errors import DeviceError
from vae_experiments.runtime.device import Dtype, Fallback
from vae_experiments.runtime.memory import ran_out_of_memory
from vae_experiments.tensors import Size

MINIMAL = Output(comparison=False, table=False, pictures=False, report=False, provenance=False)


def test_on_a_cpu_everything_is_float32_unless_asked_otherwise() -> None:
    assert Device().choose().dtype is torch.float32
    assert Device(dtype=Dtype.bfloat16).choose().dtype is torch.bfloat16
    assert str(Device(dtype=Dtype.bfloat16).choose()).startswith("cpu in bfloat16: ")


def test_float16_on_a_cpu_is_refused() -> None:
    with pytest.raises(
        DeviceError, match="device.dtype=float16: on cpu it is slower than float32; use device.dtype=auto"
    ):
        Device(dtype=Dtype.float16).choose()


def test_float16_is_for_cuda_and_never_for_mps() -> None:
    wish = Device(dtype=Dtype.float16)
    assert wish._dtype_on("cuda") == "float16"
    with pytest.raises(
        DeviceError, match="on mps it gives black or wrong frames; use device.dtype=auto, or bfloat16"
    ):
        wish._dtype_on("mps")


@pytest.mark.parametrize("name", ["cuda", "mps", "cpu"])
def test_auto_is_float32_everywhere(name: str) -> None:
    assert Device()._dtype_on(name) == "float32"


@pytest.mark.parametrize("network", ["AutoencoderKL", "AutoencoderKLWan"])
def test_a_run_in_bfloat16_is_near_one_in_float32(
    network: str, network_folders: dict[str, Path], tmp_path: Path
) -> None:
    scores = []
    for dtype in (Dtype.float32, Dtype.bfloat16):
        folder = tmp_path / dtype.name
        folder.mkdir()
        experiment = Experiment(
            source=MovingCircle(size="48", frames=5),
            manipulations=[],
            model=Folder(path=str(network_folders[network])),
            device=Device(dtype=dtype),
            output=MINIMAL,
        )
        scores.append(experiment.run(folder).metrics)
    assert scores[0]["latents"]["std"] == pytest.approx(scores[1]["latents"]["std"], rel=0.05)
    assert scores[0]["latents"]["std"] != scores[1]["latents"]["std"]
    assert scores[0]["reconstructed"]["psnr_db"] == pytest.approx(
        scores[1]["reconstructed"]["psnr_db"], abs=0.5
    )


@pytest.mark.parametrize(("tf32", "exact"), [(True, False), (True, True), (False, False), (False, True)])
def test_exact_latents_are_never_multiplied_with_fewer_digits_on_cuda(
    tf32: bool, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    allowed: list[bool] = []
    monkeypatch.setattr("vae_experiments.runtime.device._allow_tf32", allowed.append)
    chosen = Device(tf32=tf32, exact=exact).choose()
    coarser = tf32 and not exact
    assert (chosen.device.type, chosen.tf32, allowed) == ("cuda", coarser, [coarser])
    assert ("TF32" in chosen.numbers, "TF32" in chosen.reason) == (coarser, coarser)


def test_the_cpu_takes_over_on_mps_only_where_that_was_asked_for() -> None:
    assert not Device().choose().fallback
    assert not Device(fallback=Fallback.cpu).choose().fallback, "on a CPU there is nothing to fall back to"


@pytest.mark.slow
def test_the_share_of_memory_that_mps_may_use_is_said_before_it_takes_any() -> None:
    script = (
        "import os; from vae_experiments import Device; Device(mps_memory=0.5).choose(); "
        "print(os.environ['PYTORCH_MPS_HIGH_WATERMARK_RATIO'])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == "0.5\n"


def out_of_memory_here() -> BaseException:
    try:
        torch.empty(2**60)
    except RuntimeError as error:
        return error
    raise AssertionError("so much memory was there")


@pytest.mark.parametrize(
    "error",
    [
        out_of_memory_here(),
        MemoryError(),
        MemoryError("Unable to allocate 8.00 EiB for an array", "numpy"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
    ids=str,
)
def test_every_way_of_running_out_of_memory_is_seen(error: BaseException) -> None:
    assert ran_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory")]
)
def test_other_errors_are_not_taken_for_it(error: BaseException) -> None:
    assert not ran_out_of_memory(error)


def too_large_above(count: int, own: Any) -> Any:
    """A real network's call that runs out of memory above a batch size, as torch says it on the CPU."""

    def call(batch: torch.Tensor, *rest: Any, **named: Any) -> Any:
        if len(batch) > count:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
            )
        return own(batch, *rest, **named)

    return call


def frames(count: int) -> torch.Tensor:
    return torch.cat(list(MovingCircle(size="48", frames=count).chunks(count)))


def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_the_result_is_the_same(
    network_folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    autoencoder = Folder(path=str(network_folders["AutoencoderKL"])).load(Device().choose())
    clip = frames(18)
    expected = torch.cat(list(autoencoder.encode([clip])))
    autoencoder.network.encode = too_large_above(3, autoencoder.network.encode)
    with caplog.at_level("WARNING"):
        latents = torch.cat(list(autoencoder.encode([clip[:9], clip[9:]])))
    assert torch.allclose(latents, expected, atol=1e-4)
    assert caplog.messages == [
        "out of memory at batch size 9; retrying with 4",
        "out of memory at batch size 4; retrying with 2",
    ]


@pytest.mark.parametrize(("exact", "most"), [(False, 3), (False, 1), (True, 1)])
def test_where_a_decoder_draws_each_frame_keeps_the_draw_of_its_number_however_the_batch_is_parted(
    exact: bool, most: int, network_folders: dict[str, Path]
) -> None:
    folder = Folder(path=str(network_folders["ConsistencyDecoderVAE"]))
    whole, parted = folder.load(Device().choose()), folder.load(Device(exact=exact).choose())
    latents, size = next(whole.encode([frames(1)])).expand(7, -1, -1, -1), Size(48, 48)
    expected = torch.cat(list(whole.decode([latents], size)))
    assert not torch.allclose(expected[0], expected[1], atol=1e-2), "another draw makes another frame"
    parted.network.decode = too_large_above(most, parted.network.decode)
    for chunks in ([latents], latents.split((2, 5))):
        assert torch.allclose(torch.cat(list(parted.decode(chunks, size))), expected, atol=1e-4)


@pytest.mark.parametrize("network", ["AutoencoderKL", "AutoencoderKLWan"])
def test_where_not_even_one_frame_fits_there_is_a_sentence(
    network: str, network_folders: dict[str, Path]
) -> None:
    autoencoder = Folder(path=str(network_folders[network])).load(Device().choose())
    part = "encode" if network == "AutoencoderKL" else "encoder"
    if part == "encode":
        autoencoder.network.encode = too_large_above(0, autoencoder.network.encode)
    else:
        autoencoder.network.encoder.forward = too_large_above(0, autoencoder.network.encoder.forward)
    with pytest.raises(DeviceError, match="out of memory for .*; use a smaller source.size"):
        list(autoencoder.encode([frames(5)]))


def test_other_errors_of_a_network_are_not_taken_for_a_lack_of_memory(
    network_folders: dict[str, Path],
) -> None:
    autoencoder = Folder(path=str(network_folders["AutoencoderKL"])).load(Device().choose())
    with pytest.raises(RuntimeError, match="channels"):
        list(autoencoder.encode([torch.zeros(4, 5, 16, 16)]))


@pytest.mark.parametrize("name", TEMPORAL)
def test_a_network_that_works_across_frames_is_not_compiled(
    name: str, network_folders: dict[str, Path]
) -> None:
    with pytest.raises(DeviceError, match="device.compile=true: .* works across frames, and torch"):
        Folder(path=str(network_folders[name])).load(Device(compile=True).choose())


def test_a_network_is_compiled_in_both_halves_only_where_that_was_asked_for(
    network_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: marked.append(type(module).__name__))
    Folder(path=str(network_folders["AutoencoderKL"])).load(Device().choose())
    assert marked == []
    Folder(path=str(network_folders["AutoencoderKL"])).load(Device(compile=True).choose())
    assert marked == ["Encoder", "Decoder"]
