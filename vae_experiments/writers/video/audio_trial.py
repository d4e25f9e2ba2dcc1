"""Whether mp4 takes packets of sound as they are, tried on a file that goes nowhere."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def trial(track: Any) -> Iterator[Callable[[Any], bool]]:
    """Return what tells of each packet in turn whether it can be written after those that could.

    Beside pictures a packet is written a few calls after it was given: a damaged one would be an error of
    some picture.

    Raises:
        av.FFmpegError: mp4 holds no such track at all.
        ValueError: the same.
    """
    import av

    container = av.open(os.devnull, "w", format="mp4")
    stream = container.add_stream_from_template(track)

    def takes(packet: Any) -> bool:
        twin = av.Packet(bytes(packet))
        twin.pts, twin.dts, twin.duration = packet.pts, packet.dts, packet.duration
        twin.time_base, twin.stream, twin.is_keyframe = packet.time_base, stream, packet.is_keyframe
        try:
            container.mux(twin)
        except av.FFmpegError:
            return False
        return True

    try:
        yield takes
    finally:
        with contextlib.suppress(av.FFmpegError):
            container.close()
