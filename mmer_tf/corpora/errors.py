"""What a corpus that cannot be read answers."""


class CorpusError(ValueError):
    """A corpus that cannot be read; the message names the file and the way out."""
