"""The table of docs/kfp-sizes.md: what every shipped recipe takes in a cluster, on every profile. Run, it writes it."""

from __future__ import annotations

from pathlib import Path

from compiled_pipelines import site_profile

from pipelines.compile import compiled
from pipelines.linter import MAX_ARGUMENT, MAX_PACKED, MAX_STATUS, MAX_WHOLE, documents
from pipelines.settings.recipes import load_any_recipe
from pipelines.workflow_size import WorkflowSize, workflow_size

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kfp-sizes.md"
RECIPES = sorted(path.stem for path in (PAGE.parents[1] / "pipelines" / "recipes").glob("*.yaml"))
PROFILES = ("kind", "one-node", "a100x8", "h100x8", "h100x8x2")
INTRODUCTION = f"""# Sizes of a run's Workflow

Argo keeps a run in one object: the spec that KFP compiled, and a node for each step, driver and retry wrapper.
Kubernetes takes 1 MiB. Above that Argo packs the nodes (gzip, base64); KFP then shows no more changes of its tasks,
though the run goes on. What is still too large when packed fails.

`biomed-r1 compile` and `submit` refuse a training whose Workflow takes more than {MAX_WHOLE // 1000} kB, any pipeline
whose Workflow takes more than {MAX_PACKED // 1024} KiB when packed, and an argument of more than
{MAX_ARGUMENT // 1024} KiB. The nodes of a shipped training stay below {MAX_STATUS // 1000} kB. The figures are computed
from the compiled pipeline (`pipelines/workflow_size.py`) for a run in which every task was started once. A recorded
training of 102 nodes took 1,164 kB of nodes and 286 kB packed; the model says 1,154 and 286.

Written by `make golden`; kB are 1000 bytes.

| recipe | profile | nodes | spec, kB | nodes, kB | packed, kB | longest argument, kB |
|---|---|---:|---:|---:|---:|---:|"""


def size_of(text: str) -> WorkflowSize:
    return workflow_size(*documents(text))


def row(recipe: str, profile: str, size: WorkflowSize) -> str:
    """One line of the table; kB are 1000 bytes."""
    kilobytes = (f"{value / 1000:.0f}" for value in (size.spec, size.status, size.packed, size.longest))
    return f"| {recipe} | {profile} | {size.nodes} | {' | '.join(kilobytes)} |"


def page() -> str:
    """The whole page."""
    lines = [INTRODUCTION]
    for recipe in RECIPES:
        values = load_any_recipe(recipe)
        for profile in PROFILES:
            text = compiled(values, site_profile(profile))
            lines.append(row(recipe, profile, size_of(text)))
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
