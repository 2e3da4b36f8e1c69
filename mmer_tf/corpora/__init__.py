"""Corpora: one file each, all read without TensorFlow.

`CORPORA` names them; `mmer_tf.corpora.load.load_corpus` is the way in.
"""

from mmer_tf.corpora import (
    crema_d,
    emodb,
    emovo,
    goemotions,
    iemocap,
    meld,
    ravdess,
    savee,
    synthetic,
    table,
    tess,
)
from mmer_tf.corpora.format import CorpusFormat
from mmer_tf.registry import Registry

CORPORA: Registry[CorpusFormat] = Registry(
    "corpus",
    {
        corpus.name: corpus
        for corpus in (
            synthetic.CORPUS,
            iemocap.CORPUS,
            tess.CORPUS,
            ravdess.CORPUS,
            emodb.CORPUS,
            crema_d.CORPUS,
            savee.CORPUS,
            emovo.CORPUS,
            meld.CORPUS,
            goemotions.CORPUS,
            table.CORPUS,
        )
    },
)
