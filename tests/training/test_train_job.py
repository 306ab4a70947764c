"""The TrainJob of a training: what it is, that there is only one, how its end becomes the task's."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compiled_pipelines import TRAIN_JOBS, train_job_file, train_job_of
from kube_api import KubeApi, kube_api
from kubernetes import client
from schemas import check_published, published
from train_jobs import JOBS, NAMESPACE, WORKFLOWS, ended, kubeconfig, pod, until

from components.errors import InputError, ReadableError, StageError, StoppedError, UnavailableError
from components.platform.cluster.api import Kubernetes
from components.platform.storage import objects, store
from components.training.job import node, transport
from components.training.job.body import REQUEST_ANNOTATION, name_of, train_job
from components.training.job.ready import check_train_jobs
from components.training.job.watcher import ROLE, Terms, Watcher, delete_jobs_of
from components.training.place import JobPlace, TrainerPlace

TERMS = Terms(watch=0.3, stuck=0.2, away=3, gone=5)
PLACE = TrainerPlace(nodes=2, gpus=1, launch="trainjob", job=JobPlace(run="run-1"))
NAME = name_of("sft", "s3://b/checkpoints/sft/key")
OURS = f"{JOBS}/{NAME}"


def wanted(uri: str = "s3://b/checkpoints/sft/key-job/1", run: str = "run-1") -> dict[str, Any]:
    place = PLACE.model_copy(update={"job": JobPlace(run=run)})
    return train_job(NAME, place, uri, "attempt1", {})


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with kube_api() as made:
        yield made


def cluster(api: KubeApi) -> Kubernetes:
    settings = client.Configuration(host=api.url)
    settings.retries = False
    return Kubernetes(client.ApiClient(settings), NAMESPACE, ROLE)


def watcher(api: KubeApi, told: ReadableError | None = None, **changes: str) -> Watcher:
    return Watcher(cluster(api), wanted(**changes), lambda _: told, TERMS)


def later(act: Any, *given: Any, made: KubeApi | None = None) -> None:
    """Do something once the job is there (or at once)."""

    def run() -> None:
        if made is not None:
            until(lambda: OURS in made.objects)
        act(*given)

    threading.Thread(target=run, daemon=True).start()


def posts(api: KubeApi) -> int:
    return len([line for line in api.requests if line.startswith("POST")])


@pytest.mark.parametrize("case", TRAIN_JOBS)
def test_the_train_job_of_a_profile_is_golden_and_valid(case: tuple[str, str]) -> None:
    body = train_job_of(*case)
    assert body == json.loads(train_job_file(*case).read_text()), "make golden, if it is meant to change"
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", body["metadata"]["name"]) and len(body["metadata"]["name"]) < 64
    if (folder := published()) is None:
        pytest.skip("BIOMED_R1_DATA names no published schemas")
    assert check_published(body, folder)


def test_a_job_is_made_and_its_end_is_ours(api: KubeApi) -> None:
    later(ended, api, NAME, "Complete", made=api)
    watcher(api).run()
    assert posts(api) == 1


def test_who_comes_second_finds_the_job(api: KubeApi) -> None:
    """Between looking and making somebody else made it: 409, and the job is theirs and ours."""
    watched = watcher(api)
    watched.cluster.create(watched.jobs, wanted(run="run-0"))
    api.faults = [(f"GET {OURS}$", 404)]
    later(ended, api, NAME, "Complete")
    watched.run()
    assert posts(api) == 2 and api.objects[OURS]["metadata"]["labels"]["biomed-r1/run"] == "run-1"


def test_a_killed_watcher_finds_its_job_again(api: KubeApi, tmp_path: Path) -> None:
    program = (
        "import json, sys\nfrom components.platform.cluster.api import connect\n"
        "from components.training.job.watcher import Watcher\n"
        "Watcher(connect(role='r'), json.loads(sys.argv[1]), lambda _: None).run()\n"
    )
    command = [sys.executable, "-c", program, json.dumps(wanted())]
    environment = {**os.environ, "KUBECONFIG": kubeconfig(api, tmp_path)}
    with subprocess.Popen(command, env=environment) as first:
        until(lambda: OURS in api.objects and any("watch=true" in line for line in api.requests))
        first.kill()
    api.requests.clear()
    with subprocess.Popen(command, env=environment) as second:
        until(lambda: any("watch=true" in line for line in api.requests))
        ended(api, NAME, "Complete")
        assert second.wait(60) == 0
    assert posts(api) == 0


@pytest.mark.parametrize(
    ("told", "code"), [(StoppedError("step 7"), 75), (InputError("row 3"), 2), (StageError("x"), 1)]
)
def test_what_the_workers_said_is_the_tasks_error(api: KubeApi, told: ReadableError, code: int) -> None:
    later(ended, api, NAME, "Failed", "PodFailurePolicy", "pod failed", made=api)
    with pytest.raises(type(told), match=f"{told}\nTrainJob {NAME}: PodFailurePolicy: pod failed") as raised:
        watcher(api, told).run()
    assert raised.value.exit_code == code


def test_without_a_word_the_pods_reasons_are_said(api: KubeApi) -> None:
    oom = {"name": "node", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    error = {"name": "node", "state": {"terminated": {"reason": "Error", "exitCode": 75}}}
    pod(api, NAME, "pod-0", phase="Failed", containerStatuses=[oom])
    pod(api, NAME, "pod-1", phase="Failed", containerStatuses=[error])
    api.logs["pod-1"] = "NCCL error: remote process exited"
    later(ended, api, NAME, "Failed", "JobsFailed", made=api)
    with pytest.raises(StageError) as raised:
        watcher(api).run()
    assert "pod pod-0, container node: OOM: killed at its memory limit" in str(raised.value)
    assert "pod-1, container node: exit code 75; its last words:\nNCCL error: remote" in str(raised.value)


def test_a_pod_that_cannot_start_ends_the_job(api: KubeApi) -> None:
    waiting = {"name": "node", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    pod(api, NAME, "pod-0", phase="Pending", containerStatuses=[waiting])
    with pytest.raises(StageError, match="ImagePull: ImagePullBackOff: no such image"):
        watcher(api).run()
    assert OURS not in api.objects


def test_a_pod_without_a_node_waits_and_is_named(api: KubeApi, caplog: pytest.LogCaptureFixture) -> None:
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    pod(api, NAME, "pod-0", phase="Pending", conditions=[unplaced])
    later(lambda: (until(lambda: "Unschedulable: 0/1" in caplog.text), ended(api, NAME, "Complete")), made=api)
    watcher(api).run()


def test_a_broken_watch_and_an_api_that_is_away_cost_nothing(api: KubeApi) -> None:
    api.oldest = 10**6  # every watch is answered with 410
    api.faults = [("watch=true", "lost"), (f"GET {OURS}$", 503), (f"GET {OURS}$", 503), ("POST", "unanswered")]
    later(lambda: (until(lambda: not api.faults), ended(api, NAME, "Complete")), made=api)
    watcher(api).run()
    assert posts(api) == 1  # its answer was lost, and the job found


def test_a_failed_job_and_one_of_another_request_make_room(api: KubeApi) -> None:
    for uri, end in (("s3://b/other", ""), ("s3://b/checkpoints/sft/key-job/1", "Failed")):
        watched = watcher(api)
        watched.cluster.create(watched.jobs, wanted(uri))
        if end:
            ended(api, NAME, end)
        old = api.objects[OURS]["metadata"]["resourceVersion"]
        later(lambda old=old: until(lambda: _version(api) not in ("", old)) and ended(api, NAME, "Complete"))
        watched.run()
        asked = api.objects.pop(OURS)["metadata"]["annotations"][REQUEST_ANNOTATION]
        assert asked == "s3://b/checkpoints/sft/key-job/1"


def _version(api: KubeApi) -> str:
    return str(api.objects.get(OURS, {}).get("metadata", {}).get("resourceVersion", ""))


@pytest.mark.parametrize(("spec", "goes_on"), [({"activeDeadlineSeconds": 0}, False), ({}, True)])
def test_told_to_stop_the_job_goes_on_unless_its_run_was_cancelled(
    api: KubeApi, spec: dict[str, int], goes_on: bool
) -> None:
    """KFP ends a run by setting its Workflow's deadline to 0; a drained node deletes the pod and leaves that alone."""
    workflow = {"metadata": {"name": "w", "labels": {"pipeline/runid": "run-1"}}, "spec": spec}
    with api.lock:
        api.store(f"{WORKFLOWS}/w", workflow)
    later(os.kill, os.getpid(), signal.SIGTERM, made=api)
    with pytest.raises(StoppedError, match="goes on" if goes_on else "cancelled"):
        watcher(api).run()
    assert (OURS in api.objects) == goes_on


def test_a_run_that_ended_leaves_no_job_running(api: KubeApi) -> None:
    watched = watcher(api)
    watched.cluster.create(watched.jobs, wanted(run="run-2"))
    assert delete_jobs_of(watched.cluster, "run-1") == [] and delete_jobs_of(watched.cluster, "run-2") == [NAME]
    watched.cluster.create(watched.jobs, wanted())
    ended(api, NAME, "Failed")
    assert delete_jobs_of(watched.cluster, "run-1") == []  # it holds nothing, and can be looked at


def test_what_the_account_may_not_do_names_its_role(api: KubeApi) -> None:
    api.forbidden = "POST"
    with pytest.raises(InputError, match="needs the Role biomed-r1-runner with manifests/components/trainjob"):
        watcher(api).run()


def test_request_result_and_errors_travel_through_the_store(store_uri: str, tmp_path: Path) -> None:
    (tmp_path / "mix").write_bytes(b"rows")
    checkpoints, request = f"{store_uri}/checkpoints/sft/key", {"module": "m", "given": {"code": ""}}
    uri = transport.address(checkpoints, request, tmp_path / "mix")
    assert uri != transport.address(checkpoints, {**request, "module": "n"}, tmp_path / "mix")
    for _ in range(2):
        transport.put_request(uri, request, tmp_path / "mix")
    assert transport.get_request(uri, tmp_path / "node") == request
    assert (tmp_path / "node" / transport.MIX).read_bytes() == b"rows"

    transport.put_error(uri, "a", 1, StageError("peer"))
    transport.put_error(uri, "a", 0, InputError("row"))
    assert isinstance(transport.get_error(uri, "a"), InputError) and transport.get_error(uri, "b") is None
    transport.forget_error(uri, "a", 0)
    assert str(transport.get_error(uri, "a")) == "peer"

    model = tmp_path / "model"
    (model / "adapter").mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "adapter/a.json").write_bytes(b"{}")
    assert transport.get_result(uri) is None
    transport.put_result(uri, model, {"steps": 3}, "code")
    assert transport.get_result(uri) == {"steps": 3}

    final = f"{store_uri}/artifacts/sft/key"
    (tmp_path / "own").mkdir()
    (tmp_path / "own/evidence.json").write_text("{}")
    store.put_dir(tmp_path / "own", final, stage="sft", key="key", beside=transport.result_uri(uri))
    transport.forget(checkpoints)
    assert objects.list_files(f"{checkpoints}-job") == []
    store.get_dir(final, tmp_path / "final")  # verified, though its files were never here
    assert {path.name for path in (tmp_path / "final").rglob("*.*")} == {"evidence.json", "model.safetensors", "a.json"}


def test_a_node_says_what_is_wrong_with_its_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mix").write_bytes(b"rows")
    monkeypatch.setenv("BIOMED_R1_HOME", str(tmp_path / "home"))
    request = {"module": "components.stages.sft", "place": {}, "given": {"code": "0" * 64}}
    uri = str(tmp_path / "job")
    transport.put_request(uri, request, tmp_path / "mix")
    assert node.main(uri, "a") == 2
    with pytest.raises(InputError, match="this image has other code"):
        raise transport.get_error(uri, "a") or AssertionError
    assert node.main(str(tmp_path / "nothing"), "a") == 2


def test_a_store_that_is_away_is_worth_another_attempt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def away(*_: Any) -> None:
        raise UnavailableError("s3: no answer")

    monkeypatch.setenv("BIOMED_R1_HOME", str(tmp_path))
    monkeypatch.setattr(node.transport, "get_request", away)
    assert node.main(str(tmp_path / "job"), "a") == 75


def test_a_cluster_without_train_jobs_is_refused_in_words(api: KubeApi) -> None:
    group = "/apis/trainer.kubeflow.org/v1alpha1"
    with pytest.raises(InputError, match=r"knows no TrainJob .* install Kubeflow Trainer v2"):
        list(check_train_jobs(cluster(api), "biomed-r1-trainer"))
    api.objects[group] = {"metadata": {}, "kind": "APIResourceList", "resources": [{"name": "trainjobs"}]}
    with pytest.raises(InputError, match="no TrainingRuntime biomed-r1-trainer; apply an overlay"):
        list(check_train_jobs(cluster(api), "biomed-r1-trainer"))
    api.objects[f"{group}/namespaces/{NAMESPACE}/trainingruntimes/biomed-r1-trainer"] = {"metadata": {}}
    assert len(list(check_train_jobs(cluster(api), "biomed-r1-trainer"))) == 3
    api.forbidden = "GET .*/trainjobs"
    with pytest.raises(InputError, match="the account needs the Role biomed-r1-runner with manifests/components"):
        list(check_train_jobs(cluster(api), "biomed-r1-trainer"))
