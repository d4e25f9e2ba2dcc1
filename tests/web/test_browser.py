"""The page in a browser, as a person uses it: ``python -m pytest -m slow tests/web``.

Needs gradio, playwright and a Chromium, which CHROMIUM names where it is not /usr/bin/chromium.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.web.serving import served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FRAMES = 48
REAL = REPOSITORY.parent / "shared" / "clips" / "cockatoo.mp4"
"""A video of a camera, where there is one; the tests pass without."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that takes the page some seconds."""
    from vae_experiments.sources import BouncingShapes
    from vae_experiments.tensors import to_pixels
    from vae_experiments.writers import open_mp4

    path = tmp_path_factory.mktemp("film") / "shapes.mp4"
    source = BouncingShapes(size="480x272", frames=FRAMES)
    with open_mp4(path, source.info.size, source.info.fps) as video:
        for frames in source.chunks(8):
            video.write(to_pixels(frames))
    return path


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("gradio")
    with served(tmp_path_factory.mktemp("served")) as address:
        yield address


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """Open the page; whatever the browser asks another machine for, or complains about, fails the test."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        elsewhere: list[str] = []
        page.on("request", lambda request: _note_elsewhere(request.url, address, elsewhere))
        page.on("pageerror", lambda error: elsewhere.append(str(error)))
        page.set_default_timeout(20_000)
        page.goto(address)
        page.wait_for_selector("#preview video")
        yield page
        browser.close()
    assert elsewhere == []


def _note_elsewhere(url: str, address: str, elsewhere: list[str]) -> None:
    if not url.startswith((address, "data:", "blob:")):
        elsewhere.append(url)


def choose(page: Any, control: str, label: str) -> None:
    page.click(f"{control} input")
    page.click(f"ul[role=listbox] li[aria-label='{label}']")
    page.keyboard.press("Escape")


def upload(page: Any, file: Path | dict[str, Any]) -> str:
    page.set_input_files("#upload input[type=file]", file)
    page.wait_for_selector("#facts .on")
    return str(page.inner_text("#facts"))


def test_a_person_uploads_a_clip_changes_its_latents_and_repeats_it_in_a_shell(
    page: Any, film: Path, tmp_path: Path
) -> None:
    film = REAL if REAL.exists() else film
    facts = "280 frames, 1280x720 at 20 fps" if REAL.exists() else "48 frames, 480x272 at 8 fps"
    assert facts in upload(page, film)
    choose(page, "#chain", "blur")
    page.wait_for_selector("#settings-blur")
    page.click("#run")
    page.wait_for_selector("#status progress")
    page.wait_for_selector("#result video", timeout=120_000)
    page.wait_for_function(
        "[...document.querySelectorAll('#result video')].every(v => v.duration > 0 && v.currentTime > 0.2 && !v.paused)"
    )
    times = page.evaluate("[...document.querySelectorAll('#result video')].map(v => v.currentTime)")
    assert len(times) == 3
    assert max(times) - min(times) < 0.3
    shown = {
        row.get_attribute("data-video"): [
            float(cell.get_attribute("title")) for cell in row.query_selector_all("td span")
        ]
        for row in page.query_selector_all("#result .numbers tbody tr")
    }
    words = shlex.split(page.inner_text("#result .command code"))
    assert words[:4] == ["python", "run.py", "source=video", f"source.path={film.name}"]
    (tmp_path / film.name).write_bytes(film.read_bytes())
    command = [sys.executable, str(REPOSITORY / "run.py"), *words[2:], "hydra.run.dir=typed"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=200)
    metrics = json.loads((tmp_path / "typed" / "metrics.json").read_text())
    assert shown == {
        name: [metrics[name][key] for key in ("psnr_db", "ssim", "flicker")]
        for name in ("reconstructed", "reconstructed_with_noise_blur")
    }
    with page.expect_download() as download:
        page.click("#result a:has-text('download the run')")
    assert download.value.suggested_filename.endswith(".zip")
    page.reload()
    page.click("button[role=tab]:has-text('History')")
    page.wait_for_selector("#history video")
    assert "noise + blur" in page.inner_text("#history")


def test_a_second_video_is_mixed_with_the_first(page: Any, film: Path) -> None:
    assert not page.is_visible("#second")
    choose(page, "#chain", "blend")
    page.set_input_files("#second input[type=file]", film)
    page.wait_for_selector("#second-facts .on")
    page.wait_for_function(
        "document.querySelector('#settings-blend input[aria-label=path]').value === 'second video'"
    )
    page.click("#run")
    page.wait_for_selector("#result video", timeout=120_000)
    assert "blend.path=shapes.mp4" in page.inner_text("#result .command code")


def test_a_second_run_is_cancelled_and_a_third_one_works(page: Any, film: Path) -> None:
    upload(page, film)
    page.click("#run")
    page.wait_for_selector("#status progress")
    page.click("#cancel")
    page.wait_for_selector("#status p:has-text('cancelled')", timeout=10_000)
    assert page.is_disabled("#cancel")
    page.click("#run")
    page.wait_for_selector("#result video", timeout=120_000)


def test_a_broken_file_gives_one_line_and_a_slider_a_new_preview(page: Any, film: Path) -> None:
    broken = {"name": "broken.mp4", "mimeType": "video/mp4", "buffer": film.read_bytes()[:2000]}
    said = upload(page, broken)
    assert "broken.mp4" in said
    assert "\n" not in said.strip()
    assert "/" not in said
    choose(page, "#source", "plasma")
    before = page.get_attribute("#preview video", "src")
    slider = page.locator("#settings-noise input[type=range]").first
    slider.fill("1.5")
    slider.dispatch_event("pointerup")
    page.wait_for_function(
        "old => { const v = document.querySelector('#preview video'); return v && v.getAttribute('src') !== old; }",
        arg=before,
    )


def test_a_sweep_shows_a_contact_sheet_and_a_plot(page: Any) -> None:
    page.click("button[role=tab]:has-text('Sweep')")
    page.click("#sweep")
    page.wait_for_selector("#sheet .sheet img", timeout=180_000)
    assert page.locator("#sheet .pictures img").count() >= 1
    assert "python run.py -m noise.scale=0.2,0.4,0.6,0.8,1" in page.inner_text("#sheet .command code")


def test_a_telephone_shows_it_all_without_scrolling_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.click("#run")
    page.wait_for_selector("#result video", timeout=120_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
