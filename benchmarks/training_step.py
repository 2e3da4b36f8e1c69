"""A whole training step: forward, loss, backward, clipping, AdamW.

Each system against PyTorch with the same mathematics, on batches of 16 and utterance by utterance,
then against itself with other settings of TensorFlow. The other side is training_torch.py.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contest import Contender, Line, largest_difference, line, take_turns
from run import Setting
from training_batches import BATCH_SIZE, PASSES, VOCABULARIES, write_batches

OWN, OTHER = "training_own.py", "training_torch.py"
TOLERANCE = 2e-3
"""Of logits and losses; the loss after a step of Adam is in it, which divides by small numbers."""

STEP_TOLERANCE = 0.1
"""Of the loss's change by that step, as a part of it."""

GOAL, GOAL_ONE_BY_ONE = 1.5, 2.0


@dataclass(frozen=True)
class Contest:
    """One system.

    Args:
        title: of its lines.
        feature: that it hears.
        batches: that there are.
        settings: others that are measured, by the variant's name in training_own.py.
    """

    title: str
    feature: str
    batches: int
    settings: tuple[str, ...] = ()


CONTESTS = {
    "gmu": Contest("gmu", "log_mel", 4, ("xla", "onednn_off", "one_operation", "mixed")),
    "hubert_head": Contest("Conv1D-BLSTM on stored HuBERT states", "hubert_states", 4),
    "alexnet_bert": Contest("AlexNet + BERT-base", "log_spectrogram", 1, ("xla", "onednn_off")),
}

BATCHED = "PyTorch, batches of 16, AdamW with fused=True"
ONE_BY_ONE = "PyTorch, one utterance a step, AdamW as it is by default"

TRIAL = "gmu"
"""All that a trial trains: the others have no smaller size."""

SETTINGS = {
    "xla": "the same with train.xla=true",
    "onednn_off": "the same with TF_ENABLE_ONEDNN_OPTS=0",
    "one_operation": "the same with TF_NUM_INTEROP_THREADS=1",
    "mixed": "the same, batches of any lengths",
}


def measure(setting: Setting) -> Iterator[Line]:
    """System by system."""
    work = setting.folder("training_step")
    for system, contest in CONTESTS.items():
        if setting.tiny and system != TRIAL:
            continue
        prepare(work, system, contest)
        yield from against_pytorch(setting, work, system, contest)
        if not setting.tiny:
            yield from against_itself(setting, work, system, contest)
        for file in work.glob(f"{system}*.npz"):
            file.unlink()  # BERT's are large


def prepare(work: Path, system: str, contest: Contest) -> None:
    """Leave the batches and the weights that both sides start from."""
    for mixed in ("", "-mixed") if "mixed" in contest.settings else ("",):
        write_batches(
            work / f"{system}{mixed}.npz",
            contest.feature,
            contest.batches,
            vocabulary=VOCABULARIES[system],
            by_length=not mixed,
        )
    command = [sys.executable, str(Path(__file__).with_name(OWN)), f"{system}-weights", str(work)]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def against_pytorch(setting: Setting, work: Path, system: str, contest: Contest) -> Iterator[Line]:
    """Batches against batches, batches against single utterances, and these against these."""
    own, other = f"{system}-16", f"{system}-pytorch-16"
    own_one, other_one = f"{system}-1", f"{system}-pytorch-1"
    differences = []

    def compare(answers: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        differences.append(largest_difference(answers, own, other, TOLERANCE))
        steps = [float(np.diff(answers[side]["losses"])[0]) for side in (own, other)]
        if not abs(steps[0] - steps[1]) <= STEP_TOLERANCE * abs(steps[0]):
            raise SystemExit(f"{own} and {other}: a step changes the loss by {steps}")

    timed = take_turns(
        [
            Contender(own, OWN),
            Contender(other, OTHER, setting.torch),
            Contender(own_one, OWN),
            Contender(other_one, OTHER, setting.torch),
        ],
        work,
        threads=setting.cores,
        rounds=setting.rounds,
        compare=compare,
    )
    lines = (
        (own, other, "batches of 16", BATCHED, GOAL),
        (own, other_one, "batches of 16", ONE_BY_ONE, GOAL_ONE_BY_ONE),
        (own_one, other_one, "one utterance a step", ONE_BY_ONE, None),
    )
    for mine, theirs, what, opponent, goal in lines:
        yield line(
            (timed[mine], timed[theirs]),
            count=contest.batches * BATCH_SIZE * PASSES[system],
            what=f"{contest.title}, {what}",
            opponent=opponent,
            unit="utterances/s",
            goal=goal,
            difference=f"{differences[0]:.0e} (permitted {TOLERANCE:.0e})",
        )


def against_itself(setting: Setting, work: Path, system: str, contest: Contest) -> Iterator[Line]:
    """As it is set against other settings."""
    own = f"{system}-16"
    others = {name: f"{own}-{name}" for name in contest.settings}
    if not others:
        return
    timed = take_turns(
        [Contender(name, OWN) for name in (own, *others.values())],
        work,
        threads=setting.cores,
        rounds=setting.rounds,
    )
    for name, contender in others.items():
        yield line(
            (timed[own], timed[contender]),
            count=contest.batches * BATCH_SIZE * PASSES[system],
            what=f"{contest.title} as it is set, batches of 16",
            opponent=SETTINGS[name],
            unit="utterances/s",
        )
