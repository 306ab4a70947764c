"""The endpoint that `biomed-r1 serve` starts, in the test's own process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from components.serving.endpoint.server import Endpoint
from components.serving.endpoint.writer import Writer


@contextmanager
def served(writer: Writer, *names: str, key: str = "") -> Iterator[str]:
    """The endpoint of this process on a free port; its address."""
    import uvicorn

    from components.platform.processes import free_port

    port = free_port()
    config = uvicorn.Config(Endpoint(writer, names, key).app(), port=port, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
