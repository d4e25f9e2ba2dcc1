"""The server: the page, the files of finished runs, and the guard before both."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from starlette.responses import FileResponse, PlainTextResponse

from vae_experiments.web.server.browsers import Listeners, SessionCookie
from vae_experiments.web.server.event_guard import Events
from vae_experiments.web.server.request_guard import Guard
from vae_experiments.web.server.upload_files import Arrivals
from vae_experiments.web.state.results import ARCHIVE, SHOWN_INLINE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vae_experiments.web.service import WebService

MOST_SESSIONS = 200
"""Open pages that Gradio remembers the state of, at about a megabyte each."""


def serve_no_one_else() -> None:
    """Tell Gradio and the hub's library, before they are imported, to speak to nobody."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_OFFLINE"] = "1"


def application(service: WebService, hosts: Iterable[str]) -> Guard:
    """Make the whole ASGI application: guard, files of runs, page."""
    limits, cache = service.limits, service.scratch / "gradio"
    cache.mkdir(exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = str(cache)
    import gradio as gr
    from fastapi import FastAPI

    from vae_experiments.web.ui.layout import style
    from vae_experiments.web.ui.page import MOST_READERS, Page

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.api_route("/results/{key}/{name:path}", methods=["GET", "HEAD"])
    def send(key: str, name: str) -> Any:
        kept = service.results.get(key)
        path = kept.file(name) if kept else None
        if path is None:
            return PlainTextResponse("there is nothing of that name\n", 404)
        if name == ARCHIVE:
            return FileResponse(path, media_type="application/zip", filename=f"{path.parent.name}.zip")
        return FileResponse(path, media_type=SHOWN_INLINE[path.suffix])

    listeners = Listeners(app)
    page = Page(service, listeners.has)
    blocks = page.blocks.queue(max_size=MOST_READERS, api_open=False)
    blocks.state_session_capacity = MOST_SESSIONS
    # Gradio looks at which files an event may name only where its own launch said so.
    blocks.has_launched = True
    gr.mount_gradio_app(
        app,
        blocks,
        path="",
        footer_links=[],
        allowed_paths=[],
        show_error=False,
        max_file_size=limits.upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **style(),
    )
    arrivals = Arrivals(listeners, cache, limits.upload_bytes, limits.stored_bytes)
    events = Events(cache, page.takes_files())
    return Guard(SessionCookie(arrivals), hosts, limits.upload_bytes, arrivals.has_room, events.session_of)
