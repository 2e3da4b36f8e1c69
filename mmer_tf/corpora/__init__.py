"""Corpora: one file each, all read without TensorFlow.

`CORPORA` names them; `mmer_tf.corpora.load.load_corpus` is the way in.
"""

from mmer_tf.corpora import emodb, ravdess
from mmer_tf.corpora.format import CorpusFormat
from mmer_tf.registry import Registry

CORPORA: Registry[CorpusFormat] = Registry(
    "corpus",
    {
        corpus.name: corpus
        for corpus in (
            emodb.CORPUS,
            ravdess.CORPUS,
        )
    },
)
