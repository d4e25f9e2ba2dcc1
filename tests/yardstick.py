"""The yardstick: run.py beside a plain script that does the same without streaming, metrics or pages.

    python tests/yardstick.py [CLIP]

Times both, in turn, on 120 frames at 256x256 and prints the ratios; the plain script loads the same
model, reads the clip, encodes, decodes twice in batches of 4 and saves three mp4 files.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
FRAMES, SIDE = 120, 256
TURNS = 3

PLAIN = """
import json, pathlib, sys
import imageio.v3 as iio
import numpy as np
import torch
from diffusers import AutoencoderDC

clip, weights, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
model = AutoencoderDC.from_pretrained(weights, torch_dtype=torch.float32, low_cpu_mem_usage=False).eval()
measured = json.loads((weights / "latent_statistics.json").read_text())
mean, std = (torch.tensor(measured[key])[None, :, None, None] for key in ("mean", "std"))

frames = []
for frame in iio.imiter(clip, plugin="pyav"):
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = torch.from_numpy(frame[top : top + side, left : left + side]).permute(2, 0, 1)[None].float()
    frames.append(torch.nn.functional.interpolate(square, (256, 256), mode="bilinear", antialias=True)[0])
    if len(frames) == 120:
        break
video = torch.stack(frames) / 127.5 - 1
generator = torch.Generator().manual_seed(0)
with torch.no_grad():
    latents = torch.cat([model.encode(batch).latent for batch in video.split(4)])
    noisy = (latents - mean) / std
    noisy = (noisy + 0.5 * torch.randn(noisy.shape, generator=generator)) * std + mean
    reconstructed = torch.cat([model.decode(batch).sample for batch in latents.split(4)])
    changed = torch.cat([model.decode(batch).sample for batch in noisy.split(4)])
for name, result in {"original": video, "reconstructed": reconstructed, "changed": changed}.items():
    pixels = ((result + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    iio.imwrite(out / f"{name}.mp4", pixels, plugin="FFMPEG", fps=20, codec="libx264")
error = ((reconstructed.clamp(-1, 1) - video) * 127.5).square().mean()
print(f"plain script: reconstructed at {10 * torch.log10(255**2 / error):.2f} dB")
"""


def seconds_of(command: list[str]) -> float:
    """Run a command to its end and say how long it took."""
    start = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return time.perf_counter() - start


def main(clip: Path) -> None:
    """Time the plain script, the default output and the minimal output in turn; print medians' ratios."""
    weights = REPOSITORY / "vae_experiments" / "models" / "tiny"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plain").mkdir()
        (folder / "plain.py").write_text(PLAIN)
        ours = [
            "run.py",
            "source=video",
            f"source.path={clip}",
            f"source.size={SIDE}",
            f"source.frames={FRAMES}",
            "noise.scale=0.5",
        ]
        took: dict[str, list[float]] = {"plain": [], "default": [], "minimal": []}
        for turn in range(TURNS):
            took["plain"].append(
                seconds_of(
                    [sys.executable, str(folder / "plain.py"), str(clip), str(weights), str(folder / "plain")]
                )
            )
            for output in ("default", "minimal"):
                where = f"hydra.run.dir={folder / output}-{turn}"
                took[output].append(seconds_of([sys.executable, *ours, f"output={output}", where]))
        medians = {name: statistics.median(seconds) for name, seconds in took.items()}
        print(f"default / plain: {medians['default'] / medians['plain']:.2f}")
        print(f"minimal / plain: {medians['minimal'] / medians['plain']:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY.parent / "shared" / "clips" / "cockatoo.mp4")
