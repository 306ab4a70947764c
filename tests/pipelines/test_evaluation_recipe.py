"""Evaluation recipes: sharing and overriding, unknown keys, telling the two kinds apart, and the shipped ones."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from components.errors import InputError
from components.questions import published
from pipelines.settings.evaluation_recipe import EvaluationRecipe, load_evaluation_recipe
from pipelines.settings.pins import unpinned
from pipelines.settings.recipes import load_any_recipe, parse_recipe
from pipelines.settings.tasks import TASKS, expected
from pipelines.settings.training_recipe import load_training_recipe

MINE: dict[str, Any] = {
    "name": "mine",
    "classifier": "somewhere/classifier",
    "shards": 2,
    "evaluate": {"max_new_tokens": 32, "prompt": "stepwise"},
    "models": [
        {"name": "a", "model": "somewhere/a"},
        {"name": "b", "model": "somewhere/b", "evaluate": {"prompt": "m1", "settings": ["plain"]}},
    ],
}


def write(folder: Path, **changes: Any) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in {**MINE, **changes}.items() if v is not None}), encoding="utf-8")
    return str(path)


def test_a_models_own_fields_lie_over_the_shared_ones(tmp_path: Path) -> None:
    a, b = load_evaluation_recipe(write(tmp_path)).models
    assert (a.evaluate.prompt, a.evaluate.max_new_tokens, len(a.evaluate.settings)) == ("stepwise", 32, 4)
    assert (b.evaluate.prompt, b.evaluate.max_new_tokens, b.evaluate.settings) == ("m1", 32, ("plain",))


def test_changes_from_the_command_line(tmp_path: Path) -> None:
    recipe = load_evaluation_recipe(write(tmp_path), ["evaluate.max_new_tokens=7", "shards=3"], "/somewhere")
    assert [m.evaluate.max_new_tokens for m in recipe.models] == [7, 7]
    assert (recipe.shards, recipe.data.benchmarks) == (3, "/somewhere")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"shard": 2}, r"mine\.yaml: shard: unknown"),
    "unknown shared field": ({"evaluate": {"tempreature": 0.5}}, r"evaluate: .*tempreature: unknown"),
    "unknown own field": (
        {"models": [{"name": "a", "model": "x", "evaluate": {"tempreature": 1}}]},
        r"models\.0\.evaluate\.tempreature: unknown",
    ),
    "wrong value, shared": ({"evaluate": {"max_new_tokens": 0}}, r"models\.0\.evaluate\.max_new_tokens"),
    "no such prompt": ({"evaluate": {"prompt": "terse"}}, r"models\.0\.evaluate\.prompt: .*is not one of direct"),
    "a name twice": ({"models": [MINE["models"][0], MINE["models"][0]]}, "models: .*a: named twice"),
    "a name that is no file name": ({"models": [{"name": "a/b", "model": "x"}]}, r"models\.0\.name"),
    "no model": ({"models": []}, "models: .*at least 1"),
    "models that are no list": ({"models": "x"}, "models"),
    "no classifier": ({"classifier": None}, "name a `classifier`, or give `classify`"),
    "two classifiers": ({"classify": {"model": "x"}}, "not both"),
    "an endpoint without an address": ({"models": [{"name": "a", "model": "openai:x"}]}, "evaluate.base_url: missing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case: str, tmp_path: Path) -> None:
    changes, told = WRONG[case]
    with pytest.raises(InputError, match=told):
        load_evaluation_recipe(write(tmp_path, **changes))


def test_the_two_kinds_are_told_apart(tmp_path: Path) -> None:
    mine = write(tmp_path)
    assert isinstance(load_any_recipe(mine), EvaluationRecipe)
    assert not isinstance(load_any_recipe("smoke"), EvaluationRecipe)
    with pytest.raises(InputError, match=r"smoke\.yaml: it lists no `models`"):
        load_evaluation_recipe("smoke")
    with pytest.raises(InputError, match=r"mine\.yaml: lists `models`, so it evaluates and trains nothing"):
        load_training_recipe(mine)


@pytest.mark.parametrize("name", ["models-demo", "paper-models", "smoke"])
def test_a_recipe_survives_its_json(name: str) -> None:
    recipe = load_any_recipe(name)
    again = parse_recipe(recipe.model_dump_json(by_alias=True))
    assert again == recipe and again.digest() == recipe.digest()


def test_every_shard_of_every_model_owes_a_receipt(tmp_path: Path) -> None:
    assert expected(load_evaluation_recipe(write(tmp_path))) == (
        "ingest", "stratify", "evaluate-a-1of2", "evaluate-a-2of2", "evaluate-b-1of2", "evaluate-b-2of2",
        "merge", "score", "report",
    )  # fmt: skip
    assert expected(load_training_recipe("smoke")) == TASKS


def test_the_papers_models_are_all_there_each_in_its_own_way() -> None:
    recipe = load_evaluation_recipe("paper-models")
    by_name = {m.name: m for m in recipe.models}
    assert set(by_name) == {
        "HuatuoGPT-o1-8B", "MedReason-8B", "m1-7B-23K", "DeepSeek-R1", "o4-mini", "Qwen3-8B", "BioMed-R1-8B",
        "BioMed-R1-32B",
    }  # fmt: skip
    # The names under which the report finds their public accuracies.
    assert {"HuatuoGPT-o1-8B", "MedReason-8B", "m1-7B-23K"} <= set(by_name) & set(published.ACCURACIES)
    prompts = [m.evaluate.prompt for m in recipe.models]
    assert prompts == ["huatuogpt-o1", "medreason", "m1", "direct", "direct", "direct", "biomed-r1", "biomed-r1"]
    hosted = {name for name, m in by_name.items() if m.evaluate.engine == "openai"}
    assert hosted == {"DeepSeek-R1", "o4-mini"} and all(len(m.evaluate.settings) == 4 for m in recipe.models)
    huatuo = by_name["HuatuoGPT-o1-8B"].evaluate
    assert (huatuo.temperature, huatuo.top_p, huatuo.max_new_tokens) == (0.5, 0.9, 2000)
    references = [m.model for m in recipe.models if m.model.startswith("hf:")]
    assert unpinned(recipe) == ["hf:zou-lab/BioMedBERT-Knowledge-vs-Reasoning", *references] and len(references) == 6


def test_models_behind_endpoints_take_no_gpu() -> None:
    """One loop of shards for each: those that load weights where the GPUs are, the others on plain machines."""
    from kfp.compiler import Compiler

    from pipelines.evaluation import evaluation_pipeline
    from pipelines.settings.profile import load_profile

    local = load_profile("local")
    roles = {**local.roles, "generator": local.roles["cpu"].model_copy(update={"memory": "99Gi"})}
    recipe = load_evaluation_recipe("paper-models")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "p.yaml"
        Compiler().compile(evaluation_pipeline(recipe, local.model_copy(update={"roles": roles})), str(path))
        spec = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    loops = {}
    for task in spec["root"]["dag"]["tasks"].values():
        if "parameterIterator" in task:
            parts = json.loads(task["parameterIterator"]["items"]["raw"])
            (inner,) = spec["components"][task["componentRef"]["name"]]["dag"]["tasks"].values()
            label = spec["components"][inner["componentRef"]["name"]]["executorLabel"]
            memory = spec["deploymentSpec"]["executors"][label]["container"]["resources"]["resourceMemoryLimit"]
            loops[memory] = {part.rpartition("/")[0] for part in parts}
            assert len(parts) == recipe.shards * len(loops[memory])
            assert task["iteratorPolicy"] == {"parallelismLimit": 1}
    assert loops["99Gi"] == {m.name for m in recipe.models} - {"DeepSeek-R1", "o4-mini"}
    assert [names for memory, names in loops.items() if memory != "99Gi"] == [{"DeepSeek-R1", "o4-mini"}]
