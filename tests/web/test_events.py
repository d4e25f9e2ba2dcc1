"""Events: only what was uploaded is a file, whatever else an event says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from vae_experiments.web.server.event_guard import Events
from vae_experiments.web.server.request_guard import RefusalError


@pytest.fixture
def arrivals(tmp_path: Path) -> Path:
    folder = tmp_path / "arrivals"
    (folder / "a1").mkdir(parents=True)
    (folder / "a1" / "clip.mp4").write_bytes(b"film")
    (folder / "link.mp4").symlink_to(tmp_path / "private.mp4")
    (tmp_path / "private.mp4").write_bytes(b"film")
    os.mkfifo(folder / "fifo.mp4")
    return folder


TAKES = {1: [True], 2: [False, True], 3: [], 4: [False] * 5}
"""Of each event of these tests, which of its values are files."""


def body(data: Any = (), number: Any = 3, **more: Any) -> bytes:
    return json.dumps({"data": data, "fn_index": number, "session_hash": "abc", **more}).encode()


def file(path: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def test_an_upload_that_arrived_goes_through_and_says_whose_it_is(arrivals: Path) -> None:
    events = Events(arrivals, TAKES)
    clip = str(arrivals / "a1" / "clip.mp4")
    assert events.session_of(body([file(clip)], 1)) == "abc"
    assert events.session_of(body(["x", file(clip)], 2)) == "abc"
    values = [0.5, "ramp(0,1)", None, ["noise"], {"a": [1]}]
    assert events.session_of(body(values, 4, event_data=None, trigger_id=7, batched=False)) == "abc"


@pytest.mark.parametrize(
    "path",
    ["private.mp4", "arrivals/link.mp4", "arrivals/fifo.mp4", "arrivals", "arrivals/a1/../../private.mp4", "arrivals/a1/none.mp4"],
)  # fmt: skip
def test_any_other_place_is_refused(path: str, arrivals: Path, tmp_path: Path) -> None:
    for data in ([file(f"{tmp_path}/{path}")], [[{"deep": file(f"{tmp_path}/{path}")}]]):
        with pytest.raises(RefusalError, match="only what was uploaded can be used") as refused:
            Events(arrivals, TAKES).session_of(body(data, 1))
        assert refused.value.status == 403


@pytest.mark.parametrize(
    "path",
    ["/dev/zero", "/etc/passwd", "clip.mp4", "~/x", "", "http://127.0.0.1:9/x.mp4", "file:///etc/passwd", "concat:a|b", "a\0b", "/" + "a" * 5000, None, 7, ["/etc/passwd"]],
)  # fmt: skip
def test_addresses_and_what_is_no_path_are_refused(path: Any, arrivals: Path) -> None:
    for event in (body([file(path)], 1), body([], event_data=file(path))):
        with pytest.raises(RefusalError, match="only what was uploaded can be used"):
            Events(arrivals, TAKES).session_of(event)


@pytest.mark.parametrize(
    "event",
    [
        b"", b"{", b"[]", b"7", b"{}", b"\xff", b"[" * 100_000, body(fn_index=5), body(fn_index=-1),
        body(fn_index=True), body(fn_index="3"), body(fn_index=10**400), body(fn_index=3.0), body(fn_index=[3]), body(session_hash=""), body(session_hash=None),
        body(session_hash="../x"), body(session_hash="a" * 65),
    ],
)  # fmt: skip
def test_what_is_no_event_of_the_page_is_refused(event: bytes, arrivals: Path) -> None:
    with pytest.raises(RefusalError, match="this is no event of the page") as refused:
        Events(arrivals, TAKES).session_of(event)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (3, None), (3, "abc"), (3, {"a": 1}), (3, 7), (3, [1]), (4, []), (4, [1] * 4), (4, [1] * 6),
        (1, []), (1, [None]), (1, [7]), (1, ["clip.mp4"]), (1, [{}]), (1, [[]]), (1, [{"url": "x", "meta": {"_type": "gradio.FileData"}}]),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_the_event_are_refused(number: int, data: Any, arrivals: Path) -> None:
    with pytest.raises(RefusalError, match="this is no event of the page") as refused:
        Events(arrivals, TAKES).session_of(body(data, number))
    assert refused.value.status == 400


def test_a_file_counts_only_where_one_is_asked_for_and_says_that_it_is_one(arrivals: Path) -> None:
    clip = str(arrivals / "a1" / "clip.mp4")
    for data, number in (([1, 2, 3, 4, file(clip)], 4), ([{"path": clip}], 1), ([[file(clip)]], 1)):
        with pytest.raises(RefusalError, match="this is no event of the page"):
            Events(arrivals, TAKES).session_of(body(data, number))


@pytest.mark.parametrize("name", ["event_id", "oauth_token", "simple_format", "batched"])
def test_what_only_other_clients_of_gradio_say_is_refused(name: str, arrivals: Path) -> None:
    with pytest.raises(RefusalError, match="this is no event of the page"):
        Events(arrivals, TAKES).session_of(body(**{name: "x"}))
