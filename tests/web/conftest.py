"""What the tests of the page share: a small clip on disk, and a bench in a folder of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vae_experiments.sources import Plasma
from vae_experiments.tensors import to_pixels
from vae_experiments.web.requests.run_request import RawRequest
from vae_experiments.web.service import WebService
from vae_experiments.web.state.job_queue import Job
from vae_experiments.writers import open_mp4

SMALL = {"size": "48", "frames": 3}


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of clouds, 64x48, as a video."""
    path = tmp_path_factory.mktemp("clip") / "clouds.mp4"
    source = Plasma(size="64x48", frames=6)
    with open_mp4(path, source.info.size, source.info.fps) as video:
        for frames in source.chunks(3):
            video.write(to_pixels(frames))
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[WebService]:
    bench = WebService(tmp_path / "outputs")
    yield bench
    bench.close()


def small(**more: object) -> RawRequest:
    """Ask for three small frames of a pattern, with noise."""
    return RawRequest(**{"source_values": SMALL, **more})  # type: ignore[arg-type]


def waited(ticket: Job, seconds: float = 60) -> Job:
    """Wait until an order is over."""
    assert ticket.finished.wait(seconds), ticket
    return ticket


def until(true: object, seconds: float = 30) -> None:
    """Wait until a function says so."""
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
