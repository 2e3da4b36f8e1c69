"""Co-attention over three views of one voice: MFCC, spectrogram and waveform."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from mmer_tf.models.encoders.alexnet import AlexNet
from mmer_tf.models.encoders.blstm import BLSTM
from mmer_tf.models.encoders.encoder import Encoder
from mmer_tf.models.encoders.frame_attention import FrameAttention
from mmer_tf.models.encoders.hubert import HuBERT
from mmer_tf.models.encoders.resnet34 import ResNet34
from mmer_tf.models.encoders.vit import ViT
from mmer_tf.models.encoders.wav2vec2 import Wav2Vec2
from mmer_tf.models.encoders.wavlm import WavLM
from mmer_tf.registry import Registry

IMAGE_ENCODERS = Registry("image encoder", {"alexnet": AlexNet, "resnet34": ResNet34, "vit": ViT})
WAVEFORM_ENCODERS = Registry(
    "waveform encoder", {"wav2vec2": Wav2Vec2, "hubert": HuBERT, "wavlm": WavLM}
)
SPECTROGRAMS = {"frames": "log_spectrogram", "image": "mel_image"}
"""The stream that an image encoder reads, by the kind of its inputs."""

PARTS = ("mfcc", "spectrogram", "waveform")
PUBLISHED_MFCC_OPTIONS = {"units": 256, "num_layers": 2, "dropout": 0.5}


@keras.saving.register_keras_serializable("mmer_tf")
class CoAttention(Encoder):
    """Encode a voice as one vector, in which MFCC and spectrogram choose among wave frames.

    Zou et al. 2022, "Speech emotion recognition with co-attention based multi-level acoustic
    information" (doi 10.1109/ICASSP43922.2022.9747095): a BLSTM reads the MFCC, a picture's
    encoder the spectrogram, a speech transformer the waveform. The vectors of the first two weigh
    the frames of the third, and their weighted sum stands beside both vectors.

    The paper cuts clips to three seconds, so that everything has a fixed length: it flattens the
    BLSTM's and AlexNet's positions into their vectors, and one linear layer with ReLU makes 149
    weights of those, one for each place in time whatever is heard there. Clips of any length
    allow neither. Here the vectors are means over real steps, and each frame is scored by what it
    holds (see `FrameAttention`), the query being both vectors side by side.

    Args:
        spectrogram: stream that the image encoder reads, "log_spectrogram" or "mel_image".
        image_encoder: "alexnet" for the former, "resnet34" or "vit" for the latter.
        waveform_encoder: "wav2vec2", "hubert" or "wavlm".
        mfcc_options: arguments of the BLSTM; by default 2 layers of 256 units, with dropout 0.5.
        image_options: arguments of the image encoder.
        waveform_options: arguments of the waveform encoder; it answers its last layer.
        units: width of each stream's vector, at least 1.
        dropout: share dropped in training of what each dense layer reads.
        frozen_parts: of "mfcc", "spectrogram", "waveform", whose encoders are not trained.

    Call: streams, a dict by the names of the data contract: mfcc (batch, frames, 40), mfcc_mask;
        log_spectrogram (batch, frames, 321, 3), log_spectrogram_mask, or mel_image
        (batch, 224, 224, 3) uint8; waveform (batch, samples), num_samples (batch,)
        -> (batch, 1, 3 * units) and the mask (batch, 1), True where the row has any sample

    Raises:
        ValueError: an argument out of range, arguments that do not go together, or other streams.
        UnknownNameError: an encoder that is in no table.
    """

    inputs = "streams"

    def __init__(
        self,
        spectrogram: str = "log_spectrogram",
        image_encoder: str = "alexnet",
        waveform_encoder: str = "wav2vec2",
        mfcc_options: Mapping[str, Any] | None = None,
        image_options: Mapping[str, Any] | None = None,
        waveform_options: Mapping[str, Any] | None = None,
        units: int = 128,
        dropout: float = 0.1,
        frozen_parts: Sequence[str] = (),
        **kwargs,
    ):
        # A waveform stays in float32 until its encoder has normalised it.
        super().__init__(autocast=False, **kwargs)
        wanted = SPECTROGRAMS[IMAGE_ENCODERS[image_encoder].inputs]
        if spectrogram != wanted:
            raise ValueError(
                f"`spectrogram` must be {wanted}, which {image_encoder} reads. "
                f"Received: spectrogram={spectrogram}."
            )
        if units < 1:
            raise ValueError(f"`units` must be >= 1. Received: units={units}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}.")
        if unknown := sorted(set(frozen_parts) - set(PARTS)):
            raise ValueError(
                f"`frozen_parts` must be of {', '.join(PARTS)}. Received: {', '.join(unknown)}."
            )
        self.spectrogram = spectrogram
        self.image_encoder_name = image_encoder
        self.waveform_encoder_name = waveform_encoder
        self.units = units
        self.dropout = dropout
        self.frozen_parts = tuple(frozen_parts)

        def create(part: str, encoder_class: type[Encoder], options: Mapping[str, Any]) -> Encoder:
            _check_options(part, encoder_class, options)
            return encoder_class(
                **options,
                frozen=part in frozen_parts,
                dtype=self.dtype_policy,
                name=f"{part}_encoder",
            )

        self.mfcc_encoder = create("mfcc", BLSTM, PUBLISHED_MFCC_OPTIONS | dict(mfcc_options or {}))
        self.image_encoder = create(
            "spectrogram", IMAGE_ENCODERS[image_encoder], image_options or {}
        )
        self.waveform_encoder = create(
            "waveform", WAVEFORM_ENCODERS[waveform_encoder], waveform_options or {}
        )
        self.mfcc_projection, self.spectrogram_projection, self.waveform_projection = (
            keras.layers.Dense(
                units, activation="relu", dtype=self.dtype_policy, name=f"{part}_projection"
            )
            for part in PARTS
        )
        self.attention = FrameAttention(units, dropout, dtype=self.dtype_policy, name="attention")
        self.dropouts = {
            part: keras.layers.Dropout(dropout, dtype=self.dtype_policy, name=f"{part}_dropout")
            for part in PARTS
        }

    @classmethod
    def from_pretrained(
        cls,
        weights: Mapping[str, str],
        *,
        spectrogram: str = "log_spectrogram",
        image_encoder: str = "alexnet",
        waveform_encoder: str = "wav2vec2",
        mfcc_options: Mapping[str, Any] | None = None,
        image_options: Mapping[str, Any] | None = None,
        waveform_options: Mapping[str, Any] | None = None,
        units: int = 128,
        dropout: float = 0.1,
        frozen_parts: Sequence[str] = (),
        frozen: bool = False,
        **kwargs,
    ) -> "CoAttention":
        """Co-attention with published weights of its encoders, and of their size.

        Args:
            weights: of "spectrogram", "waveform" or both: what the encoder's own
                `from_pretrained` takes. Of its options only those that are no sizes then count.
            spectrogram, image_encoder, waveform_encoder: see the class.
            mfcc_options, image_options, waveform_options: see the class.
            units, dropout, frozen_parts: see the class.
            frozen: see `Encoder`.
            kwargs: of the Keras layer.

        Raises:
            HubError: weights that cannot be had, or are not those of the encoder.
            ValueError: weights of no such part, or as of the class.
        """
        if not isinstance(weights, Mapping) or not set(weights) <= {"spectrogram", "waveform"}:
            raise ValueError(
                "`weights` must be a mapping with the keys spectrogram, waveform or both. "
                f"Received: weights={weights}."
            )
        classes = {
            "spectrogram": IMAGE_ENCODERS[image_encoder],
            "waveform": WAVEFORM_ENCODERS[waveform_encoder],
        }
        options = {"spectrogram": image_options or {}, "waveform": waveform_options or {}}
        published = {}
        for part, source in weights.items():
            _check_options(part, classes[part], options[part])
            free = inspect.signature(classes[part].from_pretrained).parameters
            published[part] = classes[part].from_pretrained(
                source, **{name: value for name, value in options[part].items() if name in free}
            )
            options[part] = _options_of(published[part])
        encoder = cls(
            spectrogram,
            image_encoder,
            waveform_encoder,
            mfcc_options,
            options["spectrogram"],
            options["waveform"],
            units,
            dropout,
            frozen_parts,
            frozen=frozen,
            **kwargs,
        )
        for part, source in published.items():
            target = encoder.image_encoder if part == "spectrogram" else encoder.waveform_encoder
            target.build((None, None, None, 3) if part == "spectrogram" else (None, None))
            target.set_weights(source.get_weights())
        return encoder

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        return 3 * self.units

    @property
    def _spectrogram_streams(self) -> tuple[str, ...]:
        """What the image encoder is called with."""
        if self.spectrogram == "mel_image":
            return (self.spectrogram,)
        return self.spectrogram, f"{self.spectrogram}_mask"

    def build(self, streams_shape):
        """Create the weights for the streams' widths."""
        wanted = {"mfcc", "mfcc_mask", *self._spectrogram_streams, "waveform", "num_samples"}
        if set(streams_shape) != wanted:
            raise ValueError(
                f"`streams` must be mfcc, {self.spectrogram} and waveform, with their masks. "
                f"Received: {', '.join(sorted(streams_shape))}."
            )
        for encoder, stream in (
            (self.mfcc_encoder, "mfcc"),
            (self.image_encoder, self.spectrogram),
            (self.waveform_encoder, "waveform"),
        ):
            if not encoder.built:  # published weights have built theirs
                encoder.build(streams_shape[stream])
        self.mfcc_projection.build((None, self.mfcc_encoder.output_dim))
        self.spectrogram_projection.build((None, self.image_encoder.output_dim))
        self.attention.build((None, 2 * self.units), (None, None, self.waveform_encoder.output_dim))
        self.waveform_projection.build((None, self.waveform_encoder.output_dim))

    def call(self, streams, training=None):
        """Encode the streams; see the class."""
        mfcc = self._mean(
            *self.mfcc_encoder(streams["mfcc"], streams["mfcc_mask"], training=training)
        )
        mfcc = self._project("mfcc", self.mfcc_projection, mfcc, training)  # (batch, units)
        picture = [streams[name] for name in self._spectrogram_streams]
        spectrogram = self._mean(*self.image_encoder(*picture, training=training))
        spectrogram = self._project(
            "spectrogram", self.spectrogram_projection, spectrogram, training
        )  # (batch, units)
        frames, mask = self.waveform_encoder(
            streams["waveform"], streams["num_samples"], training=training
        )  # (batch, frames, dim)
        query = ops.concatenate([spectrogram, mfcc], axis=-1)
        heard, _ = self.attention(query, frames, mask, training=training)  # (batch, dim)
        heard = self._project("waveform", self.waveform_projection, heard, training)
        vector = ops.concatenate([spectrogram, mfcc, heard], axis=-1)  # (batch, 3 * units)
        present = ops.cast(streams["num_samples"], "int32")[:, None] > 0  # (batch, 1)
        return ops.where(present[:, :, None], vector[:, None], 0), present

    def _project(self, name, dense, vector, training):
        return dense(self.dropouts[name](vector, training=training))

    def _mean(self, sequence, mask):
        """Average the real steps: (batch, steps, dim) -> (batch, dim)."""
        real = ops.cast(mask, "float32")
        share = real / ops.maximum(ops.sum(real, axis=1, keepdims=True), 1.0)
        mean = ops.einsum("bs,bsd->bd", share, ops.cast(sequence, "float32"))
        return ops.cast(mean, self.compute_dtype)

    def get_config(self):
        """Arguments that build this layer again, without the published weights."""
        return super().get_config() | {
            "spectrogram": self.spectrogram,
            "image_encoder": self.image_encoder_name,
            "waveform_encoder": self.waveform_encoder_name,
            "mfcc_options": _options_of(self.mfcc_encoder),
            "image_options": _options_of(self.image_encoder),
            "waveform_options": _options_of(self.waveform_encoder),
            "units": self.units,
            "dropout": self.dropout,
            "frozen_parts": self.frozen_parts,
        }


def _own_arguments(encoder_class: type[Encoder]) -> list[str]:
    """What an encoder takes, but for what all encoders take, and `layers`."""
    parameters = inspect.signature(encoder_class).parameters.values()
    names = {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
    return sorted(names - {"layers"})


def _options_of(encoder: Encoder) -> dict[str, Any]:
    """The options that make an encoder of the same size."""
    config = encoder.get_config()
    return {name: config[name] for name in _own_arguments(type(encoder))}


def _check_options(part: str, encoder_class: type[Encoder], options: Mapping[str, Any]) -> None:
    known = _own_arguments(encoder_class)
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(
            f"unknown option '{unknown[0]}' of the {part} encoder. Known: {', '.join(known)}."
        )
