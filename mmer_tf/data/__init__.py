"""From utterances to batches: shards on disk and the tf.data pipeline that reads them.

`prepare` fills a dataset folder, by processes here (`writer`) or by Apache Beam (`beam`);
`manifest` describes it (without TensorFlow), `pipeline` reads it back: `selection` says which
utterances, `order` when, `reader` what of each. A dataset folder:

    dataset.json        settings, counts, and every shard with its checksum; written last
    utterances.jsonl    one utterance a line, in the order of the records
    rejected.csv        every row left behind, with its reason
    converted.csv       every file that was resampled, mixed down or repacked
    shards/             <family>-00000-of-00006.tfrecord

Each feature has a shard family of its own, besides the family `utterances` that holds no
feature. Record i of every family belongs to utterance i, so a feature can be added to a finished
folder without touching what is there, and a training reads only the features it uses.
Hidden states of a frozen encoder (`states`) and perturbed copies of the recordings, `lld_copy1`,
are families like any other (`families`).
"""
