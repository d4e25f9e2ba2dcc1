"""The queue: takes jobs, does one at a time, and says of each how it stands."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from vae_experiments.cli.hydra_errors import mistake_of
from vae_experiments.errors import VaeExperimentsError
from vae_experiments.web.server.fault_page import tell_fault

if TYPE_CHECKING:
    from collections.abc import Callable


class CancelError(VaeExperimentsError):
    """Somebody pressed cancel, or left."""


class State(Enum):
    """What has become of an order."""

    waiting = "waiting"
    running = "running"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"


@dataclass(eq=False)
class Job:
    """One job in the queue."""

    owner: str
    work: Callable[[Job], Any]
    seconds: float
    state: State = State.waiting
    share: float = 0.0
    """How much is done, 0 to 1."""
    phase: str = ""
    result: Any = None
    sentence: str = ""
    """Why it failed."""
    began: float | None = None
    finished: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Let it end at its next tick; the queue, which knows whether it runs at all, is what cancels."""
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        """Whether it is to end, or did."""
        return self._stopped.is_set()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.finished.is_set()

    def tick(self, share: float | None = None, phase: str = "") -> None:
        """Note how far it is; called by the work, once a chunk.

        Raises:
            CancelError: it should not go on.
        """
        if self._stopped.is_set():
            raise CancelError("cancelled", "press run to begin again")
        if self.began is not None and time.monotonic() - self.began > self.seconds:
            problem = f"it took more than {self.seconds:g} seconds"
            raise VaeExperimentsError(problem, "choose fewer or smaller frames, or type the command yourself")
        self.share = self.share if share is None else share
        self.phase = phase or self.phase


class JobQueue:
    """One worker and a bounded queue before it."""

    def __init__(self, most_waiting: int = 60, seconds: float = 600.0) -> None:
        self.most_waiting, self.seconds = most_waiting, seconds
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="jobs", daemon=True)
        self._thread.start()

    def order(self, owner: str, work: Callable[[Job], Any]) -> Job:
        """Queue one order; each owner has one at a time, besides one that was cancelled and is ending.

        Raises:
            VaeExperimentsError: too many wait already, or the owner's last one is not over.
        """
        job = Job(owner, work, self.seconds)
        with self._changed:
            if self._has(owner):
                raise VaeExperimentsError("your last run is still going", "wait for it, or cancel it")
            if len(self._waiting) >= self.most_waiting:
                problem = f"{len(self._waiting)} runs are waiting already"
                raise VaeExperimentsError(problem, "try again in a minute")
            self._waiting.append(job)
            self._changed.notify()
        return job

    def ahead_of(self, job: Job) -> int:
        """Count the orders that come before one that waits."""
        with self._changed:
            before = list(self._waiting)
        return before.index(job) + 1 if job in before else 0

    @property
    def is_busy(self) -> bool:
        """Whether something runs or waits."""
        return self._running is not None or bool(self._waiting)

    def serves(self, owner: str) -> bool:
        """Whether something of an owner's runs or waits."""
        with self._changed:
            return self._has(owner)

    def _has(self, owner: str) -> bool:
        return any(job.owner == owner and not job.is_stopped for job in self._here())

    def _here(self) -> list[Job]:
        return [*self._waiting, *([self._running] if self._running else [])]

    def cancel(self, owner: str) -> None:
        """Cancel whatever an owner has here."""
        with self._changed:
            for job in self._here():
                if job.owner == owner:
                    self._cancel(job)

    def cancel_one(self, job: Job) -> None:
        """Cancel an order: one that waits leaves the queue, one that runs ends within a chunk."""
        with self._changed:
            self._cancel(job)

    def _cancel(self, job: Job) -> None:
        job.stop()
        if job in self._waiting:
            self._waiting.remove(job)
            job.state = State.cancelled
            job.finished.set()

    def close(self) -> None:
        """Stop everything and wait for the worker."""
        with self._changed:
            self._closed = True
            for job in self._here():
                self._cancel(job)
            self._changed.notify()
        self._thread.join(timeout=30)

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return
                self._running = job = self._waiting.popleft()
            _do(job)
            self._running = None
            job.finished.set()


def _do(job: Job) -> None:
    job.began = time.monotonic()
    try:
        job.tick()
        job.state = State.running
        job.result = job.work(job)
        job.state = State.done
    except CancelError:
        job.state = State.cancelled
    except BaseException as error:
        job.state = State.failed
        job.sentence = sentence_of(error)


def sentence_of(error: BaseException) -> str:
    """Return in one line what went wrong: what a person did, or that it was nothing of theirs."""
    with contextlib.suppress(Exception):
        if sentence := mistake_of(error):
            return sentence
    return tell_fault(error, "an order")
