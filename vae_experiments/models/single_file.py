"""Autoencoders in one safetensors file, as other tools pass them around: which family it is, and its config.

A file of keys and tensors says neither: the family is read from the keys, the sizes from the tensors' shapes,
and the constants that normalise latents from the table here.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import ModelError
from vae_experiments.files import digest, expanded, write_json
from vae_experiments.models.model import Model
from vae_experiments.models.single_file_layouts import LAYOUTS, is_left_out
from vae_experiments.options import Choice, setting

if TYPE_CHECKING:
    import torch

    from vae_experiments.models.single_file_layouts import Shapes

    Tensors = dict[str, torch.Tensor]

PREFIXES = ("first_stage_model.", "vae.")
"""What stands before the autoencoder's keys in the checkpoint of a whole pipeline."""
_HALVES = (("encoder", "decoder"), ("decoder", "encoder"))


class Family(Choice):
    """Which makers a checkpoint is of; a name that ``conf/model`` has too means the same model."""

    auto = "auto"
    sd = "sd"
    sdxl = "sdxl"
    sd3 = "sd3"
    flux = "flux"
    wan = "wan"
    wan22 = "wan22"
    ltx_video = "ltx_video"
    ltx_video_091 = "ltx_video_091"
    ltx_video_095 = "ltx_video_095"
    hunyuan_video = "hunyuan_video"
    taesd = "taesd"


class File(Model):
    """A checkpoint in one safetensors file, as other tools pass them around, or one of TAESD's pairs."""

    path: str = setting("the file; of a pair either one, with the other beside it", default="???")
    layout: Family = setting(
        "which model's file it is; auto: as its keys say, where they do", default=Family.auto
    )

    def location(self) -> Path:
        """Take the path as it was typed; it never turns into a hub request."""
        file = expanded(self.path)
        if not file.is_file():
            what, hint = "does not exist", "give a safetensors file"
            if file.exists():
                what, hint = "is a folder, not a file", "for a folder type model=folder"
            raise ModelError(f"model.path={self.path} {what}", hint)
        return file

    def title(self) -> str:
        """Call it by its path."""
        return self.path

    def _network(self, location: Path) -> Any:
        return load_single_file(location, self.layout.name)

    def _digests(self, location: Path) -> list[str]:
        return [self.layout.name, *map(digest, _files(location))]


def load_single_file(file: Path, layout: str) -> Any:
    """Load the autoencoder that a safetensors file holds, in float32, as the class of diffusers that knows it.

    Args:
        file: the file; of TAESD's pairs either one, with the other beside it.
        layout: a name in ``LAYOUTS``, or ``auto``.

    Raises:
        ModelError: the keys are of no known family, or of several, or do not fit the class.
    """
    import diffusers

    tensors, beside = _read(file)
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    chosen = LAYOUTS[layout] if layout != "auto" else LAYOUTS[_recognised(file, shapes, beside)]
    if not chosen.fits(shapes):
        raise ModelError(f"model.layout={layout}: the keys in {file} are of another family", _nearest(shapes))
    config = chosen.config(shapes)
    renamed = {name: tensor for key, tensor in tensors.items() if (name := chosen.rename(key)) is not None}
    network_class = getattr(diffusers, chosen.network)
    try:
        network = _filled(network_class, config, renamed)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise ModelError(
            f"model: the weights in {file} do not fit {chosen.network} ({reason})",
            "give the whole file, as its makers or ComfyUI pass it around",
        ) from error
    return network.float().eval()


def _filled(network_class: Any, config: dict[str, Any], tensors: Tensors) -> Any:
    """Build a network of a config and put the tensors into it, all of them and no others."""
    from vae_experiments.models.loading import quiet_diffusers

    if not hasattr(network_class, "from_single_file"):
        network = network_class(**config)
        network.load_state_dict(tensors, strict=True)
        return network
    count = sum(tensor.numel() for key, tensor in tensors.items() if not is_left_out(key))
    with tempfile.TemporaryDirectory() as folder, quiet_diffusers():
        write_json(Path(folder) / "config.json", {"_class_name": network_class.__name__, **config})
        # It takes the tensors that it knows: what it lacks stays without a value, and what it does not know is lost.
        network = network_class.from_single_file(tensors, config=folder, local_files_only=True)
    missing = [name for name, weight in network.state_dict().items() if weight.is_meta]
    if missing:
        raise ValueError(f"{len(missing)} weights are missing, such as {missing[0]}")
    if count != (held := sum(weight.numel() for weight in network.state_dict().values())):
        raise ValueError(f"it has {count} numbers where the class has {held}")
    return network


def _read(file: Path) -> tuple[Tensors, list[str]]:
    """Return the tensors of the autoencoder under their names without a prefix, and the keys that are not its own."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            keys = list(opened.keys())
            prefix = next((one for one in PREFIXES if any(key.startswith(one) for key in keys)), "")
            own = [key for key in keys if key.startswith(prefix)]
            tensors = {key.removeprefix(prefix): opened.get_tensor(key) for key in own}
    except SafetensorError as error:
        raise ModelError(
            f"model.path={file} is no whole safetensors file ({error})",
            "copy or download it again; pickled checkpoints (.ckpt, .pt, .pth) can run code and are not loaded",
        ) from error
    beside = [key for key in keys if not key.startswith(prefix)] if prefix else []
    return _both_halves(file, tensors), beside


def _files(file: Path) -> list[Path]:
    """Return the file, or the encoder and the decoder of a pair by their names."""
    for half, other in _HALVES:
        twin = file.with_name(file.name.replace(half, other))
        if half in file.name and other not in file.name and twin.is_file():
            return [file, twin] if half == "encoder" else [twin, file]
    return [file]


def _both_halves(file: Path, tensors: Tensors) -> Tensors:
    """Return the tensors of a pair of files as diffusers names them, and those of any other file as they are."""
    from safetensors.torch import load_file

    if "0.weight" not in tensors and "1.weight" not in tensors:
        return tensors
    files = _files(file)
    if len(files) == 1:
        half, other = next((pair for pair in _HALVES if pair[0] in file.name), _HALVES[0])
        hint = f"put its {other} beside it, as {file.name.replace(half, other)}"
        raise ModelError(f"model.path={file} is one half of an autoencoder", hint)
    both = {}
    # The decoder's first layer has no weights, and diffusers does not count it.
    for half, one, first in zip(("encoder", "decoder"), files, (0, 1), strict=True):
        for key, tensor in load_file(one).items():
            number, _, rest = key.partition(".")
            both[f"{half}.layers.{int(number) - first}.{rest}"] = tensor
    return both


def _recognised(file: Path, shapes: Shapes, beside: list[str]) -> str:
    names = [name for name, layout in LAYOUTS.items() if layout.fits(shapes)]
    if len(names) > 1:
        known = [name for name in names if any(re.match(LAYOUTS[name].beside, key) for key in beside)]
        names = known or names
    if len(names) == 1:
        return names[0]
    if names:
        options = " or ".join(f"model.layout={name}" for name in names)
        raise ModelError(
            f"model.path={file}: its keys are those of {' and of '.join(names)}, whose latents are scaled differently",
            f"say which it is: {options}",
        )
    raise ModelError(f"model.path={file}: its keys are of no autoencoder that is known", _nearest(shapes))


def _nearest(shapes: Shapes) -> str:
    """Name the family whose keys look most like those of a file."""
    words = {word for key in shapes for word in key.split(".")}

    def likeness(name: str) -> float:
        marks = [{word for key in group for word in key.split(".")} for group in LAYOUTS[name].marks]
        return max(len(mark & words) / len(mark) for mark in marks)

    nearest = max(LAYOUTS, key=likeness)
    return f"the nearest is {nearest} ({LAYOUTS[nearest].network}); choose from: {', '.join(LAYOUTS)}"
