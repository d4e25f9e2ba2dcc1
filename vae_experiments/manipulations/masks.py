"""Masks: where a manipulation acts, drawn in a word, read from another video, or seen in the source itself.

    circle(0.5, 0.5, 0.3)              centre x and y as fractions of width and height, radius as a fraction
                                       of the shorter side
    box(0.2, 0.2, 0.8, 0.8)            left, top, right and bottom
    circle(ramp(0,1), 0.5, 0.2, soft=0.2)   each number may be a schedule; ``soft`` widens the edge
    path(0s:0.2,0.3 2s:0.8,0.5, 0.1)   a circle on its way: when it is where, and its radius
    clip.mp4, mask.png, checkerboard   white is changed, black is not
    luma(0.5, 1)                       where the source is so bright
    motion(0.1)                        where its brightness changes by more, from one frame to the next
    color(#ff0000, 0.2)                where it is near to a colour
    grow(a, 0.1)   soft(a, 0.1)        larger all around, or with a wider edge, by a fraction of the shorter side
    a and b   a or b   not a   ( )     where both are, where any is, everywhere else (``outside`` is ``not``)

Nothing of a mask is sharper than a latent cell. A name with brackets or such words in it stands in quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vae_experiments.manipulations.mask_kinds import (
    PROPERTIES,
    SHAPES,
    Combined,
    Drawn,
    Everywhere,
    OtherVideo,
    Region,
    Reshaped,
    Seen,
    values_at,
)
from vae_experiments.schedules import (
    DEEPEST,
    Schedule,
    Time,
    keyframes,
    matching_bracket,
    number,
    parse_schedule,
    read_call,
    split_at_word,
    unquoted,
)

if TYPE_CHECKING:
    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.manipulations.mask_kinds import Cover

MASKS = (
    "circle(x,y,radius), box(left,top,right,bottom), path(0s:x,y 2s:x,y, radius) in fractions of the frame, with "
    "soft=0.1 for a soft edge; luma(0.5,1), motion(0.1), color(#ff0000,0.2) of the source; a picture, a video or a "
    "pattern whose white parts count; grow(a,0.1), soft(a,0.1), and, or, not of those"
)
_NOT = re.compile(r"(?:not|outside)\s+(?=\S)|(?:not|outside)(?=\()")
_CALL = re.compile(r"[A-Za-z_]\w*\s*(?=\()")


@dataclass(frozen=True, eq=False)
class Mask:
    """A region that changes over time."""

    region: Region

    @classmethod
    def read(cls, text: str) -> Mask:
        """Read a mask; an empty text is everywhere.

        Raises:
            ValueError: the text breaks the grammar; the message says where.
        """
        return cls(_read(text, 0) if text.strip() else Everywhere())

    @property
    def paths(self) -> list[str]:
        """The other videos that it reads."""
        return self.region.paths

    @property
    def files(self) -> list[str]:
        """The other files that its schedules read."""
        return [file for schedule in self.region.schedules for file in schedule.files]

    @property
    def needs_length(self) -> bool:
        """Whether only the clip's length says where it is."""
        return any(schedule.needs_length for schedule in self.region.schedules)

    def over(self, clip: Clip) -> Cover:
        """Begin a clip: give what tells how much is covered, ``T 1 h w``, for latents from a number on.

        Raises:
            UnheardError: there are no frames to look at.
        """
        return self.region.over(clip)

    def check(self, clip: Clip) -> None:
        """Look whether there is all that it follows.

        Raises:
            UnheardError: there are no frames to look at, or no sound to listen to.
        """
        if clip.frames_of or not self.paths:
            self.over(clip)
        for latent in range(clip.latents or 0):
            values_at(self.region.schedules, latent, clip)


def _read(text: str, depth: int) -> Region:
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} brackets lie within each other")
    for word in ("or", "and"):
        sides = split_at_word(text, word)
        if len(sides) > 1:
            return Combined(word, tuple(_read(side, depth + 1) for side in sides))
    text, is_inside = text.strip(), True
    while found := _NOT.match(text):
        text, is_inside = text[found.end() :], not is_inside
    region = _single(text, depth)
    return region if is_inside else Combined("not", (region,))


def _single(text: str, depth: int) -> Region:
    """Read what stands in brackets, a call, or else the name of a file."""
    if not text:
        raise ValueError("a mask is missing")
    opens = found.end() if (found := _CALL.match(text)) else 0
    if text[opens] == "(" and text.endswith(")") and matching_bracket(text, opens) == len(text) - 1:
        return _called(text, depth) if opens else _read(text[1:-1], depth + 1)
    return OtherVideo(unquoted(text))


def _called(text: str, depth: int) -> Region:
    name, plain, named = read_call(text)
    if name in ("grow", "soft"):
        if len(plain) != 2 or named:
            raise ValueError(f"{name}() takes a mask and a number, as {name}(circle(0.5,0.5,0.3), 0.1)")
        return Reshaped(name, _read(plain[0], depth + 1), parse_schedule(plain[1]))
    if name in PROPERTIES:
        return _seen(name, plain, named)
    if name not in (*SHAPES, "path"):
        raise ValueError(f"there is no {name}()")
    soft = parse_schedule(named.pop("soft", "0"))
    if name == "path" and len(plain) > 2 and not named:
        return Drawn("circle", (*_way(",".join(plain[:-1])), parse_schedule(plain[-1])), soft)
    count = SHAPES[name][0] if name in SHAPES else 0
    if len(plain) != count or named:
        takes = f"{count} numbers" if count else "places and a radius, as path(0s:0.2,0.3 2s:0.8,0.5, 0.1)"
        raise ValueError(f"{name}() takes {takes}, and soft= if you like")
    return Drawn(name, tuple(map(parse_schedule, plain)), soft)


def _seen(name: str, plain: list[str], named: dict[str, str]) -> Region:
    count, takes, _ = PROPERTIES[name]
    colour: tuple[float, ...] = ()
    if name == "color" and plain:
        digits = re.fullmatch(r"#([0-9a-fA-F]{6})", plain.pop(0))
        if digits is None:
            raise ValueError(f"{name}() takes {takes}")
        colour = tuple(value / 255 for value in bytes.fromhex(digits[1]))
    if len(plain) != count or named:
        raise ValueError(f"{name}() takes {takes}")
    return Seen(name, tuple(map(parse_schedule, plain)), colour)


def _way(text: str) -> tuple[Schedule, Schedule]:
    """Read the places of a path: the schedules of x and y."""
    times, across, down = [], [], []
    for word in text.split():
        time, colon, place = word.partition(":")
        x, comma, y = place.partition(",")
        if not (colon and comma):
            raise ValueError(f"{word[:40]!r} is not a place of a path, as 2s:0.8,0.5")
        times.append(Time.read(time))
        across.append(number(x))
        down.append(number(y))
    return keyframes(times, across), keyframes(times, down)
