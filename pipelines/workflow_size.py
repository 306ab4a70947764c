"""How large the Argo Workflow of a compiled pipeline gets: its spec, and its nodes when every task has run.

Argo keeps all of it in one object of at most 1 MiB. From there on it packs the nodes (gzip, then base64), and KFP no
longer reads what became of them; what does not fit when packed fails. The model writes the nodes as KFP 2.17 and Argo
4.0.5 write them (tests compare it with a recorded run) and counts bytes. Pure: it reads IR and nothing else.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.pod_patch import Json, PodPatches, compact, sha

# What KFP adds to every Workflow: system templates, retry defaults, labels (tests/fixtures: recorded specs).
SYSTEM_BYTES = 14_500
# Argo packs with Go's default level; zlib's 4 is the next that is not smaller than the recorded sizes.
GZIP_LEVEL = 4


@dataclass(frozen=True)
class WorkflowSize:
    """Nodes, pods and bytes of a Workflow whose tasks have all run; `longest`: the longest argument of one process."""

    nodes: int
    pods: int
    spec: int
    status: int
    packed: int
    longest: int


def workflow_size(spec: Json, platform: Json) -> WorkflowSize:
    """The size of the Workflow of an IR document and its platform document ({} where it has none)."""
    model = _Model(spec, platform)
    nodes = list(model.nodes())
    text = compact({node["id"]: node for node in sorted(nodes, key=lambda node: node["id"])})
    in_spec = len(compact(model.arguments())) + SYSTEM_BYTES + model.templates()
    packed = base64.b64encode(gzip.compress(text.encode(), GZIP_LEVEL, mtime=0))
    pods = sum(node["type"] == "Pod" for node in nodes)
    return WorkflowSize(len(nodes), pods, in_spec, len(text), in_spec + len(packed), model.longest)


class _Model:
    def __init__(self, spec: Json, platform: Json) -> None:
        self.spec = spec
        self.components: Json = {**spec["components"], "root": spec["root"]}
        self.executors: Json = spec["deploymentSpec"]["executors"]
        kubernetes = platform.get("platforms", {}).get("kubernetes", {})
        self.kubernetes: Json = kubernetes.get("deploymentSpec", {}).get("executors", {})
        self.name = f"{spec['pipelineInfo']['name']}-mtlff"
        self.patches = PodPatches(spec, self.components)
        self.longest = 0

    # the spec

    def arguments(self) -> list[Json]:
        """The Workflow's parameters: every component once, every implementation once, Kubernetes' part of each task."""
        values: dict[str, str] = {}
        for name, component in self.components.items():
            if label := component.get("executorLabel"):
                digest = hashlib.sha256(compact(component).encode()).hexdigest()
                container = compact(self.executors[label]["container"])
                if _base(name) == name or f"components-{digest}" not in values:
                    values[f"components-{sha(_base(name))}"] = compact({**component, "executorLabel": _base(label)})
                    values[f"implementations-{sha(_base(name))}"] = container.replace(label, _base(label))
                if label in self.kubernetes:
                    values[f"kubernetes-{name}"] = compact(self.kubernetes[label])
            else:
                values[f"components-{name}"] = compact(component)
        return [{"name": name, "value": value} for name, value in values.items()]

    def templates(self) -> int:
        """Bytes of the templates of DAGs: each task's text as an argument, and about a kilobyte that starts it."""
        total = 0
        for component in self.components.values():
            for task in component.get("dag", {}).get("tasks", {}).values():
                copies = 2 if "parameterIterator" in task else 1
                total += copies * len(json.dumps(compact(task))) + 1_050
        return total

    # the nodes

    def nodes(self) -> Iterator[Json]:
        """Every node of a run in which every task was started once and ended well."""
        root = {"component": compact(self.spec["root"]), "runtime-config": "{}", "driver-type": "ROOT_DAG"}
        yield from self._pair(self.name, "entrypoint", "DAG", [])
        path = f"{self.name}(0)"
        yield from self._driver(f"{path}.root-driver", "system-dag-driver", self._dag_inputs(root))
        yield from self._pair(f"{path}.root", "root", "DAG", [_parameter("parent-dag-id", "64")])
        yield from self._dag("root", f"{path}.root(0)", {})

    def _dag(self, component: str, path: str, inputs: Mapping[str, Any]) -> Iterator[Json]:
        """The nodes of a DAG's tasks; `inputs` are values known to its tasks (the items of loops)."""
        for name, task in self.components[component]["dag"]["tasks"].items():
            if "parameterIterator" in task:
                yield from self._loop(name, task, path)
                continue
            if "triggerPolicy" in task and component == "root":
                # The exit task: KFP makes it a hook of the task that it follows, in a DAG of its own.
                hook = f"{path}.{task['dependentTasks'][0]}.hooks.exit"
                yield from self._pair(hook, f"exit-hook-root-{name}", "DAG", [_parameter("parent-dag-id", "64")])
                yield from self._container(name, task, f"{hook}(0).{name}", inputs)
                continue
            yield from self._task(name, task, path, inputs)

    def _task(self, name: str, task: Json, path: str, inputs: Mapping[str, Any]) -> Iterator[Json]:
        component = task["componentRef"]["name"]
        if self.components[component].get("executorLabel"):
            yield from self._container(name, task, f"{path}.{name}", inputs)
            return
        given = {"component": compact(self.components[component]), "task": compact(task), "task-name": name}
        yield from self._driver(f"{path}.{name}-driver", "system-dag-driver", self._dag_inputs(given))
        yield from self._pair(f"{path}.{name}", component, "DAG", [_parameter("parent-dag-id", "65")])
        yield from self._dag(component, f"{path}.{name}(0)", inputs)

    def _loop(self, name: str, task: Json, path: str) -> Iterator[Json]:
        """The iterator, and for each item a DAG with a driver of its own, which is told all items."""
        component = task["componentRef"]["name"]
        items = json.loads(task["parameterIterator"]["items"]["raw"])
        given = {"component": compact(self.components[component]), "task": compact(task), "task-name": name}
        parent = [_parameter("parent-dag-id", "65")]
        here = f"{path}.{name}"
        yield from self._pair(here, f"{component}-{name}-iterator", "DAG", parent)
        yield from self._driver(f"{here}(0).iteration-driver", "system-dag-driver", self._dag_inputs(given))
        yield self._node(f"{here}(0).iteration-iterations", "TaskGroup", f"{component}-iteration", [], {})
        for number, item in enumerate(items):
            one = f"{here}(0).iteration-iterations({number}:{number})"
            own = [*parent, _parameter("iteration-index", str(number))]
            yield from self._pair(one, f"{component}-iteration", "DAG", own)
            driver = f"{one}(0).iteration-item-driver"
            yield from self._driver(driver, "system-dag-driver", self._dag_inputs(given, number))
            yield from self._pair(f"{one}(0).iteration-item", component, "DAG", parent)
            known = {task["parameterIterator"]["itemInput"]: item}
            yield from self._dag(component, f"{one}(0).iteration-item(0)", known)

    def _container(self, name: str, task: Json, path: str, inputs: Mapping[str, Any]) -> Iterator[Json]:
        """Driver, task and executor, each with Argo's wrapper for retries: six copies of the pod's patch."""
        component = self.components[task["componentRef"]["name"]]
        label = component["executorLabel"]
        container = self.executors[label]["container"]
        kubernetes = self.kubernetes.get(label, {})
        patch = compact(self.patches.patch(name, task, component, container, kubernetes, inputs))
        self.longest = max(self.longest, self.patches.longest)
        given = [
            _parameter("component", compact(component)),
            _parameter("task", compact(task)),
            _parameter("container", compact(container)),
            _parameter("task-name", name),
            _parameter("parent-dag-id", "65"),
            {"name": "iteration-index", "default": "-1", "value": "-1"},
            {"name": "kubernetes-config", "default": "", "value": compact(kubernetes)},
        ]
        self._longest(given)
        outputs = [
            {"name": "pod-spec-patch", "value": patch, "valueFrom": {"path": "/tmp/outputs/pod-spec-patch"}},
            _output("cached-decision", "false"),
            _output("condition", "nil"),
        ]
        yield from self._driver(f"{path}-driver", "system-container-driver", given, outputs)
        retry = task.get("retryPolicy", {})
        prefix = "retry-" if retry else ""
        waits = [
            {"name": f"retry-{key}", "default": "0", "value": str(value).rstrip("s")}
            for key, value in (
                ("max-count", retry.get("maxRetryCount")),
                ("backoff-duration", retry.get("backoffDuration")),
                ("backoff-factor", retry.get("backoffFactor")),
                ("backoff-max-duration", retry.get("backoffMaxDuration")),
            )
            if value is not None
        ]
        decided = {"name": "cached-decision", "default": "false", "value": "false"}
        labels = _pod_labels(kubernetes)
        prefix = f"metadata-0-{len(labels) // 2}-{prefix}" if labels else prefix
        inner = [_parameter("pod-spec-patch", patch), *labels, *waits]
        yield from self._pair(path, f"{prefix}system-container-executor", "DAG", [*inner, decided])
        yield from self._pair(f"{path}(0).executor", f"{prefix}system-container-impl", "Pod", inner, {"exitCode": "0"})

    def _driver(self, path: str, template: str, given: list[Json], outputs: list[Json] | None = None) -> Iterator[Json]:
        told = outputs or [_output("execution-id", "64"), _output("iteration-count", "0"), _output("condition", "nil")]
        self._longest(given)
        yield from self._pair(path, template, "Pod", given, {"parameters": told, "exitCode": "0"})

    def _dag_inputs(self, given: Mapping[str, str], iteration: int = -1) -> list[Json]:
        defaults = {"runtime-config": "", "task": "", "task-name": "", "parent-dag-id": "0", "driver-type": "DAG"}
        inputs = [_parameter("component", given["component"])]
        inputs += [{"name": n, "default": d, "value": given.get(n, d)} for n, d in defaults.items()]
        return [*inputs, {"name": "iteration-index", "default": "-1", "value": str(iteration)}]

    def _pair(
        self, path: str, template: str, kind: str, inputs: list[Json], outputs: Json | None = None
    ) -> Iterator[Json]:
        """A node and the wrapper for retries around it, with the same inputs and outputs."""
        yield self._node(path, "Retry", template, inputs, outputs or {})
        yield self._node(f"{path}(0)", kind, template, inputs, outputs or {})

    def _node(self, path: str, kind: str, template: str, inputs: list[Json], outputs: Json) -> Json:
        own = f"{self.name}-{_number(path)}"
        node: Json = {
            "id": own,
            "name": path,
            "displayName": path.rpartition(".")[2],
            "type": kind,
            "templateName": template,
            "templateScope": f"local/{self.name}",
            "phase": "Succeeded",
            "boundaryID": f"{self.name}-{_number(path.rpartition('.')[0])}",
            "startedAt": "2026-11-27T02:51:01Z",
            "finishedAt": "2026-11-27T02:58:54Z",
            "progress": "32/32",
            "resourcesDuration": {"cpu": 174, "memory": 9263},
            "children": [f"{self.name}-{_number(path + '>')}"],
        }
        if inputs:
            node["inputs"] = {"parameters": inputs}
        if outputs:
            key = f"private-artifacts/biomed-r1/{self.name}/2026/11/27/{self.name}-{template}-{_number(path)}/main.log"
            node["outputs"] = {"artifacts": [{"name": "main-logs", "s3": {"key": key}}], **outputs}
        if kind == "DAG":
            node["outboundNodes"] = node["children"]
        if kind in ("Pod", "DAG"):
            node["nodeFlag"] = {"retried": True}
        if kind == "Pod":
            node |= {"hostNodeName": "kfp", "taskResultSynced": True}
        return node

    def _longest(self, given: Sequence[Json]) -> None:
        self.longest = max(self.longest, *(len(parameter["value"].encode()) for parameter in given))


def _parameter(name: str, value: str) -> Json:
    return {"name": name, "value": value}


def _pod_labels(kubernetes: Json) -> list[Json]:
    """A pod's labels, which are no part of its patch: Argo's templates for the task take two parameters for each."""
    labels: Json = kubernetes.get("podMetadata", {}).get("labels", {})
    made = []
    for number, (key, value) in enumerate(sorted(labels.items()), 1):
        which = f"-{number}" if len(labels) > 1 else ""
        made += [_parameter(f"pod-metadata-label-key{which}", key), _parameter(f"pod-metadata-label-val{which}", value)]
    return made


def _output(name: str, value: str) -> Json:
    return {"name": name, "value": value, "valueFrom": {"path": f"/tmp/outputs/{name}", "default": value}}


def _base(name: str) -> str:
    """A component's name without the number that KFP gives each further use of it."""
    return name.rstrip("0123456789").rstrip("-") if name.rpartition("-")[2].isdigit() else name


def _number(path: str) -> str:
    return str(1_000_000_000 + int(hashlib.sha256(path.encode()).hexdigest()[:7], 16))
