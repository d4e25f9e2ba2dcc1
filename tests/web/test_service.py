"""The service and its queue: one at a time, a bounded queue, cancelled within a chunk, one line for a mistake."""

from __future__ import annotations

import logging
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import small, until, waited
from vae_experiments.errors import VaeExperimentsError
from vae_experiments.web.requests.run_request import RawRequest
from vae_experiments.web.run_job import without_paths
from vae_experiments.web.server.fault_page import FAULT
from vae_experiments.web.service import WebService
from vae_experiments.web.state.job_queue import Job, JobQueue, State
from vae_experiments.web.state.uploads import Limits
from vae_experiments.web.ui import html as cards


def test_a_run_gives_videos_numbers_a_line_an_archive_and_a_place_in_the_history(bench: WebService) -> None:
    visit = bench.session("me")
    kept = waited(bench.run(visit, small())).result
    assert kept.videos() == ["original", "reconstructed", "reconstructed_with_noise"]
    assert visit.browser.history == [kept]
    assert bench.results.get(kept.id) is kept
    with zipfile.ZipFile(kept.file("run.zip")) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
        log = archive.read(f"{kept.folder.name}/run.log").decode()
    assert {"run.log", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"} < names
    here = {path.relative_to(kept.folder).as_posix() for path in kept.folder.rglob("*") if path.is_file()}
    assert names == here - {".run.zip"}
    assert "vae_experiments.pipeline.experiment: device: " in log
    assert str(bench.outputs) not in log
    html = cards.result(kept)
    assert f"{kept.metrics['reconstructed_with_noise']['psnr_db']!r}" in html
    assert kept.command in html
    assert str(bench.outputs) not in html


def test_the_history_is_there_when_the_same_browser_loads_the_page_again(bench: WebService) -> None:
    kept = waited(bench.run(bench.session("first load", "one browser"), small())).result
    assert bench.session("second load", "one browser").browser.history == [kept]
    assert bench.session("first load", "one browser").uploads == {}
    assert bench.session("third load", "another browser").browser.history == []
    assert bench.session("a client without cookies").browser.history == []


def test_only_files_of_the_run_have_a_name(bench: WebService, tmp_path: Path) -> None:
    kept = waited(bench.run(bench.session("me"), small())).result
    (tmp_path / "secret.png").write_text("secret")
    (kept.folder / "link.png").symlink_to(tmp_path / "secret.png")
    for name in (
        "../secret.png",
        "link.png",
        "/etc/passwd",
        "",
        ".",
        "..",
        "nothing.png",
        "SHA256SUMS",
        "%2e%2e",
    ):
        assert kept.file(name) is None
    assert kept.file("latents.png") == kept.folder / "latents.png"
    assert bench.results.get("x") is None
    assert bench.results.get(None) is None


def test_a_cancelled_run_stops_within_a_chunk_and_leaves_no_folder(bench: WebService) -> None:
    visit = bench.session("me")
    ticket = bench.run(visit, small(source_values={"size": "64", "frames": 4000}))
    until(lambda: "encoding" in ticket.phase or "decoding" in ticket.phase)
    bench.queue.cancel("me")
    assert waited(ticket, 10).state is State.cancelled
    assert ticket.share < 1
    assert not [path for path in bench.outputs.rglob("*") if path.is_file()]
    assert visit.browser.history == []
    assert waited(bench.run(visit, small())).state is State.done


def test_a_run_that_takes_too_long_is_ended_with_a_sentence(tmp_path: Path) -> None:
    bench = WebService(tmp_path / "outputs", Limits(seconds=0.5))
    ticket = waited(bench.run(bench.session("me"), small(source_values={"size": "128", "frames": 3000})))
    bench.close()
    assert ticket.state is State.failed
    assert ticket.sentence.startswith("it took more than 0.5 seconds; choose fewer or smaller frames")


@pytest.mark.slow
def test_progress_never_goes_back_and_ends_at_the_whole(bench: WebService) -> None:
    shares = [0.0]
    ticket = bench.run(bench.session("me"), small(source_values={"size": "64", "frames": 40}))
    while not ticket.is_over:
        shares.append(ticket.share)
        threading.Event().wait(0.002)
    assert shares == sorted(shares)
    assert len(set(shares)) > 2
    assert ticket.share == 1.0


def test_orders_are_done_one_at_a_time_in_turn_and_no_more_wait_than_may() -> None:
    desk, go, running, done = JobQueue(most_waiting=2), threading.Event(), [0], []

    def work(name: str) -> Any:
        def do(ticket: Job) -> None:
            running[0] += 1
            assert running[0] == 1
            go.wait(10)
            done.append(name)
            running[0] -= 1

        return do

    first = desk.order("a", work("a"))
    until(lambda: first.state is State.running)
    waiting = [desk.order(name, work(name)) for name in "bc"]
    assert [desk.ahead_of(ticket) for ticket in waiting] == [1, 2]
    with pytest.raises(VaeExperimentsError, match="2 runs are waiting already; try again in a minute"):
        desk.order("d", work("d"))
    desk.cancel_one(waiting[0])
    go.set()
    assert waited(waiting[1]).state is State.done
    assert waiting[0].state is State.cancelled
    assert done == ["a", "c"]
    desk.close()


def test_one_person_has_one_run_at_a_time() -> None:
    desk, go = JobQueue(), threading.Event()
    ticket = desk.order("a", lambda _: go.wait(10))
    with pytest.raises(VaeExperimentsError, match="your last run is still going; wait for it, or cancel it"):
        desk.order("a", lambda _: None)
    go.set()
    waited(ticket)
    assert waited(desk.order("a", lambda _: None)).state is State.done
    desk.close()


def test_a_cancelled_order_that_waits_is_over_at_once_and_its_owner_may_order_again() -> None:
    desk, go = JobQueue(most_waiting=2), threading.Event()
    running = desk.order("a", lambda _: go.wait(10))
    until(lambda: running.state is State.running)
    waiting, behind = desk.order("b", lambda _: 1), desk.order("c", lambda _: 2)
    desk.cancel("b")
    assert waiting.is_over
    assert waiting.state is State.cancelled
    assert desk.ahead_of(behind) == 1
    again = desk.order("b", lambda _: 3)
    go.set()
    assert waited(again).result == 3
    assert waiting.result is None
    desk.close()


def test_who_cancelled_what_runs_may_order_again_before_it_has_ended() -> None:
    desk, go = JobQueue(), threading.Event()

    def work(ticket: Job) -> None:
        go.wait(10)
        ticket.tick()

    first = desk.order("a", work)
    until(lambda: first.state is State.running)
    desk.cancel("a")
    second = desk.order("a", lambda _: "second")
    with pytest.raises(VaeExperimentsError, match="your last run is still going"):
        desk.order("a", lambda _: None)
    go.set()
    assert waited(second).result == "second"
    assert first.state is State.cancelled
    desk.close()


def test_a_fault_of_ours_is_logged_whole_and_told_without_its_inside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = JobQueue()
    with caplog.at_level(logging.ERROR):
        ticket = waited(desk.order("a", lambda _: {}["/secret/place"]))
    assert ticket.sentence == FAULT
    assert "/secret/place" in caplog.text
    assert waited(desk.order("a", lambda _: 1)).result == 1
    desk.close()


def test_what_fails_says_its_sentence_without_places_of_this_machine(
    bench: WebService, clip: Path, tmp_path: Path
) -> None:
    visit = bench.session("me")
    upload = bench.receive(visit, clip, "clip.mp4")
    upload.path.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(VaeExperimentsError) as caught:
        bench.run(visit, RawRequest(source="video"))
    sentence = bench.sentence(caught.value)
    assert sentence.startswith("source.path=clip.mp4: ")
    assert "/" not in sentence


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("cannot write /srv/data/x/run.mp4 (full); free some", "cannot write run.mp4 (full); free some"),
        ("see ~/a/b/c.log and ../d/e", "see c.log and e"),
        ("a rate of 30000/1001 and/or 8", "a rate of 30000/1001 and/or 8"),
        ("in out/runs/1/x.mp4", "in x.mp4"),
    ],
)
def test_a_sentence_for_the_browser_keeps_names_and_loses_places(sentence: str, shown: str) -> None:
    assert without_paths(sentence, Path("out/runs")) == shown


def test_a_preview_is_there_within_2_seconds_and_leaves_no_run_folder(bench: WebService) -> None:
    visit = bench.session("me")
    asked = [RawRequest(values={"noise": {"scale": scale}}) for scale in (0.5, 0.7)]
    first = waited(bench.preview(visit, asked[0]) or pytest.fail("busy")).result
    ticket = bench.preview(visit, asked[1])
    assert ticket is not None
    second = waited(ticket, 2).result
    assert second.videos()[-1] == "reconstructed_with_noise"
    assert not first.folder.exists()
    assert not bench.outputs.exists()
    assert visit.browser.history == []


@pytest.mark.parametrize(
    ("chain", "values", "frames"),
    [
        ("freeze", {"frame": 12}, 16),
        ("noise", {"frames": "20:30"}, 32),
        ("noise", {"frames": "38:"}, 40),
        ("noise", {"frames": "50%:"}, 8),
        ("pca_direction", {"over": "frames", "component": 9}, 16),
    ],
)
def test_a_preview_takes_every_setting_that_the_run_takes_with_as_many_frames_as_that_needs(
    bench: WebService, chain: str, values: dict[str, Any], frames: int
) -> None:
    asked = RawRequest(source_values={"size": "64", "frames": 40}, chain=[chain], values={chain: values})
    ticket = waited(bench.preview(bench.session("me"), asked) or pytest.fail("busy"))
    assert ticket.sentence == ""
    assert ticket.result.metrics["frames"] == frames


def test_a_preview_refuses_what_the_run_refuses_in_the_words_of_the_run(bench: WebService) -> None:
    asked = RawRequest(
        source_values={"size": "64", "frames": 40}, chain=["freeze"], values={"freeze": {"frame": 40}}
    )
    ticket = waited(bench.preview(bench.session("me"), asked) or pytest.fail("busy"))
    assert ticket.sentence.startswith("freeze.frame=40: the clip has 40 frames; name one of 0 to 39")


def test_settings_of_frames_that_no_preview_reaches_are_no_mistake(bench: WebService) -> None:
    asked = RawRequest(
        source_values={"size": "64", "frames": 900}, chain=["freeze"], values={"freeze": {"frame": 800}}
    )
    ticket = waited(bench.preview(bench.session("me"), asked) or pytest.fail("busy"))
    assert (ticket.state, ticket.result) == (State.done, None)
    assert "press Run" in cards.preview(ticket.result)
    assert "mistake" not in cards.preview(ticket.result)


def test_a_preview_steps_back_while_a_run_goes_on(bench: WebService) -> None:
    ticket = bench.run(bench.session("a"), small(source_values={"size": "64", "frames": 4000}))
    assert bench.preview(bench.session("b"), RawRequest()) is None
    assert (bench.queue.serves("a"), bench.queue.serves("b")) == (True, False)
    bench.queue.cancel_one(ticket)
    waited(ticket)


def test_a_bad_second_video_is_said_of_the_second_video(bench: WebService, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(VaeExperimentsError) as caught:
        bench.receive(bench.session("me"), tmp_path / "text.mp4", "text.mp4", "second_video")
    assert bench.sentence(caught.value).startswith("second video=text.mp4: this is a text, not a video")


def test_a_full_disk_is_said_before_a_run_begins(tmp_path: Path) -> None:
    bench = WebService(tmp_path / "outputs", Limits(free_bytes=2**60))
    with pytest.raises(VaeExperimentsError, match="the disk is nearly full; free some space"):
        bench.run(bench.session("me"), small())
    bench.close()


def test_text_in_a_card_is_text() -> None:
    assert "<script>" not in cards.mistake("<script>alert(1)</script>")
    assert "<b>" not in cards.command("python run.py '<b>'")


def test_the_history_keeps_the_last_runs_and_closing_clears_the_scratch(tmp_path: Path) -> None:
    bench = WebService(tmp_path / "outputs")
    visit = bench.session("me")
    kept = [waited(bench.run(visit, small(chain=[name]))).result for name in ("noise", "blur")]
    assert visit.browser.history == kept[::-1]
    shown = cards.history(visit.browser.history)
    assert shown.index("with blur") < shown.index("with noise")
    bench.close()
    assert not bench.scratch.exists()
    assert kept[0].folder.exists()
