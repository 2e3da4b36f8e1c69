"""Heads on stored hidden states against the same heads behind frozen transformers.

Trains the recipe `hubert_bert_cross_attention`, in one stage, on a part of the synthetic corpus:
once on hidden states that the shards hold, once with HuBERT and BERT in the model. The checkpoints
have random weights in the published layout, at the size of the published base models, so the
figures tell about time and sameness and not about emotions.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from contest import Contender, Line, largest_difference, line, take_turns
from run import Setting
from training_epochs import EXTRA_EPOCHS, SCRIPT, Worker, leave_training, read_history

from mmer_tf import cli

RECIPE = "hubert_bert_cross_attention"
GOAL = 20
PER_CELL = 2
"""Utterances for each of 10 speakers and 4 emotions."""

TOLERANCE = 0.01
"""Of the validation figures: states are stored in float16, and differences grow with training."""


def measure(setting: Setting) -> Iterator[Line]:
    """One epoch both ways."""
    work = setting.folder("stored_states")
    data, utterances, weights = prepare(work, setting.tiny)
    for name in ("stored", "frozen"):
        arguments = ["--model", RECIPE, "--data", str(data), "--no-tensorboard"]
        arguments += [f"train.epochs={setting.rounds + EXTRA_EPOCHS}", "stages=[]"]
        for part, kind in (("speech", "hubert"), ("text", "bert")):
            arguments += [f"{part}.upstream.weights={weights[kind]}"]
            arguments += [f"{part}.upstream.stored={str(name == 'stored').lower()}"]
        leave_training(work, name, [Worker(arguments)])
    timed = take_turns(
        [Contender("stored", SCRIPT), Contender("frozen", SCRIPT)],
        work,
        threads=setting.cores,
        rounds=setting.rounds,
        compare=lambda answers: largest_difference(answers, "stored", "frozen", TOLERANCE) and None,
    )
    histories = {name: read_history(work, name) for name in timed}
    difference = largest_difference(histories, "stored", "frozen", TOLERANCE)
    size = "tiny" if setting.tiny else "base"
    yield line(
        (timed["stored"], timed["frozen"]),
        count=1,
        what=f"an epoch of the heads of `{RECIPE}`, {utterances} utterances in all",
        opponent="the encoders in the model",
        unit="epochs/s",
        goal=GOAL,
        difference=f"{difference:.1e} in validation loss, UA, WA",
        note=f"HuBERT and BERT of {size} size with random weights. An epoch trains on three fifths "
        "of the utterances and validates on one. From the end of an epoch of "
        "`train` to the end of the next, validation and checkpoint included. States are stored in "
        "float16. Until the first epoch's end "
        f"{timed['stored'].facts['until_first_epoch']:.0f} s, in which the states are computed "
        f"once for all later trainings, against {timed['frozen'].facts['until_first_epoch']:.0f} s "
        "(both at the same time).",
    )


def prepare(work: Path, tiny: bool) -> tuple[Path, int, Mapping[str, Path]]:
    """The part of the corpus without features, how many utterances it has, and a checkpoint for
    each transformer."""
    cli.import_tensorflow()
    from mmer_tf.data.prepare import prepare_synthetic
    from mmer_tf.testing_checkpoints import write_checkpoint, write_tiny_checkpoint

    shutil.rmtree(work / "data", ignore_errors=True)  # states are to be computed, not found
    dataset = prepare_synthetic(
        work / "data", ["waveform"], utterances_per_cell=PER_CELL - tiny, workers=0
    )
    write, vocabulary = (write_tiny_checkpoint, {}) if tiny else (
        write_checkpoint, {"vocabulary_size": 30_522}
    )  # fmt: skip
    texts = tuple(row.transcript for row in dataset.rows)
    of_kind: dict[str, Any] = {"hubert": {}, "bert": {"texts": texts, **vocabulary}}
    size = "tiny" if tiny else "base"
    # 12 layers even when tiny: the recipe names the ninth.
    return (
        dataset.folder,
        len(dataset.rows),
        {
            kind: write(kind, work / f"{kind}-{size}", num_layers=12, **settings)
            for kind, settings in of_kind.items()
        },
    )
