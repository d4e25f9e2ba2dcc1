from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vae_experiments.training.networks.muon import Muon, orthogonalised

RATE, MOMENTUM, DECAY = 0.02, 0.95, 0.1


def newton_schulz(matrix: np.ndarray) -> np.ndarray:
    """The quintic of Jordan's post, written down once more in double precision."""
    matrix = matrix / np.linalg.norm(matrix)
    if matrix.shape[0] > matrix.shape[1]:
        return newton_schulz(matrix.T).T
    for _ in range(5):
        gram = matrix @ matrix.T
        matrix = 3.4445 * matrix - 4.7750 * gram @ matrix + 2.0315 * gram @ gram @ matrix
    return matrix


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (40, 3, 3, 3), (6, 6)])
def test_an_update_matches_its_formula(shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(shape, generator=random))
    optimiser = Muon([weight], RATE, MOMENTUM, DECAY)
    expected = weight.detach().double().numpy().reshape(shape[0], -1)
    momentum = np.zeros_like(expected)
    for _ in range(3):
        weight.grad = torch.randn(shape, generator=random)
        gradient = weight.grad.double().numpy().reshape(shape[0], -1)
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        ahead = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        length = 0.2 * math.sqrt(max(expected.shape))
        expected = expected * (1 - RATE * DECAY) - RATE * length * newton_schulz(ahead)
        optimiser.step()
    np.testing.assert_allclose(weight.detach().numpy().reshape(shape[0], -1), expected, atol=1e-4)


def test_it_agrees_with_the_one_of_pytorch_where_that_works() -> None:
    start, gradient = torch.randn(2, 12, 20, generator=torch.Generator().manual_seed(0))
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    ours.grad, theirs.grad = gradient, gradient.clone()
    Muon([ours], RATE, MOMENTUM, DECAY, torch.bfloat16).step()
    torch.optim.Muon([theirs], RATE, DECAY, MOMENTUM, adjust_lr_fn="match_rms_adamw").step()
    # Both round to bfloat16, in another order, and the iteration enlarges what is small.
    change, expected = ((weight.detach() - start).flatten() for weight in (ours, theirs))
    assert torch.cosine_similarity(change, expected, dim=0) > 0.995
    assert change.norm().item() == pytest.approx(expected.norm().item(), rel=0.02)


def test_orthogonalising_brings_singular_values_near_one_and_keeps_directions() -> None:
    matrix = torch.randn(10, 30, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalised(matrix)
    values = torch.linalg.svdvals(result)
    assert 0.6 < values.min() < values.max() < 1.3
    inner = left.T @ result @ right.T
    assert (inner - inner.diagonal().diag()).abs().max() < 1e-4


def test_no_gradient_leaves_a_weight_as_it_is() -> None:
    silent, still = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    still.grad = torch.zeros(4, 4)
    Muon([silent, still], RATE, weight_decay=0).step()
    assert torch.equal(silent, torch.ones(4, 4))
    assert torch.equal(still, torch.ones(4, 4))
