"""What the folders of jobs tell, and which settings were swept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.sweep.conftest import Claim, metrics_of
from vae_experiments.errors import VaeExperimentsError
from vae_experiments.sweep.contact_frames import MOMENT, moment
from vae_experiments.sweep.jobs import Job, Status, read_jobs
from vae_experiments.sweep.swept import as_number, in_order, short_names, swept_settings, values_of


def test_jobs_come_in_the_order_of_their_numbers(tmp_path: Path, claim: Claim) -> None:
    for number in (10, 9, 100, 1):
        claim(tmp_path / str(number), metrics=metrics_of())
    (tmp_path / "notes").mkdir()
    assert [job.name for job in read_jobs([tmp_path])] == ["1", "9", "10", "100"]


def test_a_job_is_finished_failed_or_neither(tmp_path: Path, claim: Claim) -> None:
    claim(tmp_path / "0", metrics=metrics_of())
    claim(tmp_path / "1", failure="noise.scale=-1: must be\n at least 0")
    claim(tmp_path / "2")
    (tmp_path / "3").mkdir()
    claim(tmp_path / "4", metrics=metrics_of(), failure="out of memory")
    told = [(job.status, job.sentence) for job in read_jobs([tmp_path])]
    stopped = (Status.not_finished, "stopped before its end, or still running")
    assert told == [
        (Status.finished, ""),
        (Status.failed, "noise.scale=-1: must be at least 0"),
        stopped,
        stopped,
        (Status.failed, "out of memory"),
    ]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"reconstructed": 3}', "\x00", "[" * 100_000, '{"psnr_db": 3}']
)
def test_metrics_that_are_none_make_a_failed_job_and_no_error(
    tmp_path: Path, claim: Claim, text: str
) -> None:
    (claim(tmp_path / "0") / "metrics.json").write_text(text)
    (job,) = read_jobs([tmp_path])
    assert (job.status, job.sentence) == (Status.failed, "its metrics.json is not that of a run")


@pytest.mark.parametrize("text", ["", "[", "- a=${\n", "{a: 1}", "hello", "\x00"])
def test_overrides_that_cannot_be_read_are_unknown_and_sweep_nothing(
    tmp_path: Path, claim: Claim, text: str
) -> None:
    claim(tmp_path / "0", "noise.scale=1", metrics=metrics_of())
    (claim(tmp_path / "1", metrics=metrics_of()) / ".hydra" / "overrides.yaml").write_text(text)
    jobs = read_jobs([tmp_path])
    if jobs[1].overrides is None:
        assert swept_settings(jobs) == []
    else:
        assert jobs[1].overrides == {}


@pytest.mark.parametrize(
    ("word", "pair"),
    [
        ("noise.scale=0.5", ("noise.scale", "0.5")),
        ("+noise.mask=circle", ("noise.mask", "circle")),
        ("++a=b=c", ("a", "b=c")),
        ("noise.scale='ramp(0,1)'", ("noise.scale", "ramp(0,1)")),
        (r"noise.mask='it\'s'", ("noise.mask", "it's")),
        ("manipulation=[noise,blur]", ("manipulation", "[noise,blur]")),
        ("source.path=", ("source.path", "")),
        ("~blur", ("~blur", "left out")),
        ("source.path=${oc.env:HOME}/ü.mp4", ("source.path", "${oc.env:HOME}/ü.mp4")),
    ],
)
def test_an_override_is_a_key_and_a_value(
    tmp_path: Path, claim: Claim, word: str, pair: tuple[str, str]
) -> None:
    claim(tmp_path / "0", word)
    assert read_jobs([tmp_path])[0].overrides == dict([pair])


def test_half_a_letter_is_replaced(tmp_path: Path, claim: Claim) -> None:
    claim(tmp_path / "0", "source.path=\udcff", failure="\ud800")
    (job,) = read_jobs([tmp_path])
    assert (job.overrides, job.sentence) == ({"source.path": "\ufffd"}, "\ufffd")


def test_of_a_key_that_is_typed_twice_the_last_one_counts(tmp_path: Path, claim: Claim) -> None:
    claim(tmp_path / "0", "noise.scale=1", "noise.scale=2")
    assert read_jobs([tmp_path])[0].overrides == {"noise.scale": "2"}


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3),
        (0.5, 0.5),
        *((other, None) for other in (None, "cached", True, float("nan"), float("inf"), 10**400, [1], {})),
    ],
)
def test_only_a_finite_number_is_a_number(tmp_path: Path, value: Any, number: float | None) -> None:
    job = Job("0", tmp_path, {}, Status.finished, "", {"timing": {"total_seconds": value}})
    assert job.number("timing", "total_seconds") == number
    assert job.number("timing", "total_seconds", "deeper") is None
    assert job.number("nothing", "there") is None


def test_the_frames_of_a_job_are_those_of_the_video_that_it_is_about(tmp_path: Path, claim: Claim) -> None:
    retimed = metrics_of(name="reconstructed_with_retime")
    retimed["reconstructed_with_retime"]["frames"] = 3
    claim(tmp_path / "0", metrics=metrics_of())
    claim(tmp_path / "1", metrics=retimed)
    jobs = read_jobs([tmp_path])
    assert [job.frames() for job in jobs] == [6, 3]
    assert moment(jobs) == round(MOMENT * 2), "a frame that every video has"


def test_a_folder_without_jobs_and_one_that_is_not_there_get_their_sentences(tmp_path: Path) -> None:
    hint = "give the folder of a sweep, such as outputs/sweeps/<date>/<time>"
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for name, problem in {
        "empty": "holds no jobs",
        "nowhere": "does not exist",
        "file": "is not a folder",
    }.items():
        with pytest.raises(VaeExperimentsError) as caught:
            read_jobs([tmp_path / name])
        assert str(caught.value) == f"{tmp_path / name} {problem}; {hint}"


def test_jobs_of_several_sweeps_are_named_by_as_much_as_tells_them_apart(
    tmp_path: Path, claim: Claim
) -> None:
    folders = [tmp_path / "01" / "12-30", tmp_path / "02" / "12-30"]
    for folder, scale in zip(folders, (1, 2), strict=True):
        claim(folder / "0", f"noise.scale={scale}", metrics=metrics_of())
    jobs = read_jobs(folders)
    assert [job.name for job in jobs] == ["01/12-30/0", "02/12-30/0"]
    assert [setting.key for setting in swept_settings(jobs)] == ["noise.scale"]
    with pytest.raises(VaeExperimentsError, match="is named twice; name each folder once"):
        read_jobs([folders[0], folders[0]])


def test_sweeps_whose_jobs_look_the_same_are_told_apart_by_a_setting_of_their_own(
    tmp_path: Path, claim: Claim
) -> None:
    folders = [tmp_path / "before", tmp_path / "after"]
    for folder in folders:
        claim(folder / "0", "noise.scale=1", metrics=metrics_of())
        claim(folder / "1", "noise.scale=2", metrics=metrics_of())
    jobs = read_jobs(folders)
    sweep, scale = swept_settings(jobs)
    assert (sweep.key, sweep.values) == ("sweep", ("before", "after"))
    assert scale.values == ("1", "2")


def swept_by(tmp_path: Path, *jobs: dict[str, str]) -> list[Job]:
    return [
        Job(str(number), tmp_path, overrides, Status.finished, "", metrics_of())
        for number, overrides in enumerate(jobs)
    ]


def test_what_differs_is_swept_and_what_is_missing_somewhere_too(tmp_path: Path) -> None:
    jobs = swept_by(
        tmp_path,
        {"seed": "0", "noise.scale": "0.10", "source": "plasma"},
        {"seed": "0", "noise.scale": "0.1", "source": "plasma", "blur.sigma": "2"},
    )
    assert [(setting.key, setting.values) for setting in swept_settings(jobs)] == [("blur.sigma", ("2",))]


def test_numbers_stand_by_size_and_words_as_they_came(tmp_path: Path) -> None:
    jobs = swept_by(
        tmp_path,
        {"a": "10", "b": "zebra"},
        {"a": "9", "b": "ape"},
        {"a": "1e-3", "b": "2"},
        {"b": "zebra"},
    )
    numbers, words = swept_settings(jobs)
    assert numbers.is_numeric
    assert numbers.values == ("1e-3", "9", "10")
    assert not words.is_numeric
    assert words.values == ("zebra", "ape", "2")
    assert [job.name for job in in_order(jobs, [numbers, words])] == ["3", "2", "1", "0"]
    assert [job.name for job in in_order(jobs, [words, numbers])] == ["3", "0", "1", "2"]


def test_a_value_is_given_as_it_was_first_written(tmp_path: Path) -> None:
    jobs = swept_by(tmp_path, {"a": "0.10"}, {"a": "1"}, {"a": "0.1"})
    (setting,) = swept_settings(jobs)
    assert [values_of(job, [setting]) for job in jobs] == [{"a": "0.10"}, {"a": "1"}, {"a": "0.10"}]


def test_what_counting_up_in_steps_left_behind_is_not_shown_and_no_seed_is_rounded(tmp_path: Path) -> None:
    counted = [str(0.1 * number) for number in range(1, 8)]
    assert "0.30000000000000004" in counted
    (setting,) = swept_settings(swept_by(tmp_path, *({"a": value} for value in counted)))
    assert setting.values == ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7")
    seeds = ("9007199254740990", "9007199254740991")
    (setting,) = swept_settings(swept_by(tmp_path, *({"seed": seed} for seed in seeds)))
    assert setting.values == seeds


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e999", "auto", "480x272", "ramp(0,1)", "null", "true"])
def test_words_are_no_numbers(text: str) -> None:
    assert as_number(text) is None


def test_a_key_is_shortened_where_that_leaves_no_doubt(tmp_path: Path) -> None:
    jobs = swept_by(
        tmp_path,
        {"noise.scale": "1", "noise.seed": "1", "seed": "1"},
        {"noise.scale": "2", "noise.seed": "2", "seed": "2"},
    )
    assert short_names(swept_settings(jobs)) == {
        "noise.scale": "scale",
        "noise.seed": "noise.seed",
        "seed": "seed",
    }
