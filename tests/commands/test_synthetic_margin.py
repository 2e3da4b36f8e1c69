"""On the synthetic corpus neither voice nor words suffice; together they do."""

import importlib.util
import json

import pytest

from mmer_tf import cli, train

MODELS = ("gmu", "gmu_speech", "gmu_text")
MARGIN = 0.05


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="needs the extra 'synthetic'"
)
def test_gated_fusion_is_well_above_its_better_half(tmp_path, monkeypatch):
    """Mean UA on the test speakers over three seeds; the recipes as shipped."""
    monkeypatch.chdir(tmp_path)
    ua = {}
    for model in MODELS:
        assert cli.run(train.main, train.make_parser(), ["--model", model, "--seeds", "0,1,2"]) == 0
        report = next((tmp_path / "saved_models").glob(f"{model}-*-seed0,1,2/report.json"))
        ua[model] = json.loads(report.read_text())["summary"]["ua"]["mean"]
    print({model: round(value, 3) for model, value in ua.items()})
    assert ua["gmu"] >= max(ua["gmu_speech"], ua["gmu_text"]) + MARGIN
