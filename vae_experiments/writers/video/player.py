"""Videos side by side as something to look at in a notebook: no file is left behind."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.tensors import Size
from vae_experiments.writers.video.comparison import Comparison
from vae_experiments.writers.video.video_file import open_mp4

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from vae_experiments.tensors import Pixels


@dataclass(frozen=True, repr=False)
class Player:
    """Plays videos over and over, in step and each under its name, as the last line of a notebook's cell."""

    mp4: bytes
    """The one file that holds them all."""
    size: Size
    """Of the sheet that they lie on, in pixels."""
    names: tuple[str, ...]

    @classmethod
    def of(cls, videos: Mapping[str, Pixels], fps: Fraction, times: Sequence[Fraction] = ()) -> Player:
        """Lay videos, uint8 ``T H W 3`` of one size, side by side; a shorter one keeps its last frame.

        ``times`` as ``open_mp4`` takes them.

        Raises:
            WriteError: a video has no frames, or H.264 cannot hold them.
        """
        height, width = next(iter(videos.values())).shape[1:3]
        sheet = Comparison(Size(width, height), list(videos))
        with tempfile.TemporaryDirectory(prefix="vae_experiments_player_") as folder:
            path = Path(folder) / "videos.mp4"
            with open_mp4(path, sheet.size, fps, times=times) as video:
                video.write(sheet.lay_out(list(videos.values())))
            return cls(path.read_bytes(), sheet.size, tuple(videos))

    def _repr_html_(self) -> str:
        """Return the video itself as part of the page, which needs no file beside it."""
        width, height = self.size
        source = f"data:video/mp4;base64,{base64.b64encode(self.mp4).decode('ascii')}"
        style = f'width="{width}" height="{height}" style="max-width: 100%; height: auto"'
        return f'<video controls autoplay loop muted playsinline {style} src="{source}"></video>'

    def __repr__(self) -> str:
        return f"Player({', '.join(self.names)}; {self.size}, {len(self.mp4)} bytes)"
