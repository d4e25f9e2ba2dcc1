"""A stretch of a file's sound, or its sound at another speed, as a file of its own that begins with the pictures."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import subprocess
from typing import TYPE_CHECKING

from vae_experiments.files import passing
from vae_experiments.writers.video.audio import looked_over, opened
from vae_experiments.writers.video.audio_samples import JITTER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from fractions import Fraction
    from pathlib import Path

log = logging.getLogger(__name__)
TAIL_SECONDS = 1
"""Of silence after sound that is played at another speed: ``atempo`` keeps the last of it to itself."""
LEAD_SECONDS = 0.02
"""How early noise comes out of ``atempo`` at half speed, and by as much more the slower: clicks more, tones less."""
_SPEAKER = re.compile(r"(\[[^]]*\] *)+")
"""Who speaks in FFmpeg's log: ``[aac @ 0x55d0c8] ``."""


@contextlib.contextmanager
def cut_sound(
    path: Path,
    folder: Path,
    start: Fraction,
    seconds: Fraction,
    speed: float = 1.0,
    say: Callable[[str], None] = log.warning,
    is_padded: bool = False,
) -> Iterator[Path | None]:
    """Lend a file with a stretch of another one's sound, uncompressed; it is gone when the block ends.

    Args:
        path: the file whose sound it is.
        folder: where the new file lies, hidden.
        start: where the stretch begins, in seconds from the file's first picture.
        seconds: how long it is there.
        speed: how many times as fast it is played, at the same pitch.
        say: told what is wrong with the sound, a sentence at a time; with none left, the block gets None.
        is_padded: whether silence follows where the sound ends sooner.
    """
    first = looked_over(path, say)
    with passing(folder / "sound.nut") as hidden:
        if first is None:
            yield None
            return
        begins = float(first.picture + start)
        filters = [f"asetpts=PTS-({begins!r})/TB", f"atrim=start=0:end={float(seconds)!r}"]
        # What lies there does not say which channel is which: more than two are mixed while that is known.
        filters += ["aformat=sample_fmts=flt:channel_layouts=mono|stereo", *_at_speed(speed, float(seconds))]
        if is_padded:
            # Holes become silence as well, since it counts samples from where the sound begins.
            filters += ["aresample=async=1:first_pts=0", f"apad=whole_dur={float(seconds)!r}"]
        # A filter that counts samples must not begin again where a track changes its rate or its channels.
        reading = [] if speed == 1 and not is_padded else ["-reinit_filter", "0"]
        # The file's own times are kept, whenever it begins.
        reading += ["-copyts", "-protocol_whitelist", "file,pipe", "-i", f"file:{path}"]
        writing = ["-map", f"0:{first.track}", "-af", ",".join(filters), "-c:a", "pcm_f32le", "-f", "nut"]
        yield hidden if _is_cut([*reading, *writing], hidden, say) else None


def _at_speed(speed: float, seconds: float) -> list[str]:
    """Return the filters that play sound, so many seconds of it, at another speed."""
    if speed == 1:
        return []
    # Below 1/2 one pass of it is not taken, and above 2 it skips samples.
    passes = max(1, math.ceil(abs(math.log2(speed))))
    tempo = [f"atempo={speed ** (1 / passes)!r}"] * passes
    # It counts samples and looks at no times: holes become silence before. At 48 kHz its pieces are the shortest.
    in_one_piece = f"aresample=48000:async=1:min_hard_comp={float(JITTER)!r}:first_pts=0"
    late = f"adelay={max(0.0, LEAD_SECONDS * 1000 * (1 / speed - 1))!r}:all=1"
    return [in_one_piece, f"apad=pad_dur={TAIL_SECONDS}", *tempo, late, f"atrim=end={seconds / speed!r}"]


def _is_cut(arguments: Sequence[str], target: Path, say: Callable[[str], None]) -> bool:
    """Let ffmpeg write a file; whether there is sound in it then, and where there is not, why is said."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        command = [get_ffmpeg_exe(), "-nostdin", "-v", "error", *arguments, "pipe:1"]
        with target.open("wb") as file:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE, check=False
            )
    except (ImportError, RuntimeError, OSError) as error:
        say(f"sound: left out, ffmpeg cannot be started ({_first_line(str(error))})")
        return False
    complaint = _first_line(done.stderr.decode(errors="replace"))
    if done.returncode:
        say(f"sound: left out, ffmpeg cannot cut it ({complaint or 'it does not say why'})")
        return False
    if not _is_heard(target):
        say("sound: there is none in this part of the clip")
        return False
    if complaint:
        say(f"sound: damaged, silent where it is ({complaint})")
    return True


def _first_line(text: str) -> str:
    lines = (_SPEAKER.sub("", line).strip() for line in text.splitlines())
    return next(filter(None, lines), "")


def _is_heard(path: Path) -> bool:
    import av

    # A file without a packet cannot be opened.
    with contextlib.suppress(av.FFmpegError), opened(path) as cut:
        return any(packet.size for packet in cut.demux(audio=0))
    return False
