"""The page as a person starts it, in a process of its own, and a client that speaks to it as a browser does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

TERMINAL = "terminal.log"
"""What the server says to the person who started it, in the folder that it was started in."""


@contextlib.contextmanager
def served(folder: Path, *words: str, before: Sequence[str] = ()) -> Iterator[str]:
    """Start the page on a free port and give its address."""
    command = [*before, sys.executable, "-m", "vae_experiments.web", "--port", "0", *words]
    terminal = folder / TERMINAL
    with terminal.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        end, found = time.monotonic() + 90, None
        while not found and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
            found = re.search(r"(?m)^http://127\.0\.0\.1:\d+(?=  )", terminal.read_text())
        assert found, terminal.read_text()
        yield found[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # with strace before it, to both
        process.wait(timeout=30)


class Visitor:
    """Speaks to the page without a browser."""

    def __init__(self, address: str) -> None:
        self.address, self.session = address, uuid.uuid4().hex
        self.config = json.loads(self.get("/config")[1])
        self.components = {made["id"]: made for made in self.config["components"]}
        self.run_event = next(event for event in self.config["dependencies"] if event["api_name"] == "run")

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        return self.ask(urllib.request.Request(f"{self.address}{path}", headers=headers))

    def post(self, path: str, value: Any, **headers: str) -> tuple[int, bytes]:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers = {"Content-Type": "application/json", "Origin": self.address, **headers}
        return self.ask(urllib.request.Request(f"{self.address}{path}", data=body, headers=headers))

    def ask(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def upload(self, name: str, content: bytes) -> tuple[int, bytes]:
        """Send a file as the upload button does."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
        return self.post(
            "/gradio_api/upload", body, **{"Content-Type": f"multipart/form-data; boundary={edge}"}
        )

    def values(self, **changed: Any) -> list[Any]:
        """Give the defaults of all controls, some of them changed: by element id, or else by place and label."""
        found = []
        for key in self.run_event["inputs"]:
            props = self.components[key]["props"]
            name = props.get("elem_id") or props.get("label")
            found.append(changed.get(name, props.get("value")))
        return found

    def fire(self, event: dict[str, Any], data: list[Any]) -> list[dict[str, Any]]:
        """Begin an event, wait until it is over, and give all that was said of it."""
        body = {"data": data, "fn_index": event["id"], "session_hash": self.session}
        status, answer = self.post("/gradio_api/queue/join", body)
        if status != 200:
            return [{"msg": "refused", "status": status, "text": answer.decode()}]
        number = json.loads(answer)["event_id"]
        said = []
        stream = urllib.request.Request(f"{self.address}/gradio_api/queue/data?session_hash={self.session}")
        with urllib.request.urlopen(stream, timeout=300) as lines:
            for line in lines:
                if line.startswith(b"data: "):
                    message = json.loads(line[6:])
                    if message.get("event_id") in (None, number):
                        said.append(message)
                    if message["msg"] == "process_completed" and message.get("event_id") == number:
                        break
        return said

    def run(self, **changed: Any) -> str:
        """Press run with these values and give all that the page says, as one text."""
        return json.dumps(self.fire(self.run_event, self.values(**changed)))

    def receive(self, path: Any, where: str = "upload") -> str:
        """Tell the page that a file arrived at one of its two upload buttons, and give what it says."""
        key = next(key for key, made in self.components.items() if made["props"].get("elem_id") == where)
        event = next(e for e in self.config["dependencies"] if [key, "upload"] in e["targets"])
        data = [path] if isinstance(path, dict) else [{"path": path, "meta": {"_type": "gradio.FileData"}}]
        return json.dumps(self.fire(event, data))


def results_in(text: str) -> list[str]:
    """Find the videos that an answer shows."""
    return sorted(set(re.findall(r"results/[\w-]+/[\w.]+\.mp4", text)))


def quick(address: str) -> float:
    """Measure how long the page itself takes to answer."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"{address}/", timeout=60) as answer:
        assert answer.status == 200
        answer.read()
    return time.perf_counter() - began
