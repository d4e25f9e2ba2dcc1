"""Small videos and pictures, written when a test needs them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from vae_experiments.errors import SourceError
from vae_experiments.sources import Source, Video
from vae_experiments.tensors import to_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

BAD_MEDIA = Path(__file__).parents[3] / "shared" / "bad_media"


def drawn(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Draw a frame that tells its number by its brightness, and left from right and top from bottom."""
    x, y = np.meshgrid(np.linspace(0, 60, width), np.linspace(0, 90, height))
    return np.stack([x + 3 * number, y + 3 * number, 0 * x + 3 * number], axis=-1).astype(np.uint8)


def write_film(
    path: Path,
    count: int = 24,
    size: tuple[int, int] = (64, 48),
    fps: Fraction | int = 12,
    codec: str = "ffv1",
    pix_fmt: str = "bgr0",
    ticks: list[int] | None = None,
    matrix: list[int] | None = None,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a video; ffv1 keeps every value, ``ticks`` are the frames' times in frames."""
    with av.open(path, "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=Fraction(fps), options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        if matrix:
            stream.set_display_matrix(matrix)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(drawn(number, *size), format="rgb24")
            frame.pts = ticks[number] if ticks else number
            frame.time_base = 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_gif(path: Path, count: int = 8, **settings: Any) -> Path:
    """Write an animation in whichever format the name asks for."""
    pages = [Image.fromarray(drawn(number)) for number in range(count)]
    pages[0].save(path, save_all=True, append_images=pages[1:], **settings)
    return path


def write_pictures(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(drawn(number)).save(folder / name)
    return folder


def pixels_of(source: Source, count: int = 5) -> np.ndarray:
    return to_pixels(torch.cat(list(source.chunks(count))))


def numbers_of(source: Source) -> list[int]:
    """Tell which drawn frames came out."""
    return [round(float(blue) / 3) for blue in pixels_of(source)[..., 2].mean((1, 2))]


def sentence_for(source: Source) -> str:
    """Read a source to its end and give what it complains about; anything else that is raised escapes."""
    try:
        pixels_of(source)
    except SourceError as error:
        return str(error)
    return ""


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Frames this small are only slowed down by a second thread, on a busy machine several times."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "video.mkv")


@pytest.fixture(scope="session")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(
        tmp_path_factory.mktemp("mp4") / "video.mp4",
        codec="libx264",
        pix_fmt="yuv420p",
        options={"g": "6", "qp": "8"},
    )


def manifest() -> list[Any]:
    if not BAD_MEDIA.is_dir():
        reason = pytest.mark.skip(reason=f"no folder of bad media at {BAD_MEDIA}")
        return [pytest.param({"file": "bad media"}, marks=reason)]
    entries = json.loads((BAD_MEDIA / "manifest.json").read_text())["media"]
    return [pytest.param(entry, id=entry["file"]) for entry in entries]


def bad(name: str, **settings: Any) -> Video:
    """Point a source at one of the shared bad files."""
    if not BAD_MEDIA.is_dir():
        pytest.skip(f"no folder of bad media at {BAD_MEDIA}")
    return Video(path=str(BAD_MEDIA / name), **settings)
