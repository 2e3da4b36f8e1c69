"""On the synthetic corpus neither voice nor words suffice; together they do."""

import importlib.util
import json
from collections.abc import Callable
from typing import Any

import pytest

from mmer_tf import cli, train

MARGIN = 0.05
GIVEN_UP = 0.02
"""UA that a classifier of both may lose without words, beside one that never had any."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Name of a recipe -> its report over three seeds, as shipped; each is trained once."""
    folder, reports = tmp_path_factory.mktemp("margin"), {}

    def trained(model: str) -> dict[str, Any]:
        if model not in reports:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                typed = ["--model", model, "--seeds", "0,1,2", "--report", "figures"]
                assert cli.run(train.main, train.make_parser(), typed) == 0
            file = next((folder / "saved_models").glob(f"{model}-*-seed0,1,2/report.json"))
            reports[model] = json.loads(file.read_text())
        return reports[model]

    return trained


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("espeakng_loader") is None, reason="needs the extra 'synthetic'"
    ),
]


def test_gated_fusion_is_well_above_its_better_half(report):
    """Mean UA on the test speakers over three seeds."""
    ua = {
        model: report(model)["summary"]["ua"]["mean"] for model in ("gmu", "gmu_speech", "gmu_text")
    }
    print({model: round(value, 3) for model, value in ua.items()})
    assert ua["gmu"] >= max(ua["gmu_speech"], ua["gmu_text"]) + MARGIN


def test_without_words_modality_dropout_is_as_good_as_the_voice_alone(report):
    """The same; of the classifier of both each answer is in its report."""
    either = report("gmu_either")["modalities"]
    voice = report("gmu_speech")["summary"]["ua"]["mean"]
    print({given: round(row["ua"], 3) for given, row in either.items()}, round(voice, 3))
    assert either["speech"]["n"] == either["both"]["n"] == 600
    assert either["speech"]["ua"] >= voice - GIVEN_UP
    assert either["both"]["ua"] > either["speech"]["ua"] > either["text"]["ua"]
