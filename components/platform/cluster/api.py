"""The few requests to the Kubernetes API that a deployment or a training makes, with its errors as ours."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter
from urllib3.exceptions import HTTPError

from components.errors import ConflictError, InputError, StageError, UnavailableError

# Who owns the fields that a deployment sets. Not one of kubectl's names: GitOps controllers take those over.
MANAGER = "biomed-r1-deploy"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT = (5.0, 30.0)  # seconds to connect, to answer
ATTEMPTS = 4
Answer = TypeVar("Answer")


class Kubernetes:
    """One namespace of a cluster. Objects are plain dictionaries, paths those of the API.

    `role` is the Role that the account needs, which an error names where the cluster denies something.
    """

    def __init__(self, api: client.ApiClient, namespace: str, role: str = "biomed-r1-deployer") -> None:
        self.api, self.namespace, self.role = api, namespace, role

    def path(self, group: str, kind: str, name: str = "") -> str:
        """The path of a kind (plural) in the namespace, `group` as in apps/v1, v1."""
        root = f"/api/{group}" if "/" not in group else f"/apis/{group}"
        return f"{root}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def get(self, path: str) -> dict[str, Any] | None:
        """An object, or None where there is none."""
        try:
            return self._tried(lambda: self._call("GET", path))
        except _AbsentError:
            return None

    def listed(self, path: str, **query: str) -> tuple[list[dict[str, Any]], str]:
        """(objects, resourceVersion of the list). [] for a kind that the cluster does not know."""
        try:
            found = self._tried(lambda: self._call("GET", path, query))
        except _AbsentError:
            return [], ""
        return list(found.get("items", ())), str(found.get("metadata", {}).get("resourceVersion", ""))

    def apply(self, path: str, body: Mapping[str, Any], force: bool = False) -> dict[str, Any]:
        """Server-side apply as MANAGER: the fields of `body` become ours, other fields stay as they are.

        Raises ConflictError, naming field and owner, where another owns one of them and `force` is not set.
        """
        query = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        try:
            return self._tried(lambda: self._call("PATCH", path, query, body, "application/apply-patch+yaml"))
        except _AbsentError as error:
            raise InputError(
                f"{path}: {error}; is its kind installed, and the namespace {self.namespace} there?"
            ) from None

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ConflictError where there is an object of that name."""
        try:
            return self._call("POST", path, {"fieldManager": MANAGER}, body)
        except _AbsentError as error:
            raise InputError(f"{path}: {error}; is the namespace {self.namespace} there?") from None

    def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ConflictError when the object is no longer of body.metadata.resourceVersion."""
        try:
            return self._call("PUT", path, {"fieldManager": MANAGER}, body)
        except _AbsentError:
            raise ConflictError(f"{path}: was deleted meanwhile") from None

    def delete(self, path: str) -> None:
        try:
            self._tried(lambda: self._call("DELETE", path, {"propagationPolicy": "Background"}))
        except _AbsentError:
            return

    def logs(self, pod: str, container: str, lines: int, previous: bool) -> str:
        """The last lines of a container's log, "" where it cannot be read (it is a help, not the matter)."""
        query = {"container": container, "tailLines": str(lines), "previous": str(previous).lower()}
        try:
            return str(self._call("GET", f"{self.path('v1', 'pods', pod)}/log", query, response="str")).strip()
        except (_AbsentError, StageError, InputError):
            return ""

    def changed(self, path: str, version: str, seconds: float, **query: str) -> None:
        """Return when an object of a list changed after `version`, or after `seconds`.

        A watch that breaks off, or whose version is too old (410), returns at once: whoever waits lists again.
        """
        asked = {**query, "watch": "true", "resourceVersion": version, "timeoutSeconds": str(max(1, round(seconds)))}
        try:
            answer = self.api.call_api(
                path, "GET", query_params=list(asked.items()), header_params={"Accept": "application/json"},
                auth_settings=["BearerToken"], _preload_content=False, _return_http_data_only=True,
                _request_timeout=(TIMEOUT[0], seconds + 5),
            )  # fmt: skip
            try:
                next(iter(answer.stream(1024)), None)
            finally:
                answer.close()
                answer.release_conn()
        except (ApiException, HTTPError):
            return

    def _tried(self, call: Callable[[], Answer]) -> Answer:
        """What may be asked again is: reading, and applying, which has the same end twice."""
        for attempt in Retrying(
            retry=retry_if_exception_type(UnavailableError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(initial=0.2, max=5),
            reraise=True,
        ):
            with attempt:
                return call()
        raise AssertionError("unreachable: reraise")

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        response: str = "object",
    ) -> Any:
        headers = {"Accept": "*/*" if response == "str" else "application/json"}
        if body is not None:
            headers["Content-Type"] = content
        try:
            return self.api.call_api(
                path, method, query_params=list((query or {}).items()), header_params=headers,
                body=None if body is None else dict(body), response_type=response, auth_settings=["BearerToken"],
                _return_http_data_only=True, _request_timeout=TIMEOUT,
            )  # fmt: skip
        except ApiException as error:
            raise _readable(error, method, path, self.role) from None
        except HTTPError as error:
            raise UnavailableError(
                f"{self.api.configuration.host}: the Kubernetes API does not answer ({error})"
            ) from None


class _AbsentError(Exception):
    """404."""


def _readable(error: ApiException, method: str, path: str, role: str) -> Exception:
    said = _message(error)
    if error.status == 404:
        return _AbsentError(said)
    if error.status == 409:
        return ConflictError(f"{path}: {said}")
    if error.status in (401, 403):
        return InputError(f"{method} {path}: {said}; the account needs the Role {role}")
    if error.status in (400, 422):
        return StageError(f"{method} {path}: the cluster refuses it: {said}")
    return UnavailableError(f"{method} {path}: HTTP {error.status}: {said}")


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason or error.body or "no reason given").strip()


def connect(namespace: str = "", role: str = "biomed-r1-deployer") -> Kubernetes:
    """The cluster that a pod runs in, else the kubeconfig's; raises InputError where there is neither.

    Without a `namespace` it is the pod's own, or that of the kubeconfig's context.
    """
    settings = client.Configuration()
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=settings)
            namespace = namespace or (SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
        else:
            path = os.environ.get("KUBECONFIG")  # the package reads it once, when it is imported
            config.load_kube_config(path, client_configuration=settings)
            namespace = namespace or config.list_kube_config_contexts(path)[1]["context"].get("namespace", "default")
    except (config.ConfigException, OSError) as error:
        raise InputError(f"no cluster: {error}; set KUBECONFIG, or run it in a pod with a service account") from None
    # What is tried again is decided here.
    settings.retries = False
    return Kubernetes(client.ApiClient(settings), namespace, role)
