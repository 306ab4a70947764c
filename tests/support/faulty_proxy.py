"""A reverse proxy on loopback before a real server: rules answer some requests themselves, the rest are passed on.

S3's signature covers the Host header, so that is passed on as it came.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request: `path` without the query, unquoted; header names in lower case."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered instead, or `headers` put over the server's own where `status` is 0.

    Then also: `wait` seconds before the server is asked, and `cut`, which breaks its answer off after half of the body.
    """

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    cut: bool = False
    lost: bool = False  # the server gets the request, and the client no answer


Rule = Callable[[Asked], Answer | None]


class Proxy(ThreadingHTTPServer):
    """Stands before `upstream` (http://HOST:PORT); `certificate` is a PEM file of key and certificate."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str, rules: tuple[Rule, ...] = (), certificate: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        target = urlsplit(upstream)
        self.upstream = (target.hostname or "127.0.0.1", target.port or 80)
        self.rules = list(rules)
        self.asked: list[Asked] = []
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://localhost:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate hangs up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Proxy

    def respond(self) -> None:
        url = urlsplit(self.path)
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, unquote(url.path), parse_qs(url.query, keep_blank_values=True), headers, body)
        self.server.asked.append(asked)
        answers = [answer for rule in self.server.rules if (answer := rule(asked))]
        whole = next((answer for answer in answers if answer.status), None)
        if whole:
            self._send(whole.status, whole.headers, whole.body.encode())
            return
        time.sleep(sum(answer.wait for answer in answers))
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=30)
        passed = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        if body:
            passed["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body=body or None, headers=passed)
        answer = connection.getresponse()
        if any(over.lost for over in answers):
            answer.read()
            self.close_connection = True
            connection.close()
            return
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "content-length")}
        for over in answers:
            kept = {k: v for k, v in kept.items() if k.lower() not in {n.lower() for n in over.headers}} | over.headers
        whole_body, length = answer.read(), answer.getheader("Content-Length")
        connection.close()
        if any(over.cut for over in answers) and len(whole_body) > 1:
            self._send(answer.status, kept, whole_body[: len(whole_body) // 2], str(len(whole_body)))
            self.close_connection = True
        else:
            self._send(answer.status, kept, whole_body, length if self.command == "HEAD" else None)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = respond

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, headers: dict[str, str], body: bytes, length: str | None = None) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": length or str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_expect_100(self) -> bool:
        return True

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests read `asked`."""


@contextmanager
def proxy(upstream: str, *rules: Rule, certificate: str = "") -> Iterator[Proxy]:
    server = Proxy(upstream, rules, certificate)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def s3_error(status: int, code: str, message: str, **headers: str) -> Answer:
    """An error as S3 writes it."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, text, {"Content-Type": "application/xml", **headers})
