"""The gallery: every manipulation at three strengths on one clip, as a picture and as numbers.

    vae-experiments gallery
    vae-experiments gallery source=video source.path=clip.mp4 source.size=256 'gallery.names=[noise,echo]'

The clip is encoded once; its latents are held.
"""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.core.hydra_config import HydraConfig

from vae_experiments.cli.app import command_of_options
from vae_experiments.cli.settings_help import grouped, sentence
from vae_experiments.errors import SettingError, closest
from vae_experiments.files import write_csv, write_text
from vae_experiments.manipulations import ChainStep, chain
from vae_experiments.metrics import psnr_db_of
from vae_experiments.options import Option, kinds, setting
from vae_experiments.pipeline.runner import with_bent_decoder
from vae_experiments.pipeline.second_video import clip_of
from vae_experiments.runtime.progress import Progress, announce, waiting
from vae_experiments.tensors import to_pixels
from vae_experiments.writers import Tile, write_gallery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vae_experiments.manipulations import Clip
    from vae_experiments.models import Autoencoder, Model
    from vae_experiments.runtime.device import Device
    from vae_experiments.sources import Source
    from vae_experiments.tensors import Latents, Pixels

log = logging.getLogger(__name__)
PICTURE, NUMBERS, TABLE = "gallery.png", "strengths.csv", "strengths.md"


class Gallery(Option, group="gallery", single=True):
    """Chooses what the gallery shows."""

    names: list[str] = setting("manipulations to show; none named means all", default=[])
    moment: float = setting(
        "fraction of the clip after which its frame is shown", default=0.6, minimum=0, maximum=1
    )
    companion: str = setting(
        "the second video where one is needed: a file, or a pattern by name", default="moving_circle"
    )
    batch_size: int = setting("how many go through the network at once", default=8, minimum=1)

    def members(self) -> dict[str, dict[str, type[ChainStep]]]:
        """List what is shown, by groups.

        Raises:
            SettingError: a name is no manipulation.
        """
        known = kinds("manipulation")
        for name in self.names:
            if name not in known:
                raise self.error_for("names", f"there is no {name}", closest(name, known))
        shown = {
            title: {name: kind for name, kind in members.items() if name in (self.names or known)}
            for title, members in grouped().items()
        }
        return {title: members for title, members in shown.items() if members}


class Shown(NamedTuple):
    """One manipulation at one of its gallery values."""

    name: str
    setting: str
    value: object
    psnr_db: float | None
    frame: Pixels


class Studio:
    """Holds the latents of one clip and decodes what manipulations make of them."""

    def __init__(self, gallery: Gallery, source: Source, autoencoder: Autoencoder) -> None:
        import torch

        self.gallery, self.autoencoder = gallery, autoencoder
        self.size = source.info.size
        self.clip: Clip = clip_of(source, autoencoder, gallery.batch_size)
        assert self.clip.check_path is not None
        self.clip.check_path(gallery.companion, "gallery.companion")
        self.latents: Latents = torch.cat(list(autoencoder.encode(source.chunks(gallery.batch_size))))
        self.reconstructed = self._decoded([])

    def show(self, name: str, kind: type[ChainStep], value: object) -> Shown | None:
        """Apply one manipulation, and measure and picture what comes out; None where this clip does not allow it."""
        key = kind.gallery_values[0]
        # Of two further videos, the second one stays as it is.
        paths = [field.name for field in fields(kind) if field.name.endswith("path") and field.default]
        settings: dict[str, Any] = {**dict.fromkeys(paths[:1], self.gallery.companion), key: value}
        manipulation = kind(**settings)
        try:
            manipulation.check(self.clip)
        except SettingError as mistake:
            log.info("left out: %s", mistake)
            return None
        pixels = self._decoded([manipulation])
        count = min(len(pixels), len(self.reconstructed))
        psnr_db = psnr_db_of(self.reconstructed[:count], pixels[:count])
        return Shown(name, key, value, psnr_db, self.frame(pixels))

    def frame(self, pixels: Pixels) -> Pixels:
        """Take the frame at the moment that is shown, or the last one of a shorter video."""
        number = round(self.gallery.moment * (len(self.reconstructed) - 1))
        frame: Pixels = pixels[min(number, len(pixels) - 1)]
        return frame

    def _decoded(self, links: Sequence[ChainStep]) -> Pixels:
        import numpy as np
        import torch

        count = self.gallery.batch_size
        changed = chain(links, iter(torch.split(self.latents, count)), self.clip)
        network = with_bent_decoder(self.autoencoder, links)
        return np.concatenate([to_pixels(frames) for frames in network.decode(changed, self.size)])


def write(folder: Path, groups: dict[str, dict[str, type[ChainStep]]], studio: Studio) -> None:
    """Show all of it, and write picture, numbers and table."""
    total = sum(len(members) for members in groups.values())
    sections: dict[str, list[Tile]] = {}
    rows: list[Shown] = []
    table = ["| manipulation | what it does | setting | PSNR (dB) |", "|---|---|---|---|"]
    with Progress(total, "manipulations") as progress:
        for title, members in groups.items():
            for name, kind in members.items():
                shown = [one for value in kind.gallery_values[1] if (one := studio.show(name, kind, value))]
                progress.add(1)
                if not shown:
                    continue
                rows += shown
                captions = [f"{one.setting} {one.value}" for one in shown]
                tile = Tile(name, sentence(kind), captions, [one.frame for one in shown])
                sections.setdefault(title, []).append(tile)
                table.append(table_row(name, kind, [one.psnr_db for one in shown]))
    write_gallery(folder / PICTURE, studio.frame(studio.reconstructed), sections)
    header = ["manipulation", "setting", "value", "psnr_db_against_reconstructed"]
    write_csv(folder / NUMBERS, header, [(row.name, row.setting, row.value, row.psnr_db) for row in rows])
    write_text(folder / TABLE, "\n".join(table) + "\n")


def table_row(name: str, kind: type[ChainStep], psnrs: Sequence[float | None]) -> str:
    """Return a manipulation's row of the table in docs/gallery.md."""
    key, values = kind.gallery_values
    steps = ", ".join(map(str, values))
    numbers = ", ".join("same" if psnr is None else f"{psnr:.1f}" for psnr in psnrs)
    return f"| `{name}` | {sentence(kind)} | `{key}` {steps} | {numbers} |"


@command_of_options(
    "gallery",
    "Show every manipulation at three strengths on one clip.\n\nChoose one of each",
    *("model", "device", "source", "gallery"),
)
def main(model: Model, device: Device, source: Source, gallery: Gallery) -> None:
    """Make the gallery that the command line composed."""
    groups = gallery.members()
    announce("torch", "diffusers")
    chosen = device.choose()
    with waiting("loading the model and encoding the clip"):
        studio = Studio(gallery, source, model.load(chosen))
    folder = Path(HydraConfig.get().runtime.output_dir)
    write(folder, groups, studio)
    log.info("%s; its numbers are in %s and %s beside it", folder / PICTURE, NUMBERS, TABLE)
