"""`biomed-r1 compile`: golden files, both formats, and what it refuses."""

from __future__ import annotations

import difflib
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from compiled_pipelines import (
    CASES,
    GOLDEN,
    SITE,
    TRAIN_JOBS,
    golden_file,
    site_profile,
    tasks_of,
    text_of,
    train_job_file,
)

from components.errors import InputError
from components.platform.execution import run_id
from components.platform.storage.plan import parse
from pipelines.cli.recipes import compile_command
from pipelines.compile import check, compiled
from pipelines.linter import documents
from pipelines.settings.recipes import load_any_recipe
from pipelines.settings.training_recipe import load_training_recipe

DIFF_LINES = 40


def call(*arguments: str) -> None:
    CliRunner().invoke(compile_command, arguments, catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_golden(case: tuple[str, str, str]) -> None:
    expected = golden_file(*case).read_text(encoding="utf-8").splitlines()
    difference = list(difflib.unified_diff(expected, text_of(*case).splitlines(), "golden", "compiled", lineterm=""))
    assert not difference, "\n".join(["if this is meant: `make golden`", *difference[:DIFF_LINES]])


def test_every_golden_file_is_compared() -> None:
    compared = {golden_file(*case) for case in CASES} | {Path(site) for site in SITE.values()}
    compared |= {train_job_file(*case) for case in TRAIN_JOBS}  # tests/training/test_train_job.py
    assert set(GOLDEN.glob("*")) == compared


def test_the_same_text_every_time() -> None:
    recipe, profile = load_training_recipe("smoke"), site_profile("kind")
    assert compiled(recipe, profile) == compiled(recipe, profile)


def test_the_manifest_is_the_ir_in_two_resources(tmp_path: Path) -> None:
    ir, manifest = tmp_path / "ir.yaml", tmp_path / "manifest.yaml"
    call("--recipe", "smoke", "--profile", "kind", "-o", str(ir))
    call("--recipe", "smoke", "--profile", "kind", "--format", "manifest", "-o", str(manifest))
    spec, platform = yaml.safe_load_all(ir.read_text())
    pipeline, version = yaml.safe_load_all(manifest.read_text())
    assert {(d["apiVersion"], d["kind"]) for d in (pipeline, version)} == {
        ("pipelines.kubeflow.org/v2beta1", "Pipeline"),
        ("pipelines.kubeflow.org/v2beta1", "PipelineVersion"),
    }
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"] == "biomed-r1-training"
    assert (version["spec"]["pipelineSpec"], version["spec"]["platformSpec"]) == (spec, platform)
    # Kubernetes keeps a version as it is: other content needs another name, the same content the same.
    digest = hashlib.sha256(ir.read_bytes()).hexdigest()[:12]
    assert version["metadata"]["name"] == f"biomed-r1-training-{digest}"


def test_doctor_comes_first_and_the_outcome_last() -> None:
    for case in CASES:
        spec = next(yaml.safe_load_all(text_of(*case)))
        tasks = tasks_of(text_of(*case))
        if case[2] == "local":
            assert not {"doctor", "outcome"} & set(tasks)
            continue
        (inner,) = [
            c["dag"]["tasks"] for c in spec["components"].values() if "doctor" in c.get("dag", {}).get("tasks", {})
        ]
        assert [name for name, task in inner.items() if not task.get("dependentTasks")] == ["doctor"], case
        (guarded,) = [n for n in spec["root"]["dag"]["tasks"] if n != "outcome"]
        last = tasks["outcome"].task
        assert last["dependentTasks"] == [guarded]
        assert last["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
        assert last["inputs"]["parameters"]["status"]["taskFinalStatus"]["producerTask"] == guarded
        # What these two find stays so: trying again would only say it later.
        assert not {"retryPolicy"} & {*tasks["doctor"].task, *tasks["outcome"].task}, case


@pytest.mark.parametrize(("recipe", "profile"), [("biomed-r1-8b", "a100x8"), ("biomed-r1-32b", "h100x8x2")])
def test_gpu_profiles_refuse_what_can_change_under_them(recipe: str, profile: str, tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    with pytest.raises(InputError) as refused:
        call("--recipe", recipe, "--profile", SITE[profile], "-o", str(out))
    text = str(refused.value)
    base = load_training_recipe(recipe).base_model
    assert base in text and "hf:datasets/zou-lab/BioMed-R1-Train" in text and f"biomed-r1 pin {recipe}" in text
    assert "BioMed-R1-Eval" not in text and not out.exists()
    pinned = [f"{key}={reference}@{'0' * 40}" for key, reference in moving(recipe).items()]
    check(load_training_recipe(recipe, pinned), site_profile(profile))
    for one in range(len(pinned)):
        with pytest.raises(InputError, match="not pinned"):
            check(load_training_recipe(recipe, pinned[:one] + pinned[one + 1 :]), site_profile(profile))


def moving(recipe: str) -> dict[str, str]:
    """The recipe's references without a revision, by key."""
    values = load_training_recipe(recipe)
    return {"base_model": values.base_model, "classify.model": values.classify.model, "data.train": values.data.train}


def test_a_gpu_profile_without_images_says_what_a_site_writes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gpu_image.*extends: h100x8"):
        call("--recipe", "demo", "--profile", "h100x8", "-o", str(tmp_path / "out.yaml"))


def test_a_small_recipe_on_a_gpu_cluster_needs_no_pins(tmp_path: Path) -> None:
    eight = ["--set", "sft.global_batch=8"]  # a sequence for each GPU
    call("--recipe", "demo", "--profile", SITE["h100x8"], *eight, "-o", str(tmp_path / "out.yaml"))
    plan = parse(tasks_of((tmp_path / "out.yaml").read_text())["doctor"].constant("plan"))
    assert plan.trainer["gpus"] == 8 and plan.trainer["job"]["memory"] == "1792Gi"


def test_the_command_as_a_process(tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    arguments = ["compile", "--recipe", "demo", "--profile", "kind", "--set", "sft.max_steps=7", "-o", str(out)]
    done = subprocess.run([sys.executable, "-m", "pipelines.cli", *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert parse(tasks_of(out.read_text())["doctor"].constant("plan")).stages["sft"]["max_steps"] == 7


def test_a_task_takes_the_runs_id_from_kfp_in_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tasks_of(text_of("training", "demo", "kind"))["sft"].constant("run") == "{{$.pipeline_job_uuid}}"
    monkeypatch.delenv("BIOMED_R1_RUN_ID", raising=False)
    assert run_id("from-kfp") == "from-kfp"


@pytest.mark.parametrize("case", [case for case in CASES if case[2] != "local"], ids="-".join)
def test_what_is_uploaded_by_hand_runs_with_its_defaults_and_shows_previews(case: tuple[str, str, str]) -> None:
    """KFP's form of a new run asks for nothing: each parameter, if there is any, has a default and a description."""
    spec, platform = documents(text_of(*case))
    assert set(platform) == {"platforms"}, "two documents, as KFP's upload takes them"
    for name, parameter in spec["root"].get("inputDefinitions", {}).get("parameters", {}).items():
        assert parameter.get("description"), name
        assert parameter.get("isOptional") or "defaultValue" in parameter, name
    assert not spec["root"].get("inputDefinitions", {}).get("artifacts")
    assert spec["pipelineInfo"]["description"] == load_any_recipe(case[1]).description
    made = {
        (name.removeprefix("comp-"), key): artifact["artifactType"]["schemaTitle"]
        for name, component in spec["components"].items()
        for key, artifact in component.get("outputDefinitions", {}).get("artifacts", {}).items()
        if "executorLabel" in component
    }
    shown = {"page": "system.HTML", "summary": "system.Markdown", "metrics": "system.Metrics"}
    for (task, key), kind in made.items():
        # The decision is a file to download; its figures are among compare's metrics.
        expected = "system.ClassificationMetrics" if task == "classify" else shown.get(key, "system.Artifact")
        assert kind == expected, (task, key)
    assert set(shown.values()) <= set(made.values())
    assert spec["components"].get("comp-classify") is None or ("classify", "metrics") in made, "the ROC curve"
