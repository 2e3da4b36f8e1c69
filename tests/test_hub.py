"""A path is never taken for a name on the hub."""

import huggingface_hub
import pytest

from mmer_tf.hub import HubError, find_checkpoint


@pytest.mark.parametrize("source", ["/nofolder", "./nofolder", "../nofolder", "~/nofolder"])
def test_a_missing_folder_is_not_sought_on_the_hub(source, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    with pytest.raises(HubError, match=f"{source} does not exist; give one that holds config.json"):
        find_checkpoint(source, ["config.json"])


@pytest.mark.parametrize(
    "source", ["alexnet.safetensors", "weights/x.safetensors", "/x.safetensors"]
)
def test_a_missing_file_is_not_sought_on_the_hub(source, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    with pytest.raises(HubError, match=f"The file {source} does not exist; give one that does, or"):
        find_checkpoint(source, ["model.safetensors"])
