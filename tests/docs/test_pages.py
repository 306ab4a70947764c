"""README, docs and examples: every command parses, every link leads somewhere, the README's figures are the page's."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from doc_commands import ROOT, Command, commands

from components.platform.config import parse_config
from pipelines.cli.main import VERBS, cli
from pipelines.cli.options import GivenConfig
from pipelines.settings.recipes import load_any_recipe

PAGES = [
    str(path.relative_to(ROOT))
    for path in sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")))
]
EVERY = [command for page in PAGES for command in commands(page)]
OURS = [command for command in EVERY if command.ours is not None]
STAGES = {
    "ingest": "ingest:IngestConfig",
    "classify": "classify:ClassifyConfig",
    "stratify": "stratify:StratifyConfig",
    "curate": "curate:CurateConfig",
    "sft": "sft:SftConfig",
    "grpo": "grpo:GrpoConfig",
    "evaluate": "evaluate:EvaluateConfig",
    "score": "compare:CompareConfig",
    "compare": "compare:CompareConfig",
    "openings": "openings:OpeningsConfig",
    "export": "export:ExportConfig",
    "label-sample": "label_sample:LabelSampleConfig",
}
ON_A_CLUSTER = {"submit", "watch", "schedule"}
OTHER_PROGRAMS = {"export", "make", "lm_eval", "git", ".venv/bin/python", "cp"}
CLUSTER_PROGRAMS = {"kubectl", "aws", "curl", "printf", "until", "s()"}
MAKE = re.compile(r"^([\w./-]+):", re.MULTILINE)
# A line with this needs real question sets.
DATA = "$BIOMED_R1_DATA"


def parsed(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    """The verb and its options as click understands them; files need not be there."""
    place = next((place for place, word in enumerate(arguments) if word in VERBS), None)
    assert place is not None, f"no verb in {arguments}"
    with cli.make_context("biomed-r1", arguments[: place + 1]) as context:
        verb, rest = arguments[place], arguments[place + 1 :]
        command = cli.get_command(context, verb)
    assert command is not None
    for option in command.params:
        if isinstance(option.type, click.Path):
            monkeypatch.setattr(option.type, "exists", False)
    with command.make_context(verb, rest) as inner:
        return verb, dict(inner.params)


@pytest.mark.parametrize("command", OURS, ids=str)
def test_our_commands_parse(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    verb, options = parsed(command.ours or [], monkeypatch)
    changes = options.get("changes") or ()
    if verb in STAGES:
        module, name = STAGES[verb].split(":")
        config_class = getattr(import_module(f"components.stages.{module}"), name)
        parse_config(config_class, GivenConfig(None, changes).parse(config_class).model_dump(), "--set")
    recipe = str(options.get("recipe") or "")
    if recipe and (not recipe.endswith(".yaml") or recipe.startswith("examples/")):
        load_any_recipe(
            str(ROOT / recipe) if recipe.endswith(".yaml") else recipe, changes, models=options.get("models")
        )


@pytest.mark.parametrize("command", EVERY, ids=str)
def test_what_needs_a_cluster_is_marked(command: Command) -> None:
    program = command.words[0]
    ours = command.ours
    on_a_cluster = program in CLUSTER_PROGRAMS or bool(ours and ours[0] in ON_A_CLUSTER)
    assert not on_a_cluster or command.needs == "cluster"
    known = ours is not None or program in OTHER_PROGRAMS | CLUSTER_PROGRAMS or command.needs == "cluster"
    assert known, f"{program}: say in this test what it is"
    assert command.needs in ("", "cluster", "slow", "data")
    assert DATA not in command.line or command.needs == "data"


@pytest.mark.parametrize("command", [c for c in EVERY if c.words[0] == "make"], ids=str)
def test_make_targets_exist(command: Command) -> None:
    targets = set(MAKE.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    named = [word for word in command.words[1:] if "=" not in word]
    assert named and set(named) <= targets


@pytest.mark.parametrize("page", PAGES)
def test_verbs_and_options_in_sentences_exist(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for inline in re.findall(r"`(?:\.venv/bin/)?biomed-r1 ([^`]+)`", text):
        words = inline.split()
        verb = next((word for word in words if word in VERBS), None)
        if words == ["--help"] or words[0].startswith("--log-"):
            continue
        assert verb, f"{page}: {inline}"
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        known = {name for option in command.params for name in option.opts} | {"--help"}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, inline


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in _anchors(file), f"{page}: {target}"


def _anchors(file: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 170


def test_the_readmes_figures_are_those_of_the_page_of_gaps() -> None:
    rows = _rows((ROOT / "README.md").read_text(encoding="utf-8"))
    page = _rows((ROOT / "docs/published-gaps.md").read_text(encoding="utf-8").partition("## Raw gaps")[2])
    shown = {model: cells for model, cells in rows.items() if model in page and model != "Model"}
    assert len(shown) == 10
    for model, (items, *gaps) in shown.items():
        there = page[model]
        assert [items, *gaps] == [there[0], there[3], there[4], there[6]], model


def _rows(text: str) -> dict[str, list[str]]:
    """The first row of each name in the tables of a text: its other cells."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| "):
            name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.setdefault(name, cells)
    return found


def test_the_citation_is_valid_yaml_with_what_the_format_requires() -> None:
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(found)
