"""The doctor's look at the machine: home folder, caches, user, and the Kubernetes API as a pod sees it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import certificate
from faulty_proxy import Answer, Asked, Proxy, proxy

from components.errors import InputError
from components.platform.checks import place
from components.platform.checks.findings import Finding
from components.platform.tracking.slots import EPOCH_LABEL, run_times, slot_of

POLICY = Path(__file__).resolve().parents[2] / "docs/policies/kubernetes.json"
CLUSTER = Path(os.environ.get("BIOMED_R1_DATA", "/nowhere")) / "cluster"
WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/biomed-r1/workflows"


def levels(findings: Any) -> dict[str, str]:
    return {finding.label: finding.level for finding in findings}


@pytest.mark.parametrize(
    ("name", "says"),
    [("50%", "'%' means something else"), ("what?", "'?' means something else"), ("x" * 100, "bytes too long")],
)
def test_a_home_that_embedded_servers_cannot_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.setenv("BIOMED_R1_HOME", str(tmp_path / name))
    with pytest.raises(InputError, match=".*".join(map(__import__("re").escape, ("BIOMED_R1_HOME=", says)))):
        place.check_home(embedded=True)
    place.check_home(embedded=False)


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("BIOMED_R1_HOME", str(file / "home"))
    with pytest.raises(InputError, match=r"cannot be written by uid \d+ \(Not a directory\); point BIOMED_R1_HOME at"):
        place.check_home(embedded=False)
    # Nobody, root neither, makes a file here.
    monkeypatch.setenv("BIOMED_R1_HOME", "/proc/self/home")
    with pytest.raises(InputError, match="cannot be written"):
        place.check_home(embedded=True)


def test_caches_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "TMPDIR", *place.CACHES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", "/proc/self/cache")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "new"))
    monkeypatch.setenv("HOME", "/proc/self/home")
    assert levels(place.check_caches()) == {
        "folder HOME": "warning", "folder HF_HOME": "failed", "folder TRITON_CACHE_DIR": "ok",
    }  # fmt: skip


def test_space_and_user() -> None:
    assert set(levels(place.check_space(1)).values()) == {"ok"}
    assert "raise the role's `scratch`" in next(iter(place.check_space(1 << 60))).text
    (user,) = place.check_user()
    assert user.level == ("warning" if os.getuid() == 0 else "ok")


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A Kubernetes API that lets an account do what the documented Role says, seen from a pod."""
    role = json.loads(POLICY.read_text())
    workflow = {"metadata": {"labels": {EPOCH_LABEL: "1795748400"}}, "spec": {}}
    if (CLUSTER / "smoke-fresh-install").is_dir():
        recorded = json.loads((CLUSTER / "smoke-fresh-install/workflow.json").read_text())
        workflow["spec"] = {"templateDefaults": recorded["spec"]["templateDefaults"]}

    def answer(asked: Asked) -> Answer:
        if asked.headers.get("authorization") != "Bearer of-the-pod":
            return Answer(401, "{}")
        group, resource, verb = asked.path.split("/")[2], asked.path.split("/")[6], "list"
        if not any(
            group in r["apiGroups"] and resource in r["resources"] and verb in r["verbs"] for r in role["rules"]
        ):
            return Answer(403, "{}")
        known = asked.query.get("labelSelector") == ["pipeline/runid=run-1"]
        return Answer(200, json.dumps({"items": [workflow] if known else []}))

    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    pem = certificate(tmp_path)
    for name, text in (("token", "of-the-pod\n"), ("namespace", "biomed-r1"), ("ca.crt", Path(pem).read_text())):
        (folder / name).write_text(text)
    monkeypatch.setattr(place, "SERVICE_ACCOUNT", folder)
    with proxy("http://127.0.0.1:9", answer, certificate=pem) as server:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_address[1]))
        server.role = role  # type: ignore[attr-defined]  # the tests change it
        yield server


def test_the_api_server_is_reached_and_the_retries_in_force_are_told(
    api: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # a company's proxy, not for the cluster's own addresses
    findings = list(place.check_api_server("run-1"))
    assert levels(findings) == {"egress to the Kubernetes API": "ok", "retries": "ok"}
    if CLUSTER.is_dir():
        assert findings[1].text.startswith("retryPolicy OnError: a deleted or refused pod is tried again, a task that")
    assert [asked.path for asked in api.asked] == [WORKFLOWS]
    assert slot_of(place.read_workflow("run-1")) == "2026-11-27T03:00:00Z"
    assert place.read_workflow("run-2") is None


def test_without_the_role_nothing_is_said_of_retries(api: Proxy) -> None:
    api.role["rules"].clear()  # type: ignore[attr-defined]
    assert levels(place.check_api_server("run-1")) == {"egress to the Kubernetes API": "ok"}


def test_no_egress_to_the_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "EGRESS_SECONDS", 0.0)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "9")
    (finding,) = place.check_api_server("run-1")
    assert finding.level == "failed" and "let runs through in the NetworkPolicy" in finding.text


@pytest.mark.parametrize("policy", ["OnError", "OnFailure", "OnTransientError", "Always", "Never heard of"])
def test_each_policy_has_its_words(policy: str) -> None:
    workflow = {"spec": {"templateDefaults": {"retryStrategy": {"retryPolicy": policy}}}}
    assert place.retries(workflow).startswith(f"retryPolicy {policy}: ")


def test_when_a_run_started_and_which_slot_it_stands_for() -> None:
    scheduled = {"metadata": {"labels": {EPOCH_LABEL: "1795748400"}}}
    times = {"started": "2026-11-27T03:07:12Z", "slot": "2026-11-27T03:00:00Z"}
    assert run_times("2026-11-27T03:07:12Z", scheduled) == times
    assert run_times("{{$.pipeline_job_schedule_time_utc}}", None) == {}
    assert run_times("x", {"metadata": {"labels": {EPOCH_LABEL: "soon"}}}) == {"started": "x"}
    if CLUSTER.is_dir():  # a run by hand has no slot
        assert slot_of(json.loads((CLUSTER / "smoke-succeeded/workflow.json").read_text())) is None


def test_a_finding_in_words() -> None:
    assert str(Finding("S3 put")) == "ok    S3 put"
    assert str(Finding("S3 delete", "warning", "no right")) == "WARN  S3 delete: no right"
