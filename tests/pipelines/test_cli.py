"""The command line as a whole: every verb has its module, its name, its help; none costs a heavy import to ask."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from tests_support import ROOT

from components.errors import InputError
from pipelines.cli.main import VERBS, cli
from pipelines.cli.recipes import compile_command
from pipelines.compile import check_pipeline
from pipelines.settings.recipes import load_any_recipe


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_a_command_of_its_name_with_help_on_every_option(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)
    assert command and command.name == verb and command.help
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] in ([], ["kind"], ["runner"])


def test_click_is_used_in_one_place_and_nothing_prints() -> None:
    rooms = [ROOT / "components", ROOT / "pipelines"]
    modules = [path for room in rooms for path in room.rglob("*.py") if "pipelines/cli/" not in path.as_posix()]
    found = [p.name for p in modules if any(map(speaks, ast.walk(ast.parse(p.read_text("utf-8")))))]
    assert len(modules) > 100 and found == []


def speaks(node: ast.AST) -> bool:
    """Whether a node imports click or prints; a text that shows how to print does neither."""
    if isinstance(node, ast.Import):
        return any(alias.name == "click" for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module == "click"
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def test_asking_every_verb_for_help_imports_no_stage() -> None:
    code = (
        "import sys, click; from pipelines.cli.main import VERBS, cli\n"
        "for verb in VERBS: cli.get_command(None, verb).get_help(click.Context(cli, info_name=verb))\n"
        "print([m for m in sys.modules if m.startswith('components.stages') or m in ('pydantic', 'yaml', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("recipe", "pipeline"), [("models-demo", "evaluation"), ("smoke", "training")])
def test_compile_takes_the_pipeline_that_the_recipe_is_for(recipe: str, pipeline: str, tmp_path: Path) -> None:
    file = tmp_path / "out.yaml"
    arguments = ["--recipe", recipe, "-o", str(file)]
    CliRunner().invoke(compile_command, arguments, catch_exceptions=False, standalone_mode=False)
    spec = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    assert spec["pipelineInfo"]["name"] == f"biomed-r1-{pipeline}"


def test_the_pipeline_that_is_asked_for_is_a_check() -> None:
    check_pipeline(None, load_any_recipe("smoke"))
    check_pipeline("training", load_any_recipe("smoke"))
    with pytest.raises(InputError, match="recipe smoke: is for --pipeline training, not evaluation"):
        check_pipeline("evaluation", load_any_recipe("smoke"))
