"""The queue: takes jobs, does one at a time, and says of each how it stands."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from queue import SimpleQueue
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
    stopped: bool = False
    """Whether it is to end at its next tick, or did."""
    began: float | None = None
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.finished.is_set()

    def tick(self, share: float | None = None, phase: str = "") -> None:
        """Note how far it is; called by the work, once a chunk.

        Raises:
            CancelError: it should not go on.
        """
        if self.stopped:
            raise CancelError("cancelled", "press run to begin again")
        if self.began is not None and time.monotonic() - self.began > self.seconds:
            problem = f"it took more than {self.seconds:g} seconds"
            raise VaeExperimentsError(problem, "choose fewer or smaller frames, or type the command yourself")
        self.share = self.share if share is None else share
        self.phase = phase or self.phase

    def do(self) -> None:
        """Work, and keep what came of it."""
        self.began = time.monotonic()
        try:
            self.tick()
            self.result = self.work(self)
            self.state = State.done
        except CancelError:
            self.state = State.cancelled
        except BaseException as error:
            self.sentence = sentence_of(error)
            self.state = State.failed


class JobQueue:
    """One worker and a bounded queue before it."""

    def __init__(self, most_waiting: int = 60, seconds: float = 600.0) -> None:
        self.most_waiting, self.seconds = most_waiting, seconds
        self._here: list[Job] = []
        """What runs, and behind it what waits."""
        self._lock = threading.RLock()
        self._orders: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="jobs", daemon=True)
        self._thread.start()

    def order(self, owner: str, work: Callable[[Job], Any]) -> Job:
        """Queue one order; each owner has one at a time, besides one that was cancelled and is ending.

        Raises:
            VaeExperimentsError: too many wait already, or the owner's last one is not over.
        """
        job = Job(owner, work, self.seconds)
        with self._lock:
            if self.serves(owner):
                raise VaeExperimentsError("your last run is still going", "wait for it, or cancel it")
            waiting = sum(one.state is State.waiting for one in self._here)
            if waiting >= self.most_waiting:
                raise VaeExperimentsError(f"{waiting} runs are waiting already", "try again in a minute")
            self._here.append(job)
            self._orders.put(job)
        return job

    def ahead_of(self, job: Job) -> int:
        """Count the orders that come before one that waits."""
        with self._lock:
            return self._here.index(job) if job in self._here else 0

    @property
    def is_busy(self) -> bool:
        """Whether something runs or waits."""
        return bool(self._here)

    def serves(self, owner: str) -> bool:
        """Whether something of an owner's runs or waits."""
        with self._lock:
            return any(job.owner == owner and not job.stopped for job in self._here)

    def cancel(self, owner: str) -> None:
        """Cancel whatever an owner has here."""
        with self._lock:
            for job in [job for job in self._here if job.owner == owner]:
                self.cancel_one(job)

    def cancel_one(self, job: Job) -> None:
        """Cancel an order: one that waits leaves the queue, one that runs ends within a chunk."""
        with self._lock:
            job.stopped = True
            if job in self._here and job.state is State.waiting:
                job.state = State.cancelled
                self._end(job)

    def close(self) -> None:
        """Stop everything and wait for the worker."""
        with self._lock:
            for job in list(self._here):
                self.cancel_one(job)
        self._orders.put(None)
        self._thread.join(timeout=30)

    def _serve(self) -> None:
        while job := self._orders.get():
            with self._lock:
                if job.is_over:  # cancelled while it waited
                    continue
                job.state = State.running
            job.do()
            self._end(job)

    def _end(self, job: Job) -> None:
        with self._lock:
            self._here.remove(job)
        job.finished.set()


def sentence_of(error: BaseException) -> str:
    """Return in one line what went wrong: what a person did, or that it was nothing of theirs."""
    with contextlib.suppress(Exception):
        if sentence := mistake_of(error):
            return sentence
    return tell_fault(error, "an order")
