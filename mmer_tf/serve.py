"""`python -m mmer_tf.serve`: TensorFlow Serving's REST interface where there is no model server."""

import argparse
import signal
import sys
from pathlib import Path

from mmer_tf import cli
from mmer_tf.deploy.listening import listening_socket, web_address

EXAMPLES = """examples:
  python -m mmer_tf.serve --model saved_models/my_run/served/my_run
  python -m mmer_tf.serve --model served/emotion/3 --host 0.0.0.0 --port 8501

  curl -d '{"instances": [{"wav": {"b64": "…"}, "transcript": "never again"}],
            "signature_name": "wav"}' http://127.0.0.1:8501/v1/models/emotion:predict
"""

MEBIBYTE = 2**20


def main(args: argparse.Namespace) -> None:
    """Load the model, answer requests, and answer those under way before leaving."""
    cli.import_tensorflow()
    import uvicorn

    from mmer_tf.deploy.server.app import PredictionServer
    from mmer_tf.deploy.server.batching import Batching
    from mmer_tf.deploy.server.loaded_model import LoadedModel
    from mmer_tf.deploy.server.validation import Limits

    with listening_socket(args.host, args.port) as listener:
        model = LoadedModel(args.model, args.name)
        model.warm_up()
        limits = Limits(
            body_bytes=args.max_body * MEBIBYTE,
            held_bytes=max(Limits.held_bytes, 4 * args.max_body * MEBIBYTE),
            seconds=args.max_seconds,
            timeout=args.timeout,
        )
        batching = Batching(
            max_rows=args.max_batch_size,
            timeout=args.batch_timeout / 1000,
            max_queued_rows=max(args.max_queue, args.max_batch_size),
        )
        server = PredictionServer(model, limits, batching, args.batch_threads)
        config = uvicorn.Config(
            server.app(),
            log_level="info" if args.verbose else "warning",
            access_log=args.verbose,
            server_header=False,
            timeout_graceful_shutdown=int(args.timeout) + 1,
        )
        # uvicorn stops in good order and then hands the signal on: it has done its work.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        address = f"{web_address(listener)}/v1/models/{model.name}"
        print(f"serving {model.name} version {model.version} at {address}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("serve", "Serve an exported model over HTTP.")
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of versions as written by mmer_tf.export, or one version",
    )
    parser.add_argument("--name", help="of the model in the address (default: the folder's name)")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument(
        "--port", type=cli.port_number, default=8501, help="0: any free one (default: %(default)s)"
    )
    batches = parser.add_argument_group("batches")
    batches.add_argument(
        "--max-batch-size", type=positive, default=32, metavar="ROWS", help="default: %(default)s"
    )
    batches.add_argument(
        "--batch-timeout",
        type=non_negative,
        default=5,
        metavar="MS",
        help="how long a request waits for others (default: %(default)s)",
    )
    batches.add_argument(
        "--max-queue",
        type=positive,
        default=512,
        metavar="ROWS",
        help="waiting; more are refused with 503 (default: %(default)s)",
    )
    batches.add_argument(
        "--batch-threads",
        type=positive,
        default=1,
        metavar="N",
        help="batches computed at once (default: %(default)s)",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-body", type=positive, default=16, metavar="MIB", help="default: %(default)s"
    )
    limits.add_argument(
        "--max-seconds",
        type=positive,
        default=60,
        metavar="S",
        help="of one recording (default: %(default)s)",
    )
    limits.add_argument(
        "--timeout",
        type=positive,
        default=30,
        metavar="S",
        help="for one request (default: %(default)s)",
    )
    return parser


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not '{text}'")
    return int(text)


def non_negative(text: str) -> int:
    """A whole number from 0, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, not '{text}'")
    return int(text)


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
