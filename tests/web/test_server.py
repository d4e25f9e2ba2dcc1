"""The page served: nothing leaks, nobody gets another's video, and it answers whatever was sent."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import until
from tests.web.serving import TERMINAL, Visitor, quick, results_in, served
from tests.web.test_guard import NOT_FOR_THE_PAGE, TRAVERSALS
from vae_experiments.sources import Video
from vae_experiments.web.server.browsers import COOKIE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("gradio")
    with served(tmp_path_factory.mktemp("served")) as address:
        yield address


@pytest.fixture(scope="module")
def trap() -> Iterator[list[str]]:
    """Listen on another port, where nobody should ever come."""
    hits: list[str] = []

    class Trap(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Trap)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hits.append(f"http://127.0.0.1:{server.server_port}")
    yield hits
    server.shutdown()
    server.server_close()


def test_a_taken_port_is_said_in_one_line(address: str) -> None:
    words = [sys.executable, "-m", "vae_experiments.web", "--port", address.rpartition(":")[2]]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot listen on 127.0.0.1:")
    assert done.stderr.count("\n") == 1


def test_the_page_is_whole_and_names_no_other_machine(address: str) -> None:
    visitor = Visitor(address)
    status, page = visitor.get("/")
    assert status == 200
    assert b"fonts.googleapis" not in page
    assert len(visitor.components) > 300
    assert "/home/" not in json.dumps(visitor.config)
    assert str(Path(__file__).parents[2]) not in json.dumps(visitor.config)


def test_a_browser_is_given_a_name_once_which_no_script_reads(address: str) -> None:
    def cookies(*sent: str) -> list[str]:
        request = urllib.request.Request(f"{address}/", headers={"Cookie": sent[0]} if sent else {})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.headers.get_all("set-cookie") or []

    (given,) = cookies()
    assert re.fullmatch(
        r"vae_experiments_guest=[\w-]{22}; Path=/; Max-Age=\d+; HttpOnly; SameSite=Lax", given
    )
    name = given.partition(";")[0]
    assert cookies(f"other=1; {name}") == []
    assert cookies()[0].partition(";")[0] != name
    assert len(cookies(f"{COOKIE}=short")) == len(cookies("\x7f=;;")) == 1


def test_a_run_shows_videos_numbers_and_its_line(address: str) -> None:
    visitor = Visitor(address)
    said = visitor.run()
    assert "process_completed" in said
    assert "python run.py" in said
    assert "data-metric" in said
    for name in ("original.mp4", "reconstructed.mp4", "reconstructed_with_noise.mp4"):
        assert name in said


def test_traversals_and_doors_of_gradio_that_the_page_does_not_need_get_nothing(address: str) -> None:
    visitor = Visitor(address)
    for path in [*TRAVERSALS, *NOT_FOR_THE_PAGE]:
        assert visitor.get(path)[0] == 404, path


def test_a_foreign_host_or_origin_gets_403(address: str) -> None:
    visitor = Visitor(address)
    assert visitor.get("/", Host="evil.example")[0] == 403
    for origin in ("http://evil.example", "null"):
        assert visitor.get("/", Origin=origin)[0] == 403
        assert visitor.post("/gradio_api/queue/join", {}, Origin=origin)[0] == 403
    assert visitor.post("/gradio_api/upload", b"x", Origin="http://evil.example")[0] == 403


def test_paths_and_addresses_in_place_of_an_upload_are_never_followed(
    address: str, trap: list[str], clip: Path
) -> None:
    visitor, place = Visitor(address), trap[0]
    forged: list[Any] = [
        str(clip),
        "/dev/zero",
        "/etc/passwd",
        "../../etc/passwd",
        "file:///etc/passwd",
        f"{place}/x.mp4",
        f"concat:{place}",
    ]
    forged += [
        {"path": path, "url": f"{place}/x.mp4", "meta": {"_type": "gradio.FileData"}} for path in forged
    ]
    forged += [
        {"url": f"{place}/x.mp4", "meta": {"_type": "gradio.FileData"}},
        {"path": [f"{place}/x"]},
        7,
        None,
    ]
    for one in forged:
        for where in ("upload", "second"):
            said = visitor.receive(one, where)
            assert "root:" not in said
            assert " frames, " not in said
            names_no_path = isinstance(one, dict) and "path" not in one
            assert names_no_path or "only what was uploaded can be used" in said
    assert len(trap) == 1
    assert quick(address) < 2


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"source": "/etc/passwd"}, "source=etcpasswd: no such choice"),
        ({"model": "hub"}, "model=hub: no such choice"),
        ({"chain": ["_target_", "os.system"]}, "no such choice"),
        ({"source": "video"}, "upload it again"),
        ({"mask": "/etc/passwd"}, "has signs that this page does not take"),
        ({"mask": "${oc.env:HOME}"}, "has signs that this page does not take"),
        ({"scale": "abc"}, "noise.scale=abc: must be a number or a schedule"),
        ({"scale": {"a": [1]}}, "must be a number"),
        ({"size": "http://127.0.0.1/x"}, "has signs that this page does not take"),
    ],
)
def test_text_from_the_browser_becomes_a_sentence_and_nothing_else(
    address: str, changed: dict[str, Any], sentence: str
) -> None:
    said = Visitor(address).run(**changed)
    assert sentence in said
    assert "Traceback" not in said


def test_files_that_are_too_large_or_no_video_are_refused_in_one_line(address: str, clip: Path) -> None:
    visitor = Visitor(address)
    assert visitor.post("/gradio_api/upload", b"", **{"Content-Length": str(10**10)})[0] == 413
    for name, content, sentence in (
        ("text.mp4", b"hello", "text.mp4"),
        ("empty.mp4", b"", "empty.mp4"),
        ("list.m3u8", b"#EXTM3U\n", "no kind of file that this page takes"),
        ("cut.mp4", clip.read_bytes()[:900], "cut.mp4"),
        ("ok.mp4", clip.read_bytes(), "6 frames, 64x48"),
    ):
        status, answer = visitor.upload(name, content)
        said = visitor.receive(json.loads(answer)[0])
        assert status == 200
        assert sentence in said
        assert ("mistake" in said) == (name != "ok.mp4")
        shown = said[said.index("mistake") :] if "mistake" in said else ""
        assert "/tmp" not in shown
    assert "reconstructed_with_noise.mp4" in visitor.run(source="video")


def test_who_leaves_has_cancelled(address: str) -> None:
    leaver, next_one = Visitor(address), Visitor(address)
    body = {
        "data": leaver.values(size="64", frames=""),
        "fn_index": leaver.run_event["id"],
        "session_hash": leaver.session,
    }
    place = leaver.run_event["inputs"].index(
        next(key for key in leaver.run_event["inputs"] if label_of(leaver, key) == "frames")
    )
    body["data"][place] = 10_000
    assert leaver.post("/gradio_api/queue/join", body)[0] == 200
    stream = urllib.request.urlopen(
        f"{address}/gradio_api/queue/data?session_hash={leaver.session}", timeout=60
    )
    while b"frame" not in stream.readline():
        pass
    stream.close()
    began = time.perf_counter()
    assert "reconstructed_with_noise.mp4" in next_one.run(size="32")
    assert time.perf_counter() - began < 25


def test_an_order_whose_asker_never_listens_stops_and_lets_the_next_one_in(address: str) -> None:
    asker, next_one = Visitor(address), Visitor(address)
    body = {
        "data": asker.values(frames=10_000, size="64"),
        "fn_index": asker.run_event["id"],
        "session_hash": asker.session,
    }
    assert asker.post("/gradio_api/queue/join", body)[0] == 200
    began = time.perf_counter()
    assert "reconstructed_with_noise.mp4" in next_one.run(size="32")
    assert time.perf_counter() - began < 30


def test_uploads_that_are_cut_off_leave_nothing_and_take_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
    with served(tmp_path) as address:
        host, port = address.removeprefix("http://").split(":")
        for length in (b"Content-Length: 157000000", b"Transfer-Encoding: chunked"):
            for _ in range(15):
                with socket.create_connection((host, int(port))) as sent:
                    sent.sendall(
                        b"POST /gradio_api/upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                        + f"Host: {host}:{port}\r\n".encode() + length + b"\r\n\r\n"
                        + (b"%x\r\n" % (len(head) + 10**6) if b"chunked" in length else b"") + head + b"z" * 10**6
                    )  # fmt: skip
        unfinished = head + b"z" * 1000
        visitor = Visitor(address)
        form = {"Content-Type": "multipart/form-data; boundary=x"}
        for body in (unfinished, head.replace(b'; filename="a.mp4"', b"") + b"x\r\n--x--\r\n", b"garbage"):
            assert visitor.post("/gradio_api/upload", body, **form)[0] in (200, 400)
        (cache,) = tmp_path.glob("vae_experiments_web_*/gradio")
        until(lambda: not [path for path in cache.rglob("*") if path.is_file()])
        status, answer = visitor.upload("ok.mp4", b"hello")
        assert status == 200
        assert "ok.mp4" in visitor.receive(json.loads(answer)[0])
    assert (tmp_path / TERMINAL).read_text().count("\n") <= 3


def test_malformed_requests_get_one_4xx_and_at_most_one_line_in_the_terminal(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    with served(tmp_path) as address:
        visitor = Visitor(address)
        run, values = visitor.run_event["id"], visitor.values()
        events = [(run, data) for data in ([], None, "abc", {"a": 1}, values[:5], [*values, 1])]
        for event in visitor.config["dependencies"]:
            events += [(event["id"], data) for data in ([7] * (len(event["inputs"]) + 1), "x")]
            if any(name == "upload" for _, name in event["targets"]):
                events += [
                    (event["id"], [value]) for value in (7, None, "abc", {}, {"url": "http://127.0.0.1:9/x"})
                ]
        for number, data in events:
            body = {"data": data, "fn_index": number, "session_hash": visitor.session}
            assert visitor.post("/gradio_api/queue/join", body)[0] == 400, (number, data)
        for more in ({"batched": True}, {"simple_format": True}, {"trigger_id": "x"}, {"event_id": "x"}):
            body = {"data": values, "fn_index": run, "session_hash": visitor.session, **more}
            assert visitor.post("/gradio_api/queue/join", body)[0] in (400, 422)
        for path in ("data", "data?session_hash=nosuch", "data?session_hash=a&session_hash=b"):
            assert visitor.get(f"/gradio_api/queue/{path}")[0] == 404
        for path in ("queue/join", "cancel", "reset", "upload", "queue/data"):
            for body in (
                b"",
                b"{",
                b"[]",
                b"\xff\xfe",
                b'{"session_hash": 1, "fn_index": "x", "event_id": []}',
            ):
                assert 400 <= visitor.post(f"/gradio_api/{path}", body)[0] < 500, (path, body)
        assert (tmp_path / TERMINAL).read_text().count("\n") == 2, (
            "what is loaded, the address, and nothing else"
        )
        for data in (
            [5] * len(values),
            [None] * len(values),
            [[["x"]]] * len(values),
            [{"a": {}}] * len(values),
        ):
            said = json.dumps(visitor.fire(visitor.run_event, data))
            assert "mistake" in said
        for event in visitor.config["dependencies"]:
            if [name for _, name in event["targets"]] == ["change"]:
                for value in (7, None, [], {}, "nosuch"):
                    said = visitor.fire(event, [value] * len(event["inputs"]))
                    assert said[-1]["success"], said[-1]
        assert "reconstructed_with_noise.mp4" in visitor.run(size="32")
    assert not (tmp_path / "outputs" / "web.log").exists()
    assert (tmp_path / TERMINAL).read_text().count("\n") == 2


def test_the_scratch_goes_when_the_server_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with served(tmp_path) as address:
        Visitor(address)
        assert list(tmp_path.glob("vae_experiments_web_*"))
    assert not list(tmp_path.glob("vae_experiments_web_*"))


def test_50_who_ask_at_once_get_each_their_own_video_while_the_page_answers_within_a_second(
    address: str, tmp_path: Path
) -> None:
    visitors = [Visitor(address) for _ in range(50)]
    key = next(key for key in visitors[0].run_event["inputs"] if label_of(visitors[0], key) == "frames")
    place = visitors[0].run_event["inputs"].index(key)
    said: dict[int, str] = {}

    def ask(number: int) -> None:
        values = visitors[number].values(size="32")
        values[place] = number + 1
        said[number] = json.dumps(visitors[number].fire(visitors[number].run_event, values))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    slowest = 0.0
    while any(thread.is_alive() for thread in threads):
        slowest = max(slowest, quick(address))
        time.sleep(0.2)
    assert slowest < 1
    for number in range(50):
        videos = [name for name in results_in(said[number]) if name.endswith("/original.mp4")]
        assert len(videos) == 1, said[number][-500:]
        file = tmp_path / f"{number}.mp4"
        file.write_bytes(visitors[number].get(f"/{videos[0]}")[1])
        assert Video(path=str(file)).info.frames == number + 1
    print(f"slowest answer {slowest:.2f} s")


def label_of(visitor: Visitor, key: int) -> str:
    return str(visitor.components[key]["props"].get("label"))


@pytest.mark.skipif(not Path("/proc/net").exists() or shutil.which("strace") is None, reason="needs strace")
def test_no_connection_leaves_the_machine(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    log = tmp_path / "connections"
    before = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(log)]
    with served(tmp_path, before=before) as address:
        assert "reconstructed_with_noise.mp4" in Visitor(address).run(size="32")
    text = log.read_text()
    assert "connect(" in text or "sendto(" in text
    strangers = [
        line for line in text.splitlines() if "AF_INET" in line and not re.search(r"127\.0\.0\.1|::1", line)
    ]
    assert strangers == []
