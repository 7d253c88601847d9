# SPDX-License-Identifier: Apache-2.0
"""A hub with models of an attacker: all of its responses are crafted."""

import gzip
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MIB = 1024 * 1024

KNOWN = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}


def _with(**facts: object) -> bytes:
    return json.dumps({**KNOWN, **facts}).encode()


def _large(seed: int = 0) -> bytes:
    """A valid config with 1 MiB of other content that no two revisions share."""
    chance = random.Random(seed)  # noqa: S311 - nothing is secret
    return _with(junk=[chance.randbytes(40).hex() for _ in range(11_000)])[: MIB - 2]


def _bomb() -> bytes:
    """200 MiB when unpacked. It takes a second or more, a good part of the operator's timeout."""
    return gzip.compress(b" " * 200 * MIB)


MODELS: dict[str, bytes] = {
    "known": _with(),
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep-lists": b"[" * MIB,
    "a-billion-layers": _with(num_hidden_layers=10**9),
    "infinity": _with(head_dim=float("inf"), hidden_size=float("nan")),
    "long-numbers": b'{"vocab_size": 1' + b"0" * 500_000 + b"}",
    "negative": _with(hidden_size=-1, num_attention_heads=0, num_key_value_heads=-(2**63)),
    "half-a-pair": b'{"model_type": "\\ud800", "hidden_act": "\\udfff"}',
    "not-utf-8": b'{"model_type": "\xff\xfe"}',
    "no-json": b"<html>" * 1000,
    "a-list": b"[]",
    "empty-mappings": b'{"a": [' + b"{}," * 300_000 + b"{}]}",
    "many-keys": json.dumps({f"key_{number}": number for number in range(60_000)}).encode(),
    "large": _large(),
    "larger-than-that": b" " * 50 * MIB,
}
"""By the name of the model."""

WAYS = ("zipped", "a-circle", "a-long-header", "cut-off", "slow")
"""Attacks through the response instead of the body's content."""


class Hub:
    """Serves on this machine until the block ends."""

    def __init__(self) -> None:
        self.template = ""
        self.asked: Counter[str] = Counter()
        """By model."""
        self._ended = threading.Event()
        self._bomb = _bomb()

    @contextmanager
    def served(self) -> Iterator["Hub"]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                # The client may have disconnected.
                with suppress(OSError):
                    hub._answer(self)

            def log_message(self, format: str, *args: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.template = f"http://127.0.0.1:{server.server_port}/{{model}}/{{revision}}/config.json"
        try:
            yield self
        finally:
            self._ended.set()
            server.shutdown()
            server.server_close()
            thread.join(timeout=30)

    def _answer(self, asked: BaseHTTPRequestHandler) -> None:
        _, model, revision, _ = asked.path.split("/")
        self.asked[model] += 1
        if model == "a-circle":
            asked.send_response(302)
            asked.send_header("Location", asked.path)
            asked.end_headers()
        elif model == "a-long-header":
            asked.send_response(200)
            asked.send_header("X-Junk", "x" * MIB)
            asked.end_headers()
        elif model == "zipped":
            _send(asked, self._bomb, encoding="gzip")
        elif model == "slow":
            self._drip(asked)
        elif model == "cut-off":
            asked.send_response(200)
            asked.send_header("Content-Length", str(MIB))
            asked.end_headers()
            asked.wfile.write(MODELS["known"])
        elif model == "revised":
            _send(asked, _large(seed=int(revision)))
        elif model in MODELS:
            _send(asked, MODELS[model])
        else:
            asked.send_error(404)

    def _drip(self, asked: BaseHTTPRequestHandler) -> None:
        asked.send_response(200)
        asked.end_headers()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not self._ended.wait(0.2):
            asked.wfile.write(b" ")


def _send(asked: BaseHTTPRequestHandler, body: bytes, encoding: str = "") -> None:
    asked.send_response(200)
    asked.send_header("Content-Length", str(len(body)))
    if encoding:
        asked.send_header("Content-Encoding", encoding)
    asked.end_headers()
    asked.wfile.write(body)
