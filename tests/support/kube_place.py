"""A cluster with a template, a store with versions, a pointer, and pods that answer as their weights would."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_api import KubeApi, kube_api
from kubernetes import client
from memory_target import NAME, Place

from components.platform.cluster.api import Kubernetes
from components.serving.deploy.machine import Deployment, Terms
from components.serving.deploy.template import CONFIG_MAP, TEMPLATE
from pipelines.cluster.serving.target import KubernetesTarget

NAMESPACE = "biomed-r1"
ROOT = f"/api/v1/namespaces/{NAMESPACE}"
TERMS = Terms(ready=5, answer=5, bake=0.05, drain=5, poll=0.05, keep_warm=600)
CONTAINERS = [{"name": "vllm", "image": "biomed-r1-python-gpu"}]
FIRST = [{"name": "fetch-model", "image": "biomed-r1-python-cpu"}]
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "spec": {
        "progressDeadlineSeconds": 3600,
        "template": {"metadata": {"labels": {"x": "y"}}, "spec": {"initContainers": FIRST, "containers": CONTAINERS}},
    },
}
INFERENCE_SERVICE = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "spec": {"predictor": {"minReplicas": 1, "initContainers": FIRST, "containers": CONTAINERS}},
}
IMAGES = {"cpu-image": "registry.example.com/cpu@sha256:1", "gpu-image": "registry.example.com/gpu@sha256:2"}


class KubePlace(Place):
    """`wrong` holds the URIs whose answers are not the recorded ones."""

    def __init__(self, folder: Path, api: KubeApi) -> None:
        super().__init__(folder)
        self.api, self.wrong = api, set[str]()
        self.pods = ThreadingHTTPServer(("127.0.0.1", 0), _pods(self))
        self.pods.daemon_threads = True
        threading.Thread(target=self.pods.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.kube = KubernetesTarget(self.cluster(), f"http://127.0.0.1:{self.pods.server_port}/{{service}}", 0.6)
        self.install(DEPLOYMENT)

    def cluster(self) -> Kubernetes:
        settings = client.Configuration(host=self.api.url)
        settings.retries = False
        return Kubernetes(client.ApiClient(settings), NAMESPACE)

    def install(self, template: dict[str, Any], **changes: str) -> None:
        """What `kubectl apply -k` brings: the template's ConfigMap, and Services without a selector."""
        data = {TEMPLATE: yaml.safe_dump(template), **IMAGES, **changes}
        self.api.put(f"{ROOT}/configmaps/{CONFIG_MAP}", _object("ConfigMap", CONFIG_MAP, data=data))
        spec = {"ports": [{"name": "http", "port": 8000}]}
        self.api.put(f"{ROOT}/services/serving", _object("Service", "serving", spec=spec))

    def run(self, target: Any = None, **changes: Any) -> Any:
        terms = Terms(**{**TERMS.__dict__, **changes})
        return Deployment(self.root, NAME, target or self.kube, terms, "test").run()


def _object(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **fields}


def _pods(place: KubePlace) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"data": [{"id": "biomed-r1"}, {"id": self._uri()}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            uri = self._uri()
            tokens = [int(uri.rpartition("/")[2])] if uri not in place.wrong else [999]
            self._send({"choices": [{"message": {"content": "The answer is A."}, "token_ids": tokens}]})

        def _uri(self) -> str:
            colour = self.path.split("/")[1].split("-")[1]
            return place.kube.held(colour)  # type: ignore[arg-type]

        def _send(self, value: Any) -> None:
            text = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture
def kube_place(tmp_path: Path) -> Iterator[KubePlace]:
    with kube_api() as api:
        made = KubePlace(tmp_path, api)
        yield made
        made.pods.shutdown()
        made.pods.server_close()
