"""What a compiled pipeline must hold for KFP 2.17 and Argo to run it; pure: it reads IR and nothing else.

KFP compiles graphs that its own drivers then refuse, in a cluster and after minutes. Each rule here is one of those,
seen on a cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from components.errors import InputError
from pipelines.workflow_size import WorkflowSize, workflow_size

Json = dict[str, Any]
# Linux takes 128 KiB as one argument; quoting in between can double a text.
MAX_ARGUMENT = 64 * 1024
# etcd takes a Workflow of 1 MiB. Packed nodes need room for messages of failed tasks and second attempts.
MAX_PACKED = 400 * 1024
# Argo packs the nodes of a Workflow above 1 MiB, and KFP's tasks stay as they were. A training stays below.
MAX_WHOLE = 1_000_000
# The nodes of a shipped training: a site's names are longer, failed tasks have messages, second attempts have nodes.
MAX_STATUS = 700_000
_CALLED = "{{"
_PLACEHOLDERS = ("{{$", "{{workflow.")


def check_graph(text: str, name: str) -> None:
    """Raise InputError with everything that a cluster would refuse in a compiled pipeline (IR YAML)."""
    if found := problems(text):
        raise InputError(f"{name}: a cluster could not run the compiled pipeline\n" + "\n".join(found))


def problems(text: str) -> list[str]:
    """What is wrong with IR YAML, one line each; empty for a graph that can run."""
    spec, platform = documents(text)
    components = {**spec["components"], "root": spec["root"]}
    found = [line for name, c in components.items() if "dag" in c for line in _dag(name, c, components)]
    if platform:
        found += _sizes(spec, workflow_size(spec, platform))
    return found


def documents(text: str) -> tuple[Json, Json]:
    """The pipeline and its platform part, {} where it has none."""
    spec, *rest = yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return spec, rest[0] if rest else {}


def _dag(name: str, component: Json, components: Json) -> Iterator[str]:
    declared = component.get("inputDefinitions", {})
    tasks = component["dag"]["tasks"]
    for key in declared.get("parameters", {}):
        if "-subvar-" in key:
            yield f"{name}: is given {key}, a field of a loop's mapping, which the root does not have; loop over texts"
    for task_name, task in tasks.items():
        where = f"{name}: task {task_name}"
        # What a loop hands to its own tasks is no input of the DAG around it.
        given = task.get("inputs", {})
        for kind, word in (("parameters", "componentInputParameter"), ("artifacts", "componentInputArtifact")):
            for key, value in given.get(kind, {}).items():
                yield from _source(f"{where}: {key}", value, word, declared.get(kind, {}), tasks, components)
        yield from _loop(where, task, components)
        for other in task.get("dependentTasks", []):
            if other not in tasks:
                yield f"{where}: waits for {other}, which is no task beside it"
    for key, output in component["dag"].get("outputs", {}).get("parameters", {}).items():
        producer = output.get("valueFromParameter", {}).get("producerSubtask")
        if producer is not None and producer not in tasks:
            yield f"{name}: output {key}: comes from {producer}, which is no task of it"


def _source(where: str, value: Json, word: str, declared: Json, tasks: Json, components: Json) -> Iterator[str]:
    """One input of a task: from the parent, which declares it, from a task beside it, or a constant."""
    if word in value and value[word] not in declared:
        yield f"{where}: takes {value[word]} from the parent, which declares no such input"
    for made, outputs, key in (
        ("taskOutputParameter", "parameters", "outputParameterKey"),
        ("taskOutputArtifact", "artifacts", "outputArtifactKey"),
    ):
        if made not in value:
            continue
        producer = value[made]["producerTask"]
        if producer not in tasks:
            yield f"{where}: comes from {producer}, which is no task beside it"
            continue
        definition = components[tasks[producer]["componentRef"]["name"]].get("outputDefinitions", {})
        if value[made][key] not in definition.get(outputs, {}):
            yield f"{where}: {producer} has no output {value[made][key]}"
    constant = value.get("runtimeValue", {}).get("constant")
    if isinstance(constant, str):
        yield from _constant(where, constant)


def _constant(where: str, text: str) -> Iterator[str]:
    if (size := len(text.encode())) > MAX_ARGUMENT:
        yield f"{where}: is {size} bytes long, a task takes {MAX_ARGUMENT} as one argument; put it into the plan"
    rest = text
    for placeholder in _PLACEHOLDERS:
        rest = rest.replace(placeholder, "")
    if _CALLED in rest:
        yield f"{where}: holds {_CALLED}, which Argo reads as the start of a template"


def _loop(where: str, task: Json, components: Json) -> Iterator[str]:
    """Loops run over constant texts: KFP takes the fields of a mapping from the root, which does not have them."""
    iterator = task.get("parameterIterator")
    if iterator is None:
        return
    raw = iterator["items"].get("raw")
    if raw is not None and any(not isinstance(item, str) for item in json.loads(raw)):
        yield f"{where}: loops over {type(json.loads(raw)[0]).__name__} values; loop over texts"
    if raw is not None and len(raw.encode()) > MAX_ARGUMENT:
        yield f"{where}: its items are {len(raw.encode())} bytes long, a driver takes {MAX_ARGUMENT}; loop over names"
    for key, value in task.get("inputs", {}).get("parameters", {}).items():
        if "taskOutputParameter" in value:
            yield f"{where}: takes {key} from outside, where KFP's local runner puts the loop's item; read a receipt"
    inner = components[task["componentRef"]["name"]].get("inputDefinitions", {}).get("parameters", {})
    if iterator["itemInput"] not in inner:
        yield f"{where}: hands {iterator['itemInput']} to a DAG that declares no such input"


def _sizes(spec: Json, size: WorkflowSize) -> Iterator[str]:
    if size.longest > MAX_ARGUMENT:
        yield f"an argument of a driver or a task is {size.longest} bytes long, above {MAX_ARGUMENT}"
    if size.packed > MAX_PACKED:
        yield (
            f"its Workflow takes {size.packed} bytes when packed, above {MAX_PACKED}: {size.nodes} nodes; "
            "evaluate fewer models, or in fewer shards, with one recipe"
        )
    tasks = [task for c in spec["components"].values() for task in c.get("dag", {}).get("tasks", {}).values()]
    if not any("parameterIterator" in task for task in tasks) and size.spec + size.status > MAX_WHOLE:
        yield (
            f"its Workflow takes {size.spec + size.status} bytes, above {MAX_WHOLE}: Argo would pack its nodes, and "
            "KFP would no longer show what becomes of them; shorten the profile's environment, secrets and image names"
        )
