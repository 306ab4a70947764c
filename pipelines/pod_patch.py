"""The pod of one task as KFP's driver describes it: the text that Argo stores six times for each task. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
# What upstream tasks hand over: the address of a result in the store, as long as a site's is.
STORE_URI = "s3://biomed-r1/kind/artifacts/classify/" + "e" * 40
_SESSION = json.dumps(
    {
        "Provider": "s3",
        "Params": {
            "accessKeyKey": "AWS_ACCESS_KEY_ID",
            "disableSSL": "true",
            "endpoint": "seaweedfs.kubeflow.svc.cluster.local:9000",
            "forcePathStyle": "true",
            "fromEnv": "false",
            "maxRetries": "5",
            "region": "us-east-1",
            "secretKeyKey": "AWS_SECRET_ACCESS_KEY",
            "secretName": "biomed-r1-s3",
        },
    },
    separators=(",", ":"),
)
_LAUNCH = ("/kfp-launcher/launch",)
_SERVERS = (
    *("--pod_name", "$(KFP_POD_NAME)", "--pod_uid", "$(KFP_POD_UID)"),
    *("--ml_pipeline_server_address", "ml-pipeline.kubeflow.svc.cluster.local", "--ml_pipeline_server_port", "8887"),
    *("--mlmd_server_address", "metadata-grpc-service.kubeflow.svc.cluster.local", "--mlmd_server_port", "8080"),
    *("--publish_logs", "true", "--publish_logs", "true", "--"),
)


class PodPatches:
    """The patches of a pipeline's tasks; `longest` is the longest argument among them, in bytes."""

    def __init__(self, spec: Json, components: Json) -> None:
        self.spec = spec
        self.components = components
        self.run = uuid("run")
        self.longest = 0

    def patch(
        self, name: str, task: Json, component: Json, container: Json, kubernetes: Json, inputs: Mapping[str, Any]
    ) -> Json:
        """What the driver of a task hands to Argo; `inputs` are the items of loops around it, by their names."""
        told = json.dumps(self._executor_input(name, task, component, inputs), separators=(", ", ":"))
        spec = json.dumps(component, separators=(", ", ":"))
        self.longest = max(self.longest, len(told), len(spec), *(len(a) for a in container["command"]))
        command = [*_LAUNCH, "--pipeline_name", self.spec["pipelineInfo"]["name"], "--run_id", self.run]
        command += ["--execution_id", "74", "--executor_input", told, "--component_spec", spec, *_SERVERS]
        secrets = [
            {
                "name": key["envVar"],
                "valueFrom": {
                    "secretKeyRef": {
                        "name": secret["secretName"],
                        "key": key["secretKey"],
                        "optional": secret.get("optional", False),
                    }
                },
            }
            for secret in kubernetes.get("secretAsEnv", [])
            for key in secret["keyToEnv"]
        ]
        mounts = [*kubernetes.get("emptyDirMounts", []), *kubernetes.get("pvcMount", [])]
        resources = container.get("resources", {})
        limits = {"cpu": resources.get("resourceCpuLimit"), "memory": resources.get("resourceMemoryLimit")}
        return {
            "volumes": [{"name": m.get("volumeName", "pvc"), "emptyDir": {"sizeLimit": "8Gi"}} for m in mounts],
            "containers": [
                {
                    "name": "main",
                    "image": container["image"],
                    "command": command,
                    "args": [*container["command"], *container["args"]],
                    "env": [*container.get("env", []), *secrets],
                    "resources": {"limits": limits, "requests": limits},
                    "volumeMounts": [{"name": m.get("volumeName", "pvc"), "mountPath": m["mountPath"]} for m in mounts],
                    "securityContext": {"capabilities": {"drop": ["ALL"]}, **kubernetes.get("securityContext", {})},
                }
            ],
            **{k: kubernetes[k] for k in ("tolerations", "nodeSelector") if k in kubernetes},
            "activeDeadlineSeconds": 7200,
        }

    def _executor_input(self, name: str, task: Json, component: Json, inputs: Mapping[str, Any]) -> Json:
        given = task.get("inputs", {})
        artifacts = {key: self._given_artifact(key) for key in given.get("artifacts", {})}
        values = {key: self._value(value, inputs) for key, value in given.get("parameters", {}).items()}
        made = component.get("outputDefinitions", {})
        address = f"{name}/{uuid(name)}"
        outputs: Json = {
            "parameters": {key: {"outputFile": f"/tmp/kfp/outputs/{key}"} for key in made.get("parameters", {})},
            "artifacts": {
                key: {
                    "artifacts": [
                        {"name": key, "type": {"schemaTitle": "system.Artifact"}, "uri": self._at(address, key)}
                    ]
                }
                for key in ("executor-logs", *made.get("artifacts", {}))
            },
            "outputFile": self._at(address, "output_metadata.json").replace("s3:/", "/s3"),
        }
        return {"inputs": {"artifacts": artifacts, "parameterValues": values}, "outputs": outputs}

    def _value(self, value: Json, inputs: Mapping[str, Any]) -> Any:
        if "runtimeValue" in value:
            return str(value["runtimeValue"]["constant"]).replace("{{$.pipeline_job_uuid}}", self.run)
        if (name := value.get("componentInputParameter")) is not None:
            item = inputs.get(name, "")
            return item if isinstance(item, str) else max((str(v) for v in item.values()), key=len, default="")
        producer = value.get("taskOutputParameter", {}).get("producerTask", "")
        if producer.startswith("for-loop"):
            return [STORE_URI] * self._items(producer)
        return STORE_URI

    def _items(self, producer: str) -> int:
        for component in self.components.values():
            task = component.get("dag", {}).get("tasks", {}).get(producer)
            if task and "parameterIterator" in task:
                return len(json.loads(task["parameterIterator"]["items"]["raw"]))
        return 1

    def _given_artifact(self, key: str) -> Json:
        uri = self._at(f"curate/{uuid(key)}", key)
        known = {"digest": sha(key), "display_name": key, "reused": 1, "store_session_info": _SESSION}
        metadata = {**known, "store_uri": STORE_URI}
        return {"artifacts": [{"name": "44", "type": {"instanceSchema": ""}, "uri": uri, "metadata": metadata}]}

    def _at(self, address: str, key: str) -> str:
        return f"s3://biomed-r1/kfp/{self.spec['pipelineInfo']['name']}/{self.run}/{address}/{key}"


def compact(value: Any) -> str:
    """JSON as Go writes it: no spaces, and `<`, `>`, `&` escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def sha(text: str) -> str:
    """A sha256 that stands for one that only a run knows."""
    return hashlib.sha256(text.encode()).hexdigest()


def uuid(text: str) -> str:
    """An identifier of the form that KFP gives."""
    h = sha(text)
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:32]}"
