"""Which of a recipe's models are evaluated: those that are named, or those whose key and weights are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from components.errors import InputError
from pipelines.cli.local import run_command
from pipelines.local import run
from pipelines.settings import available as module
from pipelines.settings.available import available
from pipelines.settings.evaluation_recipe import EvaluationRecipe, load_evaluation_recipe
from pipelines.settings.pins import unpinned
from pipelines.settings.recipes import load_any_recipe

COMMIT = "a" * 40
CANARY = "canary-3c0b"


def hub(repository: str, dataset: bool, revision: str | None) -> str:
    """A hub without the 32B model."""
    if "32B" in repository:
        raise InputError(f"{repository}: the hub did not give it")
    return COMMIT


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


def test_what_is_not_at_hand_is_left_out_and_the_rest_is_pinned() -> None:
    whole = load_evaluation_recipe("paper-models")
    recipe, left_out = available(whole, hub)
    assert list(left_out) == ["DeepSeek-R1", "BioMed-R1-32B"]
    assert left_out["DeepSeek-R1"] == "DEEPSEEK_API_KEY is not set" and "did not give it" in left_out["BioMed-R1-32B"]
    assert [m.name for m in recipe.models] == [m.name for m in whole.models if m.name not in left_out]
    assert unpinned(recipe) == [] and recipe.classifier == f"{whole.classifier}@{COMMIT}"
    assert [m.evaluate for m in recipe.models] == [m.evaluate for m in whole.models if m.name not in left_out]


def test_a_model_that_no_hub_has_to_give_is_looked_for_here(tmp_path: Path) -> None:
    recipe = load_evaluation_recipe("models-demo")
    gone = recipe.models[0].model_copy(update={"name": "gone", "model": str(tmp_path / "gone")})
    stored = gone.model_copy(update={"name": "stored", "model": "s3://bucket/model"})
    found, left_out = available(recipe.model_copy(update={"models": (*recipe.models, gone, stored)}), hub)
    assert list(left_out) == ["gone"] and "there is no folder" in left_out["gone"]
    assert [m.name for m in found.models] == ["SmolLM2-direct", "SmolLM2-stepwise", "stored"]


def test_what_every_model_needs_is_not_left_out() -> None:
    recipe = load_evaluation_recipe("paper-models", ["classifier=hf:org/a-32B"])
    with pytest.raises(InputError, match="org/a-32B: the hub did not give it"):
        available(recipe, hub)


def test_no_model_at_all_is_no_evaluation() -> None:
    recipe = load_any_recipe("paper-models", models="DeepSeek-R1,BioMed-R1-32B")
    assert isinstance(recipe, EvaluationRecipe)
    with pytest.raises(
        InputError, match=r"none of its models can be asked from here\nDeepSeek-R1: DEEPSEEK_API_KEY is not set"
    ):
        available(recipe, hub)


def test_models_are_chosen_by_name_in_the_recipes_order() -> None:
    recipe = load_any_recipe("paper-models", models="o4-mini, MedReason-8B")
    assert isinstance(recipe, EvaluationRecipe)
    assert [m.name for m in recipe.models] == ["MedReason-8B", "o4-mini"]
    assert recipe.digest() != load_any_recipe("paper-models").digest()


@pytest.mark.parametrize(
    ("recipe", "models", "said"),
    [
        ("models-demo", "SmolLM2-direct,gpt", "gpt: not in recipe models-demo, which has SmolLM2-direct, SmolLM2-step"),
        ("models-demo", "", "--models : not in recipe models-demo"),
        ("smoke", "SmolLM2-direct", "recipe smoke trains a model and lists none"),
    ],
)
def test_names_that_are_not_there_are_told(recipe: str, models: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        load_any_recipe(recipe, models=models)
    assert said in str(refused.value)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The recipes that `biomed-r1 run` would have run."""
    recipes: list[Any] = []

    def keep(recipe: Any, *_: Any) -> dict[str, Any]:
        recipes.append(recipe)
        return {}

    monkeypatch.setattr(run, "run", keep)
    monkeypatch.setattr("pipelines.local.summary.print_summary", lambda _: None)
    monkeypatch.setattr(module, "hub_commit", hub)
    return recipes


def verb(*arguments: str) -> str:
    return CliRunner().invoke(run_command, arguments, catch_exceptions=False, standalone_mode=False).stderr


def test_one_command_evaluates_what_is_at_hand(asked: list[Any]) -> None:
    said = verb("--recipe", "paper-models", "--available")
    assert "left out DeepSeek-R1: DEEPSEEK_API_KEY is not set\n" in said and "left out BioMed-R1-32B: " in said
    assert "evaluates HuatuoGPT-o1-8B, MedReason-8B, m1-7B-23K, o4-mini, Qwen3-8B, BioMed-R1-8B\n" in said
    assert f"hf:Qwen/Qwen3-8B is now {COMMIT}" in said and CANARY not in said
    assert len(asked[0].models) == 6 and unpinned(asked[0]) == []


def test_the_two_options_together(asked: list[Any]) -> None:
    verb("--recipe", "paper-models", "--available", "--models", "o4-mini,DeepSeek-R1")
    assert [m.name for m in asked[0].models] == ["o4-mini"]
    with pytest.raises(InputError, match="--available: recipe smoke trains a model"):
        verb("--recipe", "smoke", "--available")


def test_a_missing_key_is_told_before_the_run(asked: list[Any]) -> None:
    said = verb("--recipe", "paper-models", "--models", "o4-mini,DeepSeek-R1")
    assert "DEEPSEEK_API_KEY is not set: DeepSeek-R1 is asked without a key" in said and "OPENAI" not in said
    assert len(asked[0].models) == 2


def test_compile_takes_the_named_models_only(tmp_path: Path) -> None:
    from pipelines.cli.recipes import compile_command

    file = tmp_path / "out.yaml"
    arguments = ["--pipeline", "evaluation", "--recipe", "models-demo", "--models", "SmolLM2-stepwise", "-o", str(file)]
    CliRunner().invoke(compile_command, arguments, catch_exceptions=False, standalone_mode=False)
    spec = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    assert "SmolLM2-stepwise" in str(spec) and "SmolLM2-direct" not in str(spec["root"])
