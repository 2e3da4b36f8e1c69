"""A part of the models with its golden arrays; the test module names its KIND and its TABLE."""

import checks
import pytest
from golden import Golden


@pytest.fixture(scope="module")
def golden(request, entry):
    return Golden.load(request.module.KIND, entry)


@pytest.fixture(scope="module")
def padded(golden):
    return checks.padded_inputs(golden.inputs)


@pytest.fixture(scope="module")
def model(request, entry, golden, tmp_path_factory):
    layer = golden.create(request.module.TABLE[entry], tmp_path_factory.mktemp(entry))
    return checks.model_of(layer, golden.inputs)
