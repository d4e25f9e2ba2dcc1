"""The benchmark times every combination and recommends the fastest that is near float32."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vae_experiments import Device, Folder
from vae_experiments.commands.benchmark import Benchmark, Timing, _costs, best, measure, overrides
from vae_experiments.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = Timing(256, "float32", False, 8, 10.0, 5.0, 10**6, 40.0, 1.0, 0.3)


def test_frames_per_second_are_those_that_are_both_encoded_and_decoded() -> None:
    assert SLOW.frames_per_second == pytest.approx(1 / (1 / 10 + 1 / 5))


def test_the_fastest_within_the_tolerance_is_recommended() -> None:
    near = replace(SLOW, dtype="bfloat16", decode_frames_per_second=20.0, psnr_db=39.95)
    far = replace(near, encode_frames_per_second=99.0, psnr_db=39.8)
    small = replace(near, size=64, encode_frames_per_second=999.0)
    assert best([SLOW, near, far, small], 0.1) == near
    assert best([SLOW, near, far], 0.3) == far
    assert best([SLOW, far], 0.1) == SLOW
    lucky = replace(SLOW, dtype="bfloat16", decode_frames_per_second=4.0, psnr_db=40.5)
    assert best([SLOW, lucky], 0.1) == SLOW, "the measure is float32, and not what came out best"


def test_what_to_type_names_only_what_differs_from_the_defaults() -> None:
    assert overrides(SLOW, Device()) == "batch_size=8"
    fast = replace(SLOW, dtype="bfloat16", compiled=True, batch_size=4)
    assert (
        overrides(fast, Device(threads=2))
        == "batch_size=4 device.dtype=bfloat16 device.compile=true device.threads=2"
    )


@pytest.mark.slow
@pytest.mark.parametrize("network", ["AutoencoderKL", "AutoencoderKLWan"])
def test_every_combination_is_timed(network: str, network_folders: dict[str, Path]) -> None:
    wanted = Benchmark(
        batch_sizes=[1, 3, 50], sizes=[32, 48], frames=5, repeats=1, dtypes=["float32", "bfloat16"]
    )
    timings = measure(wanted, Folder(path=str(network_folders[network])), Device())
    assert [(t.dtype, t.size, t.batch_size) for t in timings] == [
        (dtype, size, batch) for dtype in ("float32", "bfloat16") for size in (32, 48) for batch in (1, 3, 5)
    ]
    assert all(t.encode_frames_per_second > 0 and t.decode_frames_per_second > 0 for t in timings)
    assert all(t.core_seconds_per_frame > 0 for t in timings)
    assert all((t.against_plain is None) == (network == "AutoencoderKLWan") for t in timings)


def test_the_memory_of_a_combination_is_counted_from_its_beginning(
    network_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(
        "vae_experiments.commands.benchmark.forget_peak_memory", lambda _: calls.append("forget")
    )
    monkeypatch.setattr(
        "vae_experiments.commands.benchmark.peak_memory_bytes", lambda _: calls.append("read")
    )
    wanted = Benchmark(batch_sizes=[1, 2], sizes=[32], frames=2, repeats=1, dtypes=["float32"])
    measure(wanted, Folder(path=str(network_folders["AutoencoderKL"])), Device())
    assert calls == ["forget", "read"] * 2


def test_a_dtype_that_is_none_is_refused() -> None:
    with pytest.raises(SettingError, match="benchmark.dtypes=.*: must be some of float32, bfloat16, float16"):
        Benchmark(dtypes=["float8"])


@pytest.mark.slow
def test_the_command_leaves_a_table_a_plot_and_what_to_type(
    type_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    words = [
        "benchmark.batch_sizes=[2,8]",
        "benchmark.sizes=[64]",
        "benchmark.frames=8",
        "benchmark.repeats=1",
    ]
    done = type_command("-m", "vae_experiments", "benchmark", *words, folder=tmp_path / "benchmark")
    assert (done.returncode, done.stderr) == (0, "")
    typed = re.search(
        r"fastest within 0.1 dB of float32, (\S+) times the default: (batch_size=\d+.*)", done.stdout
    )
    assert typed
    assert float(typed[1]) >= 1
    with (tmp_path / "benchmark" / "benchmark.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    facts = json.loads((tmp_path / "benchmark" / "benchmark.json").read_text())
    assert facts["recommended"] in facts["timings"]
    assert (tmp_path / "benchmark" / "benchmark.png").stat().st_size > 10_000


def test_core_seconds_count_work_and_no_waiting() -> None:
    assert _costs(lambda: time.sleep(0.05))[1] < 0.03
    waited, worked = _costs(lambda: sum(range(3_000_000)))
    assert 0 < worked <= waited + 0.01
