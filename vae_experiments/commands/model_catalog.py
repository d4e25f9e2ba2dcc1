"""The published autoencoders that conf/model/ names, and the page about them.

``python -m vae_experiments.commands.model_catalog`` prints that page: docs/models.md.
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig, OmegaConf

from vae_experiments.cli.hydra_setup import CONF
from vae_experiments.cli.settings_help import rows_of, table
from vae_experiments.models import Hub, Model
from vae_experiments.models.single_file_layouts import LAYOUTS
from vae_experiments.options import shown

COMMAND = "python -m vae_experiments.commands.model_catalog > docs/models.md"
SCHEMA = "/hydra/schema/model/hub@_here_"
SMALL_MB = 400
HEADER = "| model | what it is | repository | channels | stride | frames to a latent | MB | licence | gated |"
INTRODUCTION = f"""# Models on the Hugging Face hub

Made by `{COMMAND}` from the files in `conf/model/`.

A model is downloaded when it is first used, or before:

    vae-experiments download model=sd
    vae-experiments download model=sd,taesd
    vae-experiments download --all-small
    vae-experiments download model=wan download.dry_run=true

The command says how large the files are and then fetches config and safetensors weights, nothing else. A
connection that breaks is taken up where it broke; where it stays broken, files that came whole are kept, and
the one that was under way begins anew when the command is typed again. Sizes and SHA-256 are compared
with what the hub gives, and the weights are loaded once. From then on no network is needed:

    python run.py model=sd

The files go to the cache that all of Hugging Face's libraries share, and which `HF_HOME` moves;
`HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean there. `--all-small` takes what is
known to be smaller than {SMALL_MB} MB, and leaves out gated models where there is no token.

Channels and strides are those of the latents that manipulations see, sizes are rounded, and `-` means that
it is not known here; the command shows the true size. The table was written without a network: none of these
models was downloaded here, and the hub's own page decides on licence and gate. Gated models are given to
those who accept their terms there. For any other one, in a folder of a repository that `save_pretrained` wrote:

    python run.py model=hub model.repository=stabilityai/sd-vae-ft-mse

A checkpoint in one safetensors file, as its makers or ComfyUI pass it around, needs neither hub nor config:

    python run.py model=file model.path=vae.safetensors
    python run.py model=file model.path=vae.safetensors model.layout=sdxl

The family is read from the keys ({", ".join(LAYOUTS)}), the sizes from the tensors, and what normalises the latents from a table
here. The files of Stable Diffusion and of its XL have the same keys, as have those of SD3 and FLUX: the checkpoint of a whole pipeline tells
which it is, and for a bare autoencoder `model.layout` has to. Of TAESD's pairs the encoder and the decoder lie beside each other, and either is
given. Tested with small random networks written in every layout; the published files themselves were not at hand.
"""
DECODER = """## Encode with one, decode with another

    python run.py model=sd decoder=taesd
    python run.py -m model=sd decoder=same,sd_ema,taesd
    python run.py model=folder model.path=DIR decoder=folder decoder.path=OTHER

`decoder` takes every name that `model` takes, with settings of its own under `decoder.`; `same`, the default, decodes
with the model. Manipulations see the latents as the encoder's normalisation leaves them. The decoder is given the
same latents, and undoes its own normalisation, as in a pipeline of diffusers whose `vae` was replaced: `sd_ema`, which
scales as `sd` does, gets the raw latents of `sd` back, and `taesd`, whose factor is 1, the scaled ones that it was made for.

Channels, strides and the frames that the first latent stands for must agree, or the run ends before anything is written.
Whether the latents mean the same cannot be seen from numbers: `sd` and `sdxl` agree in all of these, and are two languages.
A sweep over decoders encodes once, and what each has decoded is kept by itself. Both models are in memory at once; `bend`
bends the one that decodes; `tiling` is each one's own. `metrics.json` and the log name both, `provenance.json` also
has the digest of the decoder's weights.

`python run.py -m decoder=same,tiny` gives 48.46 dB twice, the second time of latents from the cache. No pair from the hub was run
here; pairs of small networks are held to what diffusers gives by hand in `tests/test_decoder.py`.
"""


def hubs() -> dict[str, Hub]:
    """Read the models on the hub by the names that select them; those that are named by hand are left out."""
    found = {}
    for file in sorted((CONF / "model").glob("*.yaml")):
        values = OmegaConf.load(file)
        assert isinstance(values, DictConfig), file
        if SCHEMA not in values.pop("defaults", []) or OmegaConf.is_missing(values, "repository"):
            continue
        del values["seed"]  # refers to the root of a whole config
        hub = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Hub), values))
        assert isinstance(hub, Hub), file
        found[file.stem] = hub
    return found


def small(known: dict[str, Hub]) -> dict[str, Hub]:
    """Pick those that are known to be small."""
    return {name: hub for name, hub in known.items() if hub.size_mb is not None and hub.size_mb < SMALL_MB}


def page() -> str:
    """Write the page of all models on the hub, and of their settings, as Markdown."""
    lines = [INTRODUCTION, "## Models", "", HEADER, "|---|---|---|---|---|---|---|---|---|"]
    for name, hub in hubs().items():
        title = (CONF / "model" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        where = f"`{hub.repository}`" + (f", `{hub.subfolder}`" if hub.subfolder else "")
        facts = (hub.latent_channels, hub.stride, hub.time_stride, hub.size_mb, hub.licence, hub.gated)
        lines.append("| " + " | ".join((f"`{name}`", title, where, *map(_fact, facts))) + " |")
    every_models = {key for key, _, _ in Model.settings()}
    own = [row for row in rows_of(Hub) if row[0] not in every_models]
    return "\n".join([*lines, "", DECODER, "## Settings", "", *table("model", own)]) + "\n"


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return shown(value) or "-"


if __name__ == "__main__":
    sys.stdout.write(page())
