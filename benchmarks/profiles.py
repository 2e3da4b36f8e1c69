"""Where the time goes in work that misses its goal. `run.py` adds it to the notes of lines."""

CALL = "calling a traced function that does nothing takes 0.2 ms, which a single clip pays alone"
LOOP = "85 % is inside the graph, in the loop of the LSTM with some 58 operations a step"

PROFILES = {
    ("features", "log_mel of a clip"): CALL,
    ("features", "mfcc of a clip"): CALL,
    ("features", "log_spectrogram of a clip"): CALL,
    ("features", "log_mel of 32 clips"): (
        "of 17.8 ms on one core the 512-point FFT with its padding takes 7.7, the product with the "
        "mel filters 3.3, framing and window 3.3, squares 2"
    ),
    ("features", "mfcc of 32 clips"): (
        "as of log_mel, whose frames it starts from: the 512-point FFT first, then the product "
        "with the mel filters"
    ),
    ("features", "log_spectrogram of 32 clips"): (
        "of 16 ms on one core framing and window take 2.5, the FFT 3.2, squares 2, the logarithm "
        "1.5, mask and the three channels side by side 6.8"
    ),
    ("preparing", "log_mel of"): "the start, most of it the import of TensorFlow",
    ("reading", "batches of log_mel"): (
        "some 30 % is tf.data's threads handing over small elements"
    ),
    ("reading", "batches of log_spectrogram"): (
        "copies of memory, the cast from float16 and checksums: an utterance in a batch is half a "
        "megabyte"
    ),
    ("training_step", "gmu, batches of 16"): (
        "of 44 ms a step the BLSTM takes 21, BERT 8, the optimizer 6, the rest is the classifier "
        "and `fit`"
    ),
    ("training_step", "Conv1D-BLSTM"): (
        "of 92 ms of processor time a step the forward pass takes 42, the backward pass 48, the "
        "optimizer 1.4; its input is 33 MB"
    ),
    ("training_step", "AlexNet + BERT-base, batches of 16"): (
        "of 3.3 s a step BERT takes 2.2, AlexNet 0.8, the optimizer 0.3: products of matrices on "
        "both sides"
    ),
    ("deployment", "Keras"): f"{LOOP}; features and tokens are computed utterance by utterance",
    ("deployment", "SavedModel"): LOOP,
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
