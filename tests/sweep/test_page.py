"""The page, the table and the pictures of a sweep."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from tests.sweep.conftest import Claim, metrics_of
from vae_experiments.sweep import Summary, write_sweep
from vae_experiments.writers.pages.contact_sheets import SheetTile, write_sheet
from vae_experiments.writers.plots.sweep_plots import Measurement, plot_metrics_along


class Links(HTMLParser):
    """Collects what a page refers to, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src") and value and not value.startswith("#"):
                self.found.append(unquote(value))
            if name == "data-videos" and value:
                self.found += [unquote(file) for file in json.loads(value).values()]

    def handle_data(self, data: str) -> None:
        self.text += data


def table_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "sweep.csv").read_text(encoding="utf-8"))))


def rows_of(folder: Path) -> list[list[str]]:
    html = (folder / "sweep.html").read_text(encoding="utf-8")
    body = html[html.index("<tbody>") : html.index("</table>")]
    return [
        [re.sub("<.*?>", "", cell) for cell in re.findall("<td.*?>(.*?)</td>", row)]
        for row in re.findall("<tr.*?</tr>", body)
    ]


@pytest.fixture(scope="session")
def written(real_sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    into = tmp_path_factory.mktemp("page")
    return into, write_sweep([real_sweep], into)


def test_a_real_sweep_leaves_its_page_its_table_and_its_pictures(written: tuple[Path, Summary]) -> None:
    into, _ = written
    assert {path.name for path in into.iterdir()} == {
        "sweep.html",
        "sweep.csv",
        "contact_sheet.png",
        "batch_size.png",
        "metrics_map.png",
        "metrics_by_noise.scale.png",
        "metrics_by_batch_size.png",
    }


def test_the_summary_says_what_came_out(written: tuple[Path, Summary]) -> None:
    into, summary = written
    assert (summary.jobs, summary.finished, summary.failures) == (4, 4, [])
    assert summary.page == into / "sweep.html"
    verdict, advice = summary.remarks
    assert verdict.startswith("the metrics a")
    assert "over batch sizes 1, 4" in verdict
    assert re.match(
        r"recommended batch size: [14], .*4 jobs measured it, the median of each(; larger ones were not tried)?\)$",
        advice,
    )


def test_every_link_of_the_page_leads_to_a_file_and_none_to_a_network(written: tuple[Path, Summary]) -> None:
    into, summary = written
    links = Links(summary.page.read_text(encoding="utf-8")).found
    assert any(link.endswith("reconstructed_with_noise.mp4") for link in links)
    assert any(link.endswith("original.mp4") for link in links)
    for link in links:
        assert "://" not in link
        assert (into / link).exists(), link


def test_the_page_says_the_verdict_and_has_a_row_a_job_after_the_baseline(
    written: tuple[Path, Summary], real_sweep: Path
) -> None:
    into, summary = written
    text = Links(summary.page.read_text(encoding="utf-8")).text
    assert all(remark in text for remark in summary.remarks)
    baseline, *rows = rows_of(into)
    metrics = json.loads((real_sweep / "0" / "metrics.json").read_text())
    assert baseline[:4] == ["manipulation=none", "", "", f"{metrics['reconstructed']['psnr_db']:.2f}"]
    assert [row[:3] for row in rows] == [
        ["0", "0.1", "1"],
        ["1", "0.1", "4"],
        ["2", "1", "1"],
        ["3", "1", "4"],
    ]
    assert rows[0][3] == f"{metrics['reconstructed_with_noise']['psnr_db']:.2f}"


def test_the_table_holds_what_each_metrics_json_holds(
    written: tuple[Path, Summary], real_sweep: Path
) -> None:
    into, _ = written
    rows = table_of(into)
    assert [row["job"] for row in rows] == ["0", "1", "2", "3"]
    for row in rows:
        metrics = json.loads((real_sweep / row["job"] / "metrics.json").read_text())
        changed = metrics["reconstructed_with_noise"]
        for name in ("psnr_db", "ssim", "flicker", "psnr_db_against_reconstructed"):
            assert float(row[name]) == changed[name]
        assert float(row["reconstructed.psnr_db"]) == metrics["reconstructed"]["psnr_db"]
        assert float(row["timing.decode_seconds"]) == metrics["timing"]["decode_seconds"]
        assert int(row["peak_memory_bytes"]) == metrics["peak_memory_bytes"]
        assert int(row["batch_size"]) == metrics["batch_size"]
        assert (row["status"], row["sentence"], row["output"]) == ("finished", "", "minimal")
        assert (into / row["folder"]).resolve() == (real_sweep / row["job"]).resolve()
    assert b"\r" not in (into / "sweep.csv").read_bytes()


def test_the_contact_sheet_shows_a_frame_of_each_video(written: tuple[Path, Summary]) -> None:
    into, _ = written
    with Image.open(into / "contact_sheet.png") as picture:
        sheet = np.asarray(picture.convert("RGB"))
    html = (into / "sweep.html").read_text(encoding="utf-8")
    places = re.findall(r"background-position: -(\d+)px -(\d+)px", html)
    assert len(places) == 2 + 4
    for left, top in ((int(left), int(top)) for left, top in places):
        assert sheet[top : top + 128, left : left + 160].std() > 5


def test_jobs_that_did_not_finish_are_rows_with_their_sentences(tmp_path: Path, claim: Claim) -> None:
    claim(tmp_path / "0", "noise.scale=1", metrics=metrics_of())
    claim(tmp_path / "1", "noise.scale=-1", failure="noise.scale=-1: must be at least 0")
    claim(tmp_path / "2", "noise.scale=3")
    claim(tmp_path / "3", "noise.scale=5", metrics=metrics_of(25.0))
    summary = write_sweep([tmp_path])
    assert (summary.jobs, summary.finished) == (4, 2)
    assert summary.failures == [
        "job 1 (noise.scale=-1): noise.scale=-1: must be at least 0",
        "job 2 (noise.scale=3): stopped before its end, or still running",
    ]
    assert [row["status"] for row in table_of(tmp_path)] == ["finished", "failed", "not finished", "finished"]
    rows = rows_of(tmp_path)
    assert [row[0] for row in rows] == ["manipulation=none", "1", "0", "2", "3"]
    assert rows[1][1:4] == ["-1", "failed", ""]
    text = Links(summary.page.read_text()).text
    assert all(failure in text for failure in summary.failures)


def test_a_sweep_of_which_nothing_finished_still_has_its_page(tmp_path: Path, claim: Claim) -> None:
    claim(tmp_path / "0", "a=1", failure="no")
    (tmp_path / "1").mkdir()
    summary = write_sweep([tmp_path])
    assert (summary.jobs, summary.finished) == (2, 0)
    assert {path.name for path in tmp_path.glob("*.*")} == {"sweep.csv", "sweep.html", "contact_sheet.png"}


def test_one_job_is_a_sweep_of_nothing(tmp_path: Path, claim: Claim) -> None:
    claim(tmp_path / "0", "noise.scale=1", metrics=metrics_of())
    assert write_sweep([tmp_path]).remarks == []
    assert "Sweep of 1</title>" in (tmp_path / "sweep.html").read_text()


@pytest.mark.parametrize(
    "value",
    ["<script>alert(1)</script>", "\"' onload=x", "ü 日本 🎈", "a,b\nc", "$x_1$ 100%", "{{ 7*7 }}", "_x"],
)
def test_no_value_breaks_the_page_the_table_or_the_plots(scattered: Callable[..., Path], value: str) -> None:
    sweep = scattered([f"source.path={value}", "seed=0"], ["source.path=other", "seed=1"])
    write_sweep([sweep])
    page = Links((sweep / "sweep.html").read_text(encoding="utf-8"))
    assert page.tags.count("script") == 1
    assert f"source.path={value}" in page.text
    assert [row["source.path"] for row in table_of(sweep)] == [value, "other"]


def test_folders_with_odd_names_are_linked(tmp_path: Path, real_sweep: Path) -> None:
    odd = tmp_path / "50% #1? ü&<b>"
    shutil.copytree(real_sweep, odd / "sweep")
    into = tmp_path / "page"
    into.mkdir()
    summary = write_sweep([odd / "sweep"], into)
    links = Links(summary.page.read_text(encoding="utf-8")).found
    assert any("50% #1? ü&<b>" in link for link in links)
    assert all((into / link).exists() for link in links)


def test_cached_times_stand_as_words_and_are_not_plotted(tmp_path: Path, claim: Claim) -> None:
    for number, (size, rate) in enumerate([(1, 5.0), (4, "cached"), (8, 6.0)]):
        metrics = metrics_of(rate=rate, batch_size=size, memory=None)
        claim(tmp_path / str(number), f"batch_size={size}", metrics=metrics)
    summary = write_sweep([tmp_path])
    assert "8, the smallest within 3 % of the fastest" in summary.remarks[1]
    assert "2 jobs measured it" in summary.remarks[1]
    assert table_of(tmp_path)[1]["timing.frames_per_second"] == "cached"
    assert table_of(tmp_path)[1]["peak_memory_bytes"] == ""
    assert "cached" in rows_of(tmp_path)[2]
    assert "2 of them" in (tmp_path / "sweep.html").read_text()


def test_a_video_without_any_error_is_identical_and_stands_above_all_numbers(
    tmp_path: Path, claim: Claim
) -> None:
    for number, psnr in enumerate((30.0, None, 20.0)):
        claim(tmp_path / str(number), f"noise.scale={number}", metrics=metrics_of(psnr))
    write_sweep([tmp_path])
    assert [row[2] for row in rows_of(tmp_path)] == ["40.00", "30.00", "identical", "20.00"]
    row = table_of(tmp_path)[1]
    assert (row["psnr_db"], row["identical"]) == ("", "true")
    assert "nan" not in (tmp_path / "sweep.csv").read_text().lower()


def test_a_job_without_a_manipulation_needs_no_second_baseline(tmp_path: Path, claim: Claim) -> None:
    claim(tmp_path / "0", "manipulation=noise", metrics=metrics_of(30.0))
    claim(tmp_path / "1", "manipulation=none", metrics=metrics_of(name=""))
    write_sweep([tmp_path])
    assert [row[:3] for row in rows_of(tmp_path)] == [["0", "noise", "30.00"], ["1", "none", "40.00"]]


def test_several_sweeps_stand_on_one_page(scattered: Callable[..., Path], tmp_path: Path) -> None:
    noise = scattered(["noise.scale=1"], ["noise.scale=2"], name="a")
    blur = scattered(["manipulation=blur", "blur.sigma=1"], ["manipulation=blur", "blur.sigma=2"], name="b")
    into = tmp_path / "both"
    into.mkdir()
    write_sweep([noise, blur], into)
    rows = table_of(into)
    assert [row["job"] for row in rows] == ["a/0", "a/1", "b/0", "b/1"]
    assert [row["blur.sigma"] for row in rows] == ["", "", "1", "2"]
    assert not list(noise.glob("*.*")) + list(blur.glob("*.*"))
    assert (into / "metrics_by_blur.sigma.png").exists()


def test_unlike_jobs_are_not_joined_by_a_line(scattered: Callable[..., Path]) -> None:
    sweep = scattered(["noise.scale=1", "seed=1"], ["noise.scale=2", "seed=2"], ["noise.scale=2", "seed=3"])
    write_sweep([sweep])
    assert (sweep / "metrics_by_seed.png").exists()
    assert not (sweep / "metrics_by_noise.scale.png").exists()


def test_what_an_unfinished_job_left_behind_is_not_shown(real_sweep: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    shutil.copytree(real_sweep, sweep)
    (sweep / "1" / "metrics.json").unlink()
    write_sweep([sweep])
    page = (sweep / "sweep.html").read_text()
    assert "3/reconstructed_with_noise.mp4" in page
    assert "1/reconstructed_with_noise.mp4" not in page
    with Image.open(sweep / "contact_sheet.png") as picture:
        sheet = np.asarray(picture)
    places = re.findall(r"background-position: -(\d+)px -(\d+)px", page)
    frames = [sheet[int(top) : int(top) + 100, int(left) : int(left) + 100].std() for left, top in places]
    assert [number for number, spread in enumerate(frames) if spread < 5] == [2 + 1]


def test_settings_whose_names_make_one_file_name_get_two(scattered: Callable[..., Path]) -> None:
    sweep = scattered(["a@b=1", "a+b=1"], ["a@b=2", "a+b=3"], ["a@b=2", "a+b=1"])
    write_sweep([sweep])
    assert len(list(sweep.glob("metrics_by_*.png"))) == 2


def test_a_damaged_video_leaves_an_empty_tile(
    real_sweep: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = tmp_path / "sweep"
    shutil.copytree(real_sweep, sweep)
    (sweep / "1" / "reconstructed_with_noise.mp4").write_bytes(b"no video")
    (sweep / "2" / "reconstructed_with_noise.mp4").unlink()
    assert write_sweep([sweep]).finished == 4
    assert "contact sheet" in caplog.text
    assert "reconstructed_with_noise.mp4" in caplog.text


@pytest.mark.slow
def test_a_hundred_jobs_make_a_light_page(scattered: Callable[..., Path]) -> None:
    sweep = scattered(
        *([f"noise.scale={scale}", f"seed={seed}"] for scale in range(10) for seed in range(10))
    )
    write_sweep([sweep])
    html = (sweep / "sweep.html").read_text()
    assert len(rows_of(sweep)) == 101
    assert len(html) < 200_000
    # Players come with a click.
    assert "<video" not in html


def test_tiles_stand_where_the_sheet_says_and_keep_their_shape(tmp_path: Path) -> None:
    red = np.zeros((90, 160, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    tall = np.zeros((400, 20, 3), np.uint8) + np.array([0, 0, 255], np.uint8)
    tiles = [SheetTile(red, ["red"]), SheetTile(None, ["none", "at all"]), SheetTile(tall, ["x" * 5000])]
    sheet = write_sheet(tmp_path / "sheet.png", tiles)
    with Image.open(tmp_path / "sheet.png") as picture:
        pixels = np.asarray(picture)
    cuts = [pixels[top : top + sheet.height, left : left + sheet.width] for left, top in sheet.corners]
    share = [
        ((cut == colour).all(-1)).mean()
        for cut, colour in zip(cuts, ([255, 0, 0], [0, 0, 0], [0, 0, 255]), strict=True)
    ]
    assert (sheet.width, sheet.height) == (160, 240)
    assert share[0] == pytest.approx(90 / 240)
    assert share[1] == 0
    assert share[2] == pytest.approx(12 / 160)


@pytest.mark.parametrize("lines", [1, 3, 12])
def test_a_line_plot_takes_gaps_identical_videos_and_any_number_of_lines(tmp_path: Path, lines: int) -> None:
    jobs = [
        Measurement(
            x,
            f"seed={line}",
            {"psnr_db": None if x == 1 else 30.0 - x, "ssim": None, "flicker": x},
            {"psnr_db": 40.0, "ssim": 0.9, "flicker": 1.0},
            is_identical=x == 1,
        )
        for line in range(lines)
        for x in (0.001, 0.1, 1.0)
    ]
    plot_metrics_along(tmp_path / "plot.png", "noise.scale", jobs)
    with Image.open(tmp_path / "plot.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10
