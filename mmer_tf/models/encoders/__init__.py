"""Encoders: from a voice or from tokens to a sequence of vectors and its mask.

An encoder is a Keras layer that declares the `inputs` it takes and its `output_dim`:

- "frames": call(sequence (batch, frames, dim), mask (batch, frames) bool); `frames_per_step`
  tells how many frames one of its steps covers;
- "waveform": call(waveform (batch, samples) float32 in [-1, 1], num_samples (batch,) int32);
  `samples_per_step` tells how many samples one of its steps covers;
- "image": call(image (batch, height, width, 3) uint8); all of its steps are real;
- "streams": call(streams), a dict of several of these by the names of the data contract;
- "tokens": call(token_ids (batch, tokens) int32, token_mask (batch, tokens) bool).

All answer (sequence (batch, steps, output_dim), mask (batch, steps) bool), and the sequence is
zero where the mask is False; asked for `layers`, one with hidden states answers
(batch, steps, layers, output_dim). An encoder with published weights offers `from_pretrained`.
"""

from mmer_tf.models.encoders.alexnet import AlexNet
from mmer_tf.models.encoders.bert import BERT
from mmer_tf.models.encoders.blstm import BLSTM
from mmer_tf.models.encoders.coattention import CoAttention
from mmer_tf.models.encoders.conv_blstm import ConvBLSTM
from mmer_tf.models.encoders.hubert import HuBERT
from mmer_tf.models.encoders.resnet34 import ResNet34
from mmer_tf.models.encoders.vit import ViT
from mmer_tf.models.encoders.wav2vec2 import Wav2Vec2
from mmer_tf.models.encoders.wavlm import WavLM
from mmer_tf.models.encoders.whisper import Whisper
from mmer_tf.registry import Registry

SPEECH_ENCODERS = Registry(
    "speech encoder",
    {
        "alexnet": AlexNet,
        "blstm": BLSTM,
        "coattention": CoAttention,
        "conv_blstm": ConvBLSTM,
        "hubert": HuBERT,
        "resnet34": ResNet34,
        "vit": ViT,
        "wav2vec2": Wav2Vec2,
        "wavlm": WavLM,
        "whisper": Whisper,
    },
)
TEXT_ENCODERS = Registry("text encoder", {"bert": BERT, "blstm": BLSTM, "conv_blstm": ConvBLSTM})
"""Those of frames read the hidden states of one of tokens."""
