"""``python -m vae_experiments COMMAND``, and ``vae-experiments COMMAND`` once it is installed."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NamedTuple, NoReturn

from vae_experiments.runtime.interruption import take_signals


class Command(NamedTuple):
    """Where a command is at home, and what it is for."""

    module: str
    purpose: str


COMMANDS = {
    "run": Command("commands.run", "take a video through an autoencoder's latent space, as run.py does"),
    "train": Command("training.command", "train an autoencoder"),
    "web": Command("web.command", "serve a page to play on"),
    "analysis": Command("analysis.command", "measure the latents of a video"),
    "benchmark": Command("commands.benchmark", "time a model, and name the fastest settings"),
    "curves": Command("commands.curves", "draw what moving settings do over time, without running the model"),
    "doctor": Command("commands.doctor", "check this machine, and a model on it"),
    "download": Command("commands.download", "fetch models from the Hugging Face hub, to use them offline"),
    "gallery": Command("commands.gallery", "show every manipulation on one clip"),
    "cache": Command("commands.cache", "list, verify or clear the cache"),
    "report": Command("commands.sweep_report", "write the page over sweeps or runs again"),
    "compare": Command(
        "commands.compare", "lay finished runs side by side on one page, with a wiper over their videos"
    ),
}


def main() -> NoReturn:
    """Run the command that was typed; without one, list them all."""
    take_signals()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help", "help"):
        print("\n".join(_listed()))
        sys.exit(0)
    if name not in COMMANDS:
        from vae_experiments.errors import closest, one_line

        print(f"error: {one_line(f'{name}: no such command; {closest(name, COMMANDS)}')}", file=sys.stderr)
        sys.exit(2)
    sys.argv[:2] = [sys.argv[0]]
    try:
        status = importlib.import_module(f"vae_experiments.{COMMANDS[name].module}").main()
        sys.stdout.flush()
    except BrokenPipeError:  # a reader who has left, as in `| head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)


def _listed() -> list[str]:
    return [
        "usage: vae-experiments COMMAND [KEY=VALUE ...]",
        "",
        *(f"  {name:<10} {command.purpose}" for name, command in COMMANDS.items()),
        "",
        "vae-experiments COMMAND --help says what a command takes.",
    ]


if __name__ == "__main__":
    main()
