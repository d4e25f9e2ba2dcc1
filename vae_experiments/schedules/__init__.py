"""Schedules: a number that changes over time, read from a short text and never evaluated as code."""

from vae_experiments.schedules.expression import Bounds, Schedule, constant, product
from vae_experiments.schedules.grammar import GRAMMAR, parse_schedule
from vae_experiments.schedules.listeners import Audio, Listener, listener_names
from vae_experiments.schedules.timeline import Time, Timeline, number
from vae_experiments.schedules.waveform import BANDS, Band, UnheardError, Waveform
from vae_experiments.schedules.words import read_call, split_outside_brackets

__all__ = [
    "BANDS",
    "GRAMMAR",
    "Audio",
    "Band",
    "Bounds",
    "Listener",
    "Schedule",
    "Time",
    "Timeline",
    "UnheardError",
    "Waveform",
    "constant",
    "listener_names",
    "number",
    "parse_schedule",
    "product",
    "read_call",
    "split_outside_brackets",
]
