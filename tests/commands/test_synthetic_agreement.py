"""A trained model of full size keeps its labels in every quantisation."""

import importlib.util

import pytest
from workplace import command, read_json

QUANTISATIONS = ("none", "float16", "dynamic", "int8")


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="needs the extra 'synthetic'"
)
def test_fewer_bits_answer_as_the_run(tmp_path, monkeypatch):
    """On the 200 utterances of the synthetic test speakers."""
    monkeypatch.chdir(tmp_path)
    assert command("train", "--model", "gmu", "--run", "gmu", "--report", "figures") == 0
    for quantisation in QUANTISATIONS:
        out = tmp_path / f"{quantisation}.tflite"
        typed = ("--run", "gmu", "--format", "tflite", "--quantize", quantisation, "--out", out)
        assert command("export", *typed) == 0
        told = read_json(tmp_path / f"{quantisation}.tflite.json")["measured"]
        assert told["utterances"] == 200
        assert told["agreement"] >= 0.98, quantisation
