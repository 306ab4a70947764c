"""From the template in the cluster to the object of one colour: the same for a live and for a GitOps deployment.

The ConfigMap `biomed-r1-serving` holds `template.yaml` (a Deployment, or KServe's InferenceService) and the images
that it may name. Only the deployer makes objects of it, so applying the manifests does not fight a deployment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml

from components.errors import InputError
from components.serving.deploy.status import Colour
from components.serving.pointer import Served

CONFIG_MAP = "biomed-r1-serving"
TEMPLATE = "template.yaml"
# Images of the template are written by these names; the ConfigMap says where they are.
IMAGES = {"biomed-r1-python-cpu": "cpu-image", "biomed-r1-python-gpu": "gpu-image"}
SERVICE = "serving"
NAME_LABEL = "app.kubernetes.io/name"
COLOUR_LABEL = "biomed-r1/colour"
URI_ANNOTATION = "biomed-r1/model-uri"
DIGEST_ANNOTATION = "biomed-r1/model-digest"
HASH_ANNOTATION = "biomed-r1/rendered"
KINDS = ("Deployment", "InferenceService")


def workload_name(colour: Colour) -> str:
    return f"{SERVICE}-{colour}"


def direct_service(colour: Colour) -> str:
    """The Service of one colour, for the smoke test. KServe makes Services of an InferenceService's own name."""
    return f"{SERVICE}-{colour}-direct"


def rendered(
    config: Mapping[str, str], namespace: str, colour: Colour, what: Served, replicas: int = 1
) -> dict[str, Any]:
    """The object of one colour that serves `what`; `config` is the ConfigMap's data.

    Raises InputError where the template is none, or names an image that the ConfigMap does not.
    """
    found = template(config)
    name = workload_name(colour)
    pods = pod_part(found)
    labels = {**pods["metadata"].get("labels", {}), NAME_LABEL: SERVICE, COLOUR_LABEL: colour}
    # Where the weights come from, and what makes new pods of an unchanged address that was written anew.
    annotations = {**pods["metadata"].get("annotations", {}), URI_ANNOTATION: what.uri, DIGEST_ANNOTATION: what.digest}
    if found["kind"] == "Deployment":
        pods["metadata"] |= {"labels": labels, "annotations": annotations}
        found["spec"]["selector"] = {"matchLabels": {NAME_LABEL: SERVICE, COLOUR_LABEL: colour}}
    else:
        found["spec"]["predictor"] |= {"labels": labels, "annotations": annotations}
    _name_images(pods["spec"], config)
    found["metadata"] = {
        **found.get("metadata", {}),
        "name": name,
        "namespace": namespace,
        "labels": {**found.get("metadata", {}).get("labels", {}), NAME_LABEL: SERVICE, COLOUR_LABEL: colour},
    }
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    kept = found["metadata"].get("annotations", {})
    found["metadata"]["annotations"] = {**kept, HASH_ANNOTATION: digest[:40]}
    if found["kind"] == "Deployment":
        found["spec"]["replicas"] = replicas
    return found


def selector(namespace: str, colour: Colour) -> dict[str, Any]:
    """The part of the Service that is the switch: the only field of it that the deployer owns."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": namespace},
        "spec": {"selector": {NAME_LABEL: SERVICE, COLOUR_LABEL: colour}},
    }


def template(config: Mapping[str, str]) -> dict[str, Any]:
    """The template as an object; raises InputError for a ConfigMap that has none."""
    where = f"ConfigMap {CONFIG_MAP}, {TEMPLATE}"
    try:
        found = yaml.safe_load(config[TEMPLATE])
    except KeyError:
        raise InputError(f"{where}: missing; apply the serving folder of your overlay") from None
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(found, dict) or found.get("kind") not in KINDS:
        raise InputError(f"{where}: must be one object of kind {' or '.join(KINDS)}")
    return found


def pod_part(workload: dict[str, Any]) -> dict[str, Any]:
    """{metadata, spec} of the pods that an object of either kind makes."""
    spec = workload["spec"]
    if workload["kind"] == "Deployment":
        spec["template"].setdefault("metadata", {})
        part: dict[str, Any] = spec["template"]
        return part
    predictor = spec["predictor"]
    names = {name: predictor[name] for name in ("labels", "annotations") if name in predictor}
    return {"metadata": names, "spec": predictor}


def running(workload: dict[str, Any] | None) -> Served | None:
    """The weights that an object of one colour is told to run, by its annotations; None where it is stopped or absent.

    Their version is not written there.
    """
    if workload is None or workload["spec"].get("replicas", 1) == 0:
        return None
    said = pod_part(workload)["metadata"].get("annotations", {})
    return Served(version="", uri=said.get(URI_ANNOTATION, ""), digest=said.get(DIGEST_ANNOTATION, ""))


def rendered_hash(workload: dict[str, Any] | None) -> str:
    """The hash that `rendered` wrote on an object, "" where there is none."""
    return str(((workload or {}).get("metadata", {}).get("annotations") or {}).get(HASH_ANNOTATION, ""))


def _name_images(spec: dict[str, Any], config: Mapping[str, str]) -> None:
    for container in [*spec.get("initContainers", ()), *spec["containers"]]:
        image = container["image"]
        if image in IMAGES:
            if IMAGES[image] not in config:
                raise InputError(f"ConfigMap {CONFIG_MAP}: no {IMAGES[image]}, the address of image {image}")
            container["image"] = config[IMAGES[image]]
        elif image not in config.values():
            raise InputError(f"ConfigMap {CONFIG_MAP}, {TEMPLATE}: image {image} is not among those that it lists")
