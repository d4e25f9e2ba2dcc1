"""What a training sees of its data: pieces, drawn by number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae_experiments.sources.procedural.textures import Array


@dataclass(frozen=True)
class TrainingSample:
    """What crops are cut from."""

    pixels: Array
    """uint8 ``T S S 3``."""
    remarks: tuple[str, ...] = ()
    """What a person should hear once, a sentence each; about the same file, the same words."""


class Dataset(ABC):
    """Data that were looked over; immutable, and picklable for the processes that read them."""

    remarks: tuple[str, ...]
    """What was found, a sentence each."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Which files there are and what each is for; empty where there are none."""

    @abstractmethod
    def piece(self, seed: int, number: int) -> TrainingSample:
        """Return a piece to train on; it depends on the seed, its number and the files alone.

        Raises:
            TrainingError: nothing can be read any more.
        """

    @abstractmethod
    def validation(self, seed: int, number: int) -> TrainingSample:
        """Return a piece to measure with, of frames that training never sees.

        Raises:
            TrainingError: nothing can be read any more.
        """

    @abstractmethod
    def __str__(self) -> str:
        """Return in a phrase what the data are."""
