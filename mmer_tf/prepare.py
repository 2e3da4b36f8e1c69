"""`python -m mmer_tf.prepare`: from a corpus as downloaded to shards that training reads."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from mmer_tf import cli
from mmer_tf.corpora import CORPORA
from mmer_tf.corpora.errors import CorpusError
from mmer_tf.types import MAX_SECONDS, Seconds

if TYPE_CHECKING:
    from mmer_tf.data.manifest import Dataset

EXAMPLES = """examples:
  python -m mmer_tf.prepare --corpus synthetic
  python -m mmer_tf.prepare --corpus emodb --root corpora/EmoDB --out data/emodb
  python -m mmer_tf.prepare --corpus iemocap --root corpora/IEMOCAP --out data/iemocap \\
      --labels "ang,hap+exc,sad,neu" --tokenizer google-bert/bert-base-uncased
  python -m mmer_tf.prepare --corpus table --root my_clips.csv --out data/mine --strict
"""

DEFAULT_FEATURES = ("log_mel",)
"""What the default recipe reads; `train` adds what another recipe needs."""


def main(args: argparse.Namespace) -> None:
    """Prepare one corpus and say what became of it."""
    cli.import_tensorflow()
    from mmer_tf.data.prepare import prepare_dataset, prepare_synthetic

    out = args.out or cli.DATA / args.corpus
    settings = {
        "labels": args.labels,
        "tokenizer": args.tokenizer,
        "workers": args.workers,
        "strict": args.strict,
        "overwrite": args.overwrite,
        "progress": cli.progress_bar,
    }
    started = time.monotonic()
    if args.root is None:
        if args.corpus != "synthetic":
            raise CorpusError(f"--corpus {args.corpus} needs --root, the folder of the corpus.")
        dataset = prepare_synthetic(out, args.features, **settings)
    else:
        options = {"soft_labels": True} if args.soft_labels else {}
        dataset = prepare_dataset(
            args.corpus, args.root, out, args.features, options=options, **settings
        )
    _show(dataset, time.monotonic() - started)


def _show(dataset: "Dataset", elapsed: Seconds) -> None:
    speakers, classes = len(dataset.count("speaker")), len(dataset.labels)
    table = Table(show_header=False, title=f"{dataset.name} in {dataset.folder}", box=None)
    table.add_column(justify="right", style="bold")
    table.add_column()

    def add(title: str, counts: dict[str, int]) -> None:
        if counts:
            table.add_row(title, "\n".join(f"{n} {name}" for name, n in counts.items()))

    add("classes", dataset.count("label"))
    if dataset.seconds:
        table.add_row("audio", f"{dataset.seconds / 3600:.2f} hours")
    if longer := dataset.longer_than(MAX_SECONDS):
        table.add_row("cropped", f"{longer} longer than {MAX_SECONDS:g} s, when read")
    if lacking := dataset.without_transcript:
        table.add_row("transcripts", f"{lacking} of {len(dataset.rows)} utterances have none")
    add("converted", dict(dataset.conversions))
    add("dropped", dict(dataset.dropped))
    add("rejected", dict(dataset.rejected))
    table.add_row("features", ", ".join(dataset.features) or "none: text alone")
    speed = f", {dataset.seconds / elapsed:.0f} × real time" if dataset.seconds else ""
    table.add_row("time", f"{elapsed:.1f} s{speed}")
    cli.console.print(table)
    if dataset.dropped or dataset.rejected:
        cli.console.print(f"Rows left behind are listed in {dataset.folder / 'rejected.csv'}.")
    cli.console.print(
        f"[bold]{len(dataset.rows)} utterances, {classes} classes, {speakers} speakers[/]",
        highlight=False,
    )


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("prepare", "Write a corpus as shards that training reads.")
    parser.epilog = EXAMPLES
    parser.add_argument("--corpus", required=True, metavar="NAME", help=", ".join(CORPORA))
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="the corpus as downloaded; `synthetic` needs none"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the dataset goes (default: data/NAME)"
    )
    parser.add_argument(
        "--labels",
        metavar="LIST",
        help='classes to keep and to merge, as "ang,hap+exc,sad,neu" (default: all)',
    )
    parser.add_argument(
        "--features",
        type=_names,
        default=DEFAULT_FEATURES,
        metavar="LIST",
        help="of log_mel, log_spectrogram, mel_image, mfcc, lld, waveform, parted by commas "
        "(default: log_mel; mmer_tf.train adds what its recipe lacks)",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="ID|DIR",
        help="pretrained BERT whose tokens are stored, as google-bert/bert-base-uncased",
    )
    parser.add_argument(
        "--soft-labels",
        action="store_true",
        help="keep rows with several labels as shares of votes, instead of dropping them",
    )
    parser.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="processes (default: one a core); 0 works in this one",
    )
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first broken file or row"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another dataset in the same folder"
    )
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not '{text}'")
    return int(text)


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
