"""The autoencoders of the Hugging Face hub: found in the local cache, else downloaded once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vae_experiments.errors import ModelError
from vae_experiments.models.hub.repo import HubRepo
from vae_experiments.models.model import Model
from vae_experiments.options import setting

if TYPE_CHECKING:
    from pathlib import Path

    from vae_experiments.models.autoencoder import Autoencoder
    from vae_experiments.models.hub.remote_files import RemoteFiles
    from vae_experiments.runtime.device import DeviceChoice

log = logging.getLogger(__name__)


class Hub(Model):
    """An autoencoder on the Hugging Face hub, downloaded once and then read from the local cache.

    Only config and safetensors weights are fetched. The cache is the one of huggingface_hub, which is
    asked before the network is; HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean
    there. All but the first three settings are facts for people, who read them in docs/models.md and
    before a download; nothing is computed from them, and a wrong stride or number of channels is refused.
    """

    repository: str = setting("owner/name on the hub", default="???")
    subfolder: str = setting("folder inside the repository", default="")
    revision: str = setting("branch, tag or commit", default="main")
    size_mb: float | None = setting("about how much there is to download", default=None, unit="MB", minimum=0)
    latent_channels: int | None = setting("channels of its latents", default=None, minimum=1)
    stride: int | None = setting("pixels, each way, that one latent stands for", default=None, minimum=1)
    time_stride: int | None = setting("frames that one latent stands for", default=None, minimum=1)
    licence: str | None = setting("licence of the weights", default=None)
    gated: bool | None = setting("whether its owner asks who downloads it", default=None)

    @property
    def place(self) -> HubRepo:
        """Where it is."""
        return HubRepo(self.repository, self.subfolder.strip("/"), self.revision)

    def location(self) -> Path:
        """Return the cached copy, downloading config and safetensors weights where there is none.

        Raises:
            ModelError: one sentence for each reason why it cannot be downloaded.
        """
        self.place.check()
        if found := self.place.cached():
            return found
        try:
            remote = self.remote_files()
        except ModelError:
            if lesser := self.place.cached(anything=True):
                return lesser
            raise
        return self.fetch(remote)

    def title(self) -> str:
        """Call it by its repository."""
        return f"{self.repository}/{self.subfolder}".rstrip("/")

    def load(self, chosen: DeviceChoice) -> Autoencoder:
        """Load it, and hold its settings to what it is: nothing is computed from them.

        Raises:
            ModelError: it cannot be downloaded or loaded.
            SettingError: it has other strides or channels than was said.
        """
        autoencoder = super().load(chosen)
        for name in ("latent_channels", "stride", "time_stride"):
            typed, found = getattr(self, name), getattr(autoencoder, name)
            if typed not in (None, found):
                raise self.error_for(
                    name, f"says what the model is, and {self.repository} has {found}", "leave it out"
                )
        return autoencoder

    def remote_files(self) -> RemoteFiles:
        """Ask the hub what it has.

        Raises:
            ModelError: it cannot be reached, refuses, or has nothing that can be used.
        """
        from vae_experiments.models.hub.remote_files import RemoteFiles

        self.place.check()
        return RemoteFiles.of(self.place)

    def fetch(self, remote: RemoteFiles) -> Path:
        """Download what the hub offers.

        Raises:
            ModelError: one sentence for whatever stops it.
        """
        from vae_experiments.models.hub.remote_files import megabytes

        if remote.missing_bytes:
            size = megabytes(remote.missing_bytes)
            log.info("downloading %s: %s to %s", self.repository, size, self.place.cache.parent)
        return remote.fetch()


def has_token() -> bool:
    """Whether requests carry a token, which gated repositories want."""
    from huggingface_hub import get_token

    return get_token() is not None
