"""Where an autoencoder comes from: the bundled one, a folder, or the Hugging Face hub."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.errors import ModelError
from vae_experiments.options import Choice, Option, setting

if TYPE_CHECKING:
    from vae_experiments.device import Chosen
    from vae_experiments.models.autoencoder import Autoencoder

REACH_SECONDS = 4


class Posterior(Choice):
    """Which latents to take where the encoder gives a distribution."""

    mode = "mode"
    sample = "sample"


class Model(Option, ABC, family="model"):
    """Names an autoencoder and loads it."""

    posterior: Posterior = setting(
        "take the mode of the posterior, or a sample seeded by frame", default=Posterior.mode
    )
    seed: int = setting("seed of the posterior sample", default=0, minimum=0)

    @abstractmethod
    def folder(self) -> Path:
        """Find the directory, in diffusers format, that holds the weights."""

    def load(self, chosen: Chosen) -> Autoencoder:
        """Load the weights onto a device, ready to encode and decode.

        Raises:
            ModelError: the weights are missing, damaged, of another class, or cannot be downloaded.
        """
        from vae_experiments.files import digest_of
        from vae_experiments.models.loading import ADAPTERS, load_network, weights_digests

        folder = self.folder()
        network = load_network(folder)
        adapter = ADAPTERS[type(network).__name__]
        autoencoder = adapter(network, folder, chosen, self.posterior, self.seed)
        autoencoder.weights_digest = digest_of(weights_digests(folder))
        return autoencoder


class Bundled(Model):
    """The small autoencoder that comes with this package."""

    def folder(self) -> Path:
        """Point into the installed package."""
        return Path(__file__).parent / "tiny"


class Folder(Model):
    """Any autoencoder directory that ``save_pretrained`` wrote; its class is read from its config.json."""

    path: str = setting("directory in diffusers format", default="???")

    def folder(self) -> Path:
        """Take the path as it was typed; it never turns into a hub request."""
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            raise ModelError(f"model.path={self.path} {what}", "give a directory that save_pretrained wrote")
        return folder


class Hub(Model):
    """An autoencoder on the Hugging Face hub, downloaded once and then read from the local cache."""

    repository: str = setting("owner/name on the hub", default="???")
    subfolder: str = setting("folder inside the repository", default="")
    revision: str = setting("branch, tag or commit", default="main")

    def folder(self) -> Path:
        """Give the cached copy, downloading config and safetensors weights where there is none.

        Raises:
            ModelError: the hub cannot be reached; says what to download and how.
        """
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        inside = f"{self.subfolder}/" if self.subfolder else ""
        wanted = [f"{inside}config.json", f"{inside}*.safetensors", f"{inside}*.safetensors.index.json"]
        with contextlib.suppress(LocalEntryNotFoundError):
            found = Path(
                snapshot_download(
                    self.repository, revision=self.revision, allow_patterns=wanted, local_files_only=True
                )
            )
            if any((found / self.subfolder).glob("*.safetensors")):
                return found / self.subfolder
        try:
            self._reach()
            return (
                Path(snapshot_download(self.repository, revision=self.revision, allow_patterns=wanted))
                / self.subfolder
            )
        except Exception as error:
            raise self._unreachable(error) from error

    def _reach(self) -> None:
        """Knock once before the download starts, whose own retries take half a minute to give up."""
        from huggingface_hub import HfApi

        HfApi().model_info(self.repository, revision=self.revision, timeout=REACH_SECONDS)

    def _unreachable(self, error: Exception) -> ModelError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return ModelError(
            f"model: cannot download {self.repository} ({reason[:120]})",
            f"where there is a network run: hf download {self.repository} --include 'config.json' '*.safetensors' "
            "--local-dir DIR, and use model=folder model.path=DIR",
        )
