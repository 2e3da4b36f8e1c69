"""wav2vec 2.0, from scratch or from published weights."""

import keras

from mmer_tf.models.encoders.speech_transformer import SpeechTransformer


@keras.saving.register_keras_serializable("mmer_tf")
class Wav2Vec2(SpeechTransformer):
    """Encode waveforms with wav2vec 2.0 (Baevski et al. 2020, arXiv 2006.11477).

    Arguments, call and errors are those of `SpeechTransformer`. All published wav2vec 2.0 models
    normalise the waveform.

    >>> Wav2Vec2(num_layers=1).samples_per_step
    320
    """

    model_type = "wav2vec2"
