"""The command: serve the page on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import gc
import logging
import re
import signal
import socket
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vae_experiments.cli.entry import UNREADABLE, complain
from vae_experiments.errors import system_reason
from vae_experiments.runtime.interruption import promise

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_PORT = 65535
SWITCH_SECONDS = 0.001
"""How long a run may keep the page from answering, each time; Python's own 5 ms add up."""
MISSING = "the page needs gradio, which is not installed; pip install 'vae_experiments[web]'"


def main(words: Sequence[str] | None = None) -> int:
    """Serve until interrupted; the exit status is 1 where that cannot begin."""
    typed = _Parser().parse_args(words)
    if find_spec("gradio") is None:
        complain(MISSING)
        return 1
    outputs = Path(typed.outputs)
    try:
        outputs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        complain(f"--outputs: cannot use {outputs} ({system_reason(error)}); choose another folder")
        return 1
    try:
        opened = _listen(typed.host, typed.port)
    except (OSError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", "") or "no such name").lower()
        where = f"{typed.host}:{typed.port}"
        complain(f"cannot listen on {where} ({reason}); choose another one with --port or --host")
        return 1
    port = int(opened.getsockname()[1])
    if typed.host not in LOCAL:
        whoever = f"everybody who reaches {typed.host}:{port} can use this page"
        print(f"warning: {whoever}; it asks for no password", file=sys.stderr)
    _serve(opened, outputs, [*names(typed.host, port), *typed.name], port)
    return 0


def names(host: str, port: int) -> list[str]:
    """List the names, with the port, that a browser may know this server by."""
    known = {*LOCAL[:2], "[::1]", host, socket.gethostname()} if host not in LOCAL else {*LOCAL[:2], "[::1]"}
    return sorted(f"{name}:{port}" for name in known if name not in ("0.0.0.0", "::"))


class _Parser(argparse.ArgumentParser):
    """Reads the command's words; argparse itself would say a mistake in several lines."""

    def __init__(self) -> None:
        purpose = "Serve the page to play on, on this machine."
        super().__init__(prog="vae-experiments web", description=purpose)
        on = "address to listen on (%(default)s: this machine only)"
        self.add_argument("--host", default=LOCAL[0], help=on)
        port = "port (%(default)s; 0: any that is free)"
        self.add_argument("--port", type=_port, default=7860, metavar="PORT", help=port)
        self.add_argument("--outputs", default="outputs", help="folder of the runs (%(default)s)")
        name = "another name that browsers know this server by"
        self.add_argument("--name", action="append", default=[], metavar="NAME:PORT", help=name)

    def error(self, message: str) -> NoReturn:
        """End with one line."""
        complain(f"{message.removeprefix('argument ')}; --help lists what can be given")
        sys.exit(UNREADABLE)


def _port(text: str) -> int:
    """Read a port; the system itself would take 70000 for 4464."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > MOST_PORT:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no port, which is a number from 0 to {MOST_PORT}")
    return int(text)


def _listen(host: str, port: int) -> socket.socket:
    """Open the port before the address is printed: who comes at once waits and is not turned away.

    Raises:
        OSError: it cannot be had.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    opened = socket.socket(family, kind)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)
    except OSError:
        opened.close()
        raise
    return opened


def _serve(opened: socket.socket, outputs: Path, hosts: Sequence[str], port: int) -> None:
    from vae_experiments.web.server.application import application, serve_no_one_else

    promise("the page closes")
    print("loading torch, diffusers and gradio ...", file=sys.stderr, flush=True)
    serve_no_one_else()
    logging.raiseExceptions = False  # a disk that is full makes no traceback of a log
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)  # a run logs more, for its folder
    logging.basicConfig(format="%(message)s", handlers=[terminal])
    warnings.simplefilter("ignore")  # of Gradio's own dependencies; there is nobody to read them
    import uvicorn

    from vae_experiments.web.server.fault_page import keep_traces_in
    from vae_experiments.web.service import WebService

    # Raised again by uvicorn when it has ended in good order; its default would leave the scratch behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.setswitchinterval(SWITCH_SECONDS)
    keep_traces_in(outputs.resolve() / "web.log")
    service = WebService(outputs)
    try:
        app = application(service, hosts)
        service.warm_up()
        gc.collect()
        gc.freeze()  # the libraries: to look through them again and again takes half a second each time
        host = LOCAL[0] if opened.family == socket.AF_INET else "[::1]"
        print(f"http://{host}:{port}  (Ctrl-C ends it)", flush=True)
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=3)
        uvicorn.Server(config).run([opened])
    except KeyboardInterrupt:
        pass
    finally:
        service.close()
