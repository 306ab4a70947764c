"""Recipes and profiles: the demo's promised sizes, unknown keys, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import InputError
from components.platform.storage.plan import parse
from components.stages.sft import SftConfig
from pipelines.settings.plan import plan_of
from pipelines.settings.profile import load_profile
from pipelines.settings.training_recipe import TrainingRecipe, load_training_recipe


def test_the_demo_does_the_work_it_claims() -> None:
    """A faster demo must not come from less work."""
    recipe = load_training_recipe("demo")
    assert (recipe.ingest.items_per_benchmark or 0) >= 8
    assert len(recipe.asked.base) == len(recipe.asked.grpo) == 4 and recipe.asked.sft == ("plain",)
    assert recipe.evaluate.max_new_tokens >= 64 and recipe.evaluate.limit is None
    assert recipe.classify.epochs >= 2 and (recipe.ingest.labels_limit or 10**9) >= 480
    assert (recipe.sft.max_steps or 0) >= 12 and recipe.sft.global_batch >= 4
    assert (recipe.grpo.max_steps or 0) >= 6 and recipe.grpo.generation_batch >= 8
    assert recipe.base_model == "package:smollm2-135m-instruct"


def test_smoke_is_small_and_real() -> None:
    recipe = load_training_recipe("smoke")
    assert recipe.ingest.items_per_benchmark == 2
    assert (recipe.sft.max_steps or 0) >= 3 and (recipe.grpo.max_steps or 0) >= 2
    assert (recipe.evaluate.engine, recipe.evaluate.dtype) == ("transformers", "float32")


def test_a_recipe_extends_another_section_by_section(tmp_path: Path) -> None:
    demo, pubmedbert = load_training_recipe("demo"), load_training_recipe("demo-pubmedbert")
    assert pubmedbert.classify.model.startswith("hf:microsoft/") and pubmedbert.classify.folds == 5
    assert pubmedbert.sft == demo.sft and pubmedbert.evaluate == demo.evaluate
    assert load_training_recipe("demo-released-classifier").classify.learner == "released"
    for text, message in (("extends: nobody", "nobody"), ("extends: demo-pubmedbert", "extends another recipe")):
        (tmp_path / "mine.yaml").write_text(text + "\n")
        with pytest.raises(InputError, match=message):
            load_training_recipe(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("name", ["demo", "smoke"])
def test_a_recipe_survives_its_json(name: str) -> None:
    recipe = load_training_recipe(name)
    again = TrainingRecipe.model_validate_json(recipe.model_dump_json(by_alias=True))
    assert again == recipe and again.digest() == recipe.digest()


def test_large_seeds_travel_unchanged() -> None:
    recipe = load_training_recipe("smoke", ["sft.seed=4611686018427387905"])
    plan = parse(plan_of(recipe, load_profile("kind")).text)
    assert plan.config("sft", SftConfig).seed == 2**62 + 1


def test_changes_and_data() -> None:
    recipe = load_training_recipe("smoke", ["evaluate.max_new_tokens=7"], "/somewhere")
    assert (recipe.evaluate.max_new_tokens, recipe.data.benchmarks) == (7, "/somewhere")
    assert recipe.digest() != load_training_recipe("smoke").digest()


def test_a_recipe_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nbase_model: !!python/object:os.system x\n")
    with pytest.raises(InputError, match=r"mine\.yaml: not readable as YAML"):
        load_training_recipe(str(tmp_path / "mine.yaml"))


def test_profiles_load() -> None:
    assert set(load_profile("local").roles) == {"cpu", "classifier", "trainer", "generator"}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["compile", "--recipe", "demo", "-o", "OUT"]])
def test_help_and_compile_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from pipelines.cli.main import cli; "
        f"cli.main({[a.replace('OUT', str(tmp_path / 'p.yaml')) for a in arguments]}, standalone_mode=False); "
        "heavy = 'torch transformers trl vllm mlflow pyarrow httpx components.extraction.engine'.split(); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_compiled_pipeline_turns_kfps_cache_off_and_names_every_task(tmp_path: Path) -> None:
    import yaml
    from kfp import compiler

    from pipelines.settings.tasks import TASKS
    from pipelines.training import training_pipeline

    out = tmp_path / "p.yaml"
    compiler.Compiler().compile(training_pipeline(load_training_recipe("demo"), load_profile("local")), str(out))
    spec = next(yaml.safe_load_all(out.read_text()))
    tasks = spec["root"]["dag"]["tasks"]
    assert len(tasks) == len([*TASKS, "receipts"])
    assert [t for t, v in tasks.items() if v.get("cachingOptions", {}).get("enableCache")] == []
    assert all(v["taskInfo"]["name"] != name for name, v in tasks.items())
