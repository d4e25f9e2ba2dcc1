from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from vae_experiments.errors import SettingError, StoppedError, TrainingError
from vae_experiments.files import hidden_beside
from vae_experiments.models.model import Folder as ModelFolder
from vae_experiments.runtime.device import Device
from vae_experiments.tensors import Size
from vae_experiments.training.checkpoints import read_checkpoint
from vae_experiments.training.data.loader import Batches
from vae_experiments.training.data.options import Folder, Procedural
from vae_experiments.training.export import mean_psnr_db, reconstruct
from vae_experiments.training.networks.build import split_parameters
from vae_experiments.training.networks.modules import Quantised, StepRandom
from vae_experiments.training.recipes import Autoencoder, Vae, VideoVae, Vqvae
from vae_experiments.training.resuming import CHECKPOINT, last_training
from vae_experiments.training.settings import Precision, Training
from vae_experiments.training.train_step import MOST_SKIPPED, settle_precision
from vae_experiments.training.trainer import MODEL, Trainer

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, Any] = {
    "batch": 4,
    "crop": 32,
    "large_batch": 2,
    "large_crop": 48,
    "warmup_steps": 4,
    "workers": 0,
    "buffer_size": 8,
    "validation": 3,
    "log_every": 4,
    "learning_rate": 0.01,
    "ema_decay": 0.9,
    "tensorboard": False,
}
KINDS: dict[type[Training], dict[str, Any]] = {
    Autoencoder: {
        "widths": [8, 16, 32],
        "encoder_blocks": [0, 1, 1],
        "decoder_blocks": [0, 1, 1],
        "latent_channels": 8,
    },
    Vae: {"widths": [8, 16, 32], "latent_channels": 8, "kl_warmup_steps": 5},
    Vqvae: {
        "widths": [8, 16, 32],
        "latent_channels": 4,
        "codes": 64,
        "revive_after": 10,
        "quantize_after": 10,
    },
    VideoVae: {
        "widths": [8, 16, 16],
        "latent_channels": 8,
        "clip_frames": 5,
        "batch": 2,
        "large_batch": 1,
        "buffer_size": 4,
        "validation": 2,
    },
}
FIRST_KIND = [Autoencoder, *(pytest.param(kind, marks=pytest.mark.slow) for kind in list(KINDS)[1:])]
"""For long trainings: the other kinds are slow."""
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def settings(kind: type[Training] = Autoencoder, **changes: Any) -> Training:
    return kind(**{**SMALL, **KINDS[kind], **changes})


def trainer(folder: Path, kind: type[Training] = Autoencoder, **changes: Any) -> Trainer:
    return Trainer(settings(kind, **changes), Procedural(), folder, Device(threads=1))


def saved(folder: Path) -> dict[str, torch.Tensor]:
    weights, _ = read_checkpoint(folder / CHECKPOINT)
    return {f"{part}/{name}": tensor for part, tensors in weights.items() for name, tensor in tensors.items()}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.fixture(scope="module", params=FIRST_KIND, ids=lambda kind: kind.__name__)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    kind = request.param
    made = trainer(tmp_path_factory.mktemp(kind.__name__), kind, steps=60, save_every=30)
    made.train()
    return made


def test_a_short_training_of_every_kind_makes_better_frames_than_none(trained: Trainer) -> None:
    torch.manual_seed(0)
    untrained = trained.settings.trainee()
    before = mean_psnr_db([(clip, reconstruct(untrained, clip)) for clip in trained.held_out])
    after = mean_psnr_db([(clip, reconstruct(trained.learner.average, clip)) for clip in trained.held_out])
    assert after > before + 4, (before, after)


def test_the_model_of_every_kind_loads_and_gives_as_many_frames_as_it_got(trained: Trainer) -> None:
    model = ModelFolder(path=str(trained.folder / MODEL)).load(Device(threads=1).choose())
    clip = torch.cat(list(trained.held_out))[:7, :, :50, :38]
    latents = list(model.encode(clip.split(3)))
    frames = torch.cat(list(model.decode(latents, Size(38, 50))))
    surplus = len(frames) - len(clip)
    assert frames.shape[1:] == clip.shape[1:]
    assert 0 <= surplus < model.time_stride, "the runner cuts what a temporal model gives too many"


def test_the_latents_of_every_kind_have_mean_0_and_variance_1(trained: Trainer) -> None:
    model = ModelFolder(path=str(trained.folder / MODEL)).load(Device(threads=1).choose())
    latents = torch.cat([torch.cat(list(model.encode([clip]))) for clip in trained.held_out])
    channels = latents.movedim(1, 0).flatten(1)
    torch.testing.assert_close(channels.mean(1), torch.zeros(len(channels)), atol=0.01, rtol=0)
    torch.testing.assert_close(channels.std(1), torch.ones(len(channels)), atol=0.02, rtol=0)


def test_the_exported_weights_are_the_averaged_ones_in_half_precision(trained: Trainer) -> None:
    from safetensors.torch import load_file

    exported = load_file(trained.folder / MODEL / "diffusion_pytorch_model.safetensors")
    for name, weight in trained.learner.average.network.state_dict().items():
        assert torch.equal(exported[name], weight.half()), name


def test_a_training_leaves_a_table_curves_and_samples(trained: Trainer) -> None:
    from PIL import Image

    rows = table(trained.folder)
    assert [int(row["step"]) for row in rows] == [1, *range(4, 29, 4), 30, *range(32, 61, 4)]
    assert all(float(row["loss"]) > 0 for row in rows if row["loss"])
    assert [row["step"] for row in rows if row["held_out_psnr_db"]] == ["30", "60"]
    for name in ("training.png", "samples.png"):
        with Image.open(trained.folder / name) as picture:
            picture.load()
            assert picture.getextrema() != ((0, 0),) * 3
    recipe = json.loads((trained.folder / MODEL / "recipe.json").read_text())
    assert (recipe["step"], recipe["settings"]["training"]["widths"]) == (60, trained.settings.widths)
    assert recipe["settings"]["data"]["kind"] == "procedural"


@pytest.mark.parametrize("kind", FIRST_KIND, ids=lambda kind: kind.__name__)
@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_to_the_same_weights_bit_for_bit(
    kind: type[Training], tmp_path: Path
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    trainer(whole, kind, steps=6, save_every=6, log_every=1).train()
    stopping = trainer(parted, kind, steps=6, save_every=6, log_every=1)
    learn = stopping.learner.learn

    def learn_and_get_a_signal(step: int, batches: Any) -> dict[str, float]:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return learn(step, batches)

    stopping.learner.learn = learn_and_get_a_signal  # type: ignore[method-assign]
    with pytest.raises(StoppedError, match="stopped after step 3, saved; training.resume=true continues"):
        stopping.train()
    assert read_checkpoint(parted / CHECKPOINT)[1]["step"] == 3
    trainer(parted, kind, steps=6, save_every=6, log_every=1, resume=True).train()
    assert_same(saved(whole), saved(parted))
    steps = [[(row["step"], row["loss"]) for row in table(folder)] for folder in (whole, parted)]
    assert steps[0] == steps[1]


@pytest.mark.slow
def test_the_same_settings_take_the_same_steps_and_another_seed_takes_others(tmp_path: Path) -> None:
    results = []
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        trainer(tmp_path / name, steps=3, seed=seed, validation=1).train()
        results.append(saved(tmp_path / name))
    assert_same(results[0], results[1])
    assert not torch.equal(
        results[0]["trainee/network.encoder.conv_in.conv.weight"],
        results[2]["trainee/network.encoder.conv_in.conv.weight"],
    )


def test_two_batches_that_are_accumulated_are_one_of_twice_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = trainer(tmp_path / "halves", latent_noise=0.0, prior=0.0, precision=Precision.float32)
    whole = trainer(tmp_path / "whole", latent_noise=0.0, prior=0.0, precision=Precision.float32)
    frames = next(Batches(halves.settings, halves.prepared).steps(0, range(1)))[0]
    batches = {halves: [(0, frames[:2]), (1, frames[2:])], whole: [(0, frames)]}
    norms = []
    for made, parts in batches.items():
        # Neither optimiser looks at a gradient's length, and clipping hides it: compared is what comes before.
        for optimiser in made.learner.optimisers:
            monkeypatch.setattr(optimiser, "zero_grad", lambda: None)
        norms.append(made.learner.learn(0, parts)["gradient_norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    for one, other in zip(
        halves.learner.trainee.parameters(), whole.learner.trainee.parameters(), strict=True
    ):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-3)


@EVERY_KIND
def test_a_step_without_a_usable_loss_is_skipped_counted_and_logged(
    kind: type[Training], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = trainer(tmp_path, kind, seed=4)
    good = next(Batches(made.settings, made.prepared).steps(0, range(1)))[0]
    made.learner.learn(0, [(0, good)])
    before = [parameter.clone() for parameter in made.learner.trainee.parameters()]
    with caplog.at_level(logging.WARNING):
        numbers = made.learner.learn(17, [(0, torch.full_like(good, float("nan")))])
    assert numbers["skipped"] == made.learner.skipped == 1
    assert "skipped step 17 of seed 4: its loss is nan" in caplog.text
    after = made.learner.trainee.parameters()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(parameter.isfinite().all() for parameter in made.learner.average.parameters())
    made.learner.learn(18, [(0, good)])
    assert made.learner.skipped_in_a_row == 0


@pytest.mark.parametrize("kind", FIRST_KIND)
def test_a_huge_rate_stops_in_one_sentence_and_leaves_no_broken_weights(
    kind: type[Training], tmp_path: Path
) -> None:
    with pytest.raises(
        TrainingError, match=r"training diverged: 10 steps in a row.*lower training.learning_rate"
    ) as stop:
        trainer(tmp_path, kind, steps=60, learning_rate=1000, save_every=1, validation=1).train()
    assert "\n" not in str(stop.value)
    if (tmp_path / CHECKPOINT).exists():
        assert all(tensor.isfinite().all() for tensor in saved(tmp_path).values())


@pytest.mark.slow
def test_a_training_that_diverges_keeps_the_last_good_weights(tmp_path: Path) -> None:
    made = trainer(tmp_path, steps=30, save_every=1)
    learn = made.learner.learn

    def learn_from_broken_data(step: int, batches: Any) -> dict[str, float]:
        broken = [(part, torch.full_like(frames, float("inf"))) for part, frames in batches]
        return learn(step, batches if step < 2 else broken)

    made.learner.learn = learn_from_broken_data  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=f"the last good weights are in {tmp_path / CHECKPOINT}"):
        made.train()
    assert read_checkpoint(tmp_path / CHECKPOINT)[1]["step"] == 2
    assert made.learner.skipped == MOST_SKIPPED
    assert all(tensor.isfinite().all() for tensor in saved(tmp_path).values())


def test_a_training_can_start_from_a_checkpoint(tmp_path: Path) -> None:
    trainer(tmp_path / "first", steps=2).train()
    checkpoint = tmp_path / "first" / CHECKPOINT
    made = trainer(tmp_path / "second", init_from=str(checkpoint))
    average = read_checkpoint(checkpoint)[0]["average"]
    for module in (made.learner.trainee, made.learner.average):
        assert_same(average, module.state_dict())


def test_a_start_that_cannot_be_is_refused_in_one_sentence(tmp_path: Path) -> None:
    trainer(tmp_path / "first", steps=2).train()
    with pytest.raises(TrainingError, match="there is no checkpoint"):
        trainer(tmp_path / "second", init_from=str(tmp_path / "missing"))
    with pytest.raises(TrainingError, match="are of another network; give the widths and blocks"):
        trainer(tmp_path / "second", init_from=str(tmp_path / "first" / CHECKPOINT), widths=[8, 16, 64])
    broken = tmp_path / "broken"
    broken.write_bytes(b"no checkpoint at all")
    with pytest.raises(TrainingError, match="is no checkpoint of a training"):
        trainer(tmp_path / "second", init_from=str(broken))


def test_a_folder_with_a_training_is_not_overwritten(tmp_path: Path) -> None:
    trainer(tmp_path, steps=1).train()
    with pytest.raises(TrainingError, match="holds a training already; add training.resume=true"):
        trainer(tmp_path, steps=1)


def test_going_on_with_other_settings_is_refused_and_those_that_leave_the_weights_alone_are_not(
    tmp_path: Path,
) -> None:
    trainer(tmp_path, steps=2).train()
    with pytest.raises(
        SettingError, match=r"training.learning_rate=0.5: the resumed training began with 0.01"
    ):
        trainer(tmp_path, steps=2, resume=True, learning_rate=0.5)
    made = trainer(tmp_path, steps=2, resume=True, save_every=1, log_every=1)
    assert made.done == 2
    assert made.train() == tmp_path / MODEL


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for four steps, and export twice."""
    folder = tmp_path_factory.mktemp("exported")
    trainer(folder, steps=4, save_every=2).train()
    return folder


@pytest.mark.parametrize("left", ["nothing", "an older model", "half of one"])
def test_a_training_that_was_killed_in_the_middle_of_an_export_makes_it_again(
    left: str, exported: Path, tmp_path: Path
) -> None:
    shutil.copytree(exported, tmp_path / "killed")
    model = tmp_path / "killed" / MODEL
    if left == "an older model":
        recipe = json.loads((model / "recipe.json").read_text())
        (model / "recipe.json").write_text(json.dumps(recipe | {"step": 2}))
        (model / "diffusion_pytorch_model.safetensors").write_bytes(b"older")
    else:
        shutil.rmtree(model)
        if left == "half of one":
            half = hidden_beside(model)
            half.mkdir()
            (half / "config.json").write_text("{")
    assert trainer(tmp_path / "killed", steps=4, save_every=2, resume=True).train() == model
    for name in ("diffusion_pytorch_model.safetensors", "config.json", "latent_statistics.json"):
        assert (model / name).read_bytes() == (exported / MODEL / name).read_bytes()


def test_a_training_without_one_usable_step_ends_in_a_sentence_and_not_in_a_model(tmp_path: Path) -> None:
    made = trainer(tmp_path, steps=3, learning_rate=1e30)
    with pytest.raises(
        TrainingError, match="after step 3 the weights are of no use; use a lower training.learning_rate"
    ):
        made.train()
    assert not (tmp_path / MODEL).exists()


def test_a_stop_between_skipped_steps_saves_what_was_learned_before(tmp_path: Path) -> None:
    made = trainer(tmp_path, steps=50, save_every=50)
    learn = made.learner.learn

    def learn_something_and_then_nothing(step: int, batches: Any) -> dict[str, float]:
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        broken = [(part, torch.full_like(frames, float("nan"))) for part, frames in batches]
        return learn(step, batches if step < 4 else broken)

    made.learner.learn = learn_something_and_then_nothing  # type: ignore[method-assign]
    with pytest.raises(StoppedError, match="stopped after step 6, saved"):
        made.train()
    assert read_checkpoint(tmp_path / CHECKPOINT)[1]["step"] == 6


def test_an_explosion_that_clipping_would_hide_is_not_saved(tmp_path: Path) -> None:
    made = trainer(tmp_path, steps=4)
    made.train()
    good = saved(tmp_path)
    with torch.no_grad():
        for parameter in made.learner.average.parameters():
            parameter.mul_(1e6)
    assert not made.save()
    assert_same(good, saved(tmp_path))


@pytest.mark.slow
def test_what_accelerate_finds_in_its_environment_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(tmp_path / "without", steps=2, precision=Precision.float32).train()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    trainer(tmp_path / "with", steps=2, precision=Precision.float32).train()
    assert_same(saved(tmp_path / "without"), saved(tmp_path / "with"))


def test_other_files_than_a_training_began_with_are_refused(videos: Path, tmp_path: Path) -> None:
    data = Folder(path=str(videos), size=64)
    Trainer(settings(steps=2), data, tmp_path / "run", Device(threads=1)).train()
    (videos / "another.mp4").write_bytes((videos / "one.mp4").read_bytes() + b"\0")
    with pytest.raises(TrainingError, match="are not those that the training began with; put them back"):
        Trainer(settings(steps=2, resume=True), data, tmp_path / "run", Device(threads=1))


def test_copies_and_links_of_a_video_are_left_out(videos: Path) -> None:
    (videos / "copy.mp4").write_bytes((videos / "two.mp4").read_bytes())
    (videos / "link.mp4").symlink_to(videos / "one.mp4")
    prepared = Folder(path=str(videos), size=64).prepare(1)
    said = " ".join(prepared.remarks)
    assert "link.mp4: the same as" in said
    assert "two.mp4: the same as" in said or "copy.mp4: the same as" in said


@pytest.mark.slow
def test_the_training_to_go_on_with_is_the_youngest_that_is_not_finished(tmp_path: Path) -> None:
    assert last_training(tmp_path) is None
    for hour, steps in enumerate((1, 2)):
        trainer(tmp_path / "2026-01-01" / f"0{hour}", steps=steps).train()
    finished = tmp_path / "2026-01-01" / "01"
    assert last_training(tmp_path) == finished
    killed = tmp_path / "2026-01-01" / "00"
    (killed / MODEL / "recipe.json").unlink()
    assert last_training(tmp_path) == killed


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Autoencoder, {"latent_channels": 3}),
        (Autoencoder, {"widths": [8, 16, 20]}),
        (VideoVae, {"widths": [8, 24, 24]}),
    ],
)
def test_widths_that_diffusers_cannot_join_are_refused_in_one_sentence(
    kind: type[Training], changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=r"training.widths=.*: do not make a network with") as refused:
        trainer(tmp_path, kind, **changes)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_tensorboard_gets_numbers_and_pictures_and_a_training_that_goes_on_repeats_none(
    tmp_path: Path,
) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer(tmp_path, steps=4, save_every=2, log_every=1, tensorboard=True).train()
    seen = events.EventAccumulator(str(tmp_path / "tensorboard"))
    seen.Reload()
    assert [event.step for event in seen.Scalars("loss")] == [1, 2, 3, 4]
    assert [event.step for event in seen.Scalars("held_out_psnr_db")] == [2, 4]
    assert [event.step for event in seen.Images("samples")] == [2, 4]


def test_the_rate_rises_and_falls_by_steps(tmp_path: Path) -> None:
    learner = trainer(tmp_path, steps=100, warmup_steps=9).learner
    rates = []
    for step in range(100):
        learner._set_rates(step)
        rates.append(learner.optimisers[0].param_groups[0]["lr"])
    assert rates[0] == pytest.approx(learner.settings.learning_rate / 10)
    assert max(rates) == rates[9]
    assert rates[50] == pytest.approx(learner.settings.learning_rate / 2)
    assert rates[-1] < learner.settings.learning_rate / 1000


@pytest.mark.slow
def test_a_killed_training_that_had_saved_nothing_begins_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer(tmp_path, steps=2)  # killed at once: only its settings are there
    with caplog.at_level(logging.INFO):
        trainer(tmp_path, steps=2, resume=True).train()
    assert "nothing to go on with: beginning" in caplog.text
    trainer(tmp_path / "whole", steps=2).train()
    assert_same(saved(tmp_path), saved(tmp_path / "whole"))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder with two good videos, one that is cut short, and two files that are none."""
    import av

    folder = tmp_path / "videos"
    folder.mkdir()
    moving = np.arange(64)[None, :, None, None] * 2 + np.arange(12)[:, None, None, None] * 8
    frames = np.broadcast_to(moving % 256, (12, 64, 64, 3)).transpose(0, 2, 1, 3).astype(np.uint8)
    for name, shift in (("one.mp4", 0), ("two.mp4", 20)):
        with av.open(str(folder / name), "w") as film:
            stream = film.add_stream("libx264", rate=12)
            stream.width = stream.height = 64
            for frame in frames:
                film.mux(
                    stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(frame, shift, 0))))
                )
            film.mux(stream.encode(None))
    (folder / "cut.mp4").write_bytes((folder / "one.mp4").read_bytes()[:900])
    (folder / "words.mp4").write_text("not a video")
    (folder / "notes.txt").write_text("nor this")
    return folder


@EVERY_KIND
def test_a_folder_with_good_and_bad_files_trains_and_names_the_bad_ones_once(
    kind: type[Training], videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Folder(path=str(videos), size=64)
    with caplog.at_level(logging.INFO):
        Trainer(settings(kind, steps=3), data, tmp_path / "run", Device(threads=1)).train()
    for name in ("cut.mp4", "words.mp4"):
        assert caplog.text.count(name) == 1, caplog.text
    assert "3 skipped, 1 other file passed over" in caplog.text, "notes.txt is no video by its name"
    assert (tmp_path / "run" / MODEL).is_dir()


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (Autoencoder, {"crop": 30}, "training.crop=30: must be a multiple of 4, the stride of the network"),
        (Autoencoder, {"encoder_blocks": [1]}, r"encoder_blocks=\[1\]: must have one number a width \(3\)"),
        (Autoencoder, {"learning_rate": -1.0}, "training.learning_rate=-1.0: must be more than 0"),
        (Vae, {"groups": 3}, r"training.groups=3: must divide every width \(8, 16, 32\)"),
        (Vqvae, {"codes": 1}, "training.codes=1: must be at least 2"),
        (
            VideoVae,
            {"widths": [8, 12, 12]},
            r"widths=\[8, 12, 12\]: must be multiples of the first one \(8\)",
        ),
        (VideoVae, {"widths": [8, 16]}, "must be three or more: time is halved twice"),
        (VideoVae, {"widths": [8, 8, 16]}, "must end with two of the same"),
        (VideoVae, {"clip_frames": 8}, "training.clip_frames=8: must be one more than a multiple of 4"),
        (VideoVae, {"compile": True}, "training.compile=True: must be false"),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(
    kind: type[Training], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        settings(kind, **changes)


def test_what_only_the_start_of_a_training_can_find_out_is_a_sentence_too(tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match="training.crop=256: must be at most 192 pixels, the side of the data"
    ):
        trainer(tmp_path / "crop", crop=256).train()
    with pytest.raises(SettingError, match="training.wandb=True: needs the package wandb; pip install"):
        trainer(tmp_path / "wandb", wandb=True).train()


def test_large_crops_come_last() -> None:
    made = settings(steps=20, large_fraction=0.25)
    assert [made.sizes(step) for step in range(20)] == [(4, 32)] * 15 + [(2, 48)] * 5


def test_a_code_that_nothing_chooses_begins_anew_where_latents_are(tmp_path: Path) -> None:
    made = trainer(tmp_path, Vqvae, revive_after=3, quantize_after=0, steps=9)
    trainee = made.learner.trainee
    assert isinstance(trainee, Quantised)
    far = torch.full_like(trainee.codebook, 1e3)
    batches = [(0, next(Batches(made.settings, made.prepared).steps(0, range(1)))[0])]
    trainee.unused_steps.zero_()
    with torch.no_grad():
        trainee.codebook[1:] = far[1:]
    used = [made.learner.learn(step, batches)["codes_used"] for step in range(3)]
    assert used[:3] == [1 / 64] * 3
    # The three steps are over: what was far away is now at latents, and some of it is chosen.
    # So it is in the average, which is what comes out of the training and would forget it for long.
    average = made.learner.average
    assert isinstance(average, Quantised)
    assert max(book.abs().max() for book in (trainee.codebook, average.codebook)) < 100
    after = made.learner.learn(3, batches)
    assert after["codes_used"] > 5 / 64
    assert after["revived"] == 0, "what has just begun anew has as long a time to be chosen as any"
    assert torch.equal(trainee.codebook[1:] == far[1:], torch.zeros_like(far[1:], dtype=torch.bool))


def test_latents_do_not_snap_before_their_time() -> None:
    trainee = settings(Vqvae, quantize_after=5, steps=100).trainee()
    frames = torch.rand(2, 3, 32, 32)
    free, snapped = (trainee(frames, StepRandom(0, step, 0)).reconstructed for step in (4, 5))
    latents = trainee.encode(frames)
    network: Any = trainee.network
    torch.testing.assert_close(free, network.decode(latents, force_not_quantize=True).sample)
    torch.testing.assert_close(snapped, network.decode(latents).sample)


def test_a_causal_video_network_decodes_as_diffusers_does() -> None:
    trainee = settings(VideoVae).trainee()
    clip = torch.rand(1, 3, 9, 32, 32) - 0.5
    network: Any = trainee.network
    with torch.no_grad():
        latents = trainee.encode(clip)
        assert latents.shape == (1, 8, 3, 4, 4)
        expected = network.decode(latents, return_dict=False)[0]
        torch.testing.assert_close(trainee.decode(latents).clamp(-1, 1), expected)


@EVERY_KIND
def test_every_weight_is_learned_by_exactly_one_optimiser(kind: type[Training]) -> None:
    network = settings(kind).trainee().network
    inner, others = split_parameters(network)
    everything = {id(parameter) for parameter in network.parameters()}
    assert len(inner) + len(others) == len(everything)
    assert {id(parameter) for parameter in (*inner, *others)} == everything
    assert inner
    assert all(parameter.ndim >= 4 for parameter in inner)


def test_a_pyramid_start_is_reduction_and_enlargement_of_its_channels() -> None:
    network = settings(Vae).trainee().network
    channels = torch.rand(1, 8, 16, 16)
    reduced = network.get_submodule("encoder.down_blocks.0.downsamplers.0")(channels)
    torch.testing.assert_close(reduced, torch.nn.functional.avg_pool2d(channels, 2))
    wide = torch.rand(1, 16, 16, 16)
    flat = wide.mean((2, 3), keepdim=True).expand_as(wide)
    enlarged = network.get_submodule("decoder.up_blocks.1.upsamplers.0")(flat)
    torch.testing.assert_close(enlarged[:, :, 1:-1, 1:-1], flat[:, :, :1, :1].expand(-1, -1, 30, 30))


@pytest.mark.parametrize("kind", ["cpu", "mps", "cuda"])
def test_float32_stays_what_it_was_asked_to_be(kind: str) -> None:
    made = settings(precision=Precision.float32)
    assert settle_precision(made, torch.device(kind))[0] is torch.float32


def test_nothing_but_float32_is_taken_on_mps() -> None:
    assert settle_precision(settings(), torch.device("mps"))[0] is torch.float32
    with pytest.raises(SettingError, match="training.precision=bfloat16: not known to be safe on mps"):
        settle_precision(settings(precision=Precision.bfloat16), torch.device("mps"))
