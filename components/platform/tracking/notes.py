"""What MLflow's page of a pipeline run says first: what it is, where its files are, how it ended. Links stay on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.platform.tracking.runs import Tracked, pipeline_parent, run_address, run_page


def where(run: str, root: str) -> str:
    """Where a run's results are."""
    return f"Run `{run}`. Its results are in `{root}`, its receipts in `{root}/runs/{run}/receipts`."


def page_of(run: str) -> str:
    """The page of a pipeline run, as MLflow's own pages link it; "" without MLflow."""
    parent = pipeline_parent(run)
    return run_page(parent.run_id) if parent.run_id else ""


def ended(parent: Tracked, receipts: Mapping[str, Mapping[str, Any]], decision: str | None) -> str:
    """How a run ended, with links to the report among its files and to the version it registered."""
    if parent.run_id is None:
        return ""
    parts = []
    if "report" in receipts:
        parts.append(f"[Report]({run_page(parent.run_id)}/artifacts/report/report.html)")
    if decision:
        parts.append(f"Gate: {decision}")
    registered = receipts.get("register", {}).get("evidence", {})
    if version := registered.get("version"):
        name = registered.get("name", "")
        parts.append(f"[{name} version {version}](#/models/{name}/versions/{version})")
    return ". ".join(parts) + "." if parts else ""


def message(parent: Tracked, run: str, state: str, decision: str | None = None, failed: str | None = None) -> str:
    """One line for a chat: how a run ended, what the gate said or which task failed, and the address of its page."""
    parts = [f"run {run} ended: {state}"]
    if decision:
        parts.append(f"gate: {decision}")
    if failed and failed != "none":
        parts.append(f"failed task: {failed}")
    if parent.run_id:
        parts.append(run_address(parent.run_id))
    return ", ".join(parts)
