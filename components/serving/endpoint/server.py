"""The endpoint: /health, /v1/models and /v1/chat/completions of one model, as vLLM's server answers them.

`python -m components.serving.endpoint.server --model FOLDER --served-model-name NAME URI --port PORT`: the words that
vLLM takes, so that whoever starts it need not know which of the two it is.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from components.engines.rendering import TooLongError
from components.errors import InputError
from components.serving.endpoint.writer import Writer

DEFAULT_TOKENS = 512
MOST_TOKENS = 4096


class Endpoint:
    """The three routes over one `Writer`; `names` are what the model may be called, the first is its own."""

    def __init__(self, writer: Writer, names: Sequence[str], key: str = "") -> None:
        self.writer, self.names, self.key = writer, list(names), key

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
            ]
        )

    async def health(self, _: Request) -> Response:
        return Response()

    async def models(self, request: Request) -> Response:
        if refusal := self._refused(request):
            return refusal
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in self.names]})

    async def chat(self, request: Request) -> Response:
        if refusal := self._refused(request):
            return refusal
        try:
            body = await request.json()
            values = self._values(body)
        except (ValueError, TypeError, KeyError) as error:
            return _error(400, f"the request cannot be read: {error}")
        if values["model"] not in self.names:
            return _error(404, f"model {values['model']!r} is not served; this server has {', '.join(self.names)}")
        try:
            read, ids = await run_in_threadpool(
                self.writer.write,
                values["messages"],
                values["max_tokens"],
                values["temperature"],
                values["top_p"],
                values["seed"],
                values["opening"],
            )
        except TooLongError as error:
            return _error(400, str(error), "context_length_exceeded")  # as OpenAI calls it
        except InputError as error:
            return _error(400, str(error))
        answer = self._answer(values, read, ids)
        if body.get("stream"):
            return StreamingResponse(_events(answer), media_type="text/event-stream")
        return JSONResponse(answer)

    def _values(self, body: Any) -> dict[str, Any]:
        messages = [{"role": str(m["role"]), "content": str(m["content"])} for m in body["messages"]]
        opening = None
        if body.get("continue_final_message"):  # vLLM's: the answer goes on in the assistant's turn
            if not messages or messages[-1]["role"] != "assistant" or body.get("add_generation_prompt", True):
                raise ValueError("continue_final_message needs an assistant's turn last, and no generation prompt")
            opening = messages.pop()["content"]
        if not messages:
            raise ValueError("messages is empty")
        tokens = int(body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_TOKENS)
        seed = body.get("seed")
        return {
            "model": str(body.get("model", self.names[0])),
            "messages": messages,
            "opening": opening,
            "max_tokens": max(1, min(tokens, MOST_TOKENS)),
            "temperature": float(body.get("temperature") or 0.0),
            "top_p": float(body.get("top_p") or 1.0),
            "seed": None if seed is None else int(seed),
            "ids": bool(body.get("return_token_ids")),
        }

    def _answer(self, values: dict[str, Any], read: int, ids: list[int]) -> dict[str, Any]:
        ended = bool(ids) and ids[-1] in self.writer.stop
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": self.writer.text(ids)},
            "finish_reason": "stop" if ended else "length",
        }
        if values["ids"]:
            choice["token_ids"] = ids
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": values["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": read, "completion_tokens": len(ids), "total_tokens": read + len(ids)},
        }

    def _refused(self, request: Request) -> Response | None:
        if not self.key or request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return _error(401, "send the server's key as `Authorization: Bearer KEY`")


async def _events(answer: dict[str, Any]) -> AsyncIterator[str]:
    """The whole answer as one event of a stream: clients that stream work, and see it at once."""
    choice = answer["choices"][0]
    delta = {"index": 0, "delta": choice["message"], "finish_reason": choice["finish_reason"]}
    yield f"data: {json.dumps({**answer, 'object': 'chat.completion.chunk', 'choices': [delta]})}\n\n"
    yield "data: [DONE]\n\n"


def _error(status: int, text: str, code: int | str = "") -> Response:
    return JSONResponse({"error": {"message": text, "type": "invalid_request_error", "code": code or status}}, status)


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the model and answer until SIGTERM; what is being answered then is answered to its end."""
    import uvicorn

    from components.engines.choice import resolve_dtype

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dtype", default="auto")
    given = parser.parse_args(arguments)
    writer = Writer(given.model, resolve_dtype(given.dtype))
    app = Endpoint(writer, given.served_model_name, os.environ.get("VLLM_API_KEY", "")).app()
    # Questions are medical text: no access log.
    uvicorn.run(app, host=given.host, port=given.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
