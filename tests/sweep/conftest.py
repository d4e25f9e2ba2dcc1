"""Sweeps to make pages of: a real small one, and folders that claim to be jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from vae_experiments import Experiment, Folder, Noise, Output
from vae_experiments.sources import MovingCircle

MINIMAL = Output(comparison=False, table=False, pictures=False, report=False, provenance=False)
Overrides = Sequence[str]


class Claim(Protocol):
    """Makes a folder that claims to be a job."""

    def __call__(
        self, folder: Path, *overrides: str, metrics: dict[str, Any] | None = None, failure: str = ""
    ) -> Path: ...


def scores(psnr_db: float | None, **others: Any) -> dict[str, Any]:
    """Make the scores of one video."""
    ssim = None if psnr_db is None else psnr_db / 50
    flicker = None if psnr_db is None else 50 - psnr_db
    return {
        "psnr_db": psnr_db,
        "ssim": ssim,
        "flicker": flicker,
        "identical": psnr_db is None,
        **others,
    }


def metrics_of(
    psnr_db: float | None = 30.0,
    untouched: float | None = 40.0,
    rate: float | str = 10.0,
    memory: int | None = 500_000_000,
    batch_size: int = 8,
    name: str = "reconstructed_with_noise",
) -> dict[str, Any]:
    """Make a metrics.json as a run leaves it."""
    encode = 0.5 if isinstance(rate, float) else rate
    changed = {name: scores(psnr_db, psnr_db_against_reconstructed=33.0)} if name else {}
    return {
        "frames": 6,
        "latents": {"shape": [6, 16, 4, 4], "mean": 0.1, "std": 0.9},
        "reconstructed": scores(untouched),
        **changed,
        "timing": {
            "encode_seconds": encode,
            "decode_seconds": 0.7,
            "total_seconds": 2.0,
            "frames_per_second": rate,
        },
        "peak_memory_bytes": memory,
        "batch_size": batch_size,
        "device": "cpu",
        "seed": 0,
    }


def write_overrides(folder: Path, overrides: Overrides) -> None:
    """Write down what was typed, as Hydra does."""
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    lines = "".join(f"- {json.dumps(word)}\n" for word in overrides)
    (folder / ".hydra" / "overrides.yaml").write_text(lines or "[]\n", encoding="utf-8")


@pytest.fixture
def claim() -> Claim:
    def claim_it(
        folder: Path, *overrides: str, metrics: dict[str, Any] | None = None, failure: str = ""
    ) -> Path:
        write_overrides(folder, overrides)
        if metrics is not None:
            (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        if failure:
            (folder / "failure.json").write_text(json.dumps({"sentence": failure}), encoding="utf-8")
        return folder

    return claim_it


@pytest.fixture(scope="session")
def real_sweep(tmp_path_factory: pytest.TempPathFactory, network_folders: dict[str, Path]) -> Path:
    """Run four jobs over two noise scales and two batch sizes; read it, and write elsewhere."""
    sweep = tmp_path_factory.mktemp("12-30-00")
    combinations = [(scale, batch_size) for scale in (0.1, 1.0) for batch_size in (1, 4)]
    for number, (scale, batch_size) in enumerate(combinations):
        folder = sweep / str(number)
        write_overrides(folder, [f"noise.scale={scale:g}", f"batch_size={batch_size}", "output=minimal"])
        Experiment(
            source=MovingCircle(size="40x32", frames=6, fps="8"),
            manipulations=[Noise(scale=scale)],
            model=Folder(path=str(network_folders["AutoencoderDC"])),
            output=MINIMAL,
            batch_size=batch_size,
            timed=True,
        ).run(folder)
    return sweep


@pytest.fixture
def scattered(tmp_path: Path, claim: Claim) -> Callable[..., Path]:
    """Make a sweep of finished jobs, one for each list of overrides, with rising PSNR."""

    def make(*jobs: Overrides, name: str = "sweep") -> Path:
        sweep = tmp_path / name
        for number, overrides in enumerate(jobs):
            claim(sweep / str(number), *overrides, metrics=metrics_of(20.0 + number))
        return sweep

    return make
