"""The recipes at full size on the synthetic corpus, where voice and words each tell a part.

    python benchmarks/synthetic.py
    python benchmarks/synthetic.py --seeds 0 --recipes gmu,mm_b --out gmu.md

Ten synthetic speakers; fold 0 of the protocol `speaker`, the epoch chosen on validation
speakers. A finished training is not repeated, a killed one goes on.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from markdown_table import command_line, markdown_table, versions
from runs import Finished, add_arguments, train

from mmer_tf.atomic import write_text
from mmer_tf.evaluation.metrics import mean_and_deviation
from mmer_tf.recipe import list_models

RECIPES = (
    "blstm_last",
    "blstm_mean",
    "blstm_attention",
    "lexical_last",
    "lexical_cls",
    "lexical_mean",
    "lexical_attention",
    "alexnet",
    "mm_b",
    "gmu",
    "cross_attention",
    "hierarchical",
)

HEADER = ("recipe", "what", "WA", "UA", "epochs")


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, and write the table after every recipe."""
    args = make_parser().parse_args(argv)
    finished: dict[str, list[Finished]] = {}
    for recipe in args.recipes:
        finished[recipe] = [
            train(recipe, recipe, data=args.data, fold=0, seed=seed, runs=args.runs, tiny=args.tiny)
            for seed in args.seeds
        ]
        write_text(args.out, page(finished, args.seeds, args.tiny))
    print(f"written to {args.out}")


def page(finished: Mapping[str, Sequence[Finished]], seeds: Sequence[int], tiny: bool) -> str:
    """The Markdown of the results so far."""
    tested = sorted({run.report["n"] for runs in finished.values() for run in runs})
    size = "trial size (`--tiny`)" if tiny else "full size"
    of_seeds = ", ".join(map(str, seeds))
    spread = "mean ± deviation over seeds" if len(seeds) > 1 else "seed"
    return "\n".join(
        (
            "# Recipes on the synthetic corpus\n",
            "**Synthetic: no scientific result.** The voice is espeak-ng's, the words are drawn "
            "from lists; both are drawn independently given the emotion, so that neither "
            "suffices. The figures show that each recipe learns, nothing more.\n",
            command_line(),
            f"Protocol `speaker`, fold 0: the test speakers ({', '.join(map(str, tested))} "
            "utterances) are heard neither in training nor in validation, and the epoch is chosen "
            f"by the UA on the validation speakers. Recipes at {size}; {spread} {of_seeds}.\n",
            versions(),
            markdown_table(HEADER, [row(recipe, runs) for recipe, runs in finished.items()]),
        )
    )


def row(recipe: str, runs: Sequence[Finished]) -> tuple[str, ...]:
    """One recipe's line."""
    summary = mean_and_deviation([dict(run.report) for run in runs])
    cells = []
    for figure in ("wa", "ua"):
        mean, deviation = summary[figure]["mean"], summary[figure]["deviation"]
        cells.append(f"{mean:.3f} ± {deviation:.3f}" if len(runs) > 1 else f"{mean:.3f}")
    return (f"`{recipe}`", list_models()[recipe][0], *cells, str(runs[0].epochs))


def make_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds",
        type=lambda text: tuple(int(seed) for seed in text.split(",")),
        default=(0, 1, 2),
        metavar="N,N",
        help="default: 0,1,2",
    )
    parser.add_argument(
        "--recipes",
        type=lambda text: tuple(text.split(",")),
        default=RECIPES,
        metavar="NAME,NAME",
        help=f"default: {','.join(RECIPES)}",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="prepared data set (default: data/synthetic)"
    )
    add_arguments(parser, __file__)
    return parser


if __name__ == "__main__":
    sys.exit(main())
