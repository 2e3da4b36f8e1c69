"""`python -m mmer_tf.predict`: the emotion of sound files."""

import argparse
import csv
import glob
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console

from mmer_tf import cli
from mmer_tf.audio.blocks import CONTAINERS
from mmer_tf.audio.decode import SUFFIXES, AudioError, decode
from mmer_tf.deploy.stream.emotion_stream import OF_A_FILE, EmotionStream
from mmer_tf.deploy.stream.files import whole_seconds, write_timelines
from mmer_tf.deploy.stream.smoothing import Smoothing
from mmer_tf.deploy.stream.writing import Form, timeline_writer
from mmer_tf.modalities import require_readable, unused_or_missing
from mmer_tf.text.normalise import clean
from mmer_tf.types import Answer

if TYPE_CHECKING:
    from mmer_tf.deploy.asr import Recogniser
    from mmer_tf.deploy.classifier import Classifier

EXAMPLES = """examples:
  python -m mmer_tf.predict --run gmu-synthetic-speaker-fold0-seed0 recording.wav
  python -m mmer_tf.predict --run my_run --text "I can't believe it" recording.flac
  python -m mmer_tf.predict --run my_run --csv recordings/ "more/*.mp3" > answers.csv
  python -m mmer_tf.predict --saved-model served/emotion --json a.wav b.wav
  python -m mmer_tf.predict --tflite emotion.tflite a.wav
  python -m mmer_tf.predict --run my_run --weights hubert=models/hubert-base recording.wav
  python -m mmer_tf.predict --run my_run --timeline --asr pocketsphinx interview.webm
"""


class PredictionError(ValueError):
    """Nothing to classify, or files that could not be read."""


def main(args: argparse.Namespace) -> None:
    """Classify each file; one that cannot be read does not stop the others."""
    if args.timeline:
        return _timelines(args)
    if args.asr is not None or args.asr_weights is not None:
        raise PredictionError("--asr is for --timeline: give the words with --text")
    if args.threshold is not None:
        raise PredictionError("--threshold is for --timeline: whole files always get a label")
    if not args.files and not args.text:
        raise PredictionError("nothing to classify: name sound files, give --text, or both")
    files = find_recordings(args.files)
    classifier = load_classifier(args)
    words = bool(clean(args.text))
    require_readable(classifier.hears, classifier.reads, bool(files), words)
    note = unused_or_missing(classifier.hears, classifier.reads, bool(files), words)
    failed = 0
    with _writing(args.out) as stream, _progress("classifying", stream, len(files)) as advance:
        show = _writer(_form(args), stream, classifier.labels, note)
        for done, file in enumerate(files or [None], 1):
            try:
                waveform = None if file is None else decode(file)
                (answer,) = classifier.predict([waveform], [args.text])
                show(file, answer)
            except AudioError as error:
                failed += 1
                print(f"error: {error}", file=sys.stderr)
            advance(done)
    _tell_failed(failed, files)


def _timelines(args: argparse.Namespace) -> None:
    """The same, part by part of each file."""
    if args.text:
        raise PredictionError("--text is for whole files: a timeline hears its words with --asr")
    if args.asr_weights is not None and args.asr != "whisper":
        raise PredictionError("--asr-weights is for --asr whisper")
    if not args.files:
        raise PredictionError("nothing to listen to: --timeline needs sound files")
    files = find_recordings(args.files, (*SUFFIXES, *CONTAINERS))
    classifier = load_classifier(args)
    recogniser = _recogniser(args, classifier)
    if not classifier.hears and recogniser is None:
        raise PredictionError(
            "this model reads only the words: name what hears them with --asr pocketsphinx"
        )
    smoothing = Smoothing() if args.threshold is None else Smoothing(threshold=args.threshold)
    emotions = EmotionStream(classifier, recogniser, smoothing=smoothing, batch_size=OF_A_FILE)
    note = unused_or_missing(classifier.hears, classifier.reads, True, recogniser is not None)
    if note and classifier.hears:
        print(f"note: {note}", file=sys.stderr)
    with (
        _writing(args.out) as stream,
        _progress("seconds heard", stream, whole_seconds(files)) as advance,
    ):
        show = timeline_writer(_form(args), stream, classifier.labels)
        failed = write_timelines(emotions, files, show, advance)
    _tell_failed(failed, files)


def _recogniser(args: argparse.Namespace, classifier: "Classifier") -> "Recogniser | None":
    """What `--asr` names; of a model that only reads, the one that needs no weights."""
    asr = args.asr
    if asr is None and not classifier.hears:
        asr = "pocketsphinx"
    if asr in (None, "none"):
        return None
    from mmer_tf.deploy.asr import make_recogniser

    return make_recogniser(asr, args.asr_weights)


def _tell_failed(failed: int, files: Sequence[Path]) -> None:
    if failed:
        raise PredictionError(f"{failed} of {len(files)} files could not be read")


def load_classifier(args: argparse.Namespace) -> "Classifier":
    """What `--run`, `--saved-model` or `--tflite` names."""
    if args.weights and args.run is None:
        raise PredictionError("--weights is for --run: an exported model holds its encoders")
    if args.tflite is not None:
        from mmer_tf.deploy.tflite import LiteRTClassifier  # without TensorFlow

        return LiteRTClassifier(args.tflite)
    cli.import_tensorflow()
    if args.saved_model is not None:
        from mmer_tf.deploy.classifier import SavedModelClassifier

        return SavedModelClassifier(args.saved_model)
    from mmer_tf.bundle import Bundle

    return Bundle.load(cli.run_folder(args.run, args.runs)).with_weights(dict(args.weights))


def find_recordings(named: Sequence[str], suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Files, the sound files in folders and below them, and what patterns match, as named.

    Args:
        named: as typed.
        suffixes: of what counts as a sound file where a folder or a pattern is named.

    Raises:
        PredictionError: a folder without sound files, or a pattern that matches nothing.
    """
    found: dict[Path, None] = {}  # in order, each once
    for name in named:
        path = Path(name)
        if path.is_dir():
            files = _below(path, suffixes)
            if not files:
                raise PredictionError(
                    f"{name}: no sound files in this folder; name them one by one"
                )
        elif not path.exists() and glob.has_magic(name):
            # Path.glob takes no absolute pattern.
            matches = map(Path, sorted(glob.glob(name, recursive=True)))  # noqa: PTH207
            files = [file for match in matches for file in _below(match, suffixes)]
            if not files:
                raise PredictionError(f"{name}: matches no sound file; check the pattern")
        else:
            files = [path]
        found |= dict.fromkeys(files)
    return list(found)


def _below(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """The sound files in a folder and below it, or the file itself if it is one."""
    candidates = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [one for one in candidates if one.suffix.lower() in suffixes and one.is_file()]


@contextmanager
def _writing(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    # A file's name may be no UTF-8, and is written as it is.
    with out.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        yield stream


def _progress(
    what: str, stream: TextIO, total: int
) -> AbstractContextManager[Callable[[int], None]]:
    """A bar beside the answers, unless they themselves run over the screen."""
    if stream.isatty() or not sys.stderr.isatty():
        return nullcontext(lambda done: None)
    return cli.progress_bar(what, total, Console(stderr=True))


def _form(args: argparse.Namespace) -> Form:
    """What is written, by the flags or by the name of the file."""
    suffix = "" if args.out is None else args.out.suffix
    if args.csv or suffix == ".csv":
        return "csv"
    return "json" if args.json or suffix in (".json", ".jsonl") else "text"


def _writer(
    form: Form, stream: TextIO, labels: Sequence[str], note: str | None
) -> Callable[[Path | None, Answer], None]:
    """What writes one answer, at once, so that a killed command loses none."""
    if form == "csv":
        columns = ["file", "label", *labels, "note"]
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()

        def write_row(file: Path | None, answer: Answer) -> None:
            rounded = {label: f"{p:.6f}" for label, p in answer.probabilities.items()}
            table.writerow({"file": file, "label": answer.label, "note": note} | rounded)
            stream.flush()

        return write_row
    if form == "json":

        def write_line(file: Path | None, answer: Answer) -> None:
            row: dict[str, Any] = {"file": file and str(file), "label": answer.label}
            row |= {"probabilities": answer.probabilities, "note": note}
            print(json.dumps(row), file=stream, flush=True)

        return write_line

    def write_words(file: Path | None, answer: Answer) -> None:
        ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])
        probabilities = "  ".join(f"{label} {p:.3f}" for label, p in ranked)
        print(f"{file or 'text'}: {answer.label}  ({probabilities})", file=stream, flush=True)
        if note:
            print(f"  note: {note}", file=stream, flush=True)

    return write_words


def _words(text: str) -> str:
    """A transcript, for argparse."""
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise argparse.ArgumentTypeError("must be UTF-8; check the terminal's encoding")
    return text


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("predict", "Classify sound files, a transcript, or both.")
    parser.epilog = EXAMPLES
    which = cli.add_run_arguments(parser)
    which.add_argument(
        "--saved-model", type=Path, metavar="DIR", help="a SavedModel written by mmer_tf.export"
    )
    which.add_argument(
        "--tflite", type=Path, metavar="FILE", help="a .tflite file written by mmer_tf.export"
    )
    cli.add_weights_argument(parser)
    parser.add_argument("--text", type=_words, default="", help="what is said in the files")
    parser.add_argument(
        "--timeline", action="store_true", help="from when to when which emotion, in long files"
    )
    parser.add_argument(
        "--asr",
        choices=("pocketsphinx", "whisper", "none"),
        help="what hears the words of a timeline (default: none, unless the model only reads)",
    )
    parser.add_argument(
        "--asr-weights", type=Path, metavar="DIR", help="of Whisper, in CTranslate2's format"
    )
    parser.add_argument(
        "--threshold",
        type=cli.share,
        metavar="P",
        help="less probable parts of a timeline are unsure (default: "
        f"{Smoothing.threshold:g}, as on the page of mmer_tf.demo)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="a table")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write; .jsonl and .csv say the form"
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="sound files, folders of them, or patterns"
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
