"""The yardstick: run.py beside a plain script that does the same without streaming, metrics or pages.

    python tests/yardstick.py run [CLIP]      one run on 120 frames at 256x256
    python tests/yardstick.py sweep [CLIP]    eight noise scales on 48 frames: one sweep, eight plain scripts

Times both, in turn, and prints the ratios; the plain script loads the same model, reads the clip,
encodes, decodes twice in batches of 4 and saves three mp4 files.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
SIDE = 256
RUN_FRAMES, SWEEP_FRAMES = 120, 48
SCALES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
TURNS = 3

PLAIN = """
import json, pathlib, sys
import imageio.v3 as iio
import numpy as np
import torch
from diffusers import AutoencoderDC

clip, weights, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
count, scale = int(sys.argv[4]), float(sys.argv[5])
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
    if len(frames) == count:
        break
video = torch.stack(frames) / 127.5 - 1
generator = torch.Generator().manual_seed(0)
with torch.no_grad():
    latents = torch.cat([model.encode(batch).latent for batch in video.split(4)])
    noisy = (latents - mean) / std
    noisy = (noisy + scale * torch.randn(noisy.shape, generator=generator)) * std + mean
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


def plain(clip: Path, folder: Path, frames: int, scale: float) -> float:
    """Time the plain script, which leaves its videos in the folder."""
    weights = REPOSITORY / "vae_experiments" / "models" / "tiny"
    folder.mkdir(exist_ok=True)
    script = folder / "plain.py"
    script.write_text(PLAIN)
    words = [str(script), str(clip), str(weights), str(folder), str(frames), str(scale)]
    return seconds_of([sys.executable, *words])


def ours(clip: Path, frames: int, *more: str) -> float:
    """Time run.py on the same frames, with an empty cache."""
    words = ["source=video", f"source.path={clip}", f"source.size={SIDE}", f"source.frames={frames}"]
    with tempfile.TemporaryDirectory() as cache:
        return seconds_of([sys.executable, "run.py", *words, f"cache.dir={cache}", *more])


def run(clip: Path, folder: Path) -> None:
    """Time the plain script, the default output and the minimal output in turn; print medians' ratios."""
    took: dict[str, list[float]] = {"plain": [], "default": [], "minimal": []}
    for turn in range(TURNS):
        took["plain"].append(plain(clip, folder / "plain", RUN_FRAMES, 0.5))
        for output in ("default", "minimal"):
            where = f"hydra.run.dir={folder / output}-{turn}"
            took[output].append(ours(clip, RUN_FRAMES, "noise.scale=0.5", f"output={output}", where))
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    print(f"default / plain: {medians['default'] / medians['plain']:.2f}")
    print(f"minimal / plain: {medians['minimal'] / medians['plain']:.2f}")


def sweep(clip: Path, folder: Path) -> None:
    """Time one sweep and as many plain scripts in turn; count how often the sweep encoded."""
    took: dict[str, list[float]] = {"plain": [], "sweep": []}
    for turn in range(TURNS):
        scripts = [plain(clip, folder / "plain", SWEEP_FRAMES, scale) for scale in SCALES]
        took["plain"].append(sum(scripts))
        where = folder / f"sweep-{turn}"
        scales = f"noise.scale={','.join(map(str, SCALES))}"
        took["sweep"].append(ours(clip, SWEEP_FRAMES, "-m", scales, f"hydra.sweep.dir={where}"))
        timings = [json.loads(file.read_text())["timing"] for file in where.glob("*/metrics.json")]
        encoded = sum(timing["encode_seconds"] != "cached" for timing in timings)
        print(f"{took['plain'][-1]:.1f} s plain, {took['sweep'][-1]:.1f} s sweep, encoded {encoded} time(s)")
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    print(f"sweep / plain: {medians['sweep'] / medians['plain']:.2f}")


if __name__ == "__main__":
    measure = {"run": run, "sweep": sweep}[sys.argv[1]]
    usual = REPOSITORY.parent / "shared" / "clips" / "cockatoo.mp4"
    with tempfile.TemporaryDirectory() as name:
        measure(Path(sys.argv[2]) if len(sys.argv) > 2 else usual, Path(name))
