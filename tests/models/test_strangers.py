"""A class that no adapter speaks to is one sentence, whether diffusers has it or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import diffusers
import pytest

from vae_experiments.errors import ModelError
from vae_experiments.models import Folder
from vae_experiments.models.loading import ADAPTERS
from vae_experiments.models.unsupported import UNSUPPORTED_CLASSES

if TYPE_CHECKING:
    from pathlib import Path

    from vae_experiments.runtime.device import DeviceChoice


def sentence(name: str, folder: Path, cpu: DeviceChoice) -> str:
    (folder / "config.json").write_text(json.dumps({"_class_name": name}))
    with pytest.raises(ModelError) as caught:
        Folder(path=str(folder)).load(cpu)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", UNSUPPORTED_CLASSES)
def test_a_class_that_takes_no_frames_says_what_it_is(name: str, cpu: DeviceChoice, tmp_path: Path) -> None:
    said = sentence(name, tmp_path, cpu)
    assert (
        f"names the class {name}, {UNSUPPORTED_CLASSES[name]}; give an autoencoder of RGB pictures or video"
        in said
    )
    assert name not in ADAPTERS


def test_a_class_that_diffusers_has_and_we_do_not_know_says_so(cpu: DeviceChoice, tmp_path: Path) -> None:
    said = sentence("UNet2DModel", tmp_path, cpu)
    assert f"which diffusers {diffusers.__version__} has and vae_experiments does not know" in said


@pytest.mark.parametrize("name", ["EvilVAE", "__import__('os')"])
def test_a_class_that_nobody_has_names_the_closest_one(name: str, cpu: DeviceChoice, tmp_path: Path) -> None:
    assert f"names the class {name}, which is not supported; " in sentence(name, tmp_path, cpu)


def test_a_class_that_an_older_diffusers_lacks_says_how_to_get_it(
    cpu: DeviceChoice, network_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = network_folders["AutoencoderTiny"]
    monkeypatch.setattr("vae_experiments.models.loading._class_name", lambda _: "AutoencoderOfTomorrow")
    with pytest.raises(ModelError, match="has no class AutoencoderOfTomorrow yet; pip install -U diffusers"):
        Folder(path=str(folder)).load(cpu)


def test_every_autoencoder_of_this_diffusers_is_known_or_left_out_on_purpose() -> None:
    names = {
        name
        for name in dir(diffusers)
        if "Autoencoder" in name or "VAE" in name or name == "VQModel" or name.endswith("Vae")
    }
    unknown = names - set(ADAPTERS) - set(UNSUPPORTED_CLASSES)
    assert unknown <= {"AutoencoderKLHunyuanImageRefiner", "AutoencoderKLMiniMaxH3", "Kandinsky6SRVAE"}
