"""The client against this package's server and against TensorFlow Serving's own protocol."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from serving import BOTH, scripted, serving
from small_bundle import SPEECH, TEXT, make_bundle, noise

from mmer_tf.audio.decode import AudioError, decode
from mmer_tf.deploy.client import (
    EmotionClient,
    NothingToClassifyError,
    Retry,
)
from mmer_tf.deploy.saved_model import export_saved_model
from mmer_tf.deploy.server.batching import Batching
from mmer_tf.deploy.server.loaded_model import LoadedModel

VOICES = [noise(0.4, 1), noise(0.9, 2), None, noise(0.02, 3), noise(2.5, 4)]
WORDS = ["Never again.", "", "Good morning!", "zyx É", "I can't believe it."]
SIXTEEN_BIT = [None if one is None else np.rint(one * 32767) / np.float32(32768) for one in VOICES]
NEVER = Retry(times=0)


def assert_same(answers, others, tolerance: float = 1e-5) -> None:
    for answer, other in zip(answers, others, strict=True):
        assert answer.label == other.label
        assert answer.probabilities == pytest.approx(other.probabilities, abs=tolerance)
        for name in ("speech_attention", "text_attention", "gate"):
            found, wanted = getattr(answer, name), getattr(other, name)
            wanted = np.trim_zeros(wanted, "b") if wanted.any() else wanted[:1]
            np.testing.assert_allclose(found, wanted, atol=tolerance)
            assert found.dtype == np.float32


def test_answers_are_those_of_the_bundle(address: str, small_bundle):
    with EmotionClient(address, "emotion", retry=NEVER) as client:
        assert client.is_available()
        for voices in (VOICES, SIXTEEN_BIT):
            wanted = small_bundle.predict(voices, WORDS)
            assert_same(client.predict(voices, WORDS), wanted)
        assert_same(client.predict(None, WORDS[:1]), small_bundle.predict(None, WORDS[:1]))
        assert_same(client.predict(VOICES[:1]), small_bundle.predict(VOICES[:1]))
    for size in (1, 2):
        with EmotionClient(address, "emotion", version=3, batch_size=size) as client:
            assert_same(client.predict(VOICES, WORDS), small_bundle.predict(VOICES, WORDS))


def test_files_of_any_kind(address: str, small_bundle, tmp_path):
    stereo = np.stack([noise(0.8, 6), noise(0.8, 7)], axis=1)
    soundfile.write(tmp_path / "a.flac", stereo, 44_100)
    soundfile.write(tmp_path / "b.wav", noise(0.5, 8), 16_000, "PCM_16")
    files = [tmp_path / "a.flac", None, str(tmp_path / "b.wav")]
    waveforms = [None if file is None else decode(file) for file in files]
    with EmotionClient(address, "emotion") as client:
        found = client.predict_files(files, WORDS[2:])
        assert_same(found, small_bundle.predict(waveforms, WORDS[2:]))
        with pytest.raises(AudioError, match=r"nowhere.wav: missing file"):
            client.predict_files([tmp_path / "nowhere.wav"])


def test_real_clips(address: str, small_bundle, real_clips):
    wanted = small_bundle.predict([decode(clip) for clip in real_clips])
    with EmotionClient(address, "emotion") as client:
        assert_same(client.predict_files(real_clips), wanted)


def test_wav_files_are_sent_where_they_lose_nothing(server, monkeypatch):
    client = EmotionClient(server.address, "emotion")
    asked = []
    predict = client._transport.predict
    monkeypatch.setattr(
        client._transport,
        "predict",
        lambda signature, inputs: asked.append(signature) or predict(signature, inputs),
    )
    client.predict(SIXTEEN_BIT[:2])
    client.predict(VOICES[:2])
    client.predict([np.ones(10, "float32")])  # one step beyond what 16 bits hold
    assert asked == ["wav", "serving_default", "serving_default"]


def test_requests_hold_similar_lengths_and_few_samples(service):
    address, one = service
    one.requests.clear()
    seconds = (0.1, 3, 0.1, 50, 0.2, 3.5)
    voices = [noise(length, number) for number, length in enumerate(seconds)]
    with EmotionClient(address, "emotion", batch_size=3) as client:
        client.predict(voices)
    shapes = [
        tuple(dimension.size for dimension in request.inputs["waveform"].tensor_shape.dim)
        for request in one.requests
    ]
    assert shapes == [(3, 3200), (2, 56_000), (1, 800_000)]


@pytest.mark.parametrize(
    ("inputs", "arguments", "others", "message"),
    [
        (BOTH[:2], (VOICES[:1], ["a"]), (None, ["a"]), "hears only the voice"),
        (BOTH[2:], (VOICES[:1], ["a"]), (VOICES[:1], None), "reads only the words"),
    ],
)
def test_what_a_model_does_not_take_is_not_sent(inputs, arguments, others, message: str):
    with scripted([], inputs) as (address, seen), EmotionClient(address, "emotion") as client:
        assert set(client._inputs([(VOICES[0], "a")])[1]) == set(inputs)
        assert client.predict(*arguments)[0].label == "sad"
        with pytest.raises(NothingToClassifyError, match=message):
            client.predict(*others)
        assert seen == ["GET", "POST"]


@pytest.mark.slow
def test_models_of_one_modality(tmp_path):
    voice = make_bundle(speech=SPEECH)
    words = make_bundle(text=TEXT)
    for bundle, arguments, others, message in (
        (voice, (VOICES[:2], None), (None, ["a"]), "hears only the voice"),
        (words, (None, WORDS[:1]), (VOICES[:1], None), "reads only the words"),
    ):
        name = "voice" if bundle is voice else "words"
        model = LoadedModel(export_saved_model(bundle, tmp_path / name))
        with serving(model) as served, EmotionClient(served.address, name) as client:
            for answer, other in zip(
                client.predict(*arguments), bundle.predict(*arguments), strict=True
            ):
                assert answer.probabilities == pytest.approx(other.probabilities, abs=1e-5)
            with pytest.raises(NothingToClassifyError, match=message):
                client.predict(*others)


def test_what_is_nothing_to_classify(address: str):
    with EmotionClient(address, "emotion") as client:
        assert client.predict([], []) == []
        with pytest.raises(NothingToClassifyError, match="give waveforms, transcripts or both"):
            client.predict()
        with pytest.raises(NothingToClassifyError, match="utterance 1: neither a recording nor"):
            client.predict([VOICES[0], None], ["a", " "])
        with pytest.raises(ValueError, match=r"Received: \(0,\) for utterance 0"):
            client.predict([np.zeros(0, "float32")])
        with pytest.raises(ValueError, match=r"Received: \(2, 2\) for utterance 0"):
            client.predict([np.zeros((2, 2), "float32")])


def test_many_threads_share_a_client(loaded: LoadedModel, small_bundle):
    wanted = small_bundle.predict(VOICES, WORDS)
    with (
        serving(loaded, batching=Batching(max_rows=8)) as served,
        EmotionClient(served.address, "emotion") as client,
        ThreadPoolExecutor(8) as pool,
    ):
        found = list(pool.map(lambda _: client.predict(VOICES, WORDS), range(8)))
    for answers in found:
        assert_same(answers, wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"address": "localhost:8501"}, "must begin with http://, https:// or grpc://"),
        ({"address": "grpc://"}, "name a host"),
        ({"timeout": 0}, "`timeout` must be > 0"),
        ({"batch_size": 0}, "`batch_size` must be >= 1"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        EmotionClient(**{"address": "http://localhost", "model": "emotion"} | arguments)


def test_retries_that_make_no_sense():
    with pytest.raises(ValueError, match="`times` must be >= 0"):
        Retry(times=-1)


def test_rest_needs_no_tensorflow(server):
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from mmer_tf.deploy.client import EmotionClient\n"
        "with EmotionClient(sys.argv[1], 'emotion') as client:\n"
        "    (answer,) = client.predict([np.ones(900, 'float32') / 3], ['Never again.'])\n"
        "print(answer.label)\n"
        "heavy = {'tensorflow', 'keras', 'grpc', 'librosa', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, server.address], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("angry", "happy", "sad")
