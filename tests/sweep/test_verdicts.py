"""The verdict on determinism, the batch size to take, the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sweep.conftest import metrics_of
from vae_experiments.sweep.baselines import baselines, has_own_row
from vae_experiments.sweep.jobs import Job, Status
from vae_experiments.sweep.swept import swept_settings
from vae_experiments.sweep.verdicts import Throughput, determinism, recommend, throughputs


def job(status: Status = Status.finished, metrics: dict[str, Any] | None = None, **typed: object) -> Job:
    overrides = {key.replace("__", "."): str(value) for key, value in typed.items()}
    measured = metrics_of(batch_size=int(overrides.get("batch_size", 8))) if metrics is None else metrics
    return Job("0", Path(), overrides, status, "", measured if status is Status.finished else {})


def verdict(*jobs: Job) -> str | None:
    return determinism(jobs, swept_settings(jobs))


def by_size(sizes_and_psnr: dict[int, float | None], **typed: object) -> list[Job]:
    return [
        job(metrics=metrics_of(psnr, batch_size=size), batch_size=size, **typed)
        for size, psnr in sizes_and_psnr.items()
    ]


def test_metrics_that_agree_to_rounding_are_said_to_agree() -> None:
    said = verdict(*by_size({8: 30.0, 1: 30.00002, 4: 30.00003}))
    assert said == (
        "the metrics agree to 0.00003 dB over batch sizes 1, 4, 8, "
        "mean and deviation of the latents to 0; up to 0.01 dB is rounding"
    )


def test_metrics_that_differ_are_said_to_differ() -> None:
    said = verdict(*by_size({1: 30.0, 4: 30.0, 8: 30.25}))
    assert said is not None
    assert said.startswith(
        "THEY DIFFER by 0.25 dB over batch sizes 1, 4, 8, more than the 0.01 dB of rounding"
    )


@pytest.mark.parametrize(("apart", "differs"), [(0.0099, False), (0.0101, True)])
def test_rounding_ends_at_a_hundredth_of_a_decibel(apart: float, differs: bool) -> None:
    said = verdict(*by_size({1: 30.0, 4: 30.0 + apart}))
    assert said is not None
    assert said.startswith("THEY DIFFER") is differs


def test_the_untouched_video_is_compared_too() -> None:
    said = verdict(
        job(metrics=metrics_of(untouched=40.0, batch_size=1), batch_size=1),
        job(metrics=metrics_of(untouched=40.5, batch_size=2), batch_size=2),
    )
    assert said is not None
    assert said.startswith("THEY DIFFER by 0.5 dB")


def test_equal_metrics_are_the_same_to_the_last_digit() -> None:
    assert (
        verdict(*by_size({1: 30.0, 4: 30.0}))
        == "the metrics are the same to the last digit over batch sizes 1, 4"
    )
    assert verdict(*by_size({1: None, 4: None})) is not None


def test_identical_in_one_job_only_is_a_difference() -> None:
    said = verdict(*by_size({1: 30.0, 4: None}))
    assert said is not None
    assert said.startswith("THEY DIFFER")


def test_only_jobs_alike_in_all_else_are_compared() -> None:
    jobs = by_size({1: 30.0, 4: 30.0}, noise__scale=1) + by_size({1: 20.0, 4: 20.001}, noise__scale=2)
    said = verdict(*jobs)
    assert said is not None
    assert said.startswith("the metrics agree to 0.001 dB over batch sizes 1, 4")
    assert verdict(*by_size({1: 30.0}, seed=1), *by_size({4: 10.0}, seed=2)) is None


def test_without_batch_sizes_there_is_no_verdict() -> None:
    assert verdict(job(seed=1), job(seed=2)) is None
    assert verdict(job(batch_size=1), job(Status.failed, batch_size=2)) is None


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ({1: 5.0, 2: 9.0, 4: 9.71, 8: 10.0}, 4),
        ({1: 5.0, 2: 9.0, 4: 9.69, 8: 10.0}, 8),
        ({1: 10.0, 8: 3.0}, 1),
        ({16: 10.0, 8: 10.0, 32: 10.0}, 8),
    ],
)
def test_the_smallest_within_3_percent_of_the_fastest_is_recommended(
    rates: dict[int, float], best: int
) -> None:
    found = recommend([Throughput(size, rate, None) for size, rate in rates.items()])
    assert found is not None
    assert found.batch_size == best
    assert f"recommended batch size: {best}, " in found.sentence
    assert f"{len(rates)} jobs measured it" in found.sentence
    assert found.sentence.endswith("; larger ones were not tried)") is (best == max(rates))


def test_of_several_jobs_with_one_batch_size_the_median_counts() -> None:
    rates = {1: (8.0, 8.0, 100.0), 4: (10.0, 10.0, 1.0)}
    found = recommend([Throughput(size, rate, None) for size, all_ in rates.items() for rate in all_])
    assert found is not None
    assert found.batch_size == 4
    assert found.sentence.endswith(
        "(frames per second by batch size 1: 8, 4: 10; 6 jobs measured it, the median of each; larger ones were not tried)"
    )


def test_one_batch_size_is_no_choice() -> None:
    assert recommend([Throughput(4, 1.0, None), Throughput(4, 2.0, None)]) is None
    assert recommend([]) is None


def test_a_speed_that_was_not_measured_does_not_count() -> None:
    cached = metrics_of(rate="cached", batch_size=4)
    half = metrics_of(batch_size=4)
    half["timing"]["encode_seconds"] = "cached"
    jobs = [
        job(batch_size=1),
        job(metrics=cached),
        job(metrics=half),
        job(metrics={"reconstructed": {}}),
        job(Status.failed),
    ]
    assert throughputs(jobs, []) == [Throughput(1, 10.0, 500_000_000)]


def test_only_jobs_alike_in_all_else_are_measured_against_each_other() -> None:
    jobs = [
        job(metrics=metrics_of(rate=rate, batch_size=size), batch_size=size, source__size=side)
        for size, side, rate in ((1, 256, 2.0), (4, 256, 3.0), (8, 64, 90.0), (1, 512, 0.5), (4, 512, 0.4))
    ]
    found = throughputs(jobs, swept_settings(jobs))
    assert [(one.batch_size, one.frames_per_second) for one in found] == [
        (1, 0.5),
        (1, 2.0),
        (4, 0.4),
        (4, 3.0),
    ]


def test_a_sweep_has_a_baseline_for_each_source_and_model() -> None:
    jobs = [
        job(metrics=metrics_of(untouched=psnr), source=source, noise__scale=scale, batch_size=size)
        for source, psnr in (("plasma", 31.0), ("bars", 38.0))
        for scale in (1, 2)
        for size in (1, 2)
    ]
    first, second = baselines(jobs, swept_settings(jobs))
    assert (first.values, first.scores["psnr_db"]) == ({"source": "plasma"}, 31.0)
    assert (second.values, second.scores["psnr_db"]) == ({"source": "bars"}, 38.0)
    assert not first.remark
    assert not has_own_row(first)


def test_jobs_of_other_dtypes_have_baselines_of_their_own() -> None:
    jobs = [
        job(metrics=metrics_of(untouched=psnr), device__dtype=dtype, noise__scale=scale)
        for dtype, psnr in (("float32", 38.0), ("bfloat16", 35.0))
        for scale in (1, 2)
    ]
    first, second = baselines(jobs, swept_settings(jobs))
    assert (first.values, first.scores["psnr_db"]) == ({"device.dtype": "float32"}, 38.0)
    assert (second.values, second.scores["psnr_db"]) == ({"device.dtype": "bfloat16"}, 35.0)
    assert not first.remark + second.remark


def test_baselines_that_do_not_agree_say_so() -> None:
    jobs = [job(metrics=metrics_of(untouched=psnr), seed=psnr) for psnr in (30.0, 31.0, 33.0)]
    (found,) = baselines(jobs, swept_settings(jobs))
    assert found.scores["psnr_db"] == 31.0
    assert found.remark == "the median of jobs with 30.00 to 33.00 dB"


def test_a_job_without_a_manipulation_is_the_baseline_itself() -> None:
    jobs = [job(manipulation="noise"), job(metrics=metrics_of(name=""), manipulation="none")]
    (found,) = baselines(jobs, swept_settings(jobs))
    assert has_own_row(found)


def test_failed_jobs_make_no_baseline() -> None:
    assert baselines([job(Status.failed)], []) == []
