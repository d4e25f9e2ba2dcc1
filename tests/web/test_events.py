"""Events: only what was uploaded is a file, whatever else an event says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from vae_experiments.web.events import Events
from vae_experiments.web.guard import RefusalError


@pytest.fixture
def arrivals(tmp_path: Path) -> Path:
    folder = tmp_path / "arrivals"
    (folder / "a1").mkdir(parents=True)
    (folder / "a1" / "clip.mp4").write_bytes(b"film")
    (folder / "link.mp4").symlink_to(tmp_path / "private.mp4")
    (tmp_path / "private.mp4").write_bytes(b"film")
    os.mkfifo(folder / "fifo.mp4")
    return folder


def body(data: Any = None, **more: Any) -> bytes:
    return json.dumps({"data": data, "fn_index": 3, "session_hash": "abc", **more}).encode()


def file(path: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def test_an_upload_that_arrived_goes_through_and_says_whose_it_is(arrivals: Path) -> None:
    events = Events(arrivals, [3])
    clip = str(arrivals / "a1" / "clip.mp4")
    assert events.session_of(body([file(clip)])) == "abc"
    assert events.session_of(body([0.5, "ramp(0,1)", None, ["noise"], {"a": [1]}], event_data=None)) == "abc"


@pytest.mark.parametrize(
    "path",
    ["private.mp4", "arrivals/link.mp4", "arrivals/fifo.mp4", "arrivals", "arrivals/a1/../../private.mp4", "arrivals/a1/none.mp4"],
)  # fmt: skip
def test_any_other_place_is_refused(path: str, arrivals: Path, tmp_path: Path) -> None:
    for data in ([file(f"{tmp_path}/{path}")], [[{"deep": file(f"{tmp_path}/{path}")}]]):
        with pytest.raises(RefusalError, match="only what was uploaded can be used") as refused:
            Events(arrivals, [3]).session_of(body(data))
        assert refused.value.status == 403


@pytest.mark.parametrize(
    "path",
    ["/dev/zero", "/etc/passwd", "clip.mp4", "~/x", "", "http://127.0.0.1:9/x.mp4", "file:///etc/passwd", "concat:a|b", "a\0b", "/" + "a" * 5000, None, 7, ["/etc/passwd"]],
)  # fmt: skip
def test_addresses_and_what_is_no_path_are_refused(path: Any, arrivals: Path) -> None:
    for event in (body([file(path)]), body([], event_data=file(path))):
        with pytest.raises(RefusalError, match="only what was uploaded can be used"):
            Events(arrivals, [3]).session_of(event)


@pytest.mark.parametrize(
    "event",
    [
        b"", b"{", b"[]", b"7", b"{}", b"\xff", b"[" * 100_000, body(fn_index=4), body(fn_index=-1),
        body(fn_index=True), body(fn_index="3"), body(session_hash=""), body(session_hash=None),
        body(session_hash="../x"), body(session_hash="a" * 65),
    ],
)  # fmt: skip
def test_what_is_no_event_of_the_page_is_refused(event: bytes, arrivals: Path) -> None:
    with pytest.raises(RefusalError, match="this is no event of the page") as refused:
        Events(arrivals, [1, 3]).session_of(event)
    assert refused.value.status == 400
