"""What is wrong with a command of the documentation, as the real argument parsers see it."""

import contextlib
import importlib
import importlib.util
import io
import itertools
import re
import sys
import tempfile
import tomllib
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from blocks import REPOSITORY, Command
from python_names import missing_names

from mmer_tf import cli
from mmer_tf.corpora import CORPORA
from mmer_tf.feasibility import check_recipe
from mmer_tf.recipe import load_recipe

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

Files = Mapping[str, str]
"""What the page has its reader write: path -> content."""

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))

ELSEWHERE = {
    # A shell, and what moves files.
    *("apt-get", "base64", "cat", "cp", "curl", "du", "find", "grep", "head", "jq", "ln", "ls"),
    *("mkdir", "mv", "nproc", "paste", "rm", "sed", "sleep", "sort", "tail", "tar", "unzip", "wc"),
    # Of others.
    *("ffmpeg", "gcloud", "git", "gsutil", "kubectl", "scontrol", "ssh", "tensorboard"),
}
"""Other programs that a reader has, or is told to get."""


def complaint(command: Command, files: Files) -> str | None:
    """One sentence on what is wrong; None where nothing is."""
    program, *arguments = command.arguments
    if program in ELSEWHERE:
        return None
    if program not in JUDGES:
        return f"no program `{program}` is known; see ELSEWHERE"
    return JUDGES[program](arguments, files)


def _python(arguments: Sequence[str], files: Files) -> str | None:
    first, *rest = arguments or [""]
    if first == "-m":
        return _module(rest[0], rest[1:], files)
    if first == "-c":
        return missing_names(rest[0])
    if first in ("", "-") or first in files:
        return None
    script = REPOSITORY / first
    if not script.is_file():
        return f"{first} is no file of the project, and none that the page has written"
    if script.parent.name == "benchmarks":
        return _parsed(script.stem, rest)[1]
    return None


def _module(name: str, arguments: Sequence[str], files: Files) -> str | None:
    if name == "pip":
        return _pip(arguments, files)
    if name == "pytest":
        return _pytest(arguments, files)
    if not name.startswith("mmer_tf."):
        known = importlib.util.find_spec(name.split(".")[0])
        return None if known else f"there is no module {name}"
    args, refusal = _parsed(name, arguments)
    if args is None:
        return refusal
    try:
        _look_ahead(name, args, files)
    except Exception as error:
        if not cli.is_user_error(error):
            raise
        return str(error)
    return None


def _parsed(module: str, arguments: Sequence[str]) -> tuple[Namespace | None, str | None]:
    """What a module's parser makes of arguments, or what it says against them."""
    try:
        parser = importlib.import_module(module).make_parser()
    except (ImportError, AttributeError) as error:
        return None, f"{module}: {error}"
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            return parser.parse_intermixed_args(arguments), None
    except SystemExit as stop:
        return None, said.getvalue().splitlines()[-1] if stop.code else None


def _look_ahead(name: str, args: Namespace, files: Files) -> None:
    """What a command refuses after parsing and before TensorFlow.

    Raises:
        Exception: one of the package's own, where it refuses the arguments.
    """
    module = sys.modules[name]
    if hasattr(module, "_check_options"):
        module._check_options(args)
    if hasattr(args, "beam_options"):
        module._runner(args.runner, args.beam_options)
    corpus = getattr(args, "corpus", None)
    if corpus and not corpus.isupper() and f"mmer_tf/corpora/{corpus}.py" not in files:
        CORPORA[corpus]
    if hasattr(args, "overrides"):
        _check_overrides(args, files)


def _check_overrides(args: Namespace, files: Files) -> None:
    """Load the recipe as changed; one of the reader's own that the page does not show is `gmu`."""
    named = args.config.as_posix() if args.config else None
    with tempfile.TemporaryDirectory() as folder:
        if named in files:
            config = Path(folder) / args.config.name
            config.write_text(files[named], encoding="utf-8")
        else:
            config = REPOSITORY / named if named and (REPOSITORY / named).is_file() else None
        if args.model and args.model.isupper():
            args.model = None
        check_recipe(load_recipe(cli.recipe_file(args.model, config), args.overrides, args.tiny))


def _make(arguments: Sequence[str], files: Files) -> str | None:
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", text, re.MULTILINE))
    wanted = {one for one in arguments if "=" not in one and not one.startswith("-")}
    return _missing(wanted - targets, "the Makefile has no target")


def _docker(arguments: Sequence[str], files: Files) -> str | None:
    named = _after(("--file", "-f", "--env-file"), arguments)
    return _missing({name for name in named if name not in files and _absent(name)}, "no file")


def _pip(arguments: Sequence[str], files: Files) -> str | None:
    extras = PROJECT["project"]["optional-dependencies"]
    groups = re.findall(r"(?:mmer-tf|\.)\[([\w,-]+)\]", " ".join(arguments))
    unknown = {extra for group in groups for extra in group.split(",")} - set(extras)
    lists = _after(("-c", "-r", "--constraint", "--requirement"), arguments)
    return _missing(unknown, "no extra") or _missing(set(filter(_absent, lists)), "no file")


def _pytest(arguments: Sequence[str], files: Files) -> str | None:
    paths = {one.split("::")[0] for one in arguments if "/" in one}
    return _missing({path for path in paths if path not in files and _absent(path)}, "no file")


def _after(options: Sequence[str], arguments: Sequence[str]) -> set[str]:
    """The values of some options."""
    return {value for option, value in itertools.pairwise(arguments) if option in options}


def _absent(name: str) -> bool:
    return not (REPOSITORY / name).exists()


def _missing(names: set[str], what: str) -> str | None:
    return f"{what} {', '.join(sorted(names))}" if names else None


JUDGES: Mapping[str, Callable[[Sequence[str], Files], str | None]] = {
    "python": _python,
    "python3": _python,
    "python3.11": _python,
    "make": _make,
    "docker": _docker,
    "pip": _pip,
    "pytest": _pytest,
}
"""Program -> what is wrong with its arguments."""
