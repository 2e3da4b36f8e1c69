"""scikit-learn's support vector machine on clip statistics of openSMILE's descriptors.

    python benchmarks/support_vector_machine.py --data data/emodb

What a network has to beat: an RBF kernel with C = 1, balanced class weights and standardised
inputs, on mean, deviation and 90th percentile of each of the 65 low-level descriptors over the
frames of a clip. Nothing is tuned. It trains on the training speakers of each fold, as the
networks do; the validation speakers are not used.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from runs import RUNS
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mmer_tf import cli
from mmer_tf.data.manifest import Dataset
from mmer_tf.evaluation.predictions import Predictions
from mmer_tf.protocols.splits import num_folds, split

NAME = "support_vector_machine"
FEATURE = "lld"
PERCENTILE = 90


def main(argv: Sequence[str] | None = None) -> None:
    """Train and test every fold; a report a fold, as `mmer_tf.train` writes them."""
    args = make_parser().parse_args(argv)
    cli.silence_libraries(verbose=False)
    cli.import_tensorflow()
    from mmer_tf.data.prepare import ensure_features
    from mmer_tf.evaluation.evaluate import make_report, write_report

    dataset = ensure_features(args.data, [FEATURE])
    ids, statistics = clip_statistics(dataset)
    for fold in range(num_folds(dataset.rows, "speaker")):
        predictions = judge_fold(dataset, fold, ids, statistics)
        folder = run_folder(args.runs, args.data, fold)
        report = make_report(
            predictions,
            run=folder.name,
            data=dataset.folder.resolve().name,
            split="test",
            protocol="speaker",
            fold=fold,
            seed=0,
            notes=["decisions, not probabilities: the loss says nothing"],
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_report(report, predictions, folder)
        print(f"fold {fold}: WA {report['wa']:.3f}, UA {report['ua']:.3f}")


def run_folder(runs: Path, data: Path, fold: int) -> Path:
    """Where the report of a fold goes."""
    return runs / f"{NAME}-{data.resolve().name}-speaker-fold{fold}"


def clip_statistics(dataset: Dataset) -> tuple[list[str], np.ndarray]:
    """Mean, deviation and 90th percentile over the frames of each clip.

    Returns:
        n ids, and float64 (n, 3 × 65).
    """
    from mmer_tf.data.pipeline import make_dataset

    ids, rows = [], []
    batches = make_dataset(
        dataset,
        [row.id for row in dataset.rows],
        [FEATURE],
        dataset.labels,
        batch_size=32,
        training=False,
    )
    for batch in batches.as_numpy_iterator():
        for id, frames, mask in zip(
            batch["id"], batch[FEATURE], batch[f"{FEATURE}_mask"], strict=True
        ):
            ids.append(id.decode())
            rows.append(statistics_of(frames[mask]))
    return ids, np.stack(rows)


def statistics_of(frames: np.ndarray) -> np.ndarray:
    """(frames, dim) -> (3 × dim,)."""
    frames = frames.astype("float64")
    percentile = np.percentile(frames, PERCENTILE, axis=0)
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0), percentile])


def make_machine() -> Pipeline:
    """The classifier, untrained."""
    return make_pipeline(StandardScaler(), SVC(C=1.0, kernel="rbf", class_weight="balanced"))


def judge_fold(
    dataset: Dataset, fold: int, ids: Sequence[str], statistics: np.ndarray
) -> Predictions:
    """Train on the training speakers of a fold and answer for its test speakers."""
    division = split(dataset.rows, "speaker", fold)
    place = {id: i for i, id in enumerate(ids)}
    label = {row.id: dataset.labels.index(row.label) for row in dataset.rows}

    def part(chosen: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        return statistics[[place[id] for id in chosen]], np.array([label[id] for id in chosen])

    machine = make_machine().fit(*part(division.train))
    inputs, targets = part(division.test)
    decided = np.eye(len(dataset.labels))[machine.predict(inputs)]
    return Predictions(np.array(division.test), targets, decided, dataset.labels)


def make_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="prepared data set")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help=f"default: {RUNS}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
