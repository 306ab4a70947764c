"""`recipe NAME --explain`: every effective field has a source, and a reason is never that of another value."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from components.errors import InputError
from pipelines.cli.recipes import recipe_command
from pipelines.settings.explained.explain import explained
from pipelines.settings.explained.reasons import FREE, PAPER, REASONS
from pipelines.settings.training_recipe import TrainingRecipe, load_training_recipe

SHIPPED = sorted(Path("pipelines/recipes").glob("*.yaml")) + sorted(Path("tests/bench").glob("*-trained.yaml"))
TRAINING = [str(file) for file in SHIPPED if "models" not in yaml.safe_load(file.read_text())]


@pytest.mark.parametrize("name", TRAINING)
def test_no_field_of_a_training_recipe_is_without_a_source(name: str) -> None:
    found = explained(load_training_recipe(name), name)
    assert [field.path for field in found if not field.source.startswith((PAPER, FREE))] == []
    assert [field.path for field in found if len(field.source.split()) < 3] == []
    paths = {field.path for field in found}
    assert {"grpo.reward_format", "curate.adversarial_share", "sft.global_batch"} <= paths
    assert len(paths) > 150


def test_the_papers_recipes_are_among_them() -> None:
    assert {"biomed-r1-8b", "biomed-r1-32b", "demo", "smoke"} <= {Path(name).stem for name in TRAINING}


def test_every_default_has_a_reason_and_no_reason_is_left_over() -> None:
    """Of all stages that a training recipe has, whatever the shipped ones set."""
    stages = {n: type(getattr(load_training_recipe("demo"), n)) for n in TrainingRecipe.model_fields}
    fields = {
        f"{TrainingRecipe.model_fields[stage].alias or stage}.{field}"
        for stage, section in stages.items()
        if hasattr(section, "model_fields")
        for field in section.model_fields
    }
    known = {*fields, *(f"*.{f.partition('.')[2]}" for f in fields), *TrainingRecipe.model_fields}
    assert sorted(set(REASONS) - known) == []
    given = {"data.benchmarks", "data.train"}
    missing = {f for f in fields if f not in REASONS and f"*.{f.partition('.')[2]}" not in REASONS}
    assert missing - given == set()


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: demo\nname: mine\nsft:\n  learning_rate: 0.1  # tried\n  weight_decay: 0.5\n")
    found = {field.path: field for field in explained(load_training_recipe(str(file)), str(file))}
    assert (found["sft.learning_rate"].given, found["sft.learning_rate"].source) == (True, f"{FREE}tried")
    assert found["sft.weight_decay"].source == "", "the default's reason is not that of 0.5"
    assert found["sft.global_batch"].value == 4 and found["sft.optim"].source.startswith(f"{FREE}its state is small")
    assert not found["sft.loss_type"].given and found["sft.loss_type"].source == REASONS["sft.loss_type"]


def test_the_verb() -> None:
    def said(*arguments: str) -> str:
        return CliRunner().invoke(recipe_command, arguments, catch_exceptions=False).output

    text = said("biomed-r1-8b", "--explain", "--set", "sft.learning_rate=1e-4")
    assert "grpo.num_generations = 16\n    free choice: II-Medical-8B\n" in text
    assert "sft.learning_rate = 0.0001\n    free choice: set with --set\n" in text
    assert 'curate.sources.rl = ["biomed_r1"]\n    paper: the published sets' in text
    assert yaml.safe_load(said("smoke"))["register"]["name"] == "biomed-r1"
    with pytest.raises(InputError, match="trains nothing"):
        said("models-demo", "--explain")
