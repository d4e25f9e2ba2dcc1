"""The formulas of the manipulations of statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.manipulations.clips import clip_of, latents_of, second, through
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Adain, Clip, PcaDirection, PcaTruncate, Whiten
from vae_experiments.manipulations.effects.statistics import PcaOver

NEUTRAL: dict[str, dict[str, Any]] = {
    "adain": {"strength": 0},
    "whiten": {"strength": 0},
    "pca_direction": {"amount": 0},
    "pca_truncate": {"keep": 1000},
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "adain": {"path": "", "mean": 1.5, "std": 0.2},
    "whiten": {"floor": 2.0, "strength": 0.8},
    "pca_direction": {"amount": -3.0, "over": PcaOver.frames},
    "pca_truncate": {"keep": 1.5, "over": PcaOver.frames},
}


def mixed(count: int = 6) -> torch.Tensor:
    """Latents whose channels are correlated and differ in mean and spread."""
    turn = torch.tensor([[1.0, 0.5, 0, 0], [0.5, 2, 0.3, 0], [0, -0.4, 1, 0.8], [0.1, 0, 0.2, 0.4]])
    mean = torch.tensor([0.3, -1.0, 0.0, 2.0]).reshape(1, 4, 1, 1)
    return torch.einsum("dc,tchw->tdhw", turn, latents_of((count, 4, 6, 5))) + mean


def rows_of(latents: torch.Tensor) -> np.ndarray:
    """Cells as rows of their channels."""
    return latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1]).numpy().astype("float64")


def back(rows: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    count, channels, height, width = like.shape
    return torch.tensor(rows.reshape(count, height, width, channels)).permute(0, 3, 1, 2).float()


def test_adain_gives_the_channels_mean_and_spread_of_the_other_video() -> None:
    latents = mixed()
    other = torch.cat([second(latents.shape), second(latents.shape)])[:6].numpy()
    changed = through(Adain(path="rainbow"), latents)
    for channel in range(4):
        mine, theirs = latents[:, channel].numpy(), other[:, channel]
        expected = (mine - mine.mean()) / mine.std() * theirs.std() + theirs.mean()
        assert np.allclose(changed[:, channel].numpy(), expected, atol=1e-5)


def test_adain_without_a_path_gives_the_mean_and_the_spread_that_are_named() -> None:
    changed = through(Adain(path="", mean=0.5, std=3), mixed())
    for channel in range(4):
        assert float(changed[:, channel].mean()) == pytest.approx(0.5, abs=1e-5)
        assert float(changed[:, channel].std(correction=0)) == pytest.approx(3, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_adain_makes_a_flat_channel_the_other_mean_and_not_noise(value: float) -> None:
    flat = torch.full((3, 2, 4, 4), value)
    assert torch.allclose(through(Adain(path="", mean=0.5, std=3), flat), torch.tensor(0.5))


def test_a_mean_or_a_spread_beside_a_path_is_refused_and_not_dropped() -> None:
    sentence = "^adain.std=2: has no effect beside path=plasma; set adain.path= to nothing, or leave it out$"
    with pytest.raises(SettingError, match=sentence):
        Adain(std=2)
    with pytest.raises(SettingError, match=r"^adain.mean=ramp\(0,1\): has no effect beside path=a.mp4"):
        Adain(path="a.mp4", mean="ramp(0,1)")


def test_the_path_of_adain_is_looked_over_before_a_run_and_an_empty_one_is_not() -> None:
    seen: list[tuple[str, str]] = []
    clip = Clip(check_path=lambda path, setting: seen.append((path, setting)))
    Adain(path="").check(clip)
    assert seen == []
    Adain(path="a.mp4").named("tone").check(clip)
    assert seen == [("a.mp4", "tone.path")]


def test_white_channels_are_uncorrelated_and_of_unit_spread_about_their_old_mean() -> None:
    latents = mixed()
    changed = through(Whiten(floor=1e-6), latents)
    assert np.allclose(np.cov(rows_of(changed).T, bias=True), np.eye(4), atol=1e-4)
    assert np.allclose(rows_of(changed).mean(0), rows_of(latents).mean(0), atol=1e-5)


def test_whitening_is_the_inverse_root_of_the_covariance() -> None:
    latents = mixed()
    rows = rows_of(latents)
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    inverse_root = vectors @ np.diag(values**-0.5) @ vectors.T
    expected = back((rows - rows.mean(0)) @ inverse_root + rows.mean(0), latents)
    assert torch.allclose(through(Whiten(floor=1e-6), latents), expected, atol=1e-4)


def test_a_direction_below_the_floor_is_raised_by_the_floors_factor_only() -> None:
    weak, strong = latents_of((4, 2, 8, 8)).split(1, dim=1)
    weak, strong = 0.01 * (weak - weak.mean()) / weak.std(correction=0), strong - strong.mean()
    strong = strong - weak * (strong * weak).mean() / weak.square().mean()
    latents = torch.cat([weak, strong], dim=1)
    changed = through(Whiten(floor=0.04), latents)
    assert torch.allclose(changed[:, 0], latents[:, 0] / 0.2, atol=1e-5)
    assert torch.allclose(changed[:, 1], latents[:, 1] / strong.std(correction=0), atol=1e-4)


def test_a_flat_clip_stays_flat_when_it_is_whitened() -> None:
    flat = torch.full((2, 4, 3, 3), 0.1)
    assert torch.allclose(through(Whiten(), flat), flat, atol=1e-6)


@pytest.mark.parametrize("component", [0, 1, 3])
def test_pca_direction_moves_every_cell_by_deviations_of_a_component_of_channel_space(component: int) -> None:
    latents = mixed()
    values, vectors = np.linalg.eigh(np.cov(rows_of(latents).T, bias=True))
    vector, value = vectors[:, -1 - component], values[-1 - component]
    vector = vector * np.sign(vector[np.abs(vector).argmax()])
    changed = through(PcaDirection(component=component, amount=-1.5), latents)
    expected = latents.numpy() - 1.5 * np.sqrt(value) * vector[None, :, None, None]
    assert np.allclose(changed.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("component", [0, 2])
def test_pca_direction_over_frames_moves_every_frame_by_deviations_of_a_picture(component: int) -> None:
    latents = mixed()
    rows = latents.flatten(1).numpy().astype("float64")
    _, sizes, pictures = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    picture = pictures[component] * np.sign(pictures[component][np.abs(pictures[component]).argmax()])
    step = sizes[component] / np.sqrt(6) * picture.reshape(1, 4, 6, 5)
    changed = through(PcaDirection(component=component, amount=2, over=PcaOver.frames), latents)
    assert np.allclose(changed.numpy(), latents.numpy() + 2 * step, atol=1e-4)


def test_a_scheduled_amount_travels_along_the_component() -> None:
    latents = mixed(3)
    far = through(PcaDirection(amount=1), latents) - latents
    moved = through(PcaDirection(amount="ramp(-1,1)"), latents) - latents
    expected = torch.tensor([-1.0, 0, 1]).reshape(3, 1, 1, 1) * far
    assert torch.allclose(moved, expected, atol=1e-5)
    assert float(far.abs().max()) > 0.1


@pytest.mark.parametrize("over", PcaOver, ids=str)
def test_a_clip_without_any_change_has_nowhere_to_move(over: PcaOver) -> None:
    flat = torch.full((3, 4, 2, 2), 0.1)
    assert torch.allclose(through(PcaDirection(amount=5, over=over), flat), flat, atol=1e-6)


def test_a_component_that_is_not_there_is_refused_before_and_during_a_run() -> None:
    latents = latents_of((3, 4, 2, 2))
    channels = "^pca_direction.component=4: there are 4 components over cells; name one of 0 to 3$"
    frames = "^pca_direction.component=3: there are 3 components over frames; name one of 0 to 2$"
    for link, sentence in (
        (PcaDirection(component=4), channels),
        (PcaDirection(component=3, over=PcaOver.frames), frames),
    ):
        with pytest.raises(SettingError, match=sentence):
            link.check(clip_of(latents))
        with pytest.raises(SettingError, match=sentence):
            through(link, latents)
    PcaDirection(component=3).check(clip_of(latents))


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_pca_truncate_projects_cells_on_the_strongest_components(keep: int) -> None:
    latents = mixed()
    rows = rows_of(latents)
    _, _, vectors = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    expected = (rows - rows.mean(0)) @ vectors[:keep].T @ vectors[:keep] + rows.mean(0)
    assert torch.allclose(through(PcaTruncate(keep=keep), latents), back(expected, latents), atol=1e-4)


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_pca_truncate_over_frames_keeps_the_strongest_pictures(keep: int) -> None:
    latents = mixed()
    rows = latents.flatten(1).numpy().astype("float64")
    left, sizes, pictures = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    expected = (left[:, :keep] * sizes[:keep]) @ pictures[:keep] + rows.mean(0)
    changed = through(PcaTruncate(keep=keep, over=PcaOver.frames), latents)
    assert np.allclose(changed.flatten(1).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("over", PcaOver, ids=str)
def test_half_a_component_is_half_the_way_to_the_next_and_a_schedule_goes_frame_by_frame(
    over: PcaOver,
) -> None:
    latents = mixed(3)
    kept = [through(PcaTruncate(keep=keep, over=over), latents) for keep in (1, 1.5, 2)]
    assert torch.allclose(kept[1], (kept[0] + kept[2]) / 2, atol=1e-5)
    assert not torch.allclose(kept[0], kept[2], atol=1e-2)
    moving = through(PcaTruncate(keep="ramp(1,2)", over=over), latents)
    expected = torch.stack([kept[frame][frame] for frame in range(3)])
    assert torch.allclose(moving, expected, atol=1e-5)
