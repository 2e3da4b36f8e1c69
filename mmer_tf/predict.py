"""`python -m mmer_tf.predict`: the emotion of sound files."""

import argparse
import json
import sys
from pathlib import Path

from mmer_tf import cli
from mmer_tf.recipe import Recipe

EXAMPLES = """examples:
  python -m mmer_tf.predict --run gmu-synthetic-speaker-fold0-seed0 recording.wav
  python -m mmer_tf.predict --run my_run --text "I can't believe it" recording.flac
  python -m mmer_tf.predict --run my_run --json a.wav b.wav
  python -m mmer_tf.predict --run my_run --weights hubert=models/hubert-base recording.wav
"""


class PredictionError(ValueError):
    """Nothing to classify, or files that could not be read."""


def main(args: argparse.Namespace) -> None:
    """Classify each file; one that cannot be read does not stop the others."""
    if not args.files and not args.text:
        raise PredictionError("nothing to classify: name sound files, give --text, or both")
    cli.import_tensorflow()
    from mmer_tf.audio.decode import AudioError, decode
    from mmer_tf.bundle import Bundle
    from mmer_tf.text.normalise import clean

    bundle = Bundle.load(cli.run_folder(args.run, args.runs)).with_weights(dict(args.weights))
    words = clean(args.text, bundle.recipe.data.cleaning)
    note = _what_is_missing(bundle.recipe, heard=bool(args.files), read=bool(words))
    failed = []
    for file in args.files or [None]:
        try:
            waveform = None if file is None else decode(file)
        except AudioError as error:
            failed.append(str(error))
            print(f"error: {error}", file=sys.stderr)
            continue
        (answer,) = bundle.predict([waveform], [args.text])
        if args.json:
            row = {"file": file and str(file), "label": answer.label}
            print(json.dumps(row | {"probabilities": answer.probabilities, "note": note}))
            continue
        ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])
        probabilities = "  ".join(f"{label} {p:.3f}" for label, p in ranked)
        print(f"{file or 'text'}: {answer.label}  ({probabilities})")
        if note:
            print(f"  note: {note}")
    if failed:
        raise PredictionError(f"{len(failed)} of {len(args.files)} files could not be read")


def _what_is_missing(recipe: Recipe, heard: bool, read: bool) -> str | None:
    """What the model would use but was not given, or was given but does not use."""
    if recipe.speech and recipe.text:
        if not read:
            return "no transcript given (--text): answered from the voice alone"
        if not heard:
            return "no recording given: answered from the words alone"
    elif recipe.speech and read:
        return "this model hears only the voice: --text is not used"
    elif recipe.text and heard:
        return "this model reads only the words: the recording is not used"
    return None


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("predict", "Classify sound files, a transcript, or both.")
    parser.epilog = EXAMPLES
    cli.add_run_arguments(parser)
    cli.add_weights_argument(parser)
    parser.add_argument("--text", default="", help="what is said in the files")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="any sound file")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
