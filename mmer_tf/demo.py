"""`python -m mmer_tf.demo`: a web page that says how speech sounds, and why."""

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from mmer_tf import cli
from mmer_tf.deploy.listening import listening_socket, web_address
from mmer_tf.deploy.stream.smoothing import Smoothing

EXAMPLES = """examples:
  python -m mmer_tf.demo
  python -m mmer_tf.demo --run gmu-synthetic-speaker-fold0-seed0 --port 8000
  python -m mmer_tf.demo --whisper models/faster-whisper-base --threshold 0.6
"""


def main(args: argparse.Namespace) -> None:
    """Serve the page until it is stopped."""
    from mmer_tf.deploy.web.privacy import keep_to_itself, private_folder
    from mmer_tf.deploy.web.recognisers import Recognisers
    from mmer_tf.deploy.web.runs import find_runs

    runs = find_runs(args.runs, args.run and cli.run_folder(args.run, args.runs))
    recognisers = Recognisers(args.whisper)
    if args.whisper:
        recognisers.get("whisper")  # weights that are none are told at once
    with listening_socket(args.host, args.port) as listener, private_folder():
        keep_to_itself()
        _require_gradio()
        cli.import_tensorflow()
        from mmer_tf.deploy.web.classifiers import Classifiers
        from mmer_tf.deploy.web.desk import Desk
        from mmer_tf.deploy.web.live import Microphones
        from mmer_tf.deploy.web.page import make_page
        from mmer_tf.deploy.web.server import make_app, serve

        classifiers = Classifiers(runs)
        classifiers.get(next(iter(runs)))  # what cannot be read is told before the page opens
        desk = Desk(classifiers, recognisers, args.threshold)
        desk.recogniser(recognisers.names[0])  # takes a moment; what fails is told on the page
        app = make_app(make_page(desk), Microphones(desk), args.host)
        print(f"open {web_address(listener)}/ in a browser; Ctrl+C ends it", flush=True)
        if args.open and has_screen():
            webbrowser.open(web_address(listener))  # waits in the queue of the socket
        serve(app, listener, args.verbose)


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("demo", "A web page: speak, see the words, the emotion and why.")
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--run", help="name below saved_models/, or a folder (default: the newest); shown first"
    )
    parser.add_argument("--runs", type=Path, default=cli.RUNS, metavar="DIR", help="where runs are")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument(
        "--port", type=cli.port_number, default=7860, help="0: any free one (default: %(default)s)"
    )
    parser.add_argument("--open", action="store_true", help="in a browser, where there is a screen")
    parser.add_argument(
        "--whisper", type=Path, metavar="DIR", help="weights of Whisper, to be offered as well"
    )
    parser.add_argument(
        "--threshold",
        type=cli.share,
        default=Smoothing.threshold,
        metavar="P",
        help="less probable answers are shown as unsure (default: %(default)s)",
    )
    return parser


def _require_gradio() -> None:
    from mmer_tf.types import MissingExtraError

    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("demo", "the web page") from error


def has_screen() -> bool:
    """Whether a browser would get a window, rather than take the terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
