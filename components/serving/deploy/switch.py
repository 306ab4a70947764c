"""The switch of local serving: one address for users, two servers behind it, and which of them answers is in a file.

`python -m components.serving.deploy.switch --folder FOLDER --port PORT`. FOLDER/live.json names colour and port and is
read for every request, so replacing it (atomically) is the switch: requests under way end where they began, new ones
go to the new server. `/-/switch` says which colour is live, what each is still answering, and how many of its answers
were errors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

LIVE = "live.json"
STATE_PATH = "/-/switch"
# How long a request waits for a server that takes it, in seconds: the live one may just be changing.
PATIENCE = 10.0
_OWN = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host"}


class Switch:
    """Passes each request to the server that is live when it comes."""

    def __init__(self, folder: Path) -> None:
        self.live_file = folder / LIVE
        self.open: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        # No connection is kept: a server may close one just when the next request is sent on it, and that request
        # would be lost.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self.client = httpx.AsyncClient(timeout=httpx.Timeout(None, connect=5.0), limits=limits, trust_env=False)

    def app(self) -> Starlette:
        methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]
        return Starlette(
            routes=[
                Route(STATE_PATH, self.state),
                Route("/{path:path}", self.pass_on, methods=methods),
            ]
        )

    async def state(self, _: Request) -> Response:
        """What the deployer asks. The same loop counts, so a request is counted or goes to the new server."""
        return JSONResponse(
            {
                "live": self._live().get("colour"),
                "open": dict(self.open),
                "answered": dict(self.answered),
                "errors": dict(self.errors),
            }
        )

    async def pass_on(self, request: Request) -> Response:
        body = await request.body()
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _OWN]
        deadline = time.monotonic() + PATIENCE
        while True:
            live = self._live()
            if not live:
                return _unavailable("no version is served yet")
            colour = live["colour"]
            self.open[colour] += 1
            try:
                answer = await self.client.send(
                    self.client.build_request(
                        request.method, _address(live["port"], request), headers=headers, content=body
                    ),
                    stream=True,
                )
            except httpx.ConnectError:
                # Nothing was sent: whoever is live then may be asked.
                self.open[colour] -= 1
                if time.monotonic() > deadline:
                    self.errors[colour] += 1
                    return _unavailable(f"the {colour} server takes no connection")
                await asyncio.sleep(0.1)
                continue
            except (httpx.HTTPError, asyncio.CancelledError) as error:
                self.open[colour] -= 1
                self.errors[colour] += 1
                if isinstance(error, asyncio.CancelledError):
                    raise
                return JSONResponse({"error": {"message": f"the server broke off ({type(error).__name__})"}}, 502)
            return self._answer(colour, answer)

    def _answer(self, colour: str, answer: httpx.Response) -> Response:
        self.answered[colour] += 1
        self.errors[colour] += answer.status_code >= 500
        ended = False

        async def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self.open[colour] -= 1
                await answer.aclose()

        async def parts() -> AsyncIterator[bytes]:
            try:
                async for part in answer.aiter_raw():
                    yield part
            finally:
                await end()

        passed = {name: value for name, value in answer.headers.items() if name.lower() not in _OWN}
        # The task ends what no part of was ever asked for.
        return StreamingResponse(parts(), answer.status_code, passed, background=BackgroundTask(end))

    def _live(self) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads(self.live_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return value


def _address(port: int, request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return f"http://127.0.0.1:{port}{request.url.path}{query}"


def _unavailable(text: str) -> Response:
    return JSONResponse({"error": {"message": f"{text}; try again"}}, 503, headers={"Retry-After": "5"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM; requests under way are answered to their end."""
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args(arguments)
    app = Switch(given.folder).app()
    uvicorn.run(app, host=given.host, port=given.port, access_log=False, log_level="warning", timeout_keep_alive=75)


if __name__ == "__main__":
    main()
