"""Where the time goes in work that misses its goal. `run.py` adds it to the notes of lines."""

CALL = "calling a traced function that does nothing takes 0.2 ms, which a single clip pays alone"
GRAPH = (
    "of 3.1 ms in the graph the LSTM takes 0.6 and all operations 1.7, the rest is TensorFlow's "
    "executor, which hands over several hundred small ones"
)

TWO_THREADS = (
    "the second thread makes the FFT, the product with the mel filters and the logarithm 1.7 times "
    "as fast, and framing hardly"
)

PROFILES = {
    ("features", "log_mel of a clip"): CALL,
    ("features", "mfcc of a clip"): CALL,
    ("features", "log_spectrogram of a clip"): CALL,
    ("features", "log_mel of 32 clips, one thread"): (
        "of 17.8 ms on one core the 512-point FFT with its padding takes 7.7, the product with the "
        "mel filters 3.3, framing and window 3.3, squares 2"
    ),
    ("features", "mfcc of 32 clips, one thread"): (
        "as of log_mel, whose frames it starts from: the 512-point FFT first, then the product "
        "with the mel filters"
    ),
    ("features", "log_mel of 32 clips, two threads"): TWO_THREADS,
    ("features", "mfcc of 32 clips, two threads"): TWO_THREADS,
    ("features", "log_spectrogram of 32 clips, two threads"): TWO_THREADS,
    ("features", "log_spectrogram of 32 clips, one thread"): (
        "of 16 ms on one core framing and window take 2.5, the FFT 3.2, squares 2, the logarithm "
        "1.5, mask and the three channels side by side 6.8"
    ),
    ("preparing", "log_mel of"): "the start, most of it the import of TensorFlow",
    ("reading", "batches of log_mel from shards, kept"): (
        "of 1.1 ms a batch of 16 parsing takes 0.3, gathering and decoding 0.2, the rest is the "
        "handing over between tf.data's threads, and once the start"
    ),
    ("reading", "batches of log_mel from shards, read anew"): (
        "grouping records by length calls a function for each, some 60 us with its thread"
    ),
    ("reading", "batches of log_spectrogram from shards, kept"): (
        "copies of memory: an utterance in a batch is half a megabyte. Of 5 ms of thread time a "
        "batch of 16 gathering takes 1.6, parsing 1.8, decoding 0.6 and the cast from float16 0.8"
    ),
    ("reading", "batches of log_spectrogram from shards, read anew"): (
        "copies of memory, the cast from float16 and checksums: an utterance in a batch is half a "
        "megabyte"
    ),
    ("training_step", "gmu, batches of 16"): (
        "of 62 ms of processor time a step the forward operation of the LSTM takes 12, products of "
        "matrices 20, selections by masks 6, transposes 5, the optimizer 3"
    ),
    ("training_step", "Conv1D-BLSTM"): (
        "of 93 ms of processor time a step the convolution takes 45, the sum over layers 10, the "
        "LSTM's operation 6; its input is 33 MB"
    ),
    ("training_step", "AlexNet + BERT-base, batches of 16"): (
        "of 3.2 s of processor time a step products of matrices take 1.6, convolutions 0.7, the "
        "optimizer 0.2. In float32 the products of these shapes run at 120 to 185 GFLOP/s on both "
        "sides, so that no side can be much faster"
    ),
    ("deployment", "Keras"): f"{GRAPH}; features and tokens are computed utterance by utterance",
    ("deployment", "SavedModel"): GRAPH,
}
"""Section and beginning of a line's `what` -> one sentence."""


def missed(section: str, what: str, goal: float | None, ratio: float) -> str:
    """What a note says of a line that is below its goal, or without one slower than the opponent;
    "" where it is not."""
    if ratio >= (1.0 if goal is None else goal):
        return ""
    found = (told for (of, start), told in PROFILES.items()
             if of == section and what.startswith(start))  # fmt: skip
    told = next(found, "" if goal is None else "not profiled")
    return f"missed: {told}" if goal is not None else told and f"where the time goes: {told}"
