"""The linter of compiled graphs: what a cluster refused, frozen; what is compiled now; sizes beside recorded ones."""

from __future__ import annotations

import base64
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from compiled_pipelines import CASES, golden_file, text_of
from graph_sizes import PAGE, page, size_of

from components.errors import InputError
from pipelines.linter import MAX_PACKED, MAX_STATUS, check_graph, problems

REFUSED = Path(__file__).parent / "refused"
RECORDED = Path(os.environ.get("BIOMED_R1_DATA", "nowhere")) / "cluster"
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason="needs the recordings in $BIOMED_R1_DATA/cluster")


def refused(name: str) -> str:
    """A pipeline as an earlier revision compiled it; its golden test took it for right."""
    return gzip.decompress((REFUSED / f"{name}.yaml.gz").read_bytes()).decode()


def workflow(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((RECORDED / name / "workflow.json").read_text())
    return value


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_what_is_compiled_can_run(case: tuple[str, str, str]) -> None:
    assert problems(golden_file(*case).read_text(encoding="utf-8")) == []


def test_a_loop_over_mappings_inside_an_exit_handler() -> None:
    """Its driver asked the root for a parameter that it does not have (recorded: evaluation-loop-leak)."""
    found = "\n".join(problems(refused("evaluation-models-demo-kind")))
    assert "takes loop-item-param-2 from the parent, which declares no such input" in found
    assert "loops over dict values; loop over texts" in found
    assert "is given pipelinechannel--loop-item-param-2-subvar-model_name" in found


def test_arguments_too_long_for_a_process() -> None:
    """Linux refused to start the driver (recorded: paper-models)."""
    found = problems(refused("evaluation-paper-models-a100x8"))
    (longest,) = [line for line in found if line.startswith("an argument of a driver or a task is")]
    assert int(longest.partition(" is ")[2].split()[0]) > 100_000
    assert [line for line in found if "packed, above 409600" in line]
    with pytest.raises(InputError, match="ours: a cluster could not run the compiled pipeline\n"):
        check_graph(refused("evaluation-paper-models-a100x8"), "ours")


def test_a_training_whose_tasks_kfp_no_longer_shows() -> None:
    (found,) = problems(refused("training-smoke-kind"))
    assert "Argo would pack its nodes" in found


def edited(change: Any) -> list[str]:
    spec, platform = yaml.safe_load_all(text_of("training", "smoke", "kind"))
    handler = spec["components"]["comp-exit-handler-1"]
    change(handler["dag"]["tasks"], handler)
    return problems(yaml.safe_dump_all([spec, platform]))


def set_input(task: str, name: str, value: Any) -> Any:
    return lambda tasks, _: tasks[task]["inputs"]["parameters"].update({name: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_input("sft", "mix", {"componentInputParameter": "absent"}), "takes absent from the parent"),
        (set_input("sft", "mix", {"taskOutputParameter": {"producerTask": "x", "outputParameterKey": "Output"}}),
         "comes from x, which is no task beside it"),
        (set_input("sft", "mix", {"taskOutputParameter": {"producerTask": "curate", "outputParameterKey": "x"}}),
         "curate has no output x"),
        (set_input("sft", "plan", {"runtimeValue": {"constant": "x" * 70_000}}), "is 70000 bytes long"),
        (set_input("sft", "plan", {"runtimeValue": {"constant": "a {{b}}"}}), "start of a template"),
        (lambda tasks, _: tasks["sft"].update(dependentTasks=["nobody"]), "waits for nobody"),
    ],
)  # fmt: skip
def test_a_graph_that_kfps_drivers_would_refuse(change: Any, said: str) -> None:
    assert edited(lambda *_: None) == []
    assert said in "\n".join(edited(change))


def test_a_loop_takes_no_text_from_outside() -> None:
    """KFP's local runner gave every such text the loop's item: a shard looked for its questions in `MODEL/SHARD`."""
    spec, platform = yaml.safe_load_all(text_of("evaluation", "models-demo", "kind"))
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    (loop,) = [task for task in tasks.values() if "parameterIterator" in task]
    source = {"taskOutputParameter": {"producerTask": "stratify", "outputParameterKey": "Output"}}
    loop.setdefault("inputs", {}).setdefault("parameters", {})["items"] = source
    assert "takes items from outside" in "\n".join(problems(yaml.safe_dump_all([spec, platform])))


@recorded
def test_the_model_of_sizes_beside_a_recorded_run() -> None:
    """The same pipeline, except for smaller requests and a recipe with stored inputs: within a few percent."""
    found = workflow("smoke-succeeded")
    packed = found["status"]["compressedNodes"]
    nodes = gzip.decompress(base64.b64decode(packed))
    size = size_of(refused("training-smoke-kind"))
    assert size.nodes == len(json.loads(nodes))
    assert size.status == pytest.approx(len(nodes), rel=0.03)
    spec = len(json.dumps(found["spec"], separators=(",", ":")))
    assert size.spec == pytest.approx(spec, rel=0.05)
    assert size.packed == pytest.approx(spec + len(packed), rel=0.05)


@recorded
def test_the_recorded_driver_that_was_refused_is_the_one_that_the_linter_names() -> None:
    nodes = workflow("evaluation-loop-leak")["status"]["nodes"].values()
    (failed,) = {n["displayName"] for n in nodes if n["phase"] in ("Failed", "Error") and n["type"] == "Pod"} & {
        "exit-handler-1-driver(0)"
    }
    assert failed.startswith("exit-handler-1-driver")
    assert any("root: task exit-handler-1" in line for line in problems(refused("evaluation-models-demo-kind")))


def test_shipped_recipes_fit_on_every_profile_and_the_page_says_so() -> None:
    made = page()
    assert PAGE.read_text(encoding="utf-8") == made, "if this is meant: `make golden`"
    rows = [line.split("|") for line in made.splitlines() if line.startswith("| ") and "recipe" not in line]
    assert len(rows) == 40
    for _, recipe, profile, _nodes, _spec, status, packed, longest, _ in rows:
        assert int(packed) * 1000 <= MAX_PACKED, (recipe, profile)
        assert int(longest) <= 64, (recipe, profile)
        if "models" not in recipe:
            assert int(status) * 1000 <= MAX_STATUS, (recipe, profile)
