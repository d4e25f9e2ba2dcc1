"""``vae-experiments report``: the page again, over several sweeps too."""

from __future__ import annotations

import html
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep.conftest import Claim, metrics_of
from vae_experiments.commands.sweep_report import main


def test_the_page_is_made_again_in_the_sweeps_own_folder(
    scattered: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = scattered(["noise.scale=1"], ["noise.scale=2"])
    assert main([str(sweep)]) == 0
    assert capsys.readouterr().out == f"2 jobs, 2 finished: {sweep / 'sweep.html'}\n"
    before = {path.name: path.read_bytes() for path in sweep.glob("sweep.*")}
    assert main([str(sweep)]) == 0
    assert {path.name: path.read_bytes() for path in sweep.glob("sweep.*")} == before


def test_remarks_and_failures_are_said(
    tmp_path: Path, claim: Claim, capsys: pytest.CaptureFixture[str]
) -> None:
    for size, psnr in ((1, 30.0), (2, 31.0)):
        claim(tmp_path / str(size), f"batch_size={size}", metrics=metrics_of(psnr, batch_size=size))
    claim(tmp_path / "3", "batch_size=0", failure="batch_size=0: must be at least 1")
    assert main([str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "job 3 (batch_size=0): batch_size=0: must be at least 1"
    assert said[1].startswith("THEY DIFFER by 1 dB over batch sizes 1, 2")
    assert said[2].startswith("recommended batch size: 1")
    assert said[3].startswith("3 jobs, 2 finished")


@pytest.mark.slow
def test_several_sweeps_go_to_a_new_folder_or_where_they_are_told_to(
    scattered: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps = [str(scattered(["seed=1"], ["seed=2"], name=name)) for name in "ab"]
    monkeypatch.chdir(tmp_path)
    assert main([*sweeps, "--into", "x/y"]) == 0
    assert (tmp_path / "x" / "y" / "sweep.html").exists()
    assert main(sweeps) == 0
    assert main(sweeps) == 0
    pages = [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("outputs/**/sweep.html")]
    assert len(pages) == 2
    assert all(
        re.match(r"outputs/reports/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d(-\d+)?/sweep.html", page) for page in pages
    )


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (
            ["nowhere"],
            1,
            "nowhere does not exist; give the folder of a sweep, such as outputs/sweeps/<date>/<time>",
        ),
        (
            ["empty"],
            1,
            "empty holds no jobs; give the folder of a sweep, such as outputs/sweeps/<date>/<time>",
        ),
        (
            ["sweep/0"],
            1,
            "sweep/0 is one run, whose page is sweep/0/report.html; give other runs too, to compare them, or a sweep",
        ),
        (["sweep/0", "empty"], 1, "empty holds no jobs; give the folder of a sweep"),
        (["sweep", "nowhere"], 1, "nowhere does not exist; give the folder of a sweep"),
        (["sweep", "sweep"], 1, "sweep is named twice; name each folder once"),
        (
            ["sweep", "--into", "file"],
            1,
            "cannot make file (file exists); choose another folder with --into FOLDER",
        ),
        (
            [],
            2,
            "the following arguments are required: DIR; try vae-experiments report --help",
        ),
        (
            ["sweep", "--out"],
            2,
            "unrecognized arguments: --out; try vae-experiments report --help",
        ),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    scattered: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    sentence: str,
) -> None:
    scattered(["seed=1"], ["seed=2"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    try:
        ended = main(words)
    except SystemExit as end:
        ended = end.code
    assert ended == status
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {sentence}")
    assert said.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_page_that_cannot_be_written_says_where_to_put_it(
    scattered: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sweep = scattered(["seed=1"], ["seed=2"])
    (sweep / "sweep.html").mkdir()
    assert main([str(sweep)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: cannot write {sweep / 'sweep.html'} (is a directory)")
    assert said.endswith("; choose another folder with --into FOLDER\n")
    assert not list(sweep.glob(".*"))


def test_the_command_runs_and_helps(
    type_command: Callable[..., subprocess.CompletedProcess[str]], scattered: Callable[..., Path]
) -> None:
    sweep = scattered(["seed=1"], ["seed=2"])
    said = type_command("-m", "vae_experiments", "report", str(sweep))
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == f"2 jobs, 2 finished: {sweep / 'sweep.html'}\n"
    helped = type_command("-m", "vae_experiments", "report", "--help")
    assert helped.returncode == 0
    assert "--into FOLDER" in helped.stdout


def test_several_runs_stand_on_one_page(scattered: Callable[..., Path], tmp_path: Path) -> None:
    sweep = scattered(["noise.scale=0.1"], ["noise.scale=0.5"])
    assert main([str(sweep / "0"), str(sweep / "1"), "--into", str(tmp_path / "page")]) == 0
    table = (tmp_path / "page" / "sweep.csv").read_text()
    assert [line.split(",")[0] for line in table.splitlines()[1:]] == ["0", "1"]
    assert "noise.scale" in table.splitlines()[0]


def test_the_command_that_a_page_shows_makes_the_page_again(
    type_command: Callable[..., subprocess.CompletedProcess[str]],
    scattered: Callable[..., Path],
    tmp_path: Path,
) -> None:
    folder = scattered(["seed=1"], ["seed=2"])
    assert main([str(folder)]) == 0
    page = html.unescape((folder / "sweep.html").read_text())
    shown = re.search(r"vae-experiments (report [^<\n]+)", page)
    assert shown
    again = type_command("-m", "vae_experiments", *shlex.split(shown[1]), where=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert str(folder / "sweep.html") in again.stdout
