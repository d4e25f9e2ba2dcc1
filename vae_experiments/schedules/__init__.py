"""Schedules: a number that changes over time, read from a short text and never evaluated as code."""

from vae_experiments.schedules.expression import (
    GRAMMAR,
    WAVE_DEFAULTS,
    WAVE_WORDS,
    WAYS,
    Schedule,
    parse_schedule,
    read_call,
    split_outside_brackets,
)
from vae_experiments.schedules.timeline import Time, Timeline, number
from vae_experiments.schedules.waveform import UnheardError, Waveform

__all__ = [
    "GRAMMAR",
    "WAVE_DEFAULTS",
    "WAVE_WORDS",
    "WAYS",
    "Schedule",
    "Time",
    "Timeline",
    "UnheardError",
    "Waveform",
    "number",
    "parse_schedule",
    "read_call",
    "split_outside_brackets",
]
