"""The server under load: latency and throughput of many clients at once.

    python benchmarks/serving_load.py --model saved_models/my_run/served/my_run
    python benchmarks/serving_load.py --model served/emotion --clients 8 --requests 200

Starts `python -m mmer_tf.serve` and lets clients in a process of their own ask it, each for one
recording after the other, as WAV files over REST. Real EmoDB clips where they are there (--root),
otherwise noise of 1 to 5 seconds. A request is lost if it gets no answer at its first attempt.
"""

import argparse
import multiprocessing
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markdown_table import command_line, markdown_table, versions

from mmer_tf.atomic import write_text
from mmer_tf.audio.decode import decode
from mmer_tf.deploy.client import EmotionClient, Retry, ServingError
from mmer_tf.types import SAMPLE_RATE, Seconds

HEADER = ("clients", "requests", "lost", "p50 ms", "p95 ms", "p99 ms", "requests/s",
          "times real time")  # fmt: skip
WARM_UP = 10
"""Requests before those that count: a signature is slow at its first ones."""

PERCENTILES = (50, 95, 99)
ADDRESS = re.compile(r"serving (\S+) version \d+ at (http://[^/]+)/")
TRANSCRIPT = "I can't believe that you did it again."


@dataclass(frozen=True)
class Load:
    """What the clients saw.

    Args:
        clients: that asked at the same time.
        latencies: of each answered request.
        lost: what went wrong with the others.
        seconds: from the first request to the last answer.
        audio: length of the recordings that were answered.
    """

    clients: int
    latencies: np.ndarray
    lost: tuple[str, ...]
    seconds: Seconds
    audio: Seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Start the server, ask it, and write what came out."""
    args = make_parser().parse_args(argv)
    waveforms, what = recordings(args.root)
    command = [sys.executable, "-m", "mmer_tf.serve", "--model", str(args.model), "--port", "0"]
    with subprocess.Popen(
        [*command, *(f"--{option}" for option in args.serve)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            match = ADDRESS.match(server.stdout.readline())
            if match is None:
                raise SystemExit("the server did not start")
            name, address = match.groups()
            # Apart from this process, whose pipe to the server must not wait for Python's lock.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                arguments = (address, name, waveforms, args.clients, args.requests)
                pool.apply(ask, (*arguments[:3], 1, WARM_UP))
                loads = [pool.apply(ask, (*arguments[:3], 1, max(1, args.requests // 20)))]
                loads.append(pool.apply(ask, arguments))
        finally:
            server.terminate()
    text = page(loads, what)
    write_text(args.out, text)
    print(text)
    print(f"written to {args.out}")
    return 1 if any(load.lost for load in loads) else 0


def recordings(root: Path | None) -> tuple[list[np.ndarray], str]:
    """What is asked about, and what to call it."""
    files = sorted((root / "wav").glob("*.wav")) if root else []
    if files:
        return [decode(file) for file in files], f"{len(files)} clips of EmoDB"
    random = np.random.default_rng(0)
    lengths = random.integers(SAMPLE_RATE, 5 * SAMPLE_RATE, 100)
    voices = [np.rint(random.normal(0, 3000, length)) / 2**15 for length in lengths]
    clipped = [np.clip(voice, -1, 1 - 2**-15).astype("float32") for voice in voices]
    return clipped, "100 stretches of noise, 1 to 5 s"


def ask(
    address: str,
    model: str,
    waveforms: Sequence[np.ndarray],
    clients: int,
    requests: int,
    transcript: str = TRANSCRIPT,
) -> Load:
    """Let clients ask at the same time until all requests are done."""
    numbers = iter(range(requests))
    lock = threading.Lock()
    latencies, lost, audio = [], [], []

    def one_client(_: int) -> None:
        with EmotionClient(address, model, retry=Retry(times=0)) as client:
            client.is_available()
            ready.wait()
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                waveform = waveforms[number % len(waveforms)]
                started = time.perf_counter()
                try:
                    client.predict([waveform], [transcript])
                except ServingError as error:
                    lost.append(str(error))
                    continue
                latencies.append(time.perf_counter() - started)
                audio.append(len(waveform) / SAMPLE_RATE)

    ready = threading.Barrier(clients + 1)
    with ThreadPoolExecutor(clients) as pool:
        done = [pool.submit(one_client, number) for number in range(clients)]
        ready.wait()
        started = time.perf_counter()
        for one in done:
            one.result()
        seconds = time.perf_counter() - started
    return Load(clients, np.array(latencies), tuple(lost), seconds, sum(audio))


def page(loads: Sequence[Load], what: str) -> str:
    """The Markdown of all loads."""
    reasons = sorted({reason for load in loads for reason in load.lost})
    told = ["".join(f"- lost: {reason}\n" for reason in reasons)] if reasons else []
    return "\n".join(
        (
            "# The server under load\n",
            command_line(),
            f"{what}, each request one of them as a WAV file over REST with a transcript, "
            "answered by `mmer_tf.serve` on the same machine as the clients, with its default "
            "batches. Latency is what a client waits for its answer, its own JSON and its answer's "
            "included; the model's first runs are over. The clients ask without a pause, so with "
            "many of them latency is their number divided by the throughput.\n",
            versions(),
            markdown_table(HEADER, [_row(load) for load in loads]),
            *told,
        )
    )


def _row(load: Load) -> tuple[str, ...]:
    waited = ["–"] * len(PERCENTILES)
    if len(load.latencies):
        waited = [f"{value:.0f}" for value in np.percentile(load.latencies * 1000, PERCENTILES)]
    return (
        str(load.clients),
        str(len(load.latencies) + len(load.lost)),
        str(len(load.lost)),
        *waited,
        f"{len(load.latencies) / load.seconds:.1f}",
        f"{load.audio / load.seconds:.0f}",
    )


def make_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of versions as written by mmer_tf.export",
    )
    parser.add_argument("--clients", type=int, default=64, metavar="N", help="default: 64")
    parser.add_argument("--requests", type=int, default=2000, metavar="N", help="default: 2000")
    parser.add_argument("--root", type=Path, metavar="DIR", help="of EmoDB")
    parser.add_argument(
        "--serve",
        nargs="*",
        default=[],
        metavar="OPTION=VALUE",
        help="of the server, such as max-batch-size=16",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_suffix(".md"),
        metavar="FILE",
        help="default: benchmarks/serving_load.md",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
