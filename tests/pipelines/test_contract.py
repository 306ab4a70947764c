"""What must hold for every compiled pipeline and for the code around KFP, whoever adds a task or a module."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiled_pipelines import CASES, Task, site_profile, tasks_of, text_of

from components.platform.storage.plan import parse
from components.stages.evaluate import EvaluateConfig
from components.stages.register import RegisterConfig
from pipelines.settings.plan import plan_of
from pipelines.settings.recipes import load_any_recipe
from pipelines.settings.tasks import TASKS
from pipelines.settings.training_recipe import TrainingRecipe

ROOT = Path(__file__).resolve().parents[2]
# Where @dsl.component functions are.
COMPONENT_FILES = sorted([*(ROOT / "components/ops").glob("*.py"), *(ROOT / "pipelines").rglob("*.py")])
TASK_FILES = sorted((ROOT / "components/tasks").glob("*.py"))
# library -> the only modules inside components that may import it
ALONE = {
    "kfp": {"ops/component.py", "ops/training.py", "ops/evaluation.py", "ops/guard.py"},
    "boto3": {"platform/storage/s3.py", "platform/checks/object_store.py"},
    "botocore": {"platform/storage/s3.py", "platform/checks/object_store.py"},
    "mlflow": {
        "platform/tracking/runs.py",
        "platform/tracking/registry.py",
        "platform/tracking/answers.py",
        "platform/checks/tracking_server.py",
    },
    "kubernetes": {"platform/cluster/api.py"},
}
PURE = ("components.extraction", "components.questions", "components.scoring")
EVERY_TASK = [(case, task) for case in CASES for task in tasks_of(text_of(*case)).values()]


def every_task() -> Iterator[tuple[str, Task]]:
    for case, task in EVERY_TASK:
        yield f"{'-'.join(case)}: {task.name}", task


def lacks(task: Task) -> list[str]:
    """What a GPU task is without."""
    mounts = {m["mountPath"]: m for m in task.kubernetes.get("emptyDirMounts", [])}
    has = {
        "limit": task.container["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu",
        "count check": task.environment.get("BIOMED_R1_GPUS") == str(task.gpus),
        "toleration": {"key": "nvidia.com/gpu", "operator": "Exists"} in task.kubernetes.get("tolerations", []),
        "shm": mounts.get("/dev/shm", {}).get("medium") == "Memory" and "sizeLimit" in mounts["/dev/shm"],
        "timeout": int(task.kubernetes.get("activeDeadlineSeconds", 0)) > 0,
        "retry": task.task.get("retryPolicy", {}).get("maxRetryCount", 0) > 0,
    }
    return [name for name, there in has.items() if not there]


def test_every_gpu_task_is_placed_whole() -> None:
    gpu_tasks = [(where, task) for where, task in every_task() if task.gpus]
    assert {case[2] for case, task in EVERY_TASK if task.gpus} == {"a100x8", "h100x8", "h100x8x2"}
    assert [(where, missing) for where, task in gpu_tasks if (missing := lacks(task))] == []


def test_the_tasks_that_need_a_gpu_have_one() -> None:
    """Without this the test above would pass on a pipeline that forgot its GPUs. Trainings have theirs in TrainJobs."""
    for case in CASES:
        if case[2] in ("a100x8", "h100x8", "h100x8x2") and case[0] == "training":
            with_gpu = {name.rstrip("-0123456789") for name, t in tasks_of(text_of(*case)).items() if t.gpus}
            assert with_gpu == {"classify", "stratify", "curate", "evaluate", "register"}


def test_every_task_in_a_cluster_ends_and_is_nobody_special() -> None:
    for case, task in EVERY_TASK:
        if case[2] != "local":
            assert int(task.kubernetes["activeDeadlineSeconds"]) > 0, (case, task.name)
            assert task.kubernetes["securityContext"]["runAsNonRoot"] is True, (case, task.name)


def test_kfps_cache_is_off_on_every_task() -> None:
    # `cachingOptions: {}` is off; without the key KFP takes its default, which is on.
    assert [where for where, task in every_task() if task.task.get("cachingOptions") != {}] == []


def test_every_task_has_a_name_for_people() -> None:
    assert [where for where, task in every_task() if task.task["taskInfo"]["name"] == task.name] == []


def test_a_training_pipeline_owes_a_receipt_of_each_of_its_stages() -> None:
    for case in CASES:
        tasks = tasks_of(text_of(*case))
        if case[0] == "training":
            assert len([name for name in tasks if name not in ("doctor", "receipts", "outcome")]) == len(TASKS)
            if "outcome" in tasks:
                assert parse(tasks["doctor"].constant("plan")).tasks == TASKS


def test_the_receipts_are_checked_behind_every_other_task_of_the_graph() -> None:
    """KFP takes a run for a success whose exit task failed, so the check is a task that the graph ends with."""
    for case in CASES:
        spec = next(yaml.safe_load_all(text_of(*case)))
        dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
        (tasks,) = [dag["tasks"] for dag in dags if "receipts" in dag["tasks"]]
        before, todo = set(), ["receipts"]
        while todo:
            before |= {*(new := tasks[todo.pop()].get("dependentTasks", []))}
            todo += new
        assert before == set(tasks) - {"receipts"}, case


def components() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every @dsl.component function as KFP sends it: its source text."""
    for path in COMPONENT_FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any("component" in ast.unparse(d) for d in node.decorator_list):
                yield f"{path.name}:{node.name}", node


def task_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function that a component calls."""
    for path in TASK_FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                yield f"{path.name}:{node.name}", node


def imported(function: ast.FunctionDef) -> dict[str, Any]:
    """The names that a component imports, resolved; an import that does not exist raises."""
    names: dict[str, Any] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    import_module(f"{node.module}.{alias.name}")
                names[alias.asname or alias.name] = getattr(module, alias.name)
        elif isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: import_module(alias.name) for alias in node.names}
    return names


def called(node: ast.expr, names: dict[str, Any]) -> Any | None:
    """What `name` or `name.attribute...` is, where it starts at an imported name."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = called(node.value, names)
        return None if owner is None else getattr(owner, node.attr)
    return None


def test_components_call_functions_as_they_are() -> None:
    """Tasks import inside their functions: a renamed argument of a stage would show only in a running pod."""
    stages = set()
    for where, function in [*components(), *task_functions()]:
        names = imported(function)
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            target = called(call.func, names)
            if not inspect.isfunction(target) and not (inspect.isclass(target) and target.__module__ != "builtins"):
                continue
            if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
                continue
            given = {k.arg: None for k in call.keywords}
            try:
                inspect.signature(target).bind(*call.args, **given)
            except TypeError as error:
                raise AssertionError(f"{where}: {ast.unparse(call)[:90]}: {error}") from None
            if target.__module__.startswith("components.stages."):
                stages.add(target.__module__.rpartition(".")[2])
    assert {"ingest", "classify", "stratify", "curate", "sft", "grpo", "evaluate", "compare", "report"} <= stages


def test_components_use_nothing_from_outside_their_text() -> None:
    """What a module imports at its top is not there in a pod."""
    for where, function in components():
        annotations = {ast.unparse(a.annotation) for a in function.args.args if a.annotation}
        assert annotations, where
        inner = [n for stmt in function.body for n in ast.walk(stmt)]
        used = {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        bound = {n.id for n in inner if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        bound |= {a.arg for n in inner if isinstance(n, ast.FunctionDef | ast.Lambda) for a in n.args.args}
        bound |= {a.arg for a in function.args.args} | {n.name for n in inner if isinstance(n, ast.FunctionDef)}
        outside = used - bound - set(imported(function)) - set(dir(__builtins__)) - set(__builtins__)
        assert outside <= {"dsl", "float", "int"}, (where, outside)


def test_the_plan_holds_what_the_tasks_read() -> None:
    """Every config of the recipe is in the plan, whole, and every task but the doctor is told the plan's digest."""
    for pipeline, name, profile in CASES:
        recipe, tasks = load_any_recipe(name), tasks_of(text_of(pipeline, name, profile))
        plan = plan_of(recipe, site_profile(profile))
        assert parse(plan.text) == plan
        for stage in plan.stages:
            if (config := getattr(recipe, stage, None)) is not None and stage != "evaluate":
                assert plan.config(stage, type(config)) == config
        if isinstance(recipe, TrainingRecipe):
            assert plan.config("register", RegisterConfig) == recipe.register_
            asked = {m: recipe.evaluation(m) for m in ("base", "sft", "grpo", "champion")}
        else:
            asked = {entry.name: entry.evaluate for entry in recipe.models}
        assert {m.name: plan.evaluation(m.name, EvaluateConfig) for m in plan.models} == asked
        told = {task.constant("plan") for task_name, task in tasks.items() if task_name != "doctor"}
        assert told == {plan.digest}
        if "doctor" in tasks:
            assert parse(tasks["doctor"].constant("plan")).digest == plan.digest


def test_a_component_is_one_call_and_ships_no_text() -> None:
    for where, function in components():
        assert isinstance(function.body[0], ast.ImportFrom) and function.body[0].module == "components.tasks", where
        assert len(function.body) <= 4, where
    for where, task in every_task():
        assert task.container["command"][:4] == ["python3", "-m", "components.ops", "kfp.dsl.executor_main"], where


def imports(path: Path) -> set[str]:
    """Top-level packages that a module imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("library", ALONE)
def test_a_library_has_one_user(library: str) -> None:
    package = ROOT / "components"
    users = {p.relative_to(package).as_posix() for p in package.rglob("*.py") if library in imports(p)}
    assert users <= ALONE[library]
    assert users or library == "kubernetes"


def test_the_domain_is_pure_and_stages_know_no_other_stage() -> None:
    for path in (ROOT / "components").rglob("*.py"):
        own = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(("components", "pipelines")):
                assert not node.module.startswith("pipelines"), own
                if own.startswith(PURE):
                    assert node.module.startswith((*PURE, "components.errors")), own
                if own.startswith("components.stages."):
                    assert not node.module.startswith("components.stages"), own
