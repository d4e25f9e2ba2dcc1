"""The runner keeps the decoded videos in step with the original, whatever the model's groups are."""

from __future__ import annotations

from itertools import zip_longest

import pytest
import torch

from vae_experiments.errors import NumbersError
from vae_experiments.pipeline.runner import Step, finite, in_step, out_of_step, regrouped
from vae_experiments.tensors import Joined


def numbered(count: int, *lengths: int) -> list[torch.Tensor]:
    """Frames 0, 1, 2, ..., in chunks of these lengths."""
    assert sum(lengths) == count
    return list(torch.arange(float(count))[:, None, None, None].repeat(1, 3, 2, 2).split(lengths))


def together(steps: list[Step]) -> tuple[list[int], list[list[float]], list[list[float]]]:
    return (
        [len(step.original) for step in steps],
        [step.reconstructed[:, 0, 0, 0].tolist() for step in steps],
        [step.changed[:, 0, 0, 0].tolist() for step in steps if step.changed is not None],
    )


def test_decoded_groups_are_cut_to_the_chunks_of_the_original_and_the_surplus_is_dropped() -> None:
    originals, decoded = numbered(7, 3, 3, 1), numbered(9, 1, 4, 4)
    lengths, reconstructed, changed = together(list(in_step(4, originals, decoded, decoded)))
    assert lengths == [3, 3, 1]
    assert reconstructed == changed == [[0, 1, 2], [3, 4, 5], [6]]


def test_without_a_manipulation_there_is_one_decoded_stream() -> None:
    steps = list(in_step(4, numbered(5, 2, 3), numbered(5, 1, 4)))
    assert together(steps) == ([2, 3], [[0, 1], [2, 3, 4]], [])


def test_chunks_that_are_in_step_already_pass_as_they_are() -> None:
    originals = numbered(5, 2, 2, 1)
    for step, chunk in zip_longest(in_step(1, originals, originals), originals):
        assert step.reconstructed.data_ptr() == chunk.data_ptr()
        assert len(step.reconstructed) == len(chunk)


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("lengths", [(3, 3), (3, 3, 0), (3, 2), (3,), ()])
def test_fewer_frames_than_the_original_are_never_silent(stride: int, lengths: tuple[int, ...]) -> None:
    enough, few = numbered(7, 3, 3, 1), numbered(sum(lengths), *lengths)
    with pytest.raises(AssertionError, match="frames in, .* out"):
        list(in_step(stride, numbered(7, 3, 3, 1), enough, few))


@pytest.mark.parametrize(("stride", "count"), [(1, 8), (4, 11), (4, 12)])
def test_more_surplus_than_a_group_can_have_is_never_silent(stride: int, count: int) -> None:
    with pytest.raises(AssertionError, match="too many"):
        list(in_step(stride, numbered(7, 3, 3, 1), numbered(count, count)))


def test_the_decoded_streams_are_read_to_their_end() -> None:
    seen = []

    def decoded() -> object:
        yield from numbered(9, 1, 4, 4)
        seen.append("the end")

    list(in_step(4, numbered(7, 7), decoded()))
    assert seen == ["the end"]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9])
def test_regrouping_keeps_every_frame_in_order(count: int) -> None:
    chunks = list(regrouped(numbered(7, 1, 4, 2), count))
    assert [len(chunk) for chunk in chunks[:-1]] == [count] * (len(chunks) - 1)
    assert torch.cat(chunks)[:, 0, 0, 0].tolist() == list(range(7))


@pytest.mark.parametrize("number", range(9))
def test_changed_latents_that_are_not_finite_are_named_by_their_own_number(number: int) -> None:
    values = torch.cat(numbered(9, 9))
    values[number] = float("nan")
    with pytest.raises(NumbersError, match=f"changed latents are not finite, first at latent {number};"):
        list(finite(values.split((2, 3, 1, 3))))


def test_a_joined_stream_gives_what_is_left_and_then_nothing() -> None:
    stream = Joined(numbered(5, 2, 3))
    taken = [stream.take(4), stream.take(4), stream.take(4), stream.take(1)]
    assert [None if part is None else len(part) for part in taken] == [4, 1, None, None]


def test_a_joined_stream_reads_no_further_than_it_must() -> None:
    read = []

    def chunks() -> object:
        for chunk in numbered(6, 1, 4, 1):
            read.append(len(chunk))
            yield chunk

    stream = Joined(chunks())
    assert [(stream.take(count) is not None, list(read)) for count in (1, 2, 2, 1)] == [
        (True, [1]),
        (True, [1, 4]),
        (True, [1, 4]),
        (True, [1, 4, 1]),
    ]


def test_a_video_of_another_length_goes_along_and_then_on_by_itself() -> None:
    steps = in_step(1, numbered(3, 2, 1), numbered(3, 2, 1))
    longer = list(out_of_step(steps, numbered(7, 4, 3), 3))
    assert [(step.frames, None if step.changed is None else len(step.changed)) for step in longer] == [
        (2, 2),
        (1, 1),
        (0, 3),
        (0, 1),
    ]


def test_a_shorter_video_ends_before_the_others() -> None:
    shorter = list(out_of_step(in_step(1, numbered(4, 2, 2), numbered(4, 4)), numbered(1, 1), 3))
    assert [None if step.changed is None else len(step.changed) for step in shorter] == [1, None]


def test_what_fills_the_last_group_of_a_longer_video_is_dropped() -> None:
    steps = list(out_of_step(in_step(1, numbered(2, 2), numbered(2, 2)), numbered(9, 1, 4, 4), 3, frames=6))
    changed = torch.cat([step.changed for step in steps if step.changed is not None])
    assert changed[:, 0, 0, 0].tolist() == list(range(6))
