"""The sound of each video of a run: the source's, or a song's in its place."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from vae_experiments.errors import SettingError
from vae_experiments.schedules import UnheardError
from vae_experiments.writers import cut_sound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vae_experiments.manipulations import Clip
    from vae_experiments.sources import SourceInfo

log = logging.getLogger(__name__)
NEAR_SECONDS = 0.05


@dataclass(frozen=True)
class Soundtracks:
    """Lends the file with the sound of a video, for as long as it is written."""

    info: SourceInfo
    song: Path | None = None

    def lend(
        self, folder: Path, speed: float, say: Callable[[str], None]
    ) -> AbstractContextManager[Path | None]:
        """Return the file to carry sound from: the source itself, or one of it that is cut for these frames.

        Args:
            folder: where a cut file lies meanwhile.
            speed: how many times as fast the video is played; a song is not, and only as long.
            say: told what is wrong with the sound.
        """
        if self.song:
            seconds = self.info.end / Fraction(speed)
            return cut_sound(self.song, folder, Fraction(0), seconds, say=say, is_padded=True)
        sound = self.info.sound
        if sound is None or (sound.seconds is None and speed == 1):
            return nullcontext(sound.path if sound else None)
        return cut_sound(sound.path, folder, sound.start, sound.seconds or self.info.end, speed, say)


def chosen_song(name: str, clip: Clip, info: SourceInfo) -> Path | None:
    """Look over the song that is laid under the videos, and log how it fits; None without one.

    Raises:
        SettingError: there is no sound in it.
        SourceError: there is no such file.
    """
    if not name:
        return None
    assert clip.check_file is not None
    assert clip.sound_of is not None
    assert clip.file_of is not None
    clip.check_file(name, "output.sound")
    try:
        sound = clip.sound_of(name)
    except UnheardError as error:
        raise SettingError("output.sound", name, str(error), error.hint) from None
    ends, seconds = sound.begins + len(sound.samples) / sound.rate, float(info.end)
    if ends > seconds + NEAR_SECONDS:
        log.info("sound: %s lies under the videos, cut to their %.2f s", name, seconds)
    elif ends < seconds - NEAR_SECONDS:
        log.info("sound: %s lies under the videos, %.2f s and then silence to %.2f s", name, ends, seconds)
    else:
        log.info("sound: %s lies under the videos", name)
    return clip.file_of(name)
