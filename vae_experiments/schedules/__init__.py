"""Schedules: a number that changes over time, read from a short text and never evaluated as code."""

from vae_experiments.schedules.expression import Bounds, Schedule, constant, keyframes
from vae_experiments.schedules.grammar import DEEPEST, GRAMMAR, parse_schedule
from vae_experiments.schedules.light import luma_of
from vae_experiments.schedules.listeners import Audio, Listener, OverClip, listener_names
from vae_experiments.schedules.timeline import Time, Timeline, number
from vae_experiments.schedules.waveform import BANDS, Band, UnheardError, Waveform
from vae_experiments.schedules.words import (
    matching_bracket,
    read_call,
    split_at_word,
    split_outside_brackets,
    unquoted,
)

__all__ = [
    "BANDS",
    "DEEPEST",
    "GRAMMAR",
    "Audio",
    "Band",
    "Bounds",
    "Listener",
    "OverClip",
    "Schedule",
    "Time",
    "Timeline",
    "UnheardError",
    "Waveform",
    "constant",
    "keyframes",
    "listener_names",
    "luma_of",
    "matching_bracket",
    "number",
    "parse_schedule",
    "read_call",
    "split_at_word",
    "split_outside_brackets",
    "unquoted",
]
