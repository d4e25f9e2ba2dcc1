"""Groups cover a clip once, are legal, do not depend on chunks, and fade into one another linearly."""

from __future__ import annotations

import pytest
import torch

from vae_experiments.models.chunking import (
    EACH,
    ChunkPlan,
    MismatchError,
    TimeCompression,
    crossfade,
    grouped,
)
from vae_experiments.models.temporal.specs import SPECS

CAUSAL, EVEN = TimeCompression(1, 4), TimeCompression(4, 4)
PLANS = {(name, half): getattr(row, half) for name, row in SPECS.items() for half in ("encoding", "decoding")}


def numbered(count: int) -> torch.Tensor:
    return torch.arange(float(count)).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("frames", "causal", "even"), [(1, 1, 1), (4, 2, 1), (5, 2, 2), (6, 3, 2), (17, 5, 5)]
)
def test_latents_are_counted_from_frames(frames: int, causal: int, even: int) -> None:
    assert CAUSAL.latents(frames) == causal
    assert EVEN.latents(frames) == even
    assert EACH.latents(frames) == EACH.frames(frames) == frames
    assert CAUSAL.frames(causal) >= frames
    assert EVEN.frames(even) >= frames


@pytest.mark.parametrize("name", SPECS)
def test_the_groups_of_every_class_cover_a_clip_once_in_legal_lengths(name: str) -> None:
    row = SPECS[name]
    for plan, ratio in ((row.encoding, EVEN if row.even else CAUSAL), (row.decoding, EACH)):
        for count in range(1, 90):
            several = [list(grouped(numbered(count).split(size), plan, ratio)) for size in (1, 7, 99)]
            done = 0
            for group in several[0]:
                assert group.length in (plan.first if group.number == 0 else plan.then)
                assert len(group.inputs) == ratio.frames(group.length, group.fresh)
                faded_in = plan.fade if group.number else 0
                assert group.number + group.skip + faded_in == done
                done = group.number + group.end
                start = ratio.frames(group.number + group.fresh) - ratio.first * group.fresh
                assert int(group.inputs[0]) == start
            assert done == ratio.latents(count)
            assert [[group[1:] for group in groups] for groups in several[1:]] == [
                [group[1:] for group in several[0]]
            ] * 2


@pytest.mark.parametrize(("name", "half"), PLANS)
def test_a_window_throws_away_the_latent_that_would_stand_for_one_frame(name: str, half: str) -> None:
    plan, row = PLANS[name, half], SPECS[name]
    assert 0 <= plan.fade <= plan.overlap < plan.then[-1]
    uneven = not row.even and name != "AutoencoderKLTemporalDecoder"
    assert plan.overlap == 0 or not uneven or plan.fade < plan.overlap


def test_a_tail_is_filled_up_by_repeating_the_last_frame() -> None:
    groups = list(grouped(numbered(7).split(2), ChunkPlan((1,), (1,)), CAUSAL))
    assert [group.inputs.flatten().tolist() for group in groups] == [[0], [1, 2, 3, 4], [5, 6, 6, 6]]


@pytest.mark.parametrize(
    ("count", "seen"),
    [(1, [[0]]), (2, [[0, 1], [1]]), (4, [[0, 1], [1, 2, 3], [3]]), (5, [[0, 1], [1, 2, 3], [3, 4]])],
)
def test_what_a_group_looks_ahead_to_begins_the_next_one(count: int, seen: list[list[int]]) -> None:
    groups = list(grouped(numbered(count).split(3), ChunkPlan((1, 2), range(1, 4), ahead=1), EACH))
    assert [group.inputs.flatten().tolist() for group in groups] == seen
    kept = torch.cat([group.kept(group.inputs, EACH) for group in groups])
    assert torch.equal(kept, numbered(count))
    assert [group.fresh for group in groups] == [True] + [False] * (len(groups) - 1)


def test_a_number_of_results_that_was_not_promised_is_refused() -> None:
    group = next(grouped(numbered(5), ChunkPlan((1,), (1,)), CAUSAL))
    with pytest.raises(MismatchError, match="1 wanted of 1 latents, 2 came"):
        group.kept(torch.zeros(2, 1, 1, 1), EACH)


def test_parts_fade_into_one_another_linearly_and_lose_nothing() -> None:
    parts = [torch.zeros(6, 1, 1, 1), torch.ones(7, 1, 1, 1)]
    whole = torch.cat(list(crossfade(parts, 4))).flatten().tolist()
    assert whole == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert torch.equal(torch.cat(list(crossfade(parts, 0))), torch.cat(parts))
    assert torch.equal(torch.cat(list(crossfade([numbered(3)], 4))), numbered(3))
