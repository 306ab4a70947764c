"""What a run's report says it was made by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from components.platform.execution import run_id, store_root
from components.platform.lineage import git_revision
from components.platform.storage.plan import Plan
from components.platform.tracking.runs import pipeline_parent, run_address

if TYPE_CHECKING:
    from components.report.origin import Origin


def origin_of(plan: Plan, run: str, models: Mapping[str, str]) -> Origin:
    """The run of this task, with its page in MLflow and its receipts' place in the store.

    A report that a later run finds stored names the run that made it: its key holds nothing of this.
    """
    from components.report.origin import Origin

    here = run_id(run)
    page = pipeline_parent(here).run_id
    return Origin(
        run=here,
        recipe=f"{plan.tags.get('recipe', '')} (digest {plan.tags.get('recipe_digest', '')[:12]})",
        revision=git_revision(),
        models=models,
        mlflow=run_address(page) if page else "",
        store=f"{store_root()}/runs/{here}",
    )
