"""``vae-experiments compare``: finished runs side by side on one page."""

from __future__ import annotations

import csv
import errno
import html
import io
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from vae_experiments.commands.compare import main
from vae_experiments.sources import Video
from vae_experiments.sweep import comparison
from vae_experiments.tensors import to_pixels

Command = Callable[..., subprocess.CompletedProcess[str]]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
QUIET, LOUD, SMALL = "quiet #1 50%", "loud? ü&<b>", "small"
SETTINGS, CHANGED, UNTOUCHED = (
    "The settings in which they differ",
    "The changed video, without a manipulation the reconstructed one",
    "The reconstructed video",
)
HINT = "give the folders of finished runs, such as outputs/<date>/<time>"
AGAIN = "run it again, or leave it out"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, type_command: Command) -> Path:
    """Run two that differ in one setting, and one of another size; tests read them, and write elsewhere."""
    runs = tmp_path_factory.mktemp("runs")
    words = ("cache.enabled=false", "output=minimal", "output.provenance=true", "output.report=true")
    for name, own in (
        (QUIET, ("source.size=40x32", "source.frames=5", "noise.scale=0.2")),
        (LOUD, ("source.size=40x32", "source.frames=5", "noise.scale=0.8")),
        (SMALL, ("source.size=32", "source.frames=3", "source.fps=12", "manipulation=none")),
    ):
        done = type_command("run.py", *words, *own, folder=runs / name)
        assert done.returncode == 0, done.stderr
    return runs


@pytest.fixture
def runs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with copies of the runs, which a test may spoil."""
    folder = tmp_path / "mine"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


class Page(HTMLParser):
    """Collects what a page refers to, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = ("href", "src", "value") if tag == "option" else ("href", "src")
        self.found += [value for name, value in attrs if name in named and value]

    def handle_data(self, data: str) -> None:
        self.text += data

    def rows(self) -> dict[str, dict[str, list[str]]]:
        """Return the texts of the cells by heading and row; a star stands before the best."""
        groups: dict[str, dict[str, list[str]]] = {}
        for body in re.findall("<tbody>(.*?)</tbody>", self.source, re.DOTALL):
            title = html.unescape(re.findall("<th.*?>(.*?)</th>", body)[0])
            rows = (re.findall("<td(.*?)>(.*?)</td>", row) for row in re.findall("<tr><td.*?</tr>", body))
            groups[title] = {
                first: [("*" if "best" in kind else "") + html.unescape(text) for kind, text in cells]
                for (_, first), *cells in rows
            }
        return groups


def compared(*words: str, output: str = "page") -> Page:
    assert main([*words, "--output", output]) == 0
    return Page(Path(output) / "compare.html")


def metrics(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "metrics.json").read_text())
    return found


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def picture(name: str) -> np.ndarray:
    with Image.open(Path("page", name)) as opened:
        return np.asarray(opened)


def test_the_numbers_are_those_of_the_runs_and_the_best_are_marked(runs: Path) -> None:
    rows = compared(QUIET, LOUD).rows()
    one, other = metrics(QUIET), metrics(LOUD)
    changed = "reconstructed_with_noise"
    assert one[changed]["psnr_db"] > other[changed]["psnr_db"]
    assert rows[CHANGED]["PSNR (dB)"] == [
        f"*{one[changed]['psnr_db']:.2f}",
        f"{other[changed]['psnr_db']:.2f}",
    ]
    assert rows[CHANGED]["SSIM"] == [f"*{one[changed]['ssim']:.4f}", f"{other[changed]['ssim']:.4f}"]
    assert rows[CHANGED]["flicker (levels)"][0] == f"*{one[changed]['flicker']:.3f}"
    # The same clip through the same model: nothing is better.
    assert rows[UNTOUCHED]["PSNR (dB)"] == [f"{one['reconstructed']['psnr_db']:.2f}"] * 2
    assert rows["The videos"]["frames"] == ["5", "5"]
    assert rows["The videos"]["size"] == ["40x32", "40x32"]
    totals = [run["timing"]["total_seconds"] for run in (one, other)]
    cells = [cell.removeprefix("*") for cell in rows["Time and memory"]["total (s)"]]
    assert cells == [f"{total:.2f}" for total in totals]


def test_the_settings_are_exactly_those_in_which_the_runs_differ(runs: Path) -> None:
    page = compared(QUIET, LOUD)
    assert page.rows()[SETTINGS] == {"noise.scale": ["0.2", "0.8"]}
    assert "2 runs that differ in noise.scale" in page.text
    table = list(csv.DictReader(io.StringIO(Path("page/compare.csv").read_text(encoding="utf-8"))))
    assert [row["job"] for row in table] == [QUIET, LOUD]
    assert [row["noise.scale"] for row in table] == ["0.2", "0.8"]
    assert [float(row["psnr_db"]) for row in table] == [
        metrics(name)["reconstructed_with_noise"]["psnr_db"] for name in (QUIET, LOUD)
    ]
    assert list(table[0])[:3] == ["job", "noise.scale", "psnr_db"]


def test_settings_of_runs_without_a_config_are_those_of_their_provenance(runs: Path) -> None:
    shutil.rmtree(Path(QUIET, ".hydra"))  # as after a run from Python
    rows = compared(QUIET, LOUD).rows()
    expected = [f"scale {scale} standard deviations of the latents" for scale in (0.2, 0.8)]
    assert rows[SETTINGS] == {"noise": expected}


def test_times_have_no_best_where_one_run_read_its_latents_from_the_cache(runs: Path) -> None:
    edit(Path(LOUD, "metrics.json"), timing={"encode_seconds": "cached", "total_seconds": 0.01})
    rows = compared(QUIET, LOUD).rows()["Time and memory"]
    assert rows["encode (s)"] == [f"{metrics(QUIET)['timing']['encode_seconds']:.2f}", "cached"]
    assert rows["total (s)"][1] == "0.01"


def test_the_pictures_are_the_middle_frame_and_four_times_the_difference(runs: Path) -> None:
    compared(QUIET, LOUD)
    frames = {
        name: to_pixels(next(iter(Video(path=str(Path(name, f"{video}.mp4"))).chunks(8))))[2]
        for name, video in ((QUIET, "reconstructed_with_noise"), (LOUD, "reconstructed_with_noise"))
    }
    assert np.array_equal(picture("run_1.png"), frames[QUIET])
    assert np.array_equal(picture("run_2.png"), frames[LOUD])
    apart = np.abs(frames[QUIET].astype(int) - frames[LOUD].astype(int))
    assert apart.max() * 4 > 255
    assert np.array_equal(picture("difference_1_2.png"), np.minimum(4 * apart, 255))
    text = Path("page/compare.html").read_text()
    assert "Frame 2</h2>" in text
    assert ", times 4" in text


def test_a_run_of_another_source_and_size_is_shown_and_its_difference_left_out(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = compared(QUIET, SMALL)
    digests = [
        json.loads(Path(name, "provenance.json").read_text())["source_digest"][:12] for name in (SMALL, QUIET)
    ]
    first, other = f"run 1 ({QUIET})", f"run 2 ({SMALL})"
    lines = [
        f"{other} is of another source than {first} (digest {digests[0]}, not {digests[1]}): "
        "its numbers are of another video",
        f"{other} has 32x32 pixels and {first} 40x32: there is no picture of their difference, and no wiper over the two",
        f"{other} has 3 frames and {first} 5: only the first ones can be compared",
        f"{other} has 12 frames per second and {first} 8: a frame is not the same moment in both",
    ]
    assert capsys.readouterr().out.splitlines() == [*lines, "2 runs: page/compare.html"]
    assert all(line in page.text for line in lines)
    assert {path.name for path in Path("page").iterdir()} == {
        *("compare.html", "compare.csv", "original_1.png", "original_2.png", "run_1.png", "run_2.png")
    }
    assert 'class="wiper"' not in page.source
    assert page.tags.count("video") == 4
    assert picture("run_2.png").shape == (32, 32, 3)
    assert "Frame 1</h2>" in page.source


def test_of_several_runs_those_of_one_size_can_be_wiped(runs: Path) -> None:
    page = compared(SMALL, QUIET, LOUD)
    choices = [unquote(link) for link in page.found if ".mp4" in link]
    assert page.source.count("<option ") == 2 * 3  # both, and their original
    assert sum(SMALL in choice for choice in choices) == 2  # among the videos alone
    assert not list(Path("page").glob("difference*"))


def test_another_device_and_other_versions_are_listed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provenance = json.loads(Path(LOUD, "provenance.json").read_text())
    versions = provenance["versions"] | {"torch": "9.9"}
    edit(Path(LOUD, "provenance.json"), versions=versions, device="cuda")
    rows = compared(QUIET, LOUD).rows()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert printed[0].startswith(f"run 2 ({LOUD}) did not run as run 1 ({QUIET}) did (device cuda, not cpu")
    assert f"torch 9.9, not {provenance['versions']['torch']}" in printed[0]
    assert list(rows["Where they did not run alike"]) == ["device", "torch"]
    assert rows["Where they did not run alike"]["torch"] == [provenance["versions"]["torch"], "9.9"]


def test_a_source_that_nobody_knows_is_no_common_one(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(LOUD, "provenance.json").unlink()
    compared(QUIET, LOUD)
    assert capsys.readouterr().out.startswith(
        f"nobody knows whether run 2 ({LOUD}) is of the same source as run 1 ({QUIET}): "
        "a digest is missing from provenance.json\n"
    )
    assert Path("page/original_2.png").exists()


def test_every_link_leads_to_a_file_beside_odd_names_too(runs: Path) -> None:
    page = compared(QUIET, LOUD, SMALL, output="page of 100% #1? ü")
    links = [link for link in page.found if not link.startswith("#")]
    assert len(links) > 15
    for link in links:
        assert "//" not in link
        assert not set(link) & set("#? <")
        assert (Path("page of 100% #1? ü") / unquote(link)).exists(), link
    assert page.tags.count("script") == page.tags.count("style") == 1
    assert LOUD in page.text


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ([], 2, "the following arguments are required: RUN; try vae-experiments compare --help"),
        (["small"], 2, "one run cannot be compared; name two or more; try vae-experiments compare --help"),
        (["small", "nowhere"], 1, f"nowhere does not exist; {HINT}"),
        (["small", "small/metrics.json"], 1, f"small/metrics.json is not a folder; {HINT}"),
        (["small", "empty"], 1, f"empty is not the folder of a run; {HINT}"),
        (["small", "../mine/small"], 1, "small is named twice; name each folder once"),
        (
            ["small", "unfinished"],
            1,
            f"unfinished cannot be compared (stopped before its end, or still running); {AGAIN}",
        ),
        (["small", "failed"], 1, f"failed cannot be compared (it failed: seed=x: no number); {AGAIN}"),
        (
            ["small", "damaged"],
            1,
            f"damaged cannot be compared (its metrics.json is not that of a run); {AGAIN}",
        ),
        (["small", "deleted"], 1, f"deleted/reconstructed.mp4 is missing; {AGAIN}"),
        (["small", "cut"], 1, "cut/original.mp4: the file is cut short: "),
        (
            ["small", "spoilt", "--output", "new/page"],
            1,
            f"spoilt/reconstructed.mp4: damaged near frame 0; {AGAIN}",
        ),
        (
            [QUIET, "small", "--output", "empty/../small"],
            1,
            "--output empty/../small holds something already; choose another folder with --output FOLDER",
        ),
        (
            [QUIET, "small", "--output", "small/metrics.json/page"],
            1,
            "cannot write small/metrics.json/page (not a directory); choose another folder with --output FOLDER",
        ),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    runs: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, sentence: str
) -> None:
    Path("empty").mkdir()
    for name in ("unfinished", "failed", "damaged", "deleted", "cut", "spoilt"):
        shutil.copytree(SMALL, name)
    Path("unfinished/metrics.json").unlink()
    Path("failed/failure.json").write_text('{"sentence": "seed=x: no number"}')
    Path("damaged/metrics.json").write_text('{"frames": 3,')
    Path("deleted/reconstructed.mp4").unlink()
    Path("cut/original.mp4").write_bytes(Path("cut/original.mp4").read_bytes()[:500])
    spoilt = Path("spoilt/reconstructed.mp4")
    data = spoilt.read_bytes()
    begins = data.index(b"mdat") + 4
    spoilt.write_bytes(data[:begins] + b"\xff" * 900 + data[begins + 900 :])
    before = sorted(runs.rglob("*"))
    try:
        ended = main(words)
    except SystemExit as end:
        ended = end.code
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {sentence}")
    assert (printed.out, printed.err.count("\n"), ended) == ("", 1, status)
    assert sorted(runs.rglob("*")) == before


def test_a_full_disk_leaves_no_part_of_the_page(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(comparison, "write_page", fail)
    before = sorted(runs.rglob("*"))
    assert main([QUIET, LOUD, "--output", "page"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: no space left writing page (")
    assert printed.endswith("; choose another folder with --output FOLDER\n")
    assert sorted(runs.rglob("*")) == before


def test_an_empty_folder_is_filled_and_without_one_the_page_gets_its_own(runs: Path) -> None:
    Path("page").mkdir()
    compared(QUIET, LOUD)
    for _ in range(2):
        assert main([QUIET, LOUD]) == 0
    pages = [path.as_posix() for path in Path().glob("outputs/**/compare.html")]
    assert len(pages) == 2
    pattern = r"outputs/compare/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d(-\d+)?/compare.html"
    assert all(re.fullmatch(pattern, page) for page in pages)


def test_the_command_runs_and_the_one_on_the_page_makes_it_again(type_command: Command, runs: Path) -> None:
    first = compared(QUIET, LOUD, output="first")
    command = re.search(r"vae-experiments (compare [^\n]+)", first.text)
    assert command
    words = [*shlex.split(command[1]), "--output", "again"]
    done = type_command("-m", "vae_experiments", *words, where=runs)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "2 runs: again/compare.html\n")
    assert Page(Path("again/compare.html")).source == first.source


@pytest.mark.slow
def test_in_a_browser_the_two_videos_play_in_step_and_the_divider_moves(runs: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    compared(QUIET, LOUD)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 900})
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(Path("page/compare.html").absolute().as_uri())
        times = "[...document.querySelectorAll('.wiper video')].map((video) => video.currentTime)"
        page.wait_for_function(f"{times}.every((seconds) => seconds > 0)")
        page.click("#play")
        page.wait_for_function("document.getElementById('play').textContent === 'Play'")
        page.fill("#moment", "500")
        page.wait_for_function(f"{times}.every((seconds) => Math.abs(seconds - 5 / 8 / 2) < 0.001)")
        page.fill("#divider", "20")
        assert page.evaluate("document.querySelector('.wiper').style.getPropertyValue('--at')") == "20%"
        page.select_option("#right", index=2)  # the original
        page.wait_for_function(f"{times}.every((seconds) => seconds > 0)")
        assert "original.mp4" in page.evaluate("document.querySelectorAll('.wiper video')[1].src")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        browser.close()
    assert all(url.startswith("file:") for url in asked)
    assert complaints == []
