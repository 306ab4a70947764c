"""What the deployer tells Prometheus: champion, what serves, the last deployment, and the gate's last decision."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from components.errors import ReadableError
from components.platform.formats.prometheus import CONTENT_TYPE, Sample, text
from components.platform.tracking import registry
from components.serving import pointer as pointers
from components.serving.deploy import smoke
from components.serving.deploy.follow import Look
from components.serving.deploy.target import Target

HELP = {
    "biomed_r1_deployer_look_timestamp_seconds": "When the deployer last looked at the pointer.",
    "biomed_r1_deployer_failing": "1 when the last look met an error; the log has it.",
    "biomed_r1_champion": "The version that the pointer names; its value is the pointer's serial.",
    "biomed_r1_served": "The version that users are answered by, and its colour.",
    "biomed_r1_serving_champion": "1 when users are answered by the champion, 0 when not.",
    "biomed_r1_deployment": "The last deployment's version and state.",
    "biomed_r1_gate_decision": "The gate's decision about the newest registered version.",
    "biomed_r1_gate_look": "The look at which the newest version was decided on.",
    "biomed_r1_gate_refused_in_a_row": "How many of the newest versions the gate refused, since it last promoted one.",
}


def samples(root: str, name: str, target: Target, look: Look) -> list[Sample]:
    """Everything that can be found out now; what cannot is absent. Raises nothing that a person reads."""
    found: list[Sample] = [
        ("biomed_r1_deployer_look_timestamp_seconds", {}, look.at),
        ("biomed_r1_deployer_failing", {}, float(bool(look.error))),
    ]
    if look.status is not None:
        labels = {"version": look.status.what.version, "state": look.status.state}
        found.append(("biomed_r1_deployment", labels, 1.0))
    for ask in (lambda: _serving(root, name, target), lambda: _gate(name)):
        try:
            found += ask()
        except Exception as error:  # MLflow's client raises its own; a metric is no reason to end
            found.append(("biomed_r1_deployer_failing", {"what": type(error).__name__}, 1.0))
    return found


def _serving(root: str, name: str, target: Target) -> list[Sample]:
    pointer = pointers.read(root, name)
    champion = pointer[0].champion if pointer else None
    live = target.live()
    names = answering(target.address(live)) if live and target.held(live) else []
    found: list[Sample] = []
    if pointer and champion:
        labels = {"version": champion.version, "uri": champion.uri}
        found.append(("biomed_r1_champion", labels, float(pointer[0].serial)))
        found.append(("biomed_r1_serving_champion", {}, float(champion.uri in names)))
    uri = next((served for served in names if "/" in served), "")
    if live and uri:
        version = next((v.version for v in _versions(pointer) if v.uri == uri), "")
        found.append(("biomed_r1_served", {"version": version, "uri": uri, "colour": live}, 1.0))
    return found


def _versions(pointer: tuple[pointers.Pointer, str] | None) -> list[pointers.Served]:
    return [v for v in (pointer[0].champion, pointer[0].previous) if v] if pointer else []


def answering(url: str) -> list[str]:
    """The names that a server answers to, [] when it does not say."""
    try:
        with smoke.client(10.0) as asked:
            return smoke.served_names(asked, url)
    except (httpx.HTTPError, ValueError, KeyError, ReadableError):
        return []


def _gate(name: str) -> list[Sample]:
    versions = registry.versions(name)
    if not versions:
        return []
    newest, tags = str(versions[0].version), versions[0].tags
    decisions = [version.tags.get("gate.decision", "") for version in versions]
    refused = next((n for n, decision in enumerate(decisions) if decision != "refuse"), len(decisions))
    found: list[Sample] = [
        ("biomed_r1_gate_decision", {"version": newest, "decision": decisions[0]}, 1.0),
        ("biomed_r1_gate_refused_in_a_row", {}, float(refused)),
    ]
    look = tags.get("gate.look", "")
    return [*found, ("biomed_r1_gate_look", {"version": newest}, float(look))] if look.isdigit() else found


class Exporter:
    """/metrics and /health on a port of every address; what is told is what `tell` was given last."""

    def __init__(self, port: int) -> None:
        self._told = ""
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path in ("/metrics", "/health") else 404)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.end_headers()
                if self.path == "/metrics":
                    self.wfile.write(exporter._told.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def tell(self, found: Iterable[Sample]) -> None:
        self._told = text(found, HELP)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
