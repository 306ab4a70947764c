"""The tasks that end a training: ask for the promotion of what was registered, and wait for its deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.platform.execution import EVIDENCE, NOTE, Call, execute, read_receipts, run_id, store_root
from components.platform.storage import store
from components.tasks.patience import patient
from components.tasks.training import read_plan


@patient
def promote(version: str, plan: str, run: str) -> str:
    """Returns the address of what came of it. Keyed by the run: a decision of another run is never reused."""
    from components.stages import promote as stage

    settings = read_plan(plan).config("promote", stage.PromoteConfig)
    asking = run_id(run)
    call = Call("promote", run, settings, {"version": f"digest:{version}", "run": f"digest:{asking}"})

    def work(_: Path) -> dict[str, Any]:
        evidence = stage.promote(store_root(), version, asking, settings)
        return {**evidence, NOTE: evidence["outcome"]}

    return execute(call, work).uri


@patient
def await_deployment(promoted: str, plan: str, run: str) -> None:
    """`promoted` is promote's result."""
    from components.stages import await_deployment as stage

    settings = read_plan(plan).config("await_deployment", stage.AwaitConfig)
    asking = run_id(run)
    call = Call("await_deployment", run, settings, {"promoted": f"digest:{promoted}", "run": f"digest:{asking}"})

    def work(_: Path) -> dict[str, Any]:
        uri = read_receipts(store_root(), asking)["grpo"]["uri"]
        return stage.await_deployment(store_root(), store.get_json(f"{promoted}/{EVIDENCE}"), uri, settings)

    execute(call, work)
