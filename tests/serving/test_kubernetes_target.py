"""`deploy --target kubernetes` against an API server that speaks server-side apply, leases and watches."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import Any

import pytest
from kube_place import DEPLOYMENT, INFERENCE_SERVICE, NAMESPACE, ROOT, KubePlace, kube_place

from components.errors import ConflictError, InputError, UnavailableError
from components.platform.cluster.api import MANAGER
from pipelines.cluster.serving.lease import Lease
from pipelines.cluster.serving.reading import read_events, read_pods

__all__ = ["kube_place"]
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/biomed-r1-deploy"


def test_two_versions_and_a_rollback_go_by_colours_and_the_selector(kube_place: KubePlace) -> None:
    place, api = kube_place, kube_place.api
    one = place.promote(1)
    assert place.run().state == "accepted" and api.served() == one.uri
    two = place.promote(2)
    status = place.run()
    assert status.state == "accepted" and api.served() == two.uri
    blue, green = (api.object("deployments", f"serving-{colour}") for colour in ("blue", "green"))
    assert [o["spec"]["replicas"] for o in (blue, green)] == [1, 1]
    pods = green["spec"]["template"]
    assert pods["metadata"]["annotations"]["biomed-r1/model-uri"] == two.uri
    assert pods["metadata"]["labels"] == {"app.kubernetes.io/name": "serving", "biomed-r1/colour": "green", "x": "y"}
    assert pods["spec"]["containers"][0]["image"] == "registry.example.com/gpu@sha256:2"
    # Only the deployer owns what it set, and `kubectl apply` of the manifests leaves the switch alone.
    assert {owner for who in api.owners[f"{APPS}/serving-green"].values() for owner in who} == {MANAGER}
    spec = {"ports": [{"name": "http", "port": 8000}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "serving"}, "spec": spec}
    api.put(f"{ROOT}/services/serving", service)
    assert api.served() == two.uri
    # The first is warm: a rollback applies nothing and turns the selector.
    place.promote(1)
    api.requests.clear()
    assert place.run().warm and api.served() == one.uri
    assert [line for line in api.requests if line.startswith("PATCH")] == [
        f"PATCH {ROOT}/services/serving?fieldManager={MANAGER}&force=false&fieldValidation=Strict"
    ]


@pytest.mark.parametrize(
    ("plan", "fault", "said"),
    [
        ("crash", "model", r"CrashLoop: exit code 1; its last words:\nloading weights\nValueError: no such layer"),
        ("image", "place", r"ImagePull: ImagePullBackOff: Back-off pulling image"),
        ("oom", "place", r"OOM: killed at its memory limit"),
        ("secret", "place", r"CreateContainerConfigError: secret .x. not found"),
        ("fetch", "place", r"container fetch-model: CrashLoop"),
        ("denied", "place", r"no pod can be made: exceeded quota"),
    ],
)
def test_what_is_wrong_with_a_pod_is_said_at_once(kube_place: KubePlace, plan: str, fault: str, said: str) -> None:
    place, api = kube_place, kube_place.api
    one = place.promote(1)
    place.run()
    two = place.promote(2)
    api.plans[two.uri] = plan
    status = place.run(ready=60)
    assert (status.state, status.fault) == ("failed", fault)
    assert re.search(said, status.reason), status.reason
    assert api.served() == one.uri and api.object("deployments", "serving-green")["spec"]["replicas"] == 0
    champion = place.pointer().champion
    assert champion is not None and champion.version == ("1" if fault == "model" else "2")


def pod(**more: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", **more.pop("metadata", {})}, "status": more}


LOOPS = {"name": "fetch-model", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}


@pytest.mark.parametrize(
    ("log", "found", "state", "fault", "said"),
    [
        ("a.json differs from its manifest", pod(initContainerStatuses=[LOOPS]), "failed", "model", "a.json differs"),
        ("no route to host", pod(initContainerStatuses=[LOOPS]), "failed", "place", "no route to host"),
        ("", pod(phase="Failed", reason="Evicted", message="low on disk"), "failed", "place", "Evicted: low on disk"),
        ("", pod(initContainerStatuses=[LOOPS], metadata={"deletionTimestamp": "now"}), "", "", ""),
    ],
)
def test_whose_fault_a_failed_pod_is(
    kube_place: KubePlace, log: str, found: dict[str, Any], state: str, fault: str, said: str
) -> None:
    kube_place.api.logs["p"] = log
    told = read_pods(kube_place.cluster(), [found])
    assert (told.state, told.fault) == (state, fault) if told else state == ""
    assert told is None or said in told.text


def test_the_newest_warning_about_a_workload_is_told(kube_place: KubePlace) -> None:
    for number, about in ((1, "serving-green-a"), (2, "serving-green"), (3, "serving-blue")):
        event = {"involvedObject": {"name": about}, "reason": "FailedCreate", "message": f"number {number}"}
        time_ = {"lastTimestamp": f"2026-01-01T00:00:0{number}Z", "metadata": {"name": f"e{number}"}}
        kube_place.api.objects[f"{ROOT}/events/e{number}"] = {**event, **time_}
    assert read_events(kube_place.cluster(), ["serving-green"]) == "FailedCreate: number 2"
    assert read_events(kube_place.cluster(), ["other"]) == ""


def test_wrong_weights_and_trouble_while_baking(kube_place: KubePlace) -> None:
    place, api = kube_place, kube_place.api
    one = place.promote(1)
    place.run()
    two = place.promote(2)
    place.wrong.add(two.uri)
    assert "not the weights that were registered" in place.run().reason
    assert api.served() == one.uri and place.pointer().champion == one
    three = place.promote(3)
    original = place.kube.switch

    def switch(colour: str) -> None:
        original(colour)  # type: ignore[arg-type]
        api.plans[three.uri] = "crash"

    place.kube.switch = switch  # type: ignore[method-assign, assignment]
    status = place.run(bake=5)
    assert status.state == "reverted" and "CrashLoop" in status.reason
    assert api.served() == one.uri and place.pointer().champion == one


def test_one_gpu_is_handed_over_and_handed_back(kube_place: KubePlace, caplog: pytest.LogCaptureFixture) -> None:
    place, api = kube_place, kube_place.api
    api.room = 1
    place.promote(1)
    place.run()
    two = place.promote(2)
    status = place.run()
    assert (status.state, status.strategy, api.served()) == ("accepted", "replace", two.uri)
    assert "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu" in str(status.history)
    three = place.promote(3)
    place.wrong.add(three.uri)
    status = place.run(strategy="replace")
    assert status.state == "failed" and api.served() == two.uri and place.pointer().champion == two


def test_kserve_is_a_template_too(kube_place: KubePlace) -> None:
    place, api = kube_place, kube_place.api
    place.install(INFERENCE_SERVICE)
    place.promote(1)
    place.run()
    two = place.promote(2)
    assert place.run(keep_warm=0).state == "accepted" and api.served() == two.uri
    predictor = api.object("inferenceservices", "serving-green")["spec"]["predictor"]
    assert predictor["labels"]["biomed-r1/colour"] == "green" and predictor["initContainers"][0]["image"].endswith(":1")
    place.kube.stop("blue")
    assert place.kube.progress("blue").state == "stopped" and place.kube.held("blue") == ""


def test_a_changed_template_is_deployed_like_a_version(kube_place: KubePlace) -> None:
    place = kube_place
    place.promote(1)
    first = place.run()
    assert place.run() == first
    place.install(DEPLOYMENT, **{"gpu-image": "registry.example.com/gpu@sha256:3"})
    second = place.run()
    assert (first.colour, second.colour, second.state) == ("blue", "green", "accepted")
    place.install(DEPLOYMENT | {"kind": "Job"})
    with pytest.raises(InputError, match="must be one object of kind Deployment or InferenceService"):
        place.run()


def test_somebody_elses_fields_are_taken_over_and_named(
    kube_place: KubePlace, caplog: pytest.LogCaptureFixture
) -> None:
    place, api = kube_place, kube_place.api
    spec = {"ports": [{"name": "http", "port": 8000}], "selector": {"app.kubernetes.io/name": "serving"}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "serving"}, "spec": spec}
    api.put(f"{ROOT}/services/serving", service, "kubectl-client-side-apply")
    one = place.promote(1)
    with caplog.at_level(logging.WARNING):
        assert place.run().state == "accepted" and api.served() == one.uri
    assert 'conflict with "kubectl-client-side-apply": .spec.selector' in caplog.text


def test_errors_lost_answers_and_expired_watches_change_nothing(kube_place: KubePlace) -> None:
    place, api = kube_place, kube_place.api
    api.oldest = 10**9  # every watch: 410
    api.faults += [("PATCH .*serving-blue", "unanswered"), ("GET .*pods", 500), ("GET .*services", "lost")]
    api.faults += [("watch=true", 410), ("PATCH .*services", 429)]
    one = place.promote(1)
    assert place.run().state == "accepted" and api.served() == one.uri and not api.faults


def test_an_api_server_that_is_gone_ends_it_and_the_same_command_goes_on(kube_place: KubePlace) -> None:
    place, api = kube_place, kube_place.api
    one = place.promote(1)
    api.faults += [("PATCH .*serving-blue", 503)] * 4
    with pytest.raises(UnavailableError, match="HTTP 503"):
        place.run()
    assert place.run().state == "accepted" and api.served() == one.uri
    api.forbidden = "PATCH"
    place.promote(2)
    with pytest.raises(InputError, match="is forbidden; the account needs the Role biomed-r1-deployer"):
        place.run()
    assert api.served() == one.uri


def test_a_lease_lets_one_deployer_work(kube_place: KubePlace) -> None:
    place, api = kube_place, kube_place.api
    first, second = (Lease(place.cluster(), name, 0.6) for name in ("first", "second"))
    with first.held():
        with pytest.raises(ConflictError, match=r"Lease biomed-r1-deploy: first_\w+ is deploying"), second.held():
            pass
        place.promote(1)
        with pytest.raises(ConflictError):
            place.run()
    with second.held():
        holder = api.objects[LEASE]["spec"]["holderIdentity"]
        assert holder.startswith("second_") and not second.lost.is_set()
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""


def test_a_silent_holder_is_replaced_whatever_its_clock_says_and_by_one_only(kube_place: KubePlace) -> None:
    place, api = kube_place, kube_place.api
    dead = Lease(place.cluster(), "dead", 0.6)
    dead.acquire()
    api.objects[LEASE]["spec"] |= {"renewTime": "2099-01-01T00:00:00.000000Z", "leaseDurationSeconds": 1}
    won: list[str] = []
    gate = threading.Event()

    def take(name: str) -> None:
        try:
            with Lease(place.cluster(), name, 0.6).held():
                won.append(name)
                gate.wait(5)
        except ConflictError:
            pass

    threads = [threading.Thread(target=take, args=(f"d{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    while not won:
        time.sleep(0.05)
    time.sleep(0.3)
    gate.set()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_lost_lease_stops_the_deployer_before_it_changes_anything(kube_place: KubePlace) -> None:
    place, api = kube_place, kube_place.api
    one = place.promote(1)
    with place.kube.lock("a"):
        body = api.objects[LEASE]
        body["spec"]["holderIdentity"] = "another"
        assert place.kube._lease is not None and place.kube._lease.lost.wait(5)
        with pytest.raises(ConflictError, match="the Lease was lost to another deployer"):
            place.kube.apply("blue", one)
    assert not [path for path in api.objects if "deployments" in path]


def test_a_lease_that_cannot_be_renewed_counts_as_lost(kube_place: KubePlace) -> None:
    place, api = kube_place, kube_place.api
    one = place.promote(1)
    with place.kube.lock("a"):
        assert place.kube._lease is not None and not place.kube._lease.lost.wait(0.7), "it is renewed in time"
        api.faults += [("PUT .*leases", 503)] * 99
        assert place.kube._lease.lost.wait(20)
        with pytest.raises(ConflictError, match="the Lease was lost"):
            place.kube.apply("blue", one)
        api.faults.clear()
    assert not [path for path in api.objects if "deployments" in path]


def test_nothing_installed_is_said(kube_place: KubePlace) -> None:
    place, api = kube_place, kube_place.api
    place.promote(1)
    del api.objects[f"{ROOT}/configmaps/biomed-r1-serving"]
    with pytest.raises(InputError, match="apply the serving folder of your overlay first"):
        place.run()
    del api.objects[f"{ROOT}/services/serving"]
    with pytest.raises(InputError, match="no Service serving in namespace biomed-r1"):
        place.run()
