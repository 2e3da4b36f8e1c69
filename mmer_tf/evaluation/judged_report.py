"""The report of what one run answered: figures, calibration, audit."""

from typing import Any

from mmer_tf.bundle import Bundle
from mmer_tf.data.prepare import Progress, silent
from mmer_tf.evaluation.auditing import audit_judged
from mmer_tf.evaluation.evaluate import make_report
from mmer_tf.evaluation.judgement import Judged


def judged_report(judged: Judged, bundle: Bundle, progress: Progress = silent) -> dict[str, Any]:
    """Everything that is to be said of a run's answers.

    Args:
        judged: the answers.
        bundle: the run, whose temperature they have.
        progress: shows how far recordings are compared for the audit.

    Returns:
        The keys of `make_report`; with a label map `map`, class of the run -> classes of the data.
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
    if judged.label_map:
        report["map"] = {name: list(labels) for name, labels in judged.label_map.items()}
    return report
