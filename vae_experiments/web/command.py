"""The command: serve the page on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import socket
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.command_line import complain
from vae_experiments.interruption import promise

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCAL = ("127.0.0.1", "localhost", "::1")
SWITCH_SECONDS = 0.001
"""How long a run may keep the page from answering, each time; Python's own 5 ms add up."""
MISSING = "the page needs gradio, which is not installed; pip install 'vae_experiments[web]'"


def main(words: Sequence[str]) -> int:
    """Serve until interrupted; the exit status is 1 where that cannot begin."""
    typed = _parser().parse_args(words)
    if find_spec("gradio") is None:
        complain(MISSING)
        return 1
    if typed.host not in LOCAL:
        print(
            f"warning: everybody who reaches {typed.host}:{typed.port} can use this page; it asks for no password",
            file=sys.stderr,
        )
    opened = _listen(typed.host, typed.port)
    if opened is None:
        complain(f"cannot listen on {typed.host}:{typed.port}; choose another one with --port")
        return 1
    port = int(opened.getsockname()[1])
    _serve(opened, Path(typed.outputs), [*names(typed.host, port), *typed.name], port)
    return 0


def names(host: str, port: int) -> list[str]:
    """List the names, with the port, that a browser may know this server by."""
    known = {*LOCAL[:2], "[::1]", host, socket.gethostname()} if host not in LOCAL else {*LOCAL[:2], "[::1]"}
    return sorted(f"{name}:{port}" for name in known if name not in ("0.0.0.0", "::"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vae_experiments.web", description="Serve the page to play on, on this machine."
    )
    parser.add_argument(
        "--host", default=LOCAL[0], help="address to listen on (%(default)s: this machine only)"
    )
    parser.add_argument("--port", type=int, default=7860, help="port (%(default)s; 0: any that is free)")
    parser.add_argument("--outputs", default="outputs", help="folder of the runs (%(default)s)")
    parser.add_argument(
        "--name", action="append", default=[], metavar="NAME:PORT", help="another name that browsers know this server by"
    )  # fmt: skip
    return parser


def _listen(host: str, port: int) -> socket.socket | None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)  # before the address is printed: who comes at once waits and is not turned away
    except (OSError, OverflowError):
        return None
    return opened


def _serve(opened: socket.socket, outputs: Path, hosts: Sequence[str], port: int) -> None:
    from vae_experiments.web.server import application, serve_no_one_else

    promise("the page closes")
    print("loading torch, diffusers and gradio ...", file=sys.stderr, flush=True)
    serve_no_one_else()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    warnings.simplefilter("ignore")  # of Gradio's own dependencies; there is nobody to read them
    import uvicorn

    from vae_experiments.web.bench import Bench

    # Raised again by uvicorn when it has ended in good order; its default would leave the scratch behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.setswitchinterval(SWITCH_SECONDS)
    bench = Bench(outputs)
    try:
        app = application(bench, hosts)
        bench.warm_up()
        gc.collect()
        gc.freeze()  # the libraries: to look through them again and again takes half a second each time
        print(
            f"http://{LOCAL[0] if opened.family == socket.AF_INET else '[::1]'}:{port}  (Ctrl-C ends it)",
            flush=True,
        )
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=3)
        )
        server.run([opened])
    except KeyboardInterrupt:
        pass
    finally:
        bench.close()
