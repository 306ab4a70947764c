"""The deployer's admission policy, evaluated: what it lets through and what not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from kubectl import SERVED

from components.serving.deploy.template import CONFIG_MAP, rendered, selector

celpy = pytest.importorskip("celpy", reason="pip install cel-python evaluates the policy's expressions")
Json = dict[str, Any]
RESOURCES = {"Deployment": "deployments", "InferenceService": "inferenceservices", "Service": "services"}


@pytest.fixture(params=["kind", "prod"])
def found(request: pytest.FixtureRequest, parts: dict[str, dict[str, list[Json]]]) -> tuple[Json, Json]:
    """(the policy, the ConfigMap of the template)."""
    objects = [item for part in parts[request.param].values() for item in part]
    policy = next(item["spec"] for item in objects if item["kind"] == "ValidatingAdmissionPolicy")
    config = next(i for i in objects if i["kind"] == "ConfigMap" and i["metadata"]["name"] == CONFIG_MAP)
    return policy, config


def refusals(policy: Json, config: Json, item: Json, old: Json | None = None, user: str = "") -> list[str]:
    """The messages of the validations that an object does not pass; [] for a request that is not the deployer's."""
    environment = celpy.Environment()
    user = user or "system:serviceaccount:biomed-r1:biomed-r1-deployer"
    given = {
        "object": item, "oldObject": old, "params": config,
        "request": {
            "userInfo": {"username": user}, "resource": {"resource": RESOURCES[item["kind"]]},
            "operation": "UPDATE" if old else "CREATE",
        },
    }  # fmt: skip
    context = {name: celpy.json_to_cel(value) for name, value in given.items()}

    def evaluate(expression: str) -> Any:
        # Kubernetes' dyn() tells its type checker to be quiet; a dynamic evaluator has no need of it.
        return environment.program(environment.compile(expression), functions={"dyn": lambda v: v}).evaluate(context)

    if not all(evaluate(condition["expression"]) for condition in policy["matchConditions"]):
        return []
    context["variables"] = celpy.celtypes.MapType()
    for variable in policy["variables"]:
        context["variables"][celpy.celtypes.StringType(variable["name"])] = evaluate(variable["expression"])
    return [rule["message"] for rule in policy["validations"] if not evaluate(rule["expression"])]


def workload(config: Json) -> Json:
    return rendered(config["data"], "biomed-r1", "green", SERVED)


def pod(item: Json) -> Json:
    found: Json = item["spec"]["template"]["spec"] if item["kind"] == "Deployment" else item["spec"]["predictor"]
    return found


def test_what_the_deployer_makes_is_let_through(found: tuple[Json, Json]) -> None:
    policy, config = found
    assert refusals(policy, config, workload(config)) == []
    service = selector("biomed-r1", "green")
    service["spec"] |= {"ports": [{"port": 8000}], "type": "ClusterIP"}
    assert refusals(policy, config, service, copy.deepcopy(service)) == []


SECRET = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "biomed-r1-mlflow-server", "key": "admin-password"}}}
CHANGES: list[tuple[Callable[[Json], Any], str]] = [
    (lambda item: item["metadata"].update(name="mlflow"), "makes serving-blue and serving-green"),
    (lambda item: pod(item)["containers"][0].update(image="evil"), "does not list"),
    (lambda item: pod(item)["initContainers"][0].update(image="evil"), "does not list"),
    (lambda item: pod(item)["containers"][0]["env"].append(SECRET), "no business"),
    (
        lambda item: pod(item)["containers"][0].update(envFrom=[{"secretRef": {"name": "biomed-r1-postgres"}}]),
        "no business",
    ),
    (lambda item: pod(item)["volumes"].append({"name": "s", "secret": {"secretName": "x"}}), "may be mounted"),
    (lambda item: pod(item)["volumes"].append({"name": "h", "hostPath": {"path": "/"}}), "may be mounted"),
    (lambda item: pod(item)["volumes"].append({"name": "p", "projected": {"sources": []}}), "may be mounted"),
    (lambda item: pod(item).update(serviceAccountName="biomed-r1-runner"), "account biomed-r1-service"),
    (lambda item: pod(item).update(automountServiceAccountToken=True), "account biomed-r1-service"),
    (lambda item: pod(item).update(hostNetwork=True), "account biomed-r1-service"),
    (lambda item: pod(item)["containers"][0]["securityContext"].update(privileged=True), "no privileges"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_what_it_must_not_make_is_refused(found: tuple[Json, Json], change: Callable[[Json], Any], said: str) -> None:
    policy, config = found
    item = workload(config)
    change(item)
    assert any(said in message for message in refusals(policy, config, item))
    assert refusals(policy, config, item, user="somebody") == []


def test_of_the_service_it_turns_the_selector_only(found: tuple[Json, Json]) -> None:
    policy, config = found
    old = selector("biomed-r1", "blue")
    old["spec"] |= {"ports": [{"port": 8000}], "type": "ClusterIP"}
    for change in (
        {"ports": [{"port": 5000}]}, {"type": "NodePort"}, {"externalName": "evil"},
        {"selector": {"app.kubernetes.io/name": "mlflow"}},
    ):  # fmt: skip
        new = copy.deepcopy(old)
        new["spec"] |= change
        assert refusals(policy, config, new, old), change
