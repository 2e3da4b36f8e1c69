"""Emotion over time: long recordings and live microphones, without TensorFlow of its own."""
