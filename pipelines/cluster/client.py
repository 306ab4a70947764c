"""The connection to a Kubeflow Pipelines API: who calls, what is tried again, and errors that a person can act on."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import kfp
import kfp_server_api
from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from urllib3 import Retry
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, SSLError

from components.errors import InputError, ReadableError, StageError
from pipelines.cluster.proxies import proxy_of

Answer = TypeVar("Answer")

TOKEN_VARIABLE = "KFP_TOKEN"
ATTEMPTS = 5
# At first contact silence mostly means a wrong address, which a person wants to know at once.
FIRST_ATTEMPTS = 3
# Seconds: 0.5, 1, 2, 4 between the attempts, or what a 429 asks for up to LONGEST_PAUSE.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# Seconds to connect and to answer; the SDK itself waits forever.
TIMEOUT = (5.0, 60.0)
PAGE_SIZE = 100
# Kubernetes and KFP mount these into a pod (kfp.Client, kfp.client.set_volume_credentials).
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")


class UnavailableError(StageError):
    """No usable answer after every attempt: nobody there, 429, or 5xx. What was asked may have happened."""


class NotFoundError(InputError):
    """404: no such thing, or the host's path is wrong."""


class _Client(kfp.Client):
    """kfp.Client that asks nothing while it is made (it would ask five times, tracebacks and all) and once when asked.

    What is tried again is decided in one place, `Cluster`; urllib3 alone would try each GET and DELETE four times.
    """

    def _load_config(self, *arguments: Any) -> kfp_server_api.Configuration:
        config = super()._load_config(*arguments)
        config.retries = Retry(total=None, connect=0, read=0, other=0, redirect=3)
        proxy, headers = proxy_of(str(config.host))
        if proxy:  # the generated client reads no variables
            config.proxy, config.proxy_headers = proxy, headers
        return config

    def get_kfp_healthz(self, sleep_duration: int = 5) -> kfp_server_api.V2beta1GetHealthzResponse:  # noqa: ARG002
        return kfp_server_api.V2beta1GetHealthzResponse(multi_user=False)

    def ask_health(self, **options: Any) -> Any:
        """The answer's value, status and headers, asked once."""
        return self._healthz_api.healthz_service_get_healthz_with_http_info(**options)

    @property
    def address(self) -> str:
        return str(self._existing_config.host)

    @property
    def token(self) -> str:
        """What it proves itself with now, wherever that came from; for taking it out of messages."""
        return (self._existing_config.api_key.get("authorization", "").split() or [""])[-1]


class Cluster:
    """One KFP API and the namespace to work in; `api` is the SDK's client with the generated calls."""

    def __init__(self, api: _Client) -> None:
        self.api = api
        self.address = api.address
        self.namespace: str | None = None

    @property
    def scope(self) -> dict[str, str]:
        """What a list call names besides its filter."""
        return {"namespace": self.namespace} if self.namespace else {}

    def ask(self, doing: str, call: Callable[..., Any], *args: Any, attempts: int | None = None, **options: Any) -> Any:
        """Call what may be repeated: a question, or a change that is the same when made twice.

        `doing` completes "when ..." in the error. Raises UnavailableError after the last attempt, InputError for what
        another attempt cannot help.
        """
        return self._attempts(doing, lambda: call(*args, _request_timeout=TIMEOUT, **options), lambda: None, attempts)

    def create(
        self, doing: str, call: Callable[..., Any], find: Callable[[], Answer | None], *args: Any, **options: Any
    ) -> Any:
        """Call what must not happen twice: before each further attempt `find` looks whether the last one did it."""
        return self._attempts(doing, lambda: call(*args, _request_timeout=TIMEOUT, **options), find)

    def pages(self, doing: str, call: Callable[..., Any], field: str, *args: Any, **options: Any) -> Iterator[Any]:
        """Every item of a list call, page by page; `field` is where the answer keeps them."""
        token = ""
        while True:
            page = self.ask(doing, call, *args, page_size=PAGE_SIZE, page_token=token, **options)
            yield from getattr(page, field) or ()
            if not (token := page.next_page_token or ""):
                return

    def _attempts(
        self, doing: str, call: Callable[[], Any], find: Callable[[], Any], attempts: int | None = None
    ) -> Any:
        failed: list[ReadableError] = []

        def attempt() -> Any:
            try:
                return call()
            except (kfp_server_api.ApiException, HTTPError) as error:
                if getattr(error, "status", None) == 409 and (found := find()) is not None:
                    return found
                failed.append(_explain(error, doing, self.address, self.api.token))
                raise failed[-1] from error

        def look_then_attempt() -> Any:
            if tries.statistics["attempt_number"] > 1 and (found := find()) is not None:
                return found
            return attempt()

        def after_the_last(state: RetryCallState) -> Any:
            found = find()
            return state.outcome.result() if found is None and state.outcome else found

        tries = Retrying(
            stop=stop_after_attempt(attempts or ATTEMPTS),
            wait=_pause,
            # `find` has had its own attempts.
            retry=retry_if_exception(lambda error: isinstance(error, UnavailableError) and error in failed),
            retry_error_callback=after_the_last,
        )
        return tries(look_then_attempt)


def connect(host: str | None = None, namespace: str | None = None) -> Cluster:
    """A checked connection to `host`, or to what kfp.Client finds itself: in-cluster service, kubeconfig.

    The token is KFP_TOKEN, else the pod's own. Raises InputError when there is no such API, or it wants another
    token, or a namespace.
    """
    host = host or os.environ.get("KF_PIPELINES_ENDPOINT")
    _check_host(host)
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token.isascii() or any(c.isspace() for c in token):
        raise InputError(f"{TOKEN_VARIABLE}: holds a space, a line break or a letter that no token has")
    pod_token = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", POD_TOKEN))
    credentials = ServiceAccountTokenVolumeCredentials() if host and not token and pod_token.is_file() else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = _Client(
            host=host,
            existing_token=token or None,
            credentials=credentials,
            # The SDK trusts certifi's list only; this is OpenSSL's own name for a company's authority.
            ssl_ca_cert=os.environ.get("SSL_CERT_FILE"),
        )
    cluster = Cluster(client)
    cluster.namespace = _namespace(cluster, namespace)
    return cluster


def named(name: str) -> str:
    """The `filter` of a list call: display_name equals `name`."""
    equals = kfp_server_api.V2beta1PredicateOperation.EQUALS
    predicate = kfp_server_api.V2beta1Predicate(operation=equals, key="display_name", string_value=name)
    query = kfp_server_api.V2beta1Filter(predicates=[predicate])
    return json.dumps(kfp_server_api.ApiClient().sanitize_for_serialization(query))


def _check_host(host: str | None) -> None:
    if host:
        try:
            server = urlsplit(host if "//" in host else f"//{host}").netloc
        except ValueError:
            server = ""
        if not server:
            raise InputError(f"--host {host}: not an address; write https://HOST/PATH")
        if "@" in server:
            raise InputError(f"--host: leave user and password out of the address; a token goes into {TOKEN_VARIABLE}")
        return
    kubeconfig = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not (SERVICE_ACCOUNT / "token").is_file() and not any(Path(p).is_file() for p in kubeconfig.split(os.pathsep)):
        raise InputError("which Kubeflow Pipelines? Give --host URL or KF_PIPELINES_ENDPOINT, or a kubeconfig")


def _namespace(cluster: Cluster, given: str | None) -> str | None:
    """Checks that this is the KFP API at all; the namespace to send with each call, None where KFP has one user."""
    health, _, headers = cluster.ask("asking for its health", cluster.api.ask_health, attempts=FIRST_ATTEMPTS)
    if "json" not in headers.get("Content-Type", ""):
        raise InputError(
            f"{cluster.address}: answers, but not as the Kubeflow Pipelines API (a login page?); "
            f"check the path in --host and set {TOKEN_VARIABLE}"
        )
    if not health.multi_user:
        if given:
            raise InputError(f"{cluster.address}: serves a single user and knows no namespaces; leave --namespace out")
        return None
    pod = SERVICE_ACCOUNT / "namespace"
    found = given or cluster.api.get_user_namespace() or (pod.read_text().strip() if pod.is_file() else "")
    if not found:
        raise InputError(f"{cluster.address}: serves several namespaces; say which with --namespace")
    return found


def _pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: what a 429 asked for, else twice as long as the last time."""
    problem = state.outcome.exception() if state.outcome else None
    headers = getattr(problem and problem.__cause__, "headers", None) or {}
    asked = str(headers.get("Retry-After", ""))
    return min(LONGEST_PAUSE, float(asked) if asked.isdigit() else FIRST_PAUSE * 2 ** (state.attempt_number - 1))


def _explain(error: Exception, doing: str, address: str, token: str) -> ReadableError:
    """The error for a person, in one line, without the token that a proxy may echo."""
    status = getattr(error, "status", None)
    cause = error.reason if isinstance(error, MaxRetryError) else error
    if status == 0 or isinstance(cause, SSLError):
        text = "TLS: its certificate is not trusted or not its own; name your authority's file in SSL_CERT_FILE"
        problem: ReadableError = InputError(f"{address}: {text} ({_short(str(getattr(error, 'reason', cause)))})")
    elif isinstance(error, LocationValueError):
        problem = InputError(f"--host {address}: not an address; write https://HOST/PATH")
    elif status is None:
        problem = UnavailableError(
            f"{address}: no answer when {doing} ({type(cause).__name__}); check --host, and that the service "
            "or port-forward runs"
        )
        problem.exit_code = InputError.exit_code
    else:
        problem = _explain_status(error, int(status), doing, address)
    if token:
        problem.args = (str(problem).replace(token, "***"),)
    return problem


def _explain_status(error: Any, status: int, doing: str, address: str) -> ReadableError:
    said = _short(_message(error))
    text = f"{address}: {status} {error.reason} when {doing}{f': {said}' if said else ''}"
    if status == 401:
        return InputError(f"{text}; no valid token: set {TOKEN_VARIABLE} to a fresh one")
    if status == 403:
        return InputError(f"{text}; this account may not: check --namespace and its Role")
    if status == 404:
        return NotFoundError(f"{text}; check the path in --host")
    if status == 429 or status >= 500:
        return UnavailableError(f"{text}; tried several times: see the logs of the ml-pipeline service")
    return InputError(text)


def _message(error: Any) -> str:
    """What KFP's error body says; nothing of a body that is no such JSON."""
    try:
        body = json.loads(error.body)
        return str(body.get("message") or body.get("error") or "")
    except (TypeError, ValueError, AttributeError):
        return ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:200]}…"
