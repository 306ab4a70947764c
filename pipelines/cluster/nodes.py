"""What of KFP's list of a run's nodes is a task of ours, what it is called, and which of them failed.

KFP lists Argo's nodes: a task's retry wrapper (`sft`), each attempt (`sft(0)`), its `executor` and `executor(0)`, its
`sft-driver`; the same for each group (`root`, `exit-handler-1`, `for-loop-3`), for the hook of the exit task
(`exit-handler-1.onExit`) and for the Workflow itself under its generated name. Parents name children by pods that the
list names nowhere, and neither reasons nor pods are filled in (recorded from KFP 2.17).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

_ATTEMPT = re.compile(r"\(.*\)$")
_DRIVER = re.compile(r"-driver$")
_GROUP = re.compile(r"root|(exit-handler|for-loop|condition|condition-branches|iteration)(-.*)?")
_HOOK = re.compile(r".*\.onExit")
FAILED = ("FAILED", "ERROR")
UNDER_WAY = ("RUNNING", "PENDING")


@dataclass(frozen=True)
class Graph:
    """What a compiled pipeline says: our names of KFP's tasks, those that owe a receipt, and the exit tasks."""

    names: Mapping[str, str] = field(default_factory=dict)
    owed: tuple[str, ...] = ()
    exits: frozenset[str] = frozenset()

    def name(self, task: str) -> str:
        """Our name of KFP's task, which is its own where the pipeline is not known."""
        return self.names.get(task, task)

    def is_task(self, name: str) -> bool:
        if self.names:
            return name in self.names
        return not (name == "executor" or _GROUP.fullmatch(name) or _HOOK.fullmatch(name) or _DRIVER.search(name))


@dataclass(frozen=True)
class Progress:
    """A run at one moment: the state of each task by our name, in KFP's order, and the drivers that failed or wait."""

    states: Mapping[str, str]
    failed_drivers: tuple[str, ...]
    waiting_drivers: tuple[str, ...]


def read_graph(spec: Any) -> Graph:
    """The graph of a pipeline spec as KFP's API gives it (with or without its platform spec beside)."""
    spec = (spec or {}).get("pipeline_spec", spec) or {}
    components = spec.get("components", {})
    leaves: dict[str, Mapping[str, Any]] = {}
    for component in (spec.get("root", {}), *components.values()):
        for key, task in component.get("dag", {}).get("tasks", {}).items():
            called = components.get(task.get("componentRef", {}).get("name"), {})
            if "executorLabel" in called:
                leaves[key] = task
    owed = _owed(leaves.values())
    exits = frozenset(
        key for key, task in leaves.items() if task.get("triggerPolicy", {}).get("strategy", "").startswith("ALL_")
    )
    return Graph({key: _our_name(key, task, owed) for key, task in leaves.items()}, owed, exits)


def read_progress(run: Any, graph: Graph) -> Progress:
    """What a run's nodes say of its tasks; `run` is KFP's answer as the SDK gives it."""
    nodes = list(run.run_details.task_details or ()) if run.run_details else []
    workflow = _workflow(nodes)
    states: dict[str, list[tuple[bool, str]]] = {}
    drivers: dict[str, str] = {}
    for node in nodes:
        shown = node.display_name or ""
        plain = _ATTEMPT.sub("", shown)
        # Without a state it was not run: something before it failed.
        if not node.state or plain == workflow:
            continue
        if _DRIVER.search(plain) and plain not in graph.names:
            name = _DRIVER.sub("", plain)
            # The wrapper speaks for its attempts.
            if shown == plain or name not in drivers:
                drivers[name] = str(node.state)
        elif graph.is_task(plain):
            states.setdefault(plain, []).append((shown == plain, str(node.state)))
    told = {graph.name(task): _together(found) for task, found in states.items()}
    failed = {name for name, state in drivers.items() if state in FAILED}
    for task in failed & {name for name in drivers if graph.is_task(name)}:
        told[graph.name(task)] = "FAILED"
    groups = {name: state for name, state in drivers.items() if not graph.is_task(name)}
    return Progress(
        told,
        tuple(sorted(failed & groups.keys())),
        tuple(sorted(name for name, state in drivers.items() if state in UNDER_WAY)),
    )


def _together(found: list[tuple[bool, str]]) -> str:
    """One state for all nodes of a name: the wrappers', where the list has them; a loop's tasks are several."""
    wrappers = [state for is_wrapper, state in found if is_wrapper] or [state for _, state in found]
    distinct = set(wrappers)
    if len(distinct) == 1:
        return wrappers[0]
    worst = next((s for s in (*FAILED, "RUNNING", "PENDING") if s in distinct), wrappers[0])
    return f"{worst} ({wrappers.count('SUCCEEDED')} of {len(wrappers)} ended well)"


def _workflow(nodes: list[Any]) -> str:
    """The Workflow's generated name, which its nodes' pods begin with; "" where none is listed."""
    pods = (child.pod_name for node in nodes for child in node.child_tasks or () if child.pod_name)
    return next((pod.rpartition("-")[0] for pod in pods), "")


def _owed(tasks: Any) -> tuple[str, ...]:
    """The tasks that owe a receipt: listed in the plan, which one of the tasks gets as its argument."""
    for task in tasks:
        for text in _constants(task).values():
            if "tasks" in text:
                try:
                    value = yaml.safe_load(text)  # JSON in graphs compiled before there was a plan, which YAML reads
                except yaml.YAMLError:
                    continue
                if isinstance(value, dict) and isinstance(value.get("tasks"), list):
                    return tuple(map(str, value["tasks"]))
    return ()


def _our_name(key: str, task: Mapping[str, Any], owed: tuple[str, ...]) -> str:
    """`evaluate-4` is `evaluate-champion` by its argument `name`; `merge-shards` leaves the receipt `merge`."""
    if key in owed:
        return key
    named = _constants(task).get("name")
    if named and (full := f"{re.sub(r'-[0-9]+$', '', key)}-{named}") and (full in owed or not owed):
        return full
    return max((name for name in owed if key.startswith(f"{name}-")), key=len, default=key)


def _constants(task: Mapping[str, Any]) -> dict[str, str]:
    parameters = task.get("inputs", {}).get("parameters", {}).items()
    return dict(_texts((name, value.get("runtimeValue", {}).get("constant")) for name, value in parameters))


def _texts(pairs: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in pairs if isinstance(value, str))
