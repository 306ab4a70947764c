"""A chat-completions endpoint on loopback that fails by a seeded schedule and counts what it was asked."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("429", "500", "hang", "cut")


class FaultyEndpoint(ThreadingHTTPServer):
    """`fault_rate` of the requests get one of FAULTS. What it charges for: all of them but those it refused."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, seed: int = 0, fault_rate: float = 0.0, hang_seconds: float = 1.6) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.random, self.fault_rate, self.hang_seconds = random.Random(seed), fault_rate, hang_seconds
        self.lock, self.open = threading.Lock(), threading.Event()
        self.open.set()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.faults: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.tokens = self.under_way = self.most_under_way = 0
        self.delay = 0.0
        self.stop_after: int | None = None  # from this request on nothing is answered while `open` is cleared
        self.planned: list[tuple[int, dict[str, str], Any]] = []  # answers to the next requests, before any other
        self.remark = ""  # becomes part of every answer
        self.text: Callable[[dict[str, Any]], str] | None = None  # writes the answer to a request's body
        self.thinking: list[int] = []  # tokens that the next answers are billed beyond what was asked for

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet
    server: FaultyEndpoint

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            number = len(server.bodies)
            server.bodies.append(body)
            server.headers.append(dict(self.headers))
            server.times.append(time.monotonic())
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
            plan = server.planned.pop(0) if server.planned else None
            fault = server.random.choice(FAULTS) if server.random.random() < server.fault_rate else ""
            server.faults[fault] += 1
        try:
            if server.stop_after is not None and number >= server.stop_after:
                server.open.wait(30)
            time.sleep(server.delay)
            self._answer(body, plan, fault)
        finally:
            with server.lock:
                server.under_way -= 1

    def _answer(self, body: dict[str, Any], plan: tuple[int, dict[str, str], Any] | None, fault: str) -> None:
        if plan is not None:
            self._send(*plan)
            return
        if fault == "429":
            self._send(429, {"Retry-After": "0.05"}, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}})
            return
        value = completion(body, self.server.remark)
        if self.server.text is not None:
            value["choices"][0]["message"]["content"] = self.server.text(body)
        with self.server.lock:
            thought = self.server.thinking.pop(0) if self.server.thinking else 0
            value["usage"]["completion_tokens"] += thought
            value["usage"]["total_tokens"] += thought
            self.server.tokens += value["usage"]["total_tokens"]
        if fault == "hang":
            time.sleep(self.server.hang_seconds)
            self.close_connection = True
        elif fault == "cut":
            text = json.dumps(value).encode()
            self._head(200, {}, len(text))
            self.wfile.write(text[: len(text) // 2])
            self.close_connection = True
        elif fault == "500":
            # What a careless server might do with the key.
            self._send(500, {}, {"error": {"message": f"failed for {self.headers.get('Authorization')}"}})
        else:
            with self.server.lock:
                self.server.answered[asked(body)] += 1
            self._send(200, {}, value)

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, status: int, headers: dict[str, str], value: Any) -> None:
        """`value` is sent as JSON, or as it is where it is bytes."""
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        self._head(status, headers, len(text))
        self.wfile.write(text)


def asked(body: dict[str, Any]) -> str:
    """What makes a request's item and setting: its messages."""
    return json.dumps(body["messages"])


def completion(body: dict[str, Any], remark: str = "", **changes: Any) -> dict[str, Any]:
    """An answer that depends on the messages alone (and on `remark`)."""
    letter = "ABCD"[hashlib.sha256(asked(body).encode()).digest()[0] % 4]
    text = f"The answer is {letter}.{remark}"
    # About as many tokens as a real model's: four bytes each, and the template's.
    prompt, written = len(asked(body)) // 4 + 20, len(text) // 3
    message = {"role": "assistant", "content": text, **changes.pop("message", {})}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": f"{body.get('model')}-2025-01-31",
        "choices": [{"index": 0, "message": message, "finish_reason": changes.pop("finish_reason", "stop")}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written},
        **changes,
    }


@contextmanager
def endpoint(**settings: Any) -> Iterator[FaultyEndpoint]:
    server = FaultyEndpoint(**settings)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.open.set()
        server.shutdown()
        server.server_close()
