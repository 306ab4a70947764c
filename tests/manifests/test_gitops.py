"""Argo CD and Flux: order, what is never deleted, what is the deployer's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import yaml
from kubectl import MANIFESTS, ROOT, deployed

KEPT = ("Namespace", "PersistentVolumeClaim")
Parts = dict[str, dict[str, list[dict[str, Any]]]]


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MANIFESTS / "gitops" / name).read_text(encoding="utf-8")))


def test_gitops_names_folders_and_objects_that_exist(rendered: dict[str, list[dict[str, Any]]]) -> None:
    objects = {(item["kind"], item["metadata"]["name"]) for items in rendered.values() for item in items}
    applications, flux = _documents("argocd.yaml"), _documents("flux.yaml")
    paths = [item["spec"]["source"]["path"] for item in applications]
    assert paths == [item["spec"]["path"].removeprefix("./") for item in flux if item["kind"] == "Kustomization"]
    assert paths == [f"manifests/overlays/prod{part}" for part in ("/keep", "", "/serving")]
    for path in paths:
        assert (ROOT / path / "kustomization.yaml").is_file()
    for item in applications:
        for ignored in item["spec"].get("ignoreDifferences", ()):
            named = {name for kind, name in objects if kind == ignored["kind"]}
            assert ignored["name"] in named if "name" in ignored else named, ignored
    for item in flux:
        for checked in item["spec"].get("healthChecks", ()):
            assert (checked["kind"], checked["name"]) in objects


def test_gitops_order_and_what_it_never_deletes(rendered: dict[str, list[dict[str, Any]]]) -> None:
    applications = _documents("argocd.yaml")
    waves = [int(item["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) for item in applications]
    assert waves == sorted(waves)
    assert len(set(waves)) == 3
    kept, _, serving = applications
    assert kept["spec"]["syncPolicy"]["automated"]["prune"] is False
    assert serving["spec"]["syncPolicy"]["automated"]["prune"] is False
    assert all("finalizers" not in item["metadata"] for item in applications)
    steps = [item for item in _documents("flux.yaml") if item["kind"] == "Kustomization"]
    for before, after in pairwise(steps):
        assert after["spec"]["dependsOn"] == [{"name": before["metadata"]["name"]}]
    assert [step["spec"]["prune"] for step in steps] == [False, True, False]
    inside = {
        item["metadata"]["name"]: int(item["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))
        for item in rendered["prod"] if item["kind"] in ("StatefulSet", "Deployment", "InferenceService", *KEPT)
    }  # fmt: skip
    assert inside["postgres"] < inside["mlflow"]


def test_the_switch_is_ignored_by_argo_cd_and_nothing_that_serves_is_in_a_file(parts: Parts) -> None:
    ignored = {(i["kind"], i.get("name")): i for i in _documents("argocd.yaml")[1]["spec"]["ignoreDifferences"]}
    assert ignored["Service", "serving"]["jqPathExpressions"] == [".spec.selector"]
    made = deployed(parts["prod"]["serving"])
    assert {item["kind"] for item in parts["prod"]["serving"] if item not in made} == {"ConfigMap"}
