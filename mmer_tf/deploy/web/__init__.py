"""The web page: speak, see the words and why, follow the emotion over time."""
