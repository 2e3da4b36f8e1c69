"""The report of what one run answered: figures, calibration, audit."""

from pathlib import Path
from typing import Any

from mmer_tf.bundle import Bundle
from mmer_tf.data.progress import Progress, silent
from mmer_tf.evaluation.auditing import audit_judged
from mmer_tf.evaluation.evaluate import make_report
from mmer_tf.evaluation.history import told_stages
from mmer_tf.evaluation.judgement import Judged


def judged_report(
    judged: Judged, bundle: Bundle, folder: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Everything that is to be said of a run's answers.

    Args:
        judged: the answers.
        bundle: the run, whose temperature they have.
        folder: of the run.
        progress: shows how far recordings are compared for the audit.

    Returns:
        The keys of `make_report`; of the run's own test also the `stages` of its training; with a
        label map `map`, class of the run -> classes of the data.
    """
    report = make_report(
        judged.predictions,
        run=judged.run,
        data=judged.data,
        split=judged.split,
        protocol=judged.stored["protocol"],
        fold=judged.stored["fold"],
        seed=judged.stored["seed"],
        notes=judged.notes,
        utterances=judged.dataset.rows,
        audit=audit_judged(judged, bundle, progress),
        temperature=bundle.temperature,
    )
    stages = told_stages(folder) if judged.is_own_test else []
    report |= {"stages": stages} if stages else {}
    if judged.label_map:
        report["map"] = {name: list(labels) for name, labels in judged.label_map.items()}
    return report
