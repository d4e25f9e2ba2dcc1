"""The training: batches in, a better network out, nothing lost when it is interrupted or goes wrong."""

from __future__ import annotations

import logging
import signal
import time
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from vae_experiments.errors import StoppedError, TrainingError
from vae_experiments.files import write_json
from vae_experiments.runtime.interruption import Interrupted, asked, held
from vae_experiments.runtime.progress import Progress
from vae_experiments.training.checkpoints import Pace, read_checkpoint, write_checkpoint
from vae_experiments.training.data.loader import Batches
from vae_experiments.training.export import export_model, mean_psnr_db, reconstruct, worst_primary_db
from vae_experiments.training.log_files import History, Trackers
from vae_experiments.training.networks.losses import reconstruction_loss
from vae_experiments.training.resuming import CHECKPOINT, MODEL, SETTINGS, check_resumed, described, exported
from vae_experiments.training.train_step import LARGEST_LOSS, Learner, settle_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vae_experiments.runtime.device import Device
    from vae_experiments.tensors import Frames
    from vae_experiments.training.data.options import Data
    from vae_experiments.training.settings import Training

log = logging.getLogger(__name__)


class Trainer:
    """Trains one autoencoder into a folder; two with the same settings take the same steps."""

    def __init__(self, settings: Training, data: Data, folder: Path, device: Device) -> None:
        self.settings, self.data, self.folder = settings, data, folder
        self.checkpoint = folder / CHECKPOINT
        self.chosen = device.choose()
        # What accelerate would take from its environment is said here: our settings decide.
        self.accelerator = Accelerator(
            cpu=self.chosen.device.type == "cpu",
            mixed_precision="no",
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        )
        self.is_main = self.accelerator.is_main_process
        if not self.is_main:  # one process speaks for all
            logging.getLogger("vae_experiments").setLevel(logging.ERROR)
        dtype, self.why_dtype = settle_precision(settings, self.accelerator.device)
        self.prepared = data.prepare(settings.frames)
        self.batches = Batches(settings, self.prepared)
        self.history = History(folder)
        self.learner = Learner(settings, self.accelerator, dtype)
        self.done, self.started_seconds = 0, time.monotonic()
        self.pace = Pace(settings.save_seconds)
        self._begin()

    def train(self) -> Path:
        """Take every step that is left, save now and then, and give the folder of the exported model.

        Raises:
            TrainingError: too many steps in a row gave no usable loss, or nothing usable was learned.
            StoppedError: a signal asked to stop; everything is saved.
        """
        self._introduce()
        settings, processes = self.settings, self.accelerator.num_processes
        mine = range(self.accelerator.process_index, settings.gradient_accumulation * processes, processes)
        pieces = settings.validation, settings.buffer_size
        log.info("preparing %d pieces to measure with, and %d to learn from ...", *pieces)
        self.held_out = self.batches.held_out()
        self._catch_up()
        with ExitStack() as stack:
            self.trackers = Trackers(settings, self.folder, self.done, self.is_main)
            stack.callback(self.trackers.finish)
            # Closed at once, and not when the error that ended it is forgotten: workers would go on.
            steps = stack.enter_context(closing(self.batches.steps(self.done, mine)))
            progress = stack.enter_context(Progress(settings.steps, "steps", self.done))
            # Of several processes none may leave the others alone.
            stack.enter_context(held() if processes > 1 else nullcontext())
            try:
                for step, batches in enumerate(steps, self.done):
                    with held():
                        numbers = self._learned(step, list(zip(mine, batches, strict=True)))
                        progress.add(1, f"loss {numbers['loss']:.4f}, {numbers['psnr_db']:.1f} dB")
                    if number := self._agreed():
                        raise Interrupted(number)
                    self._save_if_due()
            except KeyboardInterrupt as error:
                raise self._stopped(error) from None
        return self.folder / MODEL

    def _save_if_due(self) -> None:
        if self.done == self.settings.steps:
            self._save_or_refuse(self.save)
        elif self.learner.skipped_in_a_row:
            return
        elif self.done % self.settings.save_every == 0:
            self.save()
        elif self.pace.is_due():
            self.keep()

    def _stopped(self, error: KeyboardInterrupt) -> StoppedError:
        """Save where a signal stopped the training, and say so."""
        if self.done:
            self._save_or_refuse(self.keep)
        number = error.number if isinstance(error, Interrupted) else signal.SIGINT
        return StoppedError(
            number,
            f"stopped after step {self.done}, {'saved' if self.done else 'nothing to save yet'}",
            "training.resume=true continues",
        )

    def keep(self) -> bool:
        """Save the checkpoint alone, unless its weights are of no use: that takes no time to speak of."""
        if not self.is_main:
            return True
        with self.pace.saving():
            if not self._is_sound(self._reconstructed(self.held_out[:1])):
                return False
            self.history.write_table()
            self._write_checkpoint(self._standing())
        log.info("step %d: saved", self.done)
        return True

    def save(self) -> bool:
        """Measure the averaged weights and, if they are sound, save them and the model made of them."""
        if not self.is_main:
            return True
        average, pairs = self.learner.average, self._reconstructed(self.held_out)
        quality = {
            "held_out_psnr_db": mean_psnr_db(pairs),
            "worst_primary_db": worst_primary_db(average, self.settings.frames, self.settings.stride),
        }
        message = "step %d: %.2f dB on what is held out, %.1f dB on the worst of six flat colours"
        log.info(message, self.done, *quality.values())
        if not self._is_sound(pairs):
            return False
        self._note(quality)
        standing = self._standing() | {name: round(value, 3) for name, value in quality.items()}
        with self.pace.saving():
            self._write_checkpoint(standing)
        self.history.write()
        self.trackers.picture(self.done, "samples", self.history.write_samples(pairs))
        export_model(average, self.held_out, self.folder / MODEL, standing)
        return True

    def _write_checkpoint(self, standing: dict[str, Any]) -> None:
        rows = {"history": self.history.rows}
        write_checkpoint(self.checkpoint, self.learner.state(), standing | rows)

    def _reconstructed(self, clips: Sequence[Frames]) -> list[tuple[Frames, Frames]]:
        return [(clip, reconstruct(self.learner.average, clip)) for clip in clips]

    def _is_sound(self, pairs: Sequence[tuple[Frames, Frames]]) -> bool:
        """Whether weights are worth keeping: finite, and no explosion that clipping would hide."""
        losses = [float(reconstruction_loss(reconstructed, original)) for original, reconstructed in pairs]
        weights = [tensor for module in self.learner.state().values() for tensor in module.values()]
        sound = max(losses) < LARGEST_LOSS and all(bool(tensor.isfinite().all()) for tensor in weights)
        if not sound:
            log.warning("step %d: not saved, its weights are of no use", self.done)
        return sound

    def _save_or_refuse(self, save: Callable[[], bool]) -> None:
        """Save where the training ends, or refuse what is of no use."""
        if not save():
            hint = f"use a lower training.learning_rate than {self.settings.learning_rate:g}"
            error = TrainingError(f"after step {self.done} the weights are of no use", hint)
            raise self._with_what_is_kept(error)

    def _catch_up(self) -> None:
        """Export what a training that was killed had saved, but not exported."""
        if self.done and self.is_main and exported(self.folder)[0] != self.done:
            _, standing = read_checkpoint(self.checkpoint)
            del standing["history"]
            export_model(self.learner.average, self.held_out, self.folder / MODEL, standing)

    def _begin(self) -> None:
        """Go on where a training stopped, or write down what this one is."""
        asked = described(self.settings, self.data)
        if self.settings.resume and self.checkpoint.exists():
            weights, standing = read_checkpoint(self.checkpoint)
            check_resumed(standing["settings"], asked)
            if standing["data"] != self.prepared.fingerprint:  # what was trained on could come to be held out
                raise TrainingError(
                    f"the files of {self.prepared} are not those that the training began with",
                    "put them back as they were, or begin anew with training.init_from=CHECKPOINT",
                )
            self.learner.load_state(weights, self.checkpoint)
            self.done, self.learner.skipped = standing["step"], standing["skipped"]
            self.started_seconds -= standing["seconds"]
            self.history.rows = standing["history"]
            for name, now in self._numerics().items():
                if now != standing[name]:
                    log.warning(
                        "%s was %s, now %s: other weights in the last bits", name, standing[name], now
                    )
        elif self.checkpoint.exists():
            hint = "add training.resume=true, or choose another folder"
            raise TrainingError(f"{self.folder} holds a training already", hint)
        elif self.settings.init_from:
            start = Path(self.settings.init_from)
            average = read_checkpoint(start)[0]["average"]
            self.learner.load_state({"trainee": average, "average": average}, start)
        if self.is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / SETTINGS, asked)

    def _introduce(self) -> None:
        network = self.learner.trainee.network
        millions = sum(weight.numel() for weight in network.parameters()) / 1e6
        log.info("network: %s, %.2f million weights", type(network).__name__, millions)
        log.info("device: %s, %s", self.accelerator.device, self.chosen.reason)
        log.info("computing in %s: %s", self._numerics()["computed_in"], self.why_dtype)
        log.info("data: %s", self.prepared)
        for remark in self.prepared.remarks:
            log.warning("data: %s", remark)
        if self.done:
            log.info("going on after step %d of %d, in %s", self.done, self.settings.steps, self.folder)
        elif self.settings.resume:
            log.info("nothing to go on with: beginning, in %s", self.folder)

    def _learned(self, step: int, batches: list[tuple[int, torch.Tensor]]) -> dict[str, float]:
        """Take one step, and note its numbers now and then."""
        try:
            numbers = self.learner.learn(step, batches)
        except TrainingError as error:
            raise self._with_what_is_kept(error) from error
        self.done = step + 1
        for remark in self.batches.new_remarks():
            log.warning("data: %s", remark)
        if self.done % self.settings.log_every == 0 or self.done == 1:
            self._note(numbers | {"seconds": self._seconds()})
        return numbers

    def _with_what_is_kept(self, error: TrainingError) -> TrainingError:
        kept = f"; the last good weights are in {self.checkpoint}" if self.checkpoint.exists() else ""
        return TrainingError(error.problem, error.hint + kept)

    def _note(self, numbers: dict[str, float]) -> None:
        if self.is_main:
            self.history.add(self.done, numbers)
            self.trackers.numbers(self.done, numbers)

    def _agreed(self) -> int:
        """Whether to stop: all processes after the same step, whichever got the signal."""
        if self.accelerator.num_processes == 1:
            return asked()
        number = torch.tensor(asked(), device=self.accelerator.device)
        return int(self.accelerator.gather(number).max())

    def _standing(self) -> dict[str, Any]:
        return {
            "step": self.done,
            "skipped": self.learner.skipped,
            "seconds": round(self._seconds(), 1),
            **self._numerics(),
            "data": self.prepared.fingerprint,
            "settings": described(self.settings, self.data),
        }

    def _numerics(self) -> dict[str, Any]:
        """Return what decides the last bits of the weights."""
        return {
            "computed_in": str(self.learner.dtype).removeprefix("torch."),
            "processes": self.accelerator.num_processes,
            "threads": torch.get_num_threads(),
        }

    def _seconds(self) -> float:
        return time.monotonic() - self.started_seconds
