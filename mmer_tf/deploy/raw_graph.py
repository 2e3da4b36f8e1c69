"""From the raw voice and words to an answer, in one TensorFlow graph.

What `raw_inputs` computes for one utterance is computed here for a batch, by the same layers, the
same tokenizer and the same crop.
"""

from collections.abc import Mapping

import tensorflow as tf

from mmer_tf.audio.layer import before, expand_to
from mmer_tf.bundle import Bundle, BundleError
from mmer_tf.data.features import FEATURES, WAVEFORM
from mmer_tf.data.states import STATES_PER_SECOND
from mmer_tf.data.words import WORD_OF_TOKEN, WORD_SPANS
from mmer_tf.text.cleaning_graph import CleaningGraph
from mmer_tf.types import EXPLANATIONS, SAMPLE_RATE

Tensors = Mapping[str, tf.Tensor]

LLD = "lld"


class RawGraph:
    """What stands before a bundle's model, and behind it.

    Args:
        bundle: a finished run.
        crop: recordings may be longer than the recipe's `data.max_seconds`.

    Raises:
        BundleError: a part of the recipe runs in no graph.
        HubError: weights of stored hidden states that cannot be had.
    """

    def __init__(self, bundle: Bundle, crop: bool = True):
        recipe = bundle.recipe
        if recipe.text is not None and recipe.data.cleaning != "sentences":
            raise BundleError(
                f"data.cleaning={recipe.data.cleaning}: dictionary forms are looked up by "
                "simplemma, which runs in no graph; train with data.cleaning=sentences"
            )
        self.bundle = bundle
        self.crop = crop
        self.longest = int(recipe.data.max_seconds * SAMPLE_RATE)
        self.inputs = tuple(tensor.name for tensor in bundle.model.inputs)
        self.transformers = bundle.transformers
        self.encoders = {name: one.load() for name, one in self.transformers.items()}
        self.layers = {
            name: FEATURES[name].layer()
            for name in self.inputs
            if name in FEATURES and FEATURES[name].layer is not None
        }
        self.cleaning = CleaningGraph() if bundle.reads else None
        self.tokenizer = next(
            (one.tokenizer for one in self.transformers.values() if one.feature.text is not None),
            bundle.tokenizer,
        )

    @property
    def hears_descriptors(self) -> bool:
        """Whether the model takes openSMILE's descriptors, which no graph computes."""
        return LLD in self.inputs

    @property
    def trackables(self) -> tuple[tf.Module, ...]:
        """All that holds weights or tables."""
        cleaning = () if self.cleaning is None else (self.cleaning,)
        return (self.bundle.model, *self.encoders.values(), *cleaning)

    def answer(self, inputs: Tensors, readable: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """What the model says, calibrated.

        Args:
            inputs: of the model, by name.
            readable: (batch,) bool, False where there is neither a voice nor a word that the
                model could judge: all classes are then equally probable, and the label is empty.

        Returns:
            `probabilities` (batch, classes) float32, `label` (batch,) string, `labels`
            (batch, classes) string, and where the model has them `speech_attention`
            (batch, steps), `text_attention` (batch, tokens), `word_attention` (batch, words),
            `gate` (batch, units).
        """
        outputs = self.bundle.model(inputs, training=False)
        probabilities = tf.nn.softmax(outputs["logits"] / self.bundle.temperature)
        names = tf.constant(self.bundle.labels)
        label = tf.gather(names, tf.argmax(probabilities, axis=-1))
        if readable is not None:
            equal = tf.fill(tf.shape(probabilities), 1.0 / len(self.bundle.labels))
            probabilities = tf.where(readable[:, None], probabilities, equal)
            label = tf.where(readable, label, "")
        labels = tf.repeat(names[None], tf.shape(probabilities)[0], axis=0)
        explanations = {name: outputs[name] for name in EXPLANATIONS if name in outputs}
        return {"probabilities": probabilities, "label": label, "labels": labels} | explanations

    def of_voice(
        self, waveform: tf.Tensor, num_samples: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Inputs of the voice, and (batch,) bool, False where there is none.

        Args:
            waveform: float32 (batch, samples) in [-1, 1], 16 kHz mono; of a clip longer than the
                recipe's `data.max_seconds` the middle is taken.
            num_samples: int32 (batch,), 0 where there is no recording.
        """
        num_samples = tf.clip_by_value(num_samples, 0, tf.shape(waveform)[1])
        present = num_samples > 0
        inputs = {"has_speech": present}
        first = tf.maximum(num_samples - self.longest, 0) // 2
        for name, encoder in self.encoders.items():
            if self.transformers[name].feature.text is None:
                steps = int(self.bundle.recipe.data.max_seconds * STATES_PER_SECOND)
                states, mask = encoder(waveform, num_samples, training=False)
                states, mask = self._states(name, states, mask, present)
                at = first * STATES_PER_SECOND // SAMPLE_RATE
                inputs[name] = self._cropped(states, at, steps)
                inputs[f"{name}_mask"] = self._cropped(mask, at, steps)
        waveform = self._cropped(waveform, first, self.longest)
        num_samples = tf.minimum(num_samples, self.longest)
        if WAVEFORM in self.inputs:
            inputs |= {WAVEFORM: waveform, "num_samples": num_samples}
        for name, layer in self.layers.items():
            feature = layer(waveform, num_samples)
            if FEATURES[name].is_image:
                # By way of int32, since LiteRT has no choice between bytes.
                shown = tf.where(expand_to(present, feature), tf.cast(feature, tf.int32), 0)
                inputs[name] = tf.cast(shown, feature.dtype)
            else:
                feature, inputs[f"{name}_mask"] = feature
                inputs[name] = _as_stored(feature)
        return self._taken(inputs), present

    def of_descriptors(
        self, descriptors: tf.Tensor, num_frames: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The same of openSMILE's descriptors.

        Args:
            descriptors: float32 (batch, frames, 65); of a clip longer than the recipe's
                `data.max_seconds` the middle is taken.
            num_frames: int32 (batch,), 0 where there is no recording. Not a mask, since the model
                server pads with the first value, whatever it is.
        """
        num_frames = tf.clip_by_value(num_frames, 0, tf.shape(descriptors)[1])
        present = num_frames > 0
        longest = int(self.bundle.recipe.data.max_seconds * FEATURES[LLD].frames_per_second)
        cropped = self._cropped(descriptors, tf.maximum(num_frames - longest, 0) // 2, longest)
        mask = before(tf.minimum(num_frames, longest), tf.shape(cropped)[1])
        return self._taken({LLD: cropped, f"{LLD}_mask": mask, "has_speech": present}), present

    def of_transcript(self, transcript: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Inputs of the words, and (batch,) bool, False where there are none.

        Args:
            transcript: string (batch,), empty where there is none.
        """
        text = self.cleaning(transcript)
        present = text != ""
        return self.of_tokens(*self.tokenizer(text), present), present

    def of_tokens(
        self, token_ids: tf.Tensor, token_mask: tf.Tensor, present: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Inputs of the words.

        Args:
            token_ids: int32 (batch, tokens).
            token_mask: bool (batch, tokens).
            present: bool (batch,), False where there are no words.
        """
        inputs = {"has_text": present, "token_ids": token_ids, "token_mask": token_mask}
        for name, encoder in self.encoders.items():
            if self.transformers[name].feature.text is not None:
                states, mask = encoder(token_ids, token_mask, training=False)
                inputs[name], inputs[f"{name}_mask"] = self._states(name, states, mask, present)
        # Nobody timed the words: they are judged as one.
        inputs[WORD_OF_TOKEN] = tf.fill(tf.shape(token_ids), -1)
        inputs[WORD_SPANS] = tf.fill([tf.shape(token_ids)[0], 1, 2], -1)
        return self._taken(inputs)

    def _states(self, name: str, states, mask, present):
        """Hidden states as they are stored: (batch, steps, layers, dim) and their mask."""
        shape = self.transformers[name].shape
        states = tf.reshape(states, (-1, tf.shape(states)[1], *shape))
        states = tf.clip_by_value(states, tf.float16.min, tf.float16.max)
        mask = tf.logical_and(mask, present[:, None])
        states = tf.where(expand_to(mask, states), _as_stored(states), 0.0)
        return states, mask

    def _cropped(self, values: tf.Tensor, first: tf.Tensor, length: int) -> tf.Tensor:
        """`length` steps of each row from its own first one: (batch, steps, …) -> the same,
        shorter."""
        steps = tf.shape(values)[1]

        def gathered() -> tf.Tensor:
            at = first[:, None] + tf.range(length)[None]
            return tf.gather(values, tf.minimum(at, steps - 1), batch_dims=1)

        return tf.cond(steps > length, gathered, lambda: values) if self.crop else values

    def _taken(self, inputs: Tensors) -> dict[str, tf.Tensor]:
        """Those that the model takes."""
        return {name: inputs[name] for name in self.inputs if name in inputs}


def _as_stored(values: tf.Tensor) -> tf.Tensor:
    """Rounded to half precision, as in the shards that the model was trained on."""
    return tf.cast(tf.cast(values, tf.float16), tf.float32)
