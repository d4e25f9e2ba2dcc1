"""The tables for a paper say what the summary says: a table a number, in Markdown and in LaTeX."""

from __future__ import annotations

from pathlib import Path

from tests.sweep.conftest import Claim, metrics_of
from vae_experiments.sweep.jobs import read_jobs
from vae_experiments.sweep.paper_tables import paper_tables, write_paper_tables
from vae_experiments.sweep.set_summary import Combination, Estimate, over_videos
from vae_experiments.sweep.swept import swept_settings

HEAD = "| manipulation / model, model.path | tiny | folder, my_vae/m |\n| --- | --- | --- |\n"


def combination(psnr_db: float | None, videos: int = 2, failed: int = 0, **values: str) -> Combination:
    found = {} if psnr_db is None else {"psnr_db": Estimate(videos, psnr_db, 1.0, psnr_db - 1, psnr_db + 1)}
    named = {key.replace("__", "."): value for key, value in values.items()}
    return Combination(named, [None] * 2, failed, found)


def combinations() -> list[Combination]:
    return [
        combination(40, manipulation="none", model="tiny"),
        combination(30.126, videos=1, failed=1, manipulation="none", model="folder", model__path="my_vae/m"),
        combination(None, failed=2, manipulation="[noise,blur]", model="folder", model__path="my_vae/m"),
    ]


def test_the_first_setting_goes_down_and_all_others_across() -> None:
    [table] = paper_tables(combinations())
    assert table.as_markdown() == (
        f"## PSNR (dB)\n\n{HEAD}"
        "| none | 40.00 [39.00, 41.00] | 30.13 [29.13, 31.13] (1 of 3) |\n"
        "| [noise,blur] |  |  |\n"
    )


def test_one_setting_goes_down_and_the_numbers_across() -> None:
    [table] = paper_tables([combination(30, noise__scale=scale) for scale in ("0.2", "1")])
    assert table.head == ["noise.scale", "PSNR (dB)"]
    assert table.rows == [["0.2", "30.00 [29.00, 31.00]"], ["1", "30.00 [29.00, 31.00]"]]


def test_without_another_setting_there_is_one_row() -> None:
    [table] = paper_tables([combination(30)])
    assert table.rows == [["", "30.00 [29.00, 31.00]"]]


def test_the_files_hold_the_same_numbers_and_latex_has_no_sign_of_its_own(tmp_path: Path) -> None:
    write_paper_tables(tmp_path / "sweep_summary.csv", combinations(), "source.path=a_b seed=0")
    markdown, latex = ((tmp_path / f"sweep_summary.{end}").read_text() for end in ("md", "tex"))
    assert markdown.startswith("# source.path=a_b seed=0\n\nMeans over 4 videos, in brackets the 95 % ")
    assert latex.startswith("% source.path=a_b seed=0\n% Means over 4 videos, ")
    assert (
        "\\begin{tabular}{lrr}\n\\toprule\nmanipulation / model, model.path & tiny & folder, my\\_vae/m \\\\\n"
        in latex
    )
    assert "none & 40.00 [39.00, 41.00] & 30.13 [29.13, 31.13] (1 of 3) \\\\\n" in latex
    assert latex.count("\\begin") == latex.count("\\end") == 2


def test_a_resumed_set_has_the_tables_of_one_that_ran_through(claim: Claim, tmp_path: Path) -> None:
    for number, resumed in enumerate(([], ["sweep.resume=last"])):
        words = ["noise.scale=0.5", f"source.path={number}.mp4", *resumed]
        claim(tmp_path / str(number), *words, metrics=metrics_of(30.0 + number))
    jobs = read_jobs([tmp_path])
    [one] = over_videos(jobs, swept_settings(jobs))
    assert (len(one.finished), one.estimates["psnr_db"].mean) == (2, 30.5)
