"""What stands behind a TrainJob: a controller that starts the command of each node as a process of this machine.

Each node has a home folder of its own, as pods have disks. torchrun's variables are those of Kubeflow Trainer v2.
"""

from __future__ import annotations

import copy
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kube_api import KubeApi, kube_api

NAMESPACE = "biomed-r1"
JOBS = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/trainjobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
WORKFLOWS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/workflows"


def kubeconfig(api: KubeApi, folder: Path) -> str:
    """The path of a kubeconfig that leads to the stub."""
    path = folder / "kubeconfig"
    context = {"cluster": "stub", "user": "stub", "namespace": NAMESPACE}
    body = {
        "apiVersion": "v1", "kind": "Config", "current-context": "stub",
        "clusters": [{"name": "stub", "cluster": {"server": api.url}}], "users": [{"name": "stub", "user": {}}],
        "contexts": [{"name": "stub", "context": context}],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    return str(path)


def ended(api: KubeApi, name: str, kind: str, reason: str = "", message: str = "") -> None:
    """The TrainJob's condition, as its controller writes it."""
    with api.lock:
        job = api.objects[f"{JOBS}/{name}"]
        told = {"type": kind, "status": "True", "reason": reason or kind, "message": message}
        job["status"] = {"conditions": [told | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]}
        api.store(f"{JOBS}/{name}", job)


def pod(api: KubeApi, job: str, name: str, **status: Any) -> None:
    metadata = {"name": name, "labels": {"jobset.sigs.k8s.io/jobset-name": job}}
    with api.lock:
        api.store(f"{PODS}/{name}", {"kind": "Pod", "metadata": metadata, "status": status})


class TrainJobs:
    """Runs the TrainJobs of an API; `made` are those that were ever created, `starting` may act on a started one."""

    def __init__(self, api: KubeApi, folder: Path) -> None:
        self.api, self.folder = api, folder
        self.made: list[dict[str, Any]] = []
        self.running: dict[str, list[subprocess.Popen[bytes]]] = {}
        self.codes: list[list[int]] = []
        self.starting: Callable[[list[subprocess.Popen[bytes]]], None] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for process in [p for processes in self.running.values() for p in processes]:
            process.kill()
            process.wait()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            with self.api.lock:
                jobs = {p: copy.deepcopy(o) for p, o in self.api.objects.items() if p.startswith(JOBS)}
            for path, job in jobs.items():
                if path not in self.running and not job.get("status"):
                    self.made.append(job)
                    self.running[path] = self._start(job)
            for path in [path for path in self.running if path not in jobs]:
                for process in self.running.pop(path):
                    process.terminate()
                    process.wait()
            for path, processes in list(self.running.items()):
                codes = [process.poll() for process in processes]
                if jobs[path].get("status") or None in codes:
                    continue
                self.codes.append([int(code or 0) for code in codes])
                failed = any(codes)
                ended(self.api, path.rpartition("/")[2], "Failed" if failed else "Complete", "JobsFailed" * failed)
                del self.running[path]

    def _start(self, job: dict[str, Any]) -> list[subprocess.Popen[bytes]]:
        trainer = job["spec"]["trainer"]
        program, *command = [*trainer["command"], *trainer["args"]]
        assert program == "python"
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        processes = []
        for node in range(trainer["numNodes"]):
            home = self.folder / f"node-{len(self.made)}-{node}"
            values = {entry["name"]: entry["value"] for entry in trainer["env"]}
            values |= {
                "PET_NNODES": str(trainer["numNodes"]), "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
                "PET_NODE_RANK": str(node), "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port),
                "BIOMED_R1_HOME": str(home), "OMP_NUM_THREADS": "1",
                "BIOMED_R1_GPUS": "0",  # this machine has none; gloo takes their place
            }  # fmt: skip
            with (self.folder / f"node-{len(self.made)}-{node}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, *command], env={**os.environ, **values}, stdout=log, stderr=subprocess.STDOUT
                    )
                )
        if self.starting:
            self.starting(processes)
        return processes


@contextmanager
def train_jobs(folder: Path) -> Iterator[TrainJobs]:
    folder.mkdir(parents=True, exist_ok=True)
    with kube_api() as api:
        made = TrainJobs(api, folder)
        try:
            yield made
        finally:
            made.close()


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """What a condition gives once it holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError("did not happen")
