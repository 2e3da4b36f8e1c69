"""What every command shares: flags, quiet start-up, errors as one sentence, progress.

Imported before the arguments are parsed, so it imports neither TensorFlow nor Keras.
"""

import argparse
import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mmer_tf.atomic import storage_refusal
from mmer_tf.recipe import RecipeError, shipped_recipes
from mmer_tf.remote import RemotePath, as_path

console = Console()

USER_ERROR = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

RUNS = Path("saved_models")
"""Where runs are written and looked up, below the folder the command is started in."""

DATA = Path("data")

SYNTHETIC = DATA / "synthetic"
"""The data set of those who name none."""


def make_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """An argument parser with the flags that every command has."""
    parser = argparse.ArgumentParser(
        prog=f"python -m mmer_tf.{prog}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show the libraries' own messages and traces"
    )
    return parser


def add_run_arguments(
    parser: argparse.ArgumentParser, ensembles: bool = False
) -> argparse._MutuallyExclusiveGroup:
    """The flags of commands that take a trained run; `run_folder` reads them.

    Args:
        parser: gets `--run` and `--runs`.
        ensembles: offer `--ensemble RUN RUN …` in place of `--run` too.

    Returns:
        The group of which one must be given.
    """
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", help="name below saved_models/, or a folder")
    if ensembles:
        which.add_argument("--ensemble", nargs="+", metavar="RUN", help="several runs, which vote")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help="where runs are")
    return which


def add_weights_argument(parser: argparse.ArgumentParser) -> None:
    """`--weights` of commands that take a trained run: where its frozen encoders lie now."""
    parser.add_argument(
        "--weights",
        type=encoder_and_source,
        action="append",
        default=[],
        metavar="ENCODER=ID|DIR",
        help="where the weights of an encoder of stored hidden states are, which must be those "
        "of the training (default: where they were then)",
    )


def add_report_argument(parser: argparse.ArgumentParser) -> None:
    """`--report` of commands that write one: with its pictures and page, or the figures alone."""
    parser.add_argument(
        "--report",
        choices=("full", "figures"),
        default="full",
        help="figures: report.json and predictions alone, no pictures",
    )


def add_training_arguments(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """The flags of commands that train: which recipe, on what, which folds and seeds, where to.

    Returns:
        The group of `--model` and `--config`, for what else may stand in their place.
    """
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--model",
        metavar="NAME",
        help=f"a shipped recipe (default: gmu): {', '.join(shipped_recipes())}",
    )
    which.add_argument("--config", type=Path, metavar="FILE", help="a recipe of your own")
    parser.add_argument(
        "--data",
        type=as_path,
        metavar="DIR",
        help="data set written by mmer_tf.prepare (default: the synthetic corpus, made on demand)",
    )
    parser.add_argument(
        "--folds",
        type=fold_number,
        default=0,
        metavar="K|all",
        help="the fold to test on, counted from 0, or all of them",
    )
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seed", dest="seeds", type=_seeds, metavar="N", default=(0,))
    seeds.add_argument("--seeds", type=_seeds, metavar="N,N", help="mean and deviation over seeds")
    parser.add_argument("--run", metavar="NAME", help="name of the run (default: derived)")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help="where runs go")
    parser.add_argument("--overwrite", action="store_true", help="train a finished run anew")
    parser.add_argument("--tiny", action="store_true", help="the recipe at its trial size")
    parser.add_argument(
        "overrides", nargs="*", metavar="field=value", help="change the recipe: train.epochs=3"
    )
    return which


def fold_number(text: str) -> int | str:
    """A fold, or all of them, for argparse."""
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be `all` or a number from 0, not '{text}'")
    return text if text == "all" else int(text)


def _seeds(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(number.isdecimal() for number in numbers) or len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"must be different numbers from 0, not '{text}'")
    return tuple(int(number) for number in numbers)


def encoder_and_source(text: str) -> tuple[str, str]:
    """The two sides of `hubert=FOLDER`, for argparse."""
    encoder, _, source = text.partition("=")
    if not encoder or not source:
        raise argparse.ArgumentTypeError(f"reads `hubert=FOLDER`, not '{text}'")
    return encoder, source


def port_number(text: str) -> int:
    """A TCP port, for argparse."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to 65535, not '{text}'")
    return int(text)


def share(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not '{text}'")
    return value


def run(
    main: Callable[[argparse.Namespace], int | None],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
) -> int:
    """Parse, silence, run; what the user got wrong becomes one sentence and exit code 2.

    Otherwise the exit code is what `main` returns, 0 where it returns nothing.
    """
    # Intermixed: files and overrides may stand before, between and after the flags.
    args = parser.parse_intermixed_args(argv)
    silence_libraries(args.verbose)
    try:
        if any(isinstance(value, RemotePath) for value in vars(args).values()):
            import_tensorflow()  # reaches such places, and would greet when it does
        code = main(args) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _leave_quietly()
    except Exception as error:
        # Our own errors are subclasses defined in mmer_tf, and a library may hide what the system
        # said of a file; anything else is a defect of ours and deserves its trace.
        refusal = None if is_ours(error) else storage_refusal(error)
        if args.verbose or not (refusal or is_user_error(error)):
            raise
        print(f"error: {refusal or error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _leave_quietly() -> int:
    """Whoever read our output has left, as `head` does: what is still to be said goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


def is_user_error(error: BaseException) -> bool:
    """Raised on purpose by this package, or by the operating system about a file."""
    return is_ours(error) or (isinstance(error, OSError) and error.filename is not None)


def is_ours(error: BaseException) -> bool:
    """Raised on purpose by this package."""
    # A command started with `python -m` defines its own errors in `__main__`.
    return type(error).__module__.startswith(("mmer_tf.", "__main__"))


def silence_libraries(verbose: bool) -> None:
    """Keep TensorFlow's, absl's and transformers' start-up messages off the screen.

    Must run before TensorFlow is imported; worker processes inherit the environment.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if verbose:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore")
    for name in ("absl", "tensorflow", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


def import_tensorflow() -> None:
    """Import TensorFlow without its greetings, which TF_CPP_MIN_LOG_LEVEL does not stop.

    They are written by the library's static initialisers, before any log level is read, so the
    file descriptor itself is turned away while they run. Commands call this once they know that
    TensorFlow is needed; it is imported by name because this module stays light.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        importlib.import_module("tensorflow")
        return
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        try:
            os.dup2(captured.fileno(), 2)
            importlib.import_module("tensorflow")
        except BaseException:
            captured.seek(0)
            os.write(standard_error, captured.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)


def recipe_file(model: str | None, config: Path | None) -> Path:
    """The recipe that `--model NAME` or `--config FILE` means."""
    if config is not None:
        if not config.is_file():
            raise RecipeError(f"{config}: no such recipe file")
        return config
    return shipped_recipes()[model or "gmu"]


def run_folder(run: str, runs: Path = RUNS) -> Path:
    """The folder that `--run` means: a path, or a name below `saved_models/`."""
    return Path(run) if Path(run).is_dir() else runs / run


def show_result(tables: RenderableType, folder: Path) -> None:
    """Print figures, and where they are kept."""
    console.print(tables)
    console.print(f"written to {folder}/", highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(
    description: str, total: int, screen: Console = console
) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing but the closing line elsewhere.

    Yields:
        `advance(done)`, to be called with the number of finished items so far.
    """
    if not screen.is_terminal:
        yield lambda done: None
        screen.print(f"{description}: {total} done")
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done: progress.update(task, completed=done)
