"""Voice and words, and each alone: against the classifier asked without the other."""

import json

import numpy as np
import pytest
import soundfile
from sklearn.metrics import balanced_accuracy_score
from small_bundle import LABELS, SENTENCES, SPEECH, TEXT, make_bundle, noise

from mmer_tf.audio.decode import decode
from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.prepare import prepare_dataset
from mmer_tf.evaluation.evaluate import predict_ids
from mmer_tf.evaluation.modalities import judge_modalities, summed_modalities
from mmer_tf.evaluation.predictions import Predictions
from mmer_tf.types import SAMPLE_RATE

SILENT, WORDLESS = "u03", "u04"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    """Twelve utterances of three speakers; one has no recording, one no words."""
    root = tmp_path_factory.mktemp("modalities")
    lines = []
    for number in range(12):
        name = f"u{number:02d}"
        row = {"id": name, "label": LABELS[number % 3], "speaker": "abc"[number // 4]}
        row["text"] = "" if name == WORDLESS else SENTENCES[number % 4]
        if name != SILENT:
            soundfile.write(root / f"{name}.wav", noise(0.3 + number / 40, number), SAMPLE_RATE)
            row["file"] = f"{name}.wav"
        lines.append(json.dumps(row) + "\n")
    (root / "table.jsonl").write_text("".join(lines), encoding="utf-8")
    return prepare_dataset("table", root, root / "data", ["log_mel"], workers=0)


def answered(bundle: Bundle, dataset: Dataset) -> Predictions:
    return predict_ids(bundle, dataset, list(dataset.records))


def test_each_alone_is_the_classifier_asked_without_the_other(dataset):
    bundle = make_bundle(speech=SPEECH, text=TEXT, fusion="gmu")
    judged = judge_modalities(bundle, dataset, answered(bundle, dataset))
    rows = [row for row in dataset.rows if row.id not in (SILENT, WORDLESS)]
    voices = [decode(row.audio) for row in rows]
    words = [row.transcript for row in rows]
    targets = [row.label for row in rows]
    asked = {"both": (voices, words), "speech": (voices, None), "text": (None, words)}
    found = {}
    for given, arguments in asked.items():
        answers = [answer.label for answer in bundle.predict(*arguments)]
        found[given] = answers
        assert judged[given]["n"] == 10
        assert judged[given]["wa"] == pytest.approx(np.mean(np.array(answers) == targets))
        assert judged[given]["ua"] == pytest.approx(balanced_accuracy_score(targets, answers))
        low, high = judged[given]["interval"]
        assert low <= judged[given]["ua"] <= high
    assert len({tuple(answers) for answers in found.values()}) == 3, "nothing was withheld"


def test_one_modality_has_nothing_to_withhold(dataset):
    bundle = make_bundle(text=TEXT)
    ids = [one for one in dataset.records if one != WORDLESS]
    assert judge_modalities(bundle, dataset, predict_ids(bundle, dataset, ids)) == {}


def test_without_an_utterance_of_both_nothing_is_told(dataset):
    bundle = make_bundle(speech=SPEECH, text=TEXT, fusion="gmu")
    assert judge_modalities(bundle, dataset, predict_ids(bundle, dataset, [SILENT, WORDLESS])) == {}


def test_runs_are_summed_up():
    def report(ua: float) -> dict:
        row = {"ua": ua, "wa": ua + 0.1, "n": 10, "interval": [0.1, 0.9]}
        return {"modalities": {"both": row, "speech": row, "text": row}}

    summed = summed_modalities([report(0.5), report(0.7)])
    assert summed["speech"] == pytest.approx(
        {"ua": 0.6, "wa": 0.7, "deviation": 0.1 * 2**0.5, "n": 20}
    )
    assert summed_modalities([report(0.5), {}]) == {}
