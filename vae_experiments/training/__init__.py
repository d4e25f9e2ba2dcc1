"""Training an autoencoder of one's own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from vae_experiments.runtime.device import Device
    from vae_experiments.training.data.options import Data
    from vae_experiments.training.settings import Training


def train(training: Training, folder: Path, data: Data | None = None, device: Device | None = None) -> Path:
    """Return the folder of the model, in diffusers format, that a training leaves in a folder.

    Args:
        training: what is trained, and how.
        folder: where everything goes; a training that was begun there continues.
        data: painted frames, if left out.
        device: the fastest that there is, if left out.

    Raises:
        TrainingError: the training cannot start or cannot go on.
        StoppedError: somebody stopped it; everything is saved.

    Example:
        >>> train(Autoencoder(steps=100), Path("outputs/training"))
    """
    from vae_experiments.runtime.progress import announce

    announce("torch", "diffusers", "accelerate")
    from vae_experiments.pipeline.folder_lock import held
    from vae_experiments.runtime.device import Device
    from vae_experiments.training.data.options import Procedural
    from vae_experiments.training.resuming import reserve_training_folder
    from vae_experiments.training.trainer import Trainer

    with ExitStack() as stack:
        # Whoever claimed it before ends its claim himself.
        if not held(folder) and (reservation := reserve_training_folder(folder)):
            stack.callback(reservation.end)
        return Trainer(training, data or Procedural(), folder, device or Device()).train()
