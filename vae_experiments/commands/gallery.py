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

from vae_experiments.cli.app import command
from vae_experiments.cli.config import option_from, refuse_unknown
from vae_experiments.cli.entry import one_line_mistakes
from vae_experiments.cli.settings_help import grouped, sentence
from vae_experiments.errors import SettingError, closest
from vae_experiments.files import write_csv, write_text
from vae_experiments.manipulations import ChainStep, chain
from vae_experiments.models import Model
from vae_experiments.options import Option, kinds, setting
from vae_experiments.pipeline.metrics import Fidelity
from vae_experiments.pipeline.runner import with_bent_decoder
from vae_experiments.pipeline.second_video import clip_of
from vae_experiments.runtime.device import Device
from vae_experiments.runtime.progress import Progress, announce, waiting
from vae_experiments.sources import Source
from vae_experiments.tensors import to_pixels
from vae_experiments.writers import Tile, write_gallery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from vae_experiments.manipulations import Clip
    from vae_experiments.models import Autoencoder
    from vae_experiments.tensors import Latents, Pixels

log = logging.getLogger(__name__)
CONFIG_GROUPS = ("model", "device", "source", "gallery")
PICTURE, NUMBERS, TABLE = "gallery.png", "strengths.csv", "strengths.md"
HELP = """Show every manipulation at three strengths on one clip.

Choose one of each:

CHOICES

and change any setting, key=value:

$CONFIG"""


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
        wanted = set(self.names or known)
        groups = {
            title: {n: k for n, k in kinds_.items() if n in wanted} for title, kinds_ in grouped().items()
        }
        return {title: kinds_ for title, kinds_ in groups.items() if kinds_}


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
        key, _ = kind.gallery_values
        settings: dict[str, Any] = {**self._companions(kind), key: value}
        manipulation = kind(**settings)
        try:
            manipulation.check(self.clip)
        except SettingError as mistake:
            log.info("left out: %s", mistake)
            return None
        pixels = self._decoded([manipulation])
        count = min(len(pixels), len(self.reconstructed))
        fidelity = Fidelity()
        fidelity.update(self.reconstructed[:count], pixels[:count])
        psnr_db = fidelity.summary()["psnr_db"]
        assert psnr_db is None or isinstance(psnr_db, float)
        return Shown(name, key, value, psnr_db, self.frame(pixels))

    def frame(self, pixels: Pixels) -> Pixels:
        """Take the frame at the moment that is shown, or the last one of a shorter video."""
        number = round(self.gallery.moment * (len(self.reconstructed) - 1))
        frame: Pixels = pixels[min(number, len(pixels) - 1)]
        return frame

    def _companions(self, kind: type[ChainStep]) -> dict[str, str]:
        """Name the second video; of two, the second one stays as it is."""
        paths = [field.name for field in fields(kind) if field.name.endswith("path") and field.default]
        return dict.fromkeys(paths[:1], self.gallery.companion)

    def _decoded(self, links: Sequence[ChainStep]) -> Pixels:
        import numpy as np
        import torch

        count = self.gallery.batch_size
        changed = chain(links, iter(torch.split(self.latents, count)), self.clip)
        network = with_bent_decoder(self.autoencoder, links)
        pixels = [to_pixels(frames) for frames in network.decode(changed, self.size)]
        return np.concatenate(pixels)


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


@command("gallery", CONFIG_GROUPS, HELP)
def main(config: DictConfig) -> None:
    """Make the gallery that the command line composed."""
    with one_line_mistakes():
        refuse_unknown("", config, {"seed", *CONFIG_GROUPS})
        folder = Path(HydraConfig.get().runtime.output_dir)
        gallery = option_from(Gallery, config, "gallery")
        groups = gallery.members()
        source = option_from(Source, config, "source")  # type: ignore[type-abstract]
        model = option_from(Model, config, "model")  # type: ignore[type-abstract]
        device = option_from(Device, config, "device")
        announce("torch", "diffusers")
        chosen = device.choose()
        with waiting("loading the model and encoding the clip"):
            studio = Studio(gallery, source, model.load(chosen))
        write(folder, groups, studio)
        log.info("%s; its numbers are in %s and %s beside it", folder / PICTURE, NUMBERS, TABLE)
