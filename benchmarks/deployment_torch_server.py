"""The recipe `gmu` in PyTorch behind a small HTTP server: the opponent of `mmer_tf.serve`.

    .opponents/torch/bin/python benchmarks/deployment_torch_server.py WORK

As one writes it without a model server: a thread a connection, each request answered alone, one
after the other. It understands what `mmer_tf.deploy.client` asks of TensorFlow Serving's REST
interface, so that the same clients ask both.
"""

import base64
import io
import json
import os
import sys
import threading
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import torch
from deployment_questions import Question
from deployment_torch import Answering, eager

NAME = "emotion"
INPUTS = {"serving_default": ("waveform", "num_samples", "transcript"),
          "wav": ("wav", "transcript")}  # fmt: skip


def make_handler(answer: Answering, labels: list[str]) -> type[BaseHTTPRequestHandler]:
    """What talks to one client."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept
        disable_nagle_algorithm = True  # a body would wait 40 ms for the headers' acknowledgement

        def do_GET(self) -> None:
            signatures = {name: {"inputs": dict.fromkeys(own)} for name, own in INPUTS.items()}
            status = {"model_version_status": [{"state": "AVAILABLE"}]}
            metadata = {"metadata": {"signature_def": {"signature_def": signatures}}}
            self.reply(metadata if self.path.endswith("/metadata") else status)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
            rows = []
            for file, words in zip(asked["wav"], asked["transcript"], strict=True):
                question = Question(read_wav(base64.b64decode(file["b64"])), words)
                with lock:
                    rows.append(answer([question])[0])
            outputs = {
                "probabilities": [row.tolist() for row in rows],
                "label": [labels[int(row.argmax())] for row in rows],
                "labels": [labels] * len(rows),
            }
            self.reply({"outputs": outputs})

        def reply(self, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent, as the other server is about requests that went well."""

    return Handler


def read_wav(content: bytes) -> np.ndarray:
    """Samples in [-1, 1] of a 16-bit mono file: float32 (samples,)."""
    with wave.open(io.BytesIO(content)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return samples.astype("float32") / 2**15


def main(work: Path) -> None:
    """Serve until killed; the first line of standard output says where."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    labels = json.loads((work / "labels.json").read_text(encoding="utf-8"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(eager(work)[0], labels))
    print(f"serving {NAME} version 1 at http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
