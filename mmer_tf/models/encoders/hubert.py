"""HuBERT, from scratch or from published weights."""

import keras

from mmer_tf.models.encoders.speech_transformer import SpeechTransformer


@keras.saving.register_keras_serializable("mmer_tf")
class HuBERT(SpeechTransformer):
    """Encode waveforms with HuBERT (Hsu et al. 2021, arXiv 2106.07447).

    Arguments, call and errors are those of `SpeechTransformer`. All published HuBERT models
    normalise the waveform.

    >>> HuBERT(num_layers=1).samples_per_step
    320
    """

    model_type = "hubert"
