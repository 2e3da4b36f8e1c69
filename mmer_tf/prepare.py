"""`python -m mmer_tf.prepare`: from a corpus as downloaded to shards that training reads."""

import argparse
import logging
import re
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rich.table import Table

from mmer_tf import cli
from mmer_tf.corpora import CORPORA
from mmer_tf.corpora.errors import CorpusError
from mmer_tf.data.manifest import MANIFEST
from mmer_tf.data.worker import import_ahead
from mmer_tf.recipe import RecipeError, parse_layers
from mmer_tf.remote import as_path
from mmer_tf.types import MAX_SECONDS, MissingExtraError, Seconds

if TYPE_CHECKING:
    from mmer_tf.data.manifest import Dataset
    from mmer_tf.data.shard_job import Runner
    from mmer_tf.data.states import StatesFeature

EXAMPLES = """examples:
  python -m mmer_tf.prepare --corpus synthetic
  python -m mmer_tf.prepare --corpus emodb --root corpora/EmoDB --out data/emodb
  python -m mmer_tf.prepare --corpus iemocap --root corpora/IEMOCAP --out data/iemocap \\
      --labels "ang,hap+exc,sad,neu" --tokenizer google-bert/bert-base-uncased
  python -m mmer_tf.prepare --corpus table --root my_clips.csv --out data/mine --strict
  python -m mmer_tf.prepare --corpus emodb --root corpora/EmoDB --out data/emodb \\
      --features log_mel,hubert:5-9,bert:12 --weights hubert=models/hubert-base
  python -m mmer_tf.prepare --corpus emodb --root gs://bucket/EmoDB --out gs://bucket/data/emodb \\
      --runner beam --beam-options runner=FlinkRunner flink_master=HOST:8081
"""

DEFAULT_FEATURES = ("log_mel",)
"""What the default recipe reads; `train` adds what another recipe needs."""


def main(args: argparse.Namespace) -> None:
    """Prepare one corpus and say what became of it."""
    out = args.out or cli.DATA / args.corpus
    if args.runner == "beam":
        out = out.absolute()  # a worker has another working folder
    elif args.workers != 0 and (args.overwrite or not (out / MANIFEST).is_file()):
        import_ahead()
    cli.import_tensorflow()
    from mmer_tf.data.prepare import prepare_dataset, prepare_synthetic

    features = _features(args.features, dict(args.weights))
    settings = {
        "labels": args.labels,
        "tokenizer": args.tokenizer,
        "workers": args.workers,
        "runner": _runner(args.runner, args.beam_options),
        "strict": args.strict,
        "overwrite": args.overwrite,
        "progress": cli.progress_bar,
    }
    started = time.monotonic()
    if args.root is None:
        if args.corpus != "synthetic":
            raise CorpusError(f"--corpus {args.corpus} needs --root, the folder of the corpus.")
        dataset = prepare_synthetic(out, features, **settings)
    else:
        options = {"soft_labels": True} if args.soft_labels else {}
        dataset = prepare_dataset(
            args.corpus, args.root, out, features, options=options, **settings
        )
    _show(dataset, time.monotonic() - started)


def _runner(name: str, options: Sequence[str]) -> "Runner | None":
    """What writes the shards; None is processes of this machine.

    Raises:
        MissingExtraError: Beam is not installed.
        RecipeError: options of Beam for another runner.
        BeamOptionError: options that Beam does not know.
    """
    if name == "local":
        if options:
            raise RecipeError("--beam-options are for --runner beam; add it, or leave them out")
        return None
    if find_spec("apache_beam") is None:
        raise MissingExtraError("beam", "--runner beam")
    logging.getLogger().setLevel(logging.ERROR)  # Beam tells of each cloud that it does without
    from mmer_tf.data.beam import check_options, run_pipeline

    dashed = [f"--{option}" for option in options]
    check_options(dashed)
    return partial(run_pipeline, options=dashed)


def _features(names: Sequence[str], weights: Mapping[str, str]) -> "list[str | StatesFeature]":
    """The features by name, and those of frozen encoders described.

    Raises:
        RecipeError: layers that cannot be read, or weights of an encoder that is not asked for.
    """
    from mmer_tf.data.families import split_name
    from mmer_tf.data.features import FEATURES
    from mmer_tf.data.states import ENCODERS
    from mmer_tf.registry import Registry

    known = Registry("feature", {**FEATURES, **ENCODERS})
    features: list[str | StatesFeature] = []
    used = set()
    for name in names:
        encoder, colon, layers = name.partition(":")
        if colon or encoder in ENCODERS:
            _ = ENCODERS[encoder]
            used.add(encoder)
            features.append(_describe(encoder, weights.get(encoder), layers or None))
        else:
            _ = known[split_name(name)[0]]
            features.append(name)
    for encoder in weights:
        if encoder not in used:
            raise RecipeError(f"--weights {encoder}=…: --features does not name '{encoder}'")
    return features


def _describe(encoder: str, source: str | None, layers: str | None) -> "StatesFeature":
    from mmer_tf.hidden_states import describe_states  # takes seconds

    try:
        chosen = parse_layers(layers) if layers else None
    except ValueError as error:
        raise RecipeError(f"--features {encoder}:{layers}: {error}") from None
    return describe_states(encoder, source, chosen)


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
        listed = dataset.folder / "rejected.csv"
        cli.console.print(f"Rows left behind are listed in {listed}.", soft_wrap=True)
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
        "--root",
        type=as_path,
        metavar="DIR",
        help="the corpus as downloaded, here or as gs://bucket/folder; `synthetic` needs none",
    )
    parser.add_argument(
        "--out",
        type=as_path,
        metavar="DIR",
        help="where the dataset goes, here or as gs://bucket/folder (default: data/NAME)",
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
        help="of log_mel, log_spectrogram, mel_image, mfcc, lld, waveform, and hidden states of "
        "hubert, wav2vec2, wavlm, whisper, bert as hubert:5-9, parted by commas; lld_copy1 is "
        "lld after a random perturbation of the recording "
        "(default: log_mel; mmer_tf.train adds what its recipe lacks)",
    )
    parser.add_argument(
        "--weights",
        type=cli.encoder_and_source,
        action="append",
        default=[],
        metavar="ENCODER=ID|DIR",
        help="published weights of an encoder of hidden states (default: the base model of its "
        "authors)",
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
        help="processes (default: one a core); 0 works in this one, whose hidden states come from "
        "a GPU where there is one",
    )
    parser.add_argument(
        "--runner",
        choices=("local", "beam"),
        default="local",
        help="beam: the shards are written by an Apache Beam pipeline, perhaps on a cluster "
        "(default: processes of this machine)",
    )
    parser.add_argument(
        "--beam-options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="options of the pipeline, as runner=FlinkRunner flink_master=HOST:8081",
    )
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first broken file or row"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another dataset in the same folder"
    )
    return parser


def _names(text: str) -> tuple[str, ...]:
    # Not at a comma before a digit: hubert:0,3-4 is one name.
    return tuple(name.strip() for name in re.split(r",(?!\s*\d)", text) if name.strip())


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not '{text}'")
    return int(text)


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
