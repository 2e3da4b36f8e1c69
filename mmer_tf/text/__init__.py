"""From a transcript to token ids: `normalise` (without TensorFlow) and `tokenizer`.

Imports nothing, so that `text.normalise` stays free of TensorFlow.
"""
