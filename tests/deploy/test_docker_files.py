"""The model server's configuration: what the server would read, and what the docs say of it."""

import re
from pathlib import Path

import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"

INT64, STRING = ".google.protobuf.Int64Value", ".google.protobuf.StringValue"
PARAMETERS = {
    "max_batch_size": INT64,
    "batch_timeout_micros": INT64,
    "max_enqueued_batches": INT64,
    "num_batch_threads": INT64,
    "thread_pool_name": STRING,
    "allowed_batch_sizes": "repeated",
    "pad_variable_length_inputs": "bool",
}
"""`BatchingParameters` of the server's session_bundle_config.proto, in the order of its numbers;
the Python package of its protocol does not bring it."""


def batching_parameters():
    """An empty message of that type."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto", syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    message = file.message_type.add(name="BatchingParameters")
    for number, (name, kind) in enumerate(PARAMETERS.items(), start=1):
        added = message.field.add(name=name, number=number, label=field.LABEL_OPTIONAL)
        if kind.startswith("."):
            added.type, added.type_name = field.TYPE_MESSAGE, kind
        elif kind == "bool":
            added.type = field.TYPE_BOOL
        else:
            added.type, added.label = field.TYPE_INT64, field.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("BatchingParameters"))()


@pytest.fixture(scope="module")
def service() -> dict:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    (one,) = yaml.safe_load(text)["services"].values()
    return one


@pytest.fixture(scope="module")
def docs() -> str:
    return (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_image_is_pinned_to_the_version_of_the_protocol(service: dict):
    image, _, tag = service["image"].partition(":")
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    (protocol,) = re.findall(r"^tensorflow-serving-api==(\d+\.\d+)", pinned, re.MULTILINE)
    assert image == "tensorflow/serving"
    assert re.fullmatch(rf"{re.escape(protocol)}\.\d+", tag)


def test_ports_are_those_of_the_server_and_of_the_docs(service: dict, docs: str):
    flags = dict(flag.removeprefix("--").split("=") for flag in service["command"])
    ports = [port.split(":")[-1] for port in service["ports"]]
    assert [flags["port"], flags["rest_api_port"]] == ports == ["8500", "8501"]
    assert "localhost:8501" in docs and "grpc://localhost:8500" in docs


def test_mounted_files_are_there_and_named_to_the_server(service: dict):
    flags = dict(flag.removeprefix("--").split("=") for flag in service["command"])
    model, *files = service["volumes"]
    for entry, flag in zip(files, ("model_config_file", "batching_parameters_file"), strict=True):
        source, target, mode = entry.split(":")
        assert (DOCKER / source).is_file() and target == flags[flag] and mode == "ro"
    assert model["target"] == "/models/emotion" and flags["enable_batching"] == "true"


def test_models_config_is_what_the_server_reads(service: dict):
    text = (DOCKER / "models.config").read_text(encoding="utf-8")
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert model.base_path == service["volumes"][0]["target"]
    assert (model.name, model.model_platform) == ("emotion", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1


def test_batching_config_is_what_the_server_reads(docs: str):
    text = (DOCKER / "batching.config").read_text(encoding="utf-8")
    parameters = text_format.Parse(text, batching_parameters())
    assert parameters.pad_variable_length_inputs  # recordings differ in length
    assert parameters.max_batch_size.value >= 1 and parameters.num_batch_threads.value >= 1
    with pytest.raises(text_format.ParseError):
        text_format.Parse("max_batch_sizes { value: 1 }", batching_parameters())
    assert "pad_variable_length_inputs" in docs


def test_docs_name_files_and_options_that_exist(docs: str):
    from mmer_tf import serve

    for name in re.findall(r"`(docker/[\w./]+)`", docs):
        assert (ROOT / name).is_file(), name
    options = {
        option for action in serve.make_parser()._actions for option in action.option_strings
    }
    for line in docs.splitlines():
        if "mmer_tf.serve" in line:
            assert set(re.findall(r"(--[a-z-]+)", line)) <= options, line
    for option in options - {"-h", "--help", "-v", "--verbose"}:
        assert f"`{option}" in docs or f"{option} " in docs, option
