"""CPU seconds of a task that finds its result stored: its whole process, as a cluster's container runs it.

    python tests/bench/bench_reuse.py [--json F]

Runs the smoke recipe (minutes the first time, then reused), and each of its tasks once more by itself. A container with
half a core takes twice these seconds; the aim is 5 for each task.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

OUTPUTS = {"classify": ["metrics"], "compare": ["decision", "metrics"], "report": ["page", "summary"]}


def calls(uris: Mapping[str, str], plan: Any) -> dict[str, tuple[str, dict[str, str]]]:
    """Every task's function and arguments, by the task's name and in the pipeline's order: each reads receipts."""
    data, mix, line, judged = uris["ingest"], uris["curate"], uris["classify"], uris["compare"]
    made = {"sft": uris["sft"], "grpo": uris["grpo"]}
    models = {m.name: made.get(m.name, str(m.reference)) for m in plan.models}
    return {
        "ingest": ("ingest", {}),
        "classify": ("classify", {"data": data}),
        "stratify": ("stratify", {"data": data, "classifier": line}),
        "curate": ("curate", {}),
        "sft": ("sft", {"mix": mix}),
        "grpo": ("grpo", {"mix": mix, "model": made["sft"]}),
        **{f"evaluate-{n}": ("evaluate", {"model": m, "name": n}) for n, m in models.items()},
        "compare": ("compare", {}),
        "report": ("report", {"judged": judged}),
    }


def seconds_of(function: str, arguments: Mapping[str, str], environment: Mapping[str, str]) -> float:
    """CPU seconds (user and system) of one task's process; raises CalledProcessError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        artifacts = {
            name: {"artifacts": [{"name": name, "type": {"schemaTitle": kind}, "uri": f"{folder}/{name}"}]}
            for name in OUTPUTS.get(function, [])
            for kind in [
                {"metrics": "system.ClassificationMetrics" if function == "classify" else "system.Metrics"}.get(
                    name, "system.Artifact"
                )
            ]
        }
        told = {
            "inputs": {"parameterValues": dict(arguments)},
            "outputs": {
                "artifacts": artifacts,
                "parameters": {name: {"outputFile": f"{folder}/{name}"} for name in ("Output", "judged", "ledger")},
                "outputFile": f"{folder}/output.json",
            },
        }
        command = [sys.executable, "-m", "components.ops", "kfp.dsl.executor_main", "training"]
        command += ["--executor_input", json.dumps(told), "--function_to_execute", function]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=dict(environment))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    from components.platform.execution import RUN_VARIABLE, read_receipts
    from components.platform.storage.plan import write
    from pipelines.local import servers
    from pipelines.local.run import run
    from pipelines.settings.plan import plan_of
    from pipelines.settings.profile import load_profile
    from pipelines.settings.training_recipe import load_training_recipe

    recipe = load_training_recipe("smoke")
    summary = run(recipe)
    servers.up()
    root = os.environ["BIOMED_R1_STORE"]
    uris = {task: receipt["uri"] for task, receipt in read_receipts(root, summary["run_id"]).items()}
    plan = write(root, plan_of(recipe, load_profile("local")).text)
    environment = {**os.environ, RUN_VARIABLE: f"bench-{summary['run_id']}"}
    seconds = {
        task: seconds_of(function, {**arguments, "plan": plan.digest, "run": "bench"}, environment)
        for task, (function, arguments) in calls(uris, plan).items()
    }
    for task, value in seconds.items():
        print(f"{task:20} {value:5.1f} s of CPU")
    reused = read_receipts(root, f"bench-{summary['run_id']}")
    assert all(receipt["reused"] for receipt in reused.values()), "a task did not find its result"
    if args.json:
        args.json.write_text(json.dumps(seconds, indent=1) + "\n")


if __name__ == "__main__":
    main()
