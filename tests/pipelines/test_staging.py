"""What a containers' run takes from this machine's disk reaches the store once, whole, and by content."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import InputError
from components.platform import models, sources
from components.platform.storage import store
from components.samples import __file__ as samples
from pipelines.settings.evaluation_recipe import load_evaluation_recipe
from pipelines.settings.training_recipe import TrainingRecipe, load_training_recipe
from pipelines.staging import staged


@pytest.fixture
def recipe(tiny_model: Path) -> TrainingRecipe:
    return load_training_recipe("smoke", [f"base_model={tiny_model}"])


def test_models_of_this_machine_become_stored_ones_of_equal_content(recipe: TrainingRecipe, store_uri: str) -> None:
    result = staged(recipe, store_uri)
    for before, after in (
        (recipe.base_model, result.base_model),
        (recipe.classify.model, result.classify.model),
    ):
        assert after.startswith(f"{store_uri}/inputs/")
        assert models.model_digest(str(models.local_model(after))) == models.model_digest(
            str(models.local_model(before))
        )
        manifest = store.read_manifest(after)
        assert manifest and manifest["inputs"][0][0] == before
    unchanged = result.model_copy(
        update={
            "base_model": recipe.base_model,
            "classify": result.classify.model_copy(update={"model": recipe.classify.model}),
        }
    )
    assert unchanged == recipe


def test_what_is_there_is_not_stored_again(recipe: TrainingRecipe, store_uri: str) -> None:
    first = staged(recipe, store_uri)
    written = {uri: store.read_manifest(uri) for uri in (first.base_model, first.classify.model)}
    assert staged(recipe, store_uri) == first
    assert {uri: store.read_manifest(uri) for uri in written} == written


def test_references_that_a_container_can_follow_stay(recipe: TrainingRecipe, store_uri: str) -> None:
    remote = staged(recipe, store_uri)
    assert staged(remote, store_uri) == remote and remote.data.benchmarks == "samples"


def test_a_folder_of_questions_keeps_its_digest(recipe: TrainingRecipe, store_uri: str, tmp_path: Path) -> None:
    shipped = Path(str(samples)).parent
    for kind, part in (("benchmarks", "a"), ("benchmarks", "b"), ("train", "a")):
        folder = tmp_path / kind / part
        folder.mkdir(parents=True)
        first = sorted((shipped / kind).rglob("*.jsonl"))[0 if part == "a" else 1]
        (folder / "same-name.jsonl").write_bytes(first.read_bytes())
    local = recipe.model_copy(
        update={"data": recipe.data.model_copy(update=dict.fromkeys(("benchmarks", "train"), str(tmp_path)))}
    )
    result = staged(local, store_uri)
    assert result.data.benchmarks == result.data.train != str(tmp_path)
    for kind in ("benchmarks", "train"):
        assert sources.source_digest(result.data.benchmarks, kind) == sources.source_digest(str(tmp_path), kind)


def test_every_model_of_an_evaluation_is_stored(tiny_model: Path, store_uri: str) -> None:
    shipped = load_evaluation_recipe("models-demo", [])
    local = tuple(entry.model_copy(update={"model": str(tiny_model)}) for entry in shipped.models)
    recipe = shipped.model_copy(update={"models": local})
    result = staged(recipe, store_uri)
    assert {m.model for m in recipe.models} & {m.model for m in result.models} == set()
    assert [m.name for m in result.models] == [m.name for m in recipe.models]


def test_a_model_that_is_unknown_is_named(recipe: TrainingRecipe, store_uri: str) -> None:
    broken = recipe.model_copy(update={"base_model": "package:no-such-model"})
    with pytest.raises(InputError, match="package:no-such-model: unknown"):
        staged(broken, store_uri)
