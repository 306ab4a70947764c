"""The switch of local serving, in one process with two small servers behind it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.platform.processes import free_port
from components.serving.deploy.switch import LIVE, STATE_PATH, Switch


@contextmanager
def backend(word: str, seconds: float = 0.0) -> Iterator[int]:
    """A server that says its word, after a while where it is asked to; its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if body == "slow":
                time.sleep(seconds)
            if body == "break":
                self.close_connection = True
                return
            text = f"{word} {self.path} {self.headers.get('Authorization')} {body}".encode()
            self.send_response(500 if body == "fail" else 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class Front:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def live(self, colour: str, port: int) -> None:
        (self.folder / "new").write_text(json.dumps({"colour": colour, "port": port}))
        os.replace(self.folder / "new", self.folder / LIVE)

    def post(self, body: str) -> httpx.Response:
        headers = {"Authorization": "Bearer k"}
        return httpx.post(f"{self.url}/v1/x?a=1", content=body, headers=headers, timeout=20, trust_env=False)

    def state(self) -> dict[str, Any]:
        value: dict[str, Any] = httpx.get(f"{self.url}{STATE_PATH}", trust_env=False).json()
        return value


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    import uvicorn

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(Switch(tmp_path).app(), port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Front(tmp_path, f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join(10)


def test_requests_end_where_they_began_and_new_ones_go_to_the_new_server(front: Front) -> None:
    assert front.post("x").status_code == 503
    with ExitStack() as stack:
        blue, green = (stack.enter_context(backend(word, 0.5)) for word in ("blue", "green"))
        front.live("blue", blue)
        assert front.post("x").text == "blue /v1/x?a=1 Bearer k x"
        answers: list[str] = []
        slow = threading.Thread(target=lambda: answers.append(front.post("slow").text))
        slow.start()
        while front.state()["open"].get("blue") != 1:
            time.sleep(0.01)
        front.live("green", green)
        assert front.post("x").text.startswith("green")
        assert front.state()["open"] == {"blue": 1, "green": 0}
        slow.join()
        assert answers == ["blue /v1/x?a=1 Bearer k slow"]
        assert front.state()["open"] == {"blue": 0, "green": 0}
        assert front.post("fail").status_code == 500 and front.post("break").status_code == 502
        assert front.state()["errors"]["green"] == 2 and not front.state()["errors"].get("blue")


def test_a_request_waits_for_a_server_that_takes_it(front: Front) -> None:
    front.live("blue", free_port())
    answers: list[str] = []
    waiting = threading.Thread(target=lambda: answers.append(front.post("x").text))
    waiting.start()
    with backend("green") as green:
        time.sleep(0.1)
        front.live("green", green)
        waiting.join()
    assert answers == ["green /v1/x?a=1 Bearer k x"] and front.state()["open"] == {"blue": 0, "green": 0}
