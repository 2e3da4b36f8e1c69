"""The opponent of the section Training step: PyTorch, eager.

With batches AdamW is fused, its fastest on processors; utterance by utterance it is the default, as
loops that train so have it.

Started by contest.py as SYSTEM-pytorch-BATCH in an environment of its own
(benchmarks/requirements-torch.txt), after this package's side has left its weights.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from contender import Work, contend
from training_batches import (
    BATCH_SIZE,
    CLIP_NORM,
    EPSILON,
    LEARNING_RATE,
    PASSES,
    WEIGHT_DECAY,
    read_batches,
)
from training_networks import NETWORKS, Batch, make_network


def make(system: str, batch_size: int, work: Path) -> Work:
    """A training with batches of this size."""
    with np.load(work / f"{system}-weights.npz") as stored:
        weights = dict(stored)
    batches = [
        {name: torch.tensor(array) for name, array in batch.items()}
        for batch in read_batches(work / f"{system}.npz", batch_size)
    ]
    answers, fused = {}, batch_size == BATCH_SIZE
    if batch_size == BATCH_SIZE:
        trainer = Trainer(make_network(system, weights, drop=False), fused)
        with torch.no_grad():
            logits = trainer.network(batches[0]).numpy()
        losses = [trainer.step(batches[0]) for _ in range(2)]
        answers = {"logits": logits, "losses": np.array(losses)}
    trainer = Trainer(make_network(system, weights, drop=True), fused)

    def run() -> None:
        for _ in range(PASSES[system]):
            for batch in batches:
                trainer.step(batch)

    return Work(run, answers, {})


class Trainer:
    """AdamW that spares biases and normalisation, as the other side.

    Args:
        network: that is trained.
        fused: whether AdamW goes over each weight once, which on processors is no default.
    """

    def __init__(self, network: torch.nn.Module, fused: bool):
        self.network = network.train()
        self.loss = torch.nn.CrossEntropyLoss()
        self.parameters = [one for one in network.parameters() if one.requires_grad]
        bare = {
            id(one)
            for module in network.modules()
            for name, one in module.named_parameters(recurse=False)
            if "bias" in name or isinstance(module, torch.nn.LayerNorm)
        }
        decayed = [one for one in self.parameters if id(one) not in bare]
        spared = [one for one in self.parameters if id(one) in bare]
        groups = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            groups, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, eps=EPSILON, fused=fused or None
        )

    def step(self, batch: Batch) -> float:
        """One step; answers the loss before it."""
        self.optimizer.zero_grad()
        loss = self.loss(self.network(batch), batch["label"].long())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM)
        self.optimizer.step()
        return loss.item()


MAKERS = {
    f"{system}-pytorch-{size}": partial(make, system, size)
    for system in NETWORKS
    for size in (BATCH_SIZE, 1)
}


if __name__ == "__main__":
    contend(MAKERS)
