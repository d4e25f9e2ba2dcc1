"""The service: what the page can do for one person, without the page: upload, run, preview, sweep."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from vae_experiments.errors import SourceError
from vae_experiments.pipeline.second_video import said_of
from vae_experiments.web.requests.controls import SECOND
from vae_experiments.web.requests.run_request import VIDEO, RawRequest, order_of
from vae_experiments.web.run_job import SMALL, check_room, new_folder, run_order, without_paths
from vae_experiments.web.state.job_queue import Job, JobQueue
from vae_experiments.web.state.results import Kept, Results
from vae_experiments.web.state.scratch import Scratch
from vae_experiments.web.state.uploads import Limits, Uploads
from vae_experiments.web.sweep_job import SweepRange, requests_of, run_sweep_request, sweep_command

if TYPE_CHECKING:
    from vae_experiments.errors import VaeExperimentsError
    from vae_experiments.web.requests.run_request import RunRequest
    from vae_experiments.web.state.uploads import Upload

MOST_SESSIONS, LONGEST_HISTORY = 1000, 8
PREVIEW = "preview"


@dataclass(eq=False)
class BrowserSession:
    """One browser, however often it loads the page."""

    id: str
    history: list[Kept] = field(default_factory=list)
    """Its last runs, the newest first."""


@dataclass(eq=False)
class PageSession:
    """One open page in one browser: its upload, its last runs, its preview."""

    id: str
    browser: BrowserSession
    uploads: dict[str, str] = field(default_factory=dict)
    """The ids of the video to be changed and of the second one, which manipulations mix with it."""
    preview: str = ""
    asked: RawRequest | None = None
    """What its last run was asked for."""
    greeted: bool = False
    """Whether it was shown the history."""


class WebService:
    """Holds all that the page works with; ``close`` clears away what was only for the while."""

    def __init__(self, outputs: Path, limits: Limits | None = None, most_waiting: int = 60) -> None:
        self.outputs, self.limits = outputs, limits or Limits()
        self._scratch = Scratch()
        self.scratch = self._scratch.folder
        self.uploads = Uploads(self.scratch / "uploads", self.limits)
        self.results = Results()
        self.queue = JobQueue(most_waiting, self.limits.seconds)
        # Each is made once by its name; whoever was not seen for longest is forgotten.
        self._browser = lru_cache(MOST_SESSIONS)(BrowserSession)
        self._page = lru_cache(MOST_SESSIONS)(PageSession)
        self._lock = Lock()

    def warm_up(self) -> None:
        """Run a preview of the default once, so that whoever comes first need not wait for the libraries."""
        job = self.preview(self.session("nobody"), RawRequest())
        assert job is not None
        job.finished.wait()

    def close(self) -> None:
        """Stop what runs, and remove uploads and previews."""
        self.queue.close()
        self._scratch.close()

    def session(self, key: str | None, browser: str | None = None) -> PageSession:
        """Find what belongs to one open page, in the browser that goes by that name."""
        with self._lock:
            return self._page(str(key), self._browser(browser or str(key)))

    def receive(self, session: PageSession, file: Path, name: str, place: str = VIDEO) -> Upload:
        """Take a file that was uploaded, as the video to be changed or as the ``SECOND`` one.

        Raises:
            SourceError: it cannot be used; that place is then empty.
        """
        session.uploads.pop(place, None)
        try:
            upload = self.uploads.take(file, name)
        except SourceError as error:
            raise error if place == VIDEO else said_of(error, "second video") from None
        session.uploads[place] = upload.id
        return upload

    def order(self, session: PageSession, asked: RawRequest) -> RunRequest:
        """Check what was asked for.

        Raises:
            VaeExperimentsError: it cannot be done.
        """
        upload = self.uploads.get(session.uploads.get(VIDEO)) if asked.source == VIDEO else None
        second = self.uploads.find(session.uploads.get(SECOND))
        return order_of(asked, upload, self.limits, second)

    def run(self, session: PageSession, asked: RawRequest) -> Job:
        """Queue a run; its result is a ``Kept``, which joins the visit's history.

        Raises:
            VaeExperimentsError: it cannot be done, or not now.
        """
        order = self.order(session, asked)
        check_room(self.outputs, self.limits.free_bytes)
        session.asked = asked

        def work(job: Job) -> Kept:
            folder = new_folder(self.outputs)
            result = run_order(order, folder, job, words=order.words)
            kept = self.results.keep(folder, order.title, order.command, result.metrics, order.chain)
            session.browser.history = [kept, *session.browser.history][:LONGEST_HISTORY]
            return kept

        return self.queue.order(session.id, work)

    def preview(self, session: PageSession, asked: RawRequest) -> Job | None:
        """Queue a run on few small frames, or nothing while a run continues; its result may be that there is none.

        Raises:
            VaeExperimentsError: it cannot be done.
        """
        order = self.order(session, asked)
        if self.queue.is_busy:
            return None

        def work(job: Job) -> Kept | None:
            small = order.preview()
            if small is None:
                return None
            folder = Path(tempfile.mkdtemp(prefix=f"{PREVIEW}_", dir=self.scratch))
            result = run_order(small, folder, job, SMALL)
            self.results.drop(session.preview)
            kept = self.results.keep(folder, order.title, "", result.metrics, order.chain, passing=True)
            session.preview = kept.id
            return kept

        return self.queue.order(f"{session.id} {PREVIEW}", work)

    def sweep(self, session: PageSession, asked: RawRequest, over: SweepRange) -> Job:
        """Queue one run for each value of a setting, and the page over all of them.

        Raises:
            VaeExperimentsError: it cannot be done, or not now.
        """
        self.order(session, asked)
        orders = [self.order(session, one) for one in requests_of(asked, over)]
        check_room(self.outputs, self.limits.free_bytes)

        def work(job: Job) -> Kept:
            folder = new_folder(self.outputs / "sweeps")
            try:
                run_sweep_request(orders, over.setting, folder, job)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            title = f"{over.setting} of {orders[0].title}"
            return self.results.keep(folder, title, sweep_command(orders, over), {})

        return self.queue.order(session.id, work)

    def sentence(self, error: VaeExperimentsError | str) -> str:
        """Show a mistake in the browser: one line, without the places of this machine."""
        line = " ".join(str(error).split())
        return without_paths(line, self.scratch, self.outputs.resolve(), self.outputs)
