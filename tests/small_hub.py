"""A hub of our own: speaks the file protocol of huggingface.co as far as downloads need it, on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMIT = "c0ffee" + "0" * 34
Files = dict[str, bytes]


def files_of(folder: Path, below: str = "") -> Files:
    """Read what ``save_pretrained`` wrote, as the files of a repository."""
    return {f"{below}{file.name}": file.read_bytes() for file in folder.iterdir()}


def git_digest(data: bytes) -> str:
    """Name a file as git does."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class SmallHub:
    """Serves repositories, counts what is asked for, and misbehaves as it is told."""

    def __init__(self) -> None:
        self.repositories: dict[str, Files] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        """Method, path and the range that was asked for."""
        self.tokens: dict[str, set[str | None]] = {}
        """What came as a token, by the host that was asked."""
        self.gated: dict[str, int] = {}
        """Repositories whose files are refused, with the status."""
        self.cut_after: list[int] = []
        """After how many bytes each of the next answers breaks off."""
        self.spoiled = False
        """Sends other bytes than it promises."""
        self.ignores_ranges = False
        self.redirects = False
        """Sends those who want a large file to another host, as the real hub does."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        # Who leaves early, as these tests do, is no reason for a traceback among their lines.
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def asked(self, method: str, end: str) -> list[tuple[str, str, str | None]]:
        return [asked for asked in self.requests if asked[0] == method and asked[1].endswith(end)]

    @contextmanager
    def open(self) -> Iterator[SmallHub]:
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()

    def info(self, repository: str) -> dict[str, Any]:
        """Answer ``/api/models/NAME/revision/REVISION?blobs=true``."""
        siblings = []
        for name, data in self.repositories[repository].items():
            sibling: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": git_digest(data)}
            if is_large(name):
                sha256 = hashlib.sha256(data).hexdigest()
                sibling["lfs"] = {"size": len(data), "sha256": sha256, "pointerSize": 134}
            siblings.append(sibling)
        return {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings, "tags": []}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(StepOutput):
            pass

        Handler.hub = hub
        return Handler


def is_large(name: str) -> bool:
    """Tell what a repository keeps in git-lfs."""
    return name.endswith((".safetensors", ".bin"))


class StepOutput(BaseHTTPRequestHandler):
    """Answers one request."""

    hub: SmallHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        path = unquote(urlparse(self.path).path)
        if path == "/api/agent-harnesses":
            self._refuse(404, "NotFound")  # asked once a process by the library, for its own purposes
            return
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        host = str(self.headers.get("Host")).partition(":")[0]
        self.hub.tokens.setdefault(host, set()).add(self.headers.get("Authorization"))
        if path.startswith("/api/models/"):
            self._answer_info(*path.removeprefix("/api/models/").split("/revision/"))
        else:
            repository, _, rest = path[1:].partition("/resolve/")
            self._answer_file(repository, *rest.partition("/")[::2], with_body=with_body)

    def _answer_info(self, repository: str, revision: str = "main") -> None:
        if repository not in self.hub.repositories:
            self._refuse(401, "RepoNotFound")
        elif revision not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        else:
            self._send(
                200, json.dumps(self.hub.info(repository)).encode(), {"Content-Type": "application/json"}
            )

    def _answer_file(self, repository: str, revision: str, name: str, with_body: bool) -> None:
        files = self.hub.repositories.get(repository, {})
        if repository in self.hub.gated:
            self._refuse(self.hub.gated[repository], "GatedRepo")
        elif name not in files or revision not in ("main", COMMIT):
            self._refuse(404, "EntryNotFound")
        else:
            self._send_file(name, files[name], with_body)

    def _send_file(self, name: str, data: bytes, with_body: bool) -> None:
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{git_digest(data)}"', "Accept-Ranges": "bytes"}
        if is_large(name):
            headers["X-Linked-Etag"] = f'"{hashlib.sha256(data).hexdigest()}"'
            headers["X-Linked-Size"] = str(len(data))
        if is_large(name) and self.hub.redirects and "localhost" not in str(self.headers.get("Host")):
            headers["Location"] = f"{self.hub.address.replace('127.0.0.1', 'localhost')}{self.path}"
            self._send(302, b"", headers)
            return
        if not with_body:
            self._send(200, b"", headers, length=len(data))
            return
        if self.hub.spoiled and is_large(name):
            data = data[:-1] + bytes([data[-1] ^ 1])
        wish = self.headers.get("Range")
        if wish is None or self.hub.ignores_ranges:
            self._send(200, data, headers, cut=is_large(name))
            return
        first = int(wish.removeprefix("bytes=").rstrip("-"))
        headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self._send(206, data[first:], headers, cut=is_large(name))

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": f"{code} says the small hub"})

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        length: int | None = None,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body) if length is None else length)}.items():
            self.send_header(key, value)
        self.end_headers()
        if cut and self.hub.cut_after:
            self.wfile.write(body[: self.hub.cut_after.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(body)
