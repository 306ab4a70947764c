"""The Kubeflow Pipelines API of kfp_state on loopback, with faults by schedule: errors, and connections closed."""

from __future__ import annotations

import json
import random
import re
import socket
import ssl
import threading
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.pipelines.kfp_state import Json, KfpState, Refused


class KfpServer(KfpState):
    """The state served at `url` from the start until `close`; `certificate` is a PEM file of key and certificate."""

    def __init__(self, multi_user: bool = False, token: str = "", certificate: str = "") -> None:
        super().__init__(multi_user)
        self.token = token
        self.requests: list[str] = []
        # (pattern of "METHOD /path", kind), each used once; the weather strikes any request at its rate.
        self.faults: list[tuple[str, Any]] = []
        self.weather: tuple[random.Random, float] | None = None
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://localhost:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def fault(self, request: str) -> Any:
        """What goes wrong with this request: a status, `lost` (not even read) or `unanswered` (done, no answer)."""
        for at, (pattern, kind) in enumerate(self.faults):
            if re.search(pattern, request):
                del self.faults[at]
                return kind
        if self.weather and self.weather[0].random() < self.weather[1]:
            return self.weather[0].choice([500, 429, "lost", "unanswered"])
        return None


def _handler(server: KfpServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Otherwise each answer, headers and body, waits 40 ms for the client's delayed acknowledgement.
        disable_nagle_algorithm = True

        def respond(self) -> None:
            url = urlsplit(self.path)
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(url.path).removeprefix("/apis/v2beta1")
            server.requests.append(f"{self.command} {path}")
            fault = server.fault(server.requests[-1])
            if fault == "lost":
                return self.hang_up()
            if isinstance(fault, int):
                return self.send(fault, {"message": f"by the schedule of faults; {self.headers['Authorization']}"})
            try:
                if server.token and self.headers["Authorization"] != f"Bearer {server.token}":
                    raise Refused(401, f"no such user: {self.headers['Authorization']}")
                query = {k: v[0] for k, v in parse_qs(url.query).items()}
                result = server.answer(self.command, path, query, self.body(data))
            except Refused as error:
                return self.send(error.status, {"message": str(error), "code": 3})
            if fault == "unanswered":
                return self.hang_up()
            self.send(200, result)

        def body(self, data: bytes) -> Any:
            kind = self.headers.get("Content-Type", "")
            if kind.startswith("multipart/form-data"):
                message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + data)
                return next(message.iter_parts()).get_content()
            return json.loads(data) if data else None

        def hang_up(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def send(self, status: int, value: Json) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            if status == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = respond

        def log_message(self, *_: Any) -> None:
            """Nothing: the tests read `requests`."""

    return Handler
