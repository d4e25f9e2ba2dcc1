"""Every file of the shared collection through the whole run: the result that its manifest wants, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from tests.conftest import REPOSITORY
from vae_experiments import Experiment, Folder, Noise, Output
from vae_experiments.errors import SettingError, SourceError
from vae_experiments.sources import Video

SHARED = REPOSITORY.parent / "shared" / "bad_media"
MANIFEST = json.loads((SHARED / "manifest.json").read_text())["media"] if SHARED.is_dir() else []
MINIMAL = Output(comparison=False, table=False, pictures=False, report=False, provenance=False)

pytestmark = pytest.mark.skipif(not MANIFEST, reason="the shared media are not beside this checkout")


def run_on(name: str, model: Path, folder: Path) -> dict[str, object]:
    parts = {"source": Video(path=str(SHARED / name)), "model": Folder(path=str(model)), "output": MINIMAL}
    return Experiment(manipulations=[Noise(scale=0.1)], **parts).run(folder).metrics  # type: ignore[arg-type]


def expects_error(entry: dict[str, object]) -> bool:
    return entry["expected"] == "error" or str(entry.get("pipeline", "")).startswith("error")


@pytest.mark.parametrize(
    "entry", [entry for entry in MANIFEST if expects_error(entry)], ids=lambda entry: entry["file"]
)
def test_a_bad_file_is_one_sentence_and_leaves_nothing(
    entry: dict[str, str], network_folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises((SourceError, SettingError)) as caught:
        run_on(entry["file"], network_folders["AutoencoderTiny"], tmp_path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "source" in sentence
    assert len(sentence) <= 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "entry", [entry for entry in MANIFEST if not expects_error(entry)], ids=lambda entry: entry["file"]
)
def test_a_good_file_comes_out_with_every_frame_at_its_size_and_rate(
    entry: dict[str, object], network_folders: dict[str, Path], tmp_path: Path
) -> None:
    metrics = run_on(str(entry["file"]), network_folders["AutoencoderTiny"], tmp_path)
    assert metrics["frames"] == entry["frames"]
    assert [metrics["width"], metrics["height"]] == entry["size"]
    for name in ("original", "reconstructed", "reconstructed_with_noise"):
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.frames == entry["frames"]
            assert [stream.width, stream.height] == entry["size"]
            if "fps" in entry:
                assert float(stream.average_rate) == pytest.approx(
                    entry["fps"], abs=entry.get("fps_tol", 1e-6)
                )
            assert bool(container.streams.audio) == (entry["file"] == "with_audio.mp4")
