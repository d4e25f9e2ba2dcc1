"""What manipulations share that ask for another video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.manipulations.manipulation import Manipulation
from vae_experiments.options import setting

if TYPE_CHECKING:
    from vae_experiments.manipulations.clip import Clip


class SecondVideoManipulation(Manipulation, group="manipulation"):
    """A manipulation that asks for another video, a file or a pattern by name.

    The other video is read at this one's size (its centre is cropped to that shape) and rate, begins
    again where it is shorter, is cut where it is longer, and goes through the same network.
    """

    path: str = setting("the other video: a file, or a pattern by name", default="bouncing_shapes")

    def check(self, clip: Clip) -> None:
        """Look the other video over before anything is written.

        Raises:
            VaeExperimentsError: there is no such video, or it cannot be read.
        """
        super().check(clip)
        if clip.check_path:
            clip.check_path(self.path, f"{self.address()}.path")
