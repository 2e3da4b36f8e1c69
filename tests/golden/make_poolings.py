"""Make the golden arrays of poolings that PyTorch computes itself.

    python tests/golden/make_poolings.py

wants torch 2.13.0; the format is told by `make_models.py`.
"""

import torch
from make_models import DIM, LENGTHS, MASK, STEPS, save


def pooling_cls():
    """The first step."""
    _pooling("cls", lambda states: states[0], lambda states: torch.eye(len(states))[0])


def pooling_sum():
    """torch.sum over the valid steps."""
    _pooling(
        "sum",
        lambda states: states.sum(dim=0),
        lambda states: torch.full((len(states),), 1 / len(states)),
    )


def pooling_max():
    """torch.max over the valid steps; a unit's weight goes to the step with its largest value."""
    _pooling(
        "max",
        lambda states: states.max(dim=0).values,
        lambda states: torch.bincount(states.max(dim=0).indices, minlength=len(states)) / DIM,
    )


def _pooling(name, collapse, weigh):
    sequence = torch.randn(3, STEPS, DIM)
    vectors, weights = torch.zeros(3, DIM), torch.zeros(3, STEPS)
    for row, length in enumerate(LENGTHS):
        vectors[row] = collapse(sequence[row, :length])
        weights[row, :length] = weigh(sequence[row, :length])
    save(
        f"pooling_{name}",
        {"sequence": sequence, "mask": MASK},
        {"vector": vectors, "weights": weights},
    )


if __name__ == "__main__":
    torch.manual_seed(2)
    pooling_cls()
    pooling_sum()
    pooling_max()
