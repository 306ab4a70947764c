"""Answers from any endpoint that speaks OpenAI's chat completions: a hosted model, or a vLLM or SGLang server.

One JSON request, so httpx and tenacity rather than a vendor's client: every attempt has to be counted before it is
sent. The key is read from the environment when a call begins and is kept nowhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from components.engines.base import Generation, PrefillMode, Request, Sampling
from components.engines.openai.budget import Budget
from components.engines.openai.completion import (
    WRONG_URL,
    TransientError,
    UnreachableError,
    billed,
    cleaner,
    decode,
    error_of,
    read_answer,
    refuse,
    refuse_page,
    too_long,
    withheld,
)
from components.engines.openai.config import EndpointConfig
from components.errors import InputError, StageError

# The form for endpoints that cannot continue a turn: question, the opening as the assistant's whole turn, and this.
RECONSIDER = (
    "That was only a first thought, and it may be wrong. Think about the question again, and then reply to it in full, "
    "in the form that was asked for."
)
# A prompt has at most as many tokens as bytes, besides what the chat template adds: turn marks and, in some, a system
# text of its own.
TEMPLATE_TOKENS = 256
MAX_BACKOFF_SECONDS = 60.0
# Until the first answer a connection that cannot be made is taken for a wrong URL: tried again for the seconds that a
# proxy may need, and no longer. After it the endpoint is known, and may be away for a while.
FIRST_CONNECT_SECONDS, FIRST_TRY_SECONDS, FIRST_WAIT_SECONDS, LATER_CONNECT_SECONDS = 3.0, 3.0, 0.5, 30.0
RETRY_LINE_SECONDS = 1.0  # at most one line about a wait in this time, whatever the number of workers

log = logging.getLogger(__name__)


@dataclass
class _Call:
    """One call of `generate`: its connections, and what its workers tell each other."""

    client: httpx.AsyncClient
    clean: Callable[[str], str] = field(repr=False)  # knows the key
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    error: StageError | None = None
    not_before: float = 0.0  # of the loop's clock; set when the endpoint asked for a rest
    first_until: float = 0.0  # of the loop's clock; until then a first connection is tried again
    last_line: float = float("-inf")  # of the loop's clock; when a wait was last told

    async def pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopped.wait(), seconds)
        except TimeoutError:
            return


class OpenAIEngine:
    name = "openai"

    def __init__(self, model: str, config: EndpointConfig) -> None:
        """`model` is the endpoint's name for it. Raises InputError without a base_url; sends nothing yet."""
        if config.base_url is None:
            raise InputError(f"model openai:{model}: base_url: missing; name the endpoint (--base-url)")
        self.model, self.config = model, config
        self.prefill_mode: PrefillMode = config.prefill_mode
        self.host, address = located(config.base_url)
        form = f"two_turn:{hashlib.sha256(RECONSIDER.encode()).hexdigest()[:12]}"
        self.version = f"openai {address} {form if self.prefill_mode == 'two_turn' else 'continued'}"
        self.budget = Budget(config.max_requests, config.max_total_tokens)
        self.reported: set[str] = set()
        self.url, self.answered = f"{address}/chat/completions", False

    @property
    def notes(self) -> dict[str, Any]:
        return {"requests": self.budget.requests, "reported_models": sorted(self.reported)}

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Generation]]:
        key = api_key(self.config.api_key_env)
        self.budget.bind()
        done: asyncio.Queue[tuple[int, Generation] | None] = asyncio.Queue()
        with asyncio.Runner() as runner:  # its end cancels what is still under way
            asking = runner.get_loop().create_task(self._ask_all(requests, sampling, key, done))
            while (answer := runner.run(done.get())) is not None:
                yield answer
            runner.run(_result(asking))

    def pick(self, requests: Sequence[Request], letters: Sequence[Sequence[str]]) -> None:  # noqa: ARG002
        """None: an endpoint cannot be made to go on after its own answer and write a letter only."""
        return None

    def close(self) -> None:
        """Nothing is held between calls."""

    async def _ask_all(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        key: str,
        done: asyncio.Queue[tuple[int, Generation] | None],
    ) -> None:
        """Workers take the next request until there is none or one failed; what is under way then ends by itself."""
        todo = iter(enumerate(requests))

        async def work(call: _Call) -> None:
            for index, request in todo:
                if call.stopped.is_set():
                    return
                try:
                    await done.put((index, await self._answer(call, request, sampling)))
                    self.budget.check()  # after the answer that passed it, which is paid for
                except StageError as error:
                    call.error = call.error or error
                    call.stopped.set()

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=self.config.concurrency)
        client = httpx.AsyncClient(base_url=str(self.config.base_url), headers=headers, timeout=None, limits=limits)
        try:
            async with client, asyncio.TaskGroup() as group:
                now = asyncio.get_running_loop().time()
                call = _Call(client, cleaner(key), first_until=now + FIRST_TRY_SECONDS)
                for _ in range(self.config.concurrency):
                    group.create_task(work(call))
            if call.error:
                raise call.error
        finally:
            await done.put(None)

    async def _answer(self, call: _Call, request: Request, sampling: Sampling) -> Generation:
        body = self._body(request, sampling)
        if self.prefill_mode == "continued":
            expect_opening(body, request)
        text = sum(len(message["content"].encode()) for message in body["messages"])
        most = text + TEMPLATE_TOKENS + sampling.max_new_tokens
        jitter = wait_random_exponential(multiplier=self.config.backoff_seconds, max=MAX_BACKOFF_SECONDS)

        clock = asyncio.get_running_loop().time

        def strange(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            return isinstance(error, UnreachableError) and not self.answered

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            rest = error.retry_after if isinstance(error, TransientError) else 0.0
            return min(jitter(state), FIRST_WAIT_SECONDS) if strange(state) else jitter(state) + rest

        def stop(state: RetryCallState) -> bool:
            enough = stop_after_attempt(self.config.attempts)(state)
            return call.stopped.is_set() or enough or (strange(state) and clock() >= call.first_until)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop,
            wait=wait,
            sleep=call.pause,
            before_sleep=lambda state: self._tell(call, state),
            reraise=True,
        )
        try:
            answer: Generation = await retrying(self._attempt, call, request, body, most)
        except UnreachableError as error:
            if not self.answered:
                raise StageError(f"{request.id}: {self.url}: {error}; {WRONG_URL}, and that the server runs") from None
            raise self._given_up(request, retrying, error) from None
        except TransientError as error:
            raise self._given_up(request, retrying, error) from None
        return answer

    def _given_up(self, request: Request, retrying: AsyncRetrying, error: TransientError) -> StageError:
        attempts = retrying.statistics["attempt_number"]
        return StageError(f"{request.id}: {self.url} gave no answer in {attempts} attempts, the last: {error}")

    async def _attempt(self, call: _Call, request: Request, body: dict[str, Any], most: int) -> Generation:
        clock = asyncio.get_running_loop().time
        if call.not_before > clock():
            await call.pause(call.not_before - clock())
        if call.stopped.is_set():
            raise TransientError("another request has ended the run")
        await self.budget.reserve(most)
        bill: int | None = None
        try:
            connect = LATER_CONNECT_SECONDS if self.answered else FIRST_CONNECT_SECONDS
            limits = httpx.Timeout(None, connect=connect)
            async with asyncio.timeout(self.config.timeout_seconds):
                response = await call.client.post("chat/completions", json=body, timeout=limits)
            value, status = decode(response.text, call.clean), response.status_code
            if status == 429 or too_long(status, value):
                bill = 0  # refused before any work
            elif status == 200:
                bill = billed(value)
            return self._read(response, value, request)
        except TimeoutError:
            raise TransientError(f"no answer within {self.config.timeout_seconds:g} s") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            bill = 0  # nothing was sent
            raise UnreachableError(f"the connection failed ({call.clean(_reason(error))})") from None
        except httpx.RequestError as error:
            raise TransientError(f"the connection failed ({type(error).__name__})") from None
        except TransientError as error:
            call.not_before = max(call.not_before, clock() + error.retry_after)
            raise
        finally:
            await self.budget.settle(most, bill)

    def _read(self, response: httpx.Response, value: dict[str, Any], request: Request) -> Generation:
        """What a reply says; raises as `refuse` and `read_answer` do."""
        status = response.status_code
        if withheld(status, value):
            return Generation("", "content_filter", 0, 0)
        if too_long(status, value):
            if self.config.too_long == "stop":
                raise StageError(
                    f"{request.id}: {self.url} answered HTTP {status}: {error_of(value)[1][:200]} (the question does "
                    "not fit the endpoint's context; lower max_new_tokens, leave it out, or say too_long=no_answer, "
                    "which counts it as not answered)"
                )
            return Generation("", "too_long", 0, 0)
        refuse(response, value, request, self.url, self.config.api_key_env)
        if not self.answered:
            refuse_page(response, request, self.url)
        answer = read_answer(value, request, self.prefill_mode)
        self.answered = True
        if answer.reported_model:
            self.reported.add(answer.reported_model)
        return answer

    def _tell(self, call: _Call, state: RetryCallState) -> None:
        """Say that a request waits, and why: minutes of silence look like a program that hangs."""
        now = asyncio.get_running_loop().time()
        if now - call.last_line < RETRY_LINE_SECONDS or state.outcome is None or state.next_action is None:
            return
        call.last_line = now
        log.warning(
            "%s: %s; attempt %d of %d, the next in %.1f s",
            *(self.host, state.outcome.exception(), state.attempt_number, self.config.attempts),
            state.next_action.sleep,
        )

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        messages = [{"role": role, "content": content} for role, content in request.messages]
        body: dict[str, Any] = {"model": self.model, "messages": messages, "stream": False, "n": 1}
        body[self.config.token_parameter] = sampling.max_new_tokens
        if self.config.send_sampling:
            body["temperature"] = sampling.temperature
            if sampling.temperature > 0:
                body |= {"top_p": sampling.top_p, "seed": request.seed}
        if request.opening:
            messages.append({"role": "assistant", "content": request.opening})
            if self.prefill_mode == "two_turn":
                messages.append({"role": "user", "content": RECONSIDER})
            else:
                body |= {"add_generation_prompt": False, "continue_final_message": True}
        return body | self.config.extra_body


async def _result(task: asyncio.Task[None]) -> None:
    await task


def _reason(error: BaseException) -> str:
    """Why a connection failed in the system's own words, which lie below those of httpx ("Connection refused")."""
    told, deeper = str(error) or type(error).__name__, error.__cause__ or error.__context__
    while deeper is not None:
        if isinstance(deeper, OSError) and deeper.errno:
            told = os.strerror(deeper.errno) if deeper.errno > 0 else str(deeper.strerror)  # a name's are below 0
        deeper = deeper.__cause__ or deeper.__context__
    return told


def located(base_url: str) -> tuple[str, str]:
    """(host, address) of an endpoint. The address tells one deployment of a host from another: scheme, host, port and
    path, without user and query, which may be secrets. Raises InputError for one that cannot be connected to.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        raise InputError("base_url: is not http://HOST/PATH or https://HOST/PATH") from None
    host, path = url.netloc.decode(), url.raw_path.decode().partition("?")[0]
    return host, f"{url.scheme}://{host}{path.rstrip('/')}"


def expect_opening(body: dict[str, Any], request: Request) -> None:
    """Raise StageError where the server would go on from other words than the opening's."""
    last = body["messages"][-1]
    if request.opening and last != {"role": "assistant", "content": request.opening}:
        raise StageError(f"{request.id}: the messages do not end with its opening: ...{str(last)[-120:]!r}")


def api_key(variable: str) -> str:
    """The key in an environment variable ("" for none); raises InputError for one that no HTTP header can carry."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InputError(f"{variable}: holds characters that no key has; set it again, on one line")
    return key
