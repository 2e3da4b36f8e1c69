"""From a sound file to what a model hears: decoding, features, augmentation.

Imports nothing: `audio.decode` must stay free of TensorFlow.
"""
