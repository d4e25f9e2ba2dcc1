"""A writer of H.264 in fields, as AVCHD camcorders record it: two packets a frame, which x264 never makes.

Every macroblock is stored as plain values (I_PCM), so that no arithmetic coder is needed
(ITU-T H.264, 7.3.2 to 7.3.5).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BLOCKS = 4  # a frame is 64x64: four macroblocks wide and, in fields, two pairs high
PARAMETERS, PICTURE_PARAMETERS, IDR_SLICE, SLICE = 0x67, 0x68, 0x65, 0x61


class Bits:
    def __init__(self) -> None:
        self.text = ""

    def fixed(self, value: int, count: int) -> Bits:
        self.text += f"{value:0{count}b}"
        return self

    def golomb(self, *values: int) -> Bits:
        for value in values:
            digits = f"{value + 1:b}"
            self.text += "0" * (len(digits) - 1) + digits
        return self

    def align(self, filler: str = "0") -> Bits:
        self.text += filler * (-len(self.text) % 8)
        return self

    def unit(self, header: int) -> bytes:
        """Close a NAL unit, with the bytes that keep start codes out of its inside."""
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        inside, zeros = bytearray(), 0
        for byte in int(text, 2).to_bytes(len(text) // 8, "big"):
            if zeros == 2 and byte <= 3:
                inside.append(3)
                zeros = 0
            inside.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes([header]) + bytes(inside)


def parameters() -> bytes:
    sequence = Bits().fixed(77, 8).fixed(0, 8).fixed(30, 8)  # main profile, level 3
    sequence.golomb(0, 0, 2, 1).fixed(0, 1)  # id, frame number of 4 bits, order as decoded, one reference
    sequence.golomb(BLOCKS - 1, BLOCKS // 2 - 1).fixed(0b0010, 4).fixed(0, 1)  # fields; no cropping; no VUI
    picture = Bits().golomb(0, 0).fixed(0, 1).fixed(0, 1).golomb(0, 0, 0).fixed(0, 3)
    picture.golomb(0, 0, 0).fixed(0b000, 3)
    return sequence.unit(PARAMETERS) + picture.unit(PICTURE_PARAMETERS)


def field(number: int, is_bottom: bool, luma: int) -> bytes:
    """Return one field of even grey."""
    is_idr = number == 0 and not is_bottom
    slice_ = Bits().golomb(0, 7, 0).fixed(number % 16, 4).fixed(1, 1).fixed(int(is_bottom), 1)
    slice_.golomb(*([0] if is_idr else []))
    slice_.fixed(0, 2 if is_idr else 1)  # what stays a reference: the usual
    slice_.golomb(0)
    for _ in range(BLOCKS * BLOCKS // 2):
        slice_.golomb(25).align()
        for value, count in ((luma, 256), (128, 128)):
            slice_.text += f"{value:08b}" * count
    return slice_.unit(IDR_SLICE if is_idr else SLICE)


def write_fields(path: Path, greys: Sequence[int], fps: int = 25) -> Path:
    """Write a video of 64x64, each field a packet with a time of its own."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=2 * fps)
        stream.width = stream.height = 16 * BLOCKS
        stream.pix_fmt = "yuv420p"
        stream.codec_context.extradata = parameters()
        for number, luma in enumerate(greys):
            for is_bottom in (False, True):
                content = parameters() if not is_bottom else b""
                packet = av.Packet(content + field(number, is_bottom, luma))
                packet.stream, packet.time_base = stream, Fraction(1, 2 * fps)
                packet.pts = packet.dts = 2 * number + is_bottom
                packet.duration = 1
                packet.is_keyframe = number == 0 and not is_bottom
                container.mux(packet)
    return path
