"""Where the time goes in work that misses its goal. `run.py` adds it to the notes of lines."""

CALL = (
    "of 0.9 ms calling a traced function that does nothing takes 0.2, which a single clip pays "
    "alone; the rest is as for 32 clips"
)
GRAPH = (
    "under the profiler, of 3.1 ms in the graph the LSTM takes 0.6 and all operations 1.7; the "
    "rest is TensorFlow's executor, which hands over several hundred small ones"
)

ONE_UTTERANCE = (
    "a step is some thousands of operations, gmu's 8,000, however small they are, and TensorFlow's "
    "executor hands each over"
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
    ("features", "mfcc of 32 clips, two threads"): (
        f"{TWO_THREADS}. Profiled alone, two threads took 0.7 to 0.9 of the time of one; why they "
        "are slower in this contest is not known"
    ),
    ("features", "log_spectrogram of 32 clips, two threads"): (
        "not profiled with two threads; with one, mask and the three channels side by side take "
        "6.8 of 16 ms"
    ),
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
        "alone, one after the other, an epoch's 339 records are read in 11 ms, drawn in 5 and "
        "grouped by length in 20, since grouping calls a function for each; batches then cost as "
        "from memory"
    ),
    ("reading", "batches of log_spectrogram from shards, kept"): (
        "copies of memory: an utterance in a batch is half a megabyte. Of 5 ms of thread time a "
        "batch of 16 gathering takes 1.6, parsing 1.8, decoding 0.6 and the cast from float16 0.8"
    ),
    ("reading", "batches of log_spectrogram from shards, read anew"): (
        "alone, one after the other, an epoch's 339 records, 91 MB, are read in 65 ms, drawn in "
        "65 and grouped by length in 100, which copies them; batches then cost as from memory"
    ),
    ("training_step", "gmu, batches of 16"): (
        "of 62 ms of processor time a step the forward operation of the LSTM takes 12, products of "
        "matrices 20, selections by masks 6, transposes 5, the optimizer 3"
    ),
    ("training_step", "gmu, one utterance a step"): ONE_UTTERANCE,
    ("training_step", "Conv1D-BLSTM on stored HuBERT states, one utterance"): ONE_UTTERANCE,
    ("training_step", "Conv1D-BLSTM"): (
        "of 93 ms of processor time a step the convolution takes 45, the sum over layers 10, the "
        "LSTM's operation 6; its input is 33 MB"
    ),
    ("training_step", "AlexNet + BERT-base, batches of 16"): (
        "of 3.2 s of processor time a step products of matrices take 1.6, convolutions 0.7, the "
        "optimizer 0.2; the rest are passes over memory, for dropout, GELU, biases and masks. "
        "Products of these shapes run at 120 to 185 GFLOP/s in float32 on both sides, so that "
        "they leave no side 1.5 times as fast; in the passes over memory PyTorch is ahead"
    ),
    ("deployment", ".tflite, float32, one after the other"): (
        "one utterance after the other, where the opponent has 16 in a product"
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
