"""Answers of the store that break off in the middle are asked for again, whatever was asked."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import EndpointConnectionError, IncompleteReadError

from components.errors import DamagedError, UnavailableError
from components.platform.storage import objects, s3, store

Cut = Callable[[bytes, bytes], bytes]


class Line(socketserver.ThreadingTCPServer):
    """A line to the real server that spoils the next `times` answers to `verb` with `cut(head, body)`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = (urlsplit(upstream).hostname, urlsplit(upstream).port)
        self.cut: Cut = lambda head, body: head + body
        self.times = self.spoilt = 0
        self.verb = b"GET"


class _Handler(socketserver.BaseRequestHandler):
    server: Line

    def handle(self) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += self.request.recv(1 << 16)
        # One answer for each connection, so that its end is seen.
        asked = asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        with socket.create_connection(self.server.target) as up:
            up.sendall(asked)
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", asked)
            missing = int(length[1]) - len(asked.partition(b"\r\n\r\n")[2]) if length else 0
            while missing > 0:
                more = self.request.recv(missing)
                up.sendall(more)
                missing -= len(more)
            answer = b"".join(iter(lambda: up.recv(1 << 16), b""))
        if asked.startswith(self.server.verb) and self.server.spoilt < self.server.times:
            self.server.spoilt += 1
            head, end, body = answer.partition(b"\r\n\r\n")
            answer = self.server.cut(head + end, body)
        self.request.sendall(answer)


def short(head: bytes, body: bytes) -> bytes:
    """The connection ends before the body does."""
    return head + body[: len(body) // 2]


def unended(head: bytes, body: bytes) -> bytes:
    """In chunks, of which the last one never comes."""
    head = re.sub(rb"(?i)content-length: *\d+", b"Transfer-Encoding: chunked", head)
    return head + b"%x\r\n%s\r\n" % (len(body) // 2, body[: len(body) // 2])


def cached(head: bytes, body: bytes) -> bytes:
    """A proxy took the half for the whole and says so, without the checksum of the whole."""
    half = body[: len(body) // 2]
    head = re.sub(rb"(?i)\r\nx-amz-checksum[^\r]*", b"", head)
    return re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(half), head) + half


@pytest.fixture
def line(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    server = Line(servers["AWS_ENDPOINT_URL_S3"])
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setattr(s3, "FIRST_WAIT", 0.001)
    s3.client.cache_clear()
    yield server
    s3.client.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("cut", [short, unended, cached])
@pytest.mark.parametrize("verb", ["get", "list"])
def test_one_broken_off_answer_is_asked_for_again(line: Line, store_uri: str, cut: Cut, verb: str) -> None:
    value = {"numbers": list(range(2000))}
    objects.put_json(f"{store_uri}/receipts/a.json", value)
    line.cut, line.times = cut, 1
    if verb == "get":
        assert objects.get_json(f"{store_uri}/receipts/a.json") == value
    else:
        assert objects.list_files(store_uri) == ["receipts/a.json"]
    assert line.spoilt == 1


@pytest.mark.parametrize(("cut", "error"), [(short, UnavailableError), (cached, DamagedError)])
def test_one_that_always_breaks_off_is_an_error_in_words(
    line: Line, store_uri: str, cut: Cut, error: type[Exception]
) -> None:
    objects.put_json(f"{store_uri}/a.json", {"numbers": list(range(2000))})
    line.cut, line.times = cut, 1000
    with pytest.raises(error, match=r"a\.json"):
        objects.get_json(f"{store_uri}/a.json")


def flipped(head: bytes, body: bytes) -> bytes:
    """One bit of the body changed on its way, and no checksum to tell."""
    return re.sub(rb"(?i)\r\nx-amz-checksum[^\r]*", b"", head) + bytes([body[0] ^ 1]) + body[1:]


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_file_damaged_on_its_way_is_fetched_again(line: Line, store_uri: str, tmp_path: Path, what: str) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/weights").write_bytes(b"x" * 1000)
    store.put_dir(tmp_path / "made", f"{store_uri}/m", stage="sft", key="k")
    line.cut = lambda head, body: flipped(head, body) if body.startswith(b"xxx") else head + body
    line.times = 2  # the manifest is the first
    if what == "file":
        store.get_file(f"{store_uri}/m", "weights", tmp_path / "back/weights")
    else:
        store.get_dir(f"{store_uri}/m", tmp_path / "back")
    assert (tmp_path / "back/weights").read_bytes() == b"x" * 1000
    assert line.spoilt == 2


def unmeasured(head: bytes, body: bytes) -> bytes:
    """Without a length, as a proxy that sends answers in chunks has it."""
    return re.sub(rb"(?i)\r\ncontent-length: *\d+", b"", head) + body


@pytest.mark.parametrize("size", [1000, 20 << 20])
def test_a_file_whose_length_nobody_says_is_fetched(line: Line, store_uri: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "weights").write_bytes(b"x" * size)
    objects.put_file(tmp_path / "weights", f"{store_uri}/weights")
    line.verb, line.cut, line.times = b"HEAD", unmeasured, 1000
    assert objects.get_file(f"{store_uri}/weights", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"x" * size and line.spoilt
    assert not objects.get_file(f"{store_uri}/none", tmp_path / "none")


def test_a_store_that_is_away_is_left_to_the_sdk_s_own_attempts(
    store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has tried five times by then; four times that would be a minute more for nothing."""
    calls = []

    def away() -> None:
        calls.append(1)
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    with pytest.raises(UnavailableError, match="did not answer"):
        s3.again(lambda: s3.asked(store_uri, away), s3.BrokenOffError)
    assert calls == [1]
    monkeypatch.setattr(s3, "FIRST_WAIT", 0.001)

    def broken() -> str:
        calls.append(1)
        if len(calls) < 4:
            raise IncompleteReadError(actual_bytes=1, expected_bytes=2)
        return "whole"

    assert s3.again(lambda: s3.asked(store_uri, broken), s3.BrokenOffError) == "whole" and len(calls) == 4
